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

_FAR_MISS = -15.0
_FAR_CRPS = 10.0


def tempered(score: Tensor) -> Tensor:
    """Log-densities, far misses by their logarithm.

    One exploding curve must not outweigh the batch.
    """
    return score.clamp_min(_FAR_MISS) - torch.log1p(torch.relu(_FAR_MISS - score))


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
        mean = tempered(score).mean()
        if self.crps:
            # A unit that had a gradient would reward wide forecasts.
            missed = forecast.crps(examples.drawn) / forecast.std.detach()
            far = torch.relu(missed - _FAR_CRPS)
            mean = mean - self.crps * (missed.clamp_max(_FAR_CRPS) + torch.log1p(far)).mean()
        return mean
