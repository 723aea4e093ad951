"""What training maximises: the mean score of the forecasts of a batch of questions.

The expected log-density of Normal(clean, noise) under the forecast, over random prefixes and
queries: the negative is the cross-entropy whose minimum is the posterior predictive of the prior
(Müller et al. 2022, section 3). A share of the forecast's continuous ranked probability score may
be taken off: it is proper, too, so the minimum is the same, but a network that cannot reach it
everywhere errs less where an error costs much in the metric's unit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lcpfn.network.features import ContextFeatures
from lcpfn.network.transformer import Network
from lcpfn.training.questions import Examples

FAR_MISS = 15.0
"""Up to this negative log-density a miss counts in full."""
_FAR_CRPS = 10.0


def logarithmic_beyond(errors: Tensor, limit: float) -> Tensor:
    """Errors, by their logarithm where they exceed a limit.

    One exploding curve must not outweigh the batch.
    """
    return errors.clamp_max(limit) + torch.log1p(torch.relu(errors - limit))


class Objective(nn.Module):
    """The mean score of forecasts as one module, so that it compiles and distributes whole."""

    def __init__(self, network: Network, crps: float):
        super().__init__()
        self.network = network
        self.crps = crps

    def forward(self, context: ContextFeatures, examples: Examples) -> Tensor:
        forecast = self.network(
            context, examples.observations, examples.prefixes, examples.questions
        )
        score = forecast.expected_log_prob(examples.clean, examples.noise)
        mean = -logarithmic_beyond(-score, FAR_MISS).mean()
        if self.crps:
            # A unit that had a gradient would reward wide forecasts.
            missed = forecast.crps(examples.drawn) / forecast.std.detach()
            mean = mean - self.crps * logarithmic_beyond(missed, _FAR_CRPS).mean()
        return mean
