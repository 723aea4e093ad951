"""How good are forecasts of curves of a prior? Scored after 10, 20, 40 and 80 % of each curve.

The later, noisy points are scored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lcpfn.errors import InputError
from lcpfn.evaluation import INTERVALS, SHARES
from lcpfn.forecast.model import LCPFN
from lcpfn.network.histogram import BinnedDistribution
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.transformer import Network
from lcpfn.priors import Prior

_CHUNK = 200


def forecasts_by_share(
    network: Network, complete: Observations
) -> Iterator[tuple[float, BinnedDistribution, Tensor]]:
    """Forecasts all later points of complete curves from each share of them.

    Args:
        network: that forecasts.
        complete: (curves, n) all of every curve.

    Yields:
        the share, the forecasts (curves, later points), and these points as they were.
    """
    for share in SHARES:
        seen = max(1, round(share * complete.length))
        known, later = complete.first(seen), Questions(complete.fractions[:, seen:])
        prefixes = torch.full(later.fractions.shape, seen, device=later.fractions.device)
        forecast = network(network.view.observe(known), known, prefixes, later)
        yield share, forecast, complete.values[:, seen:]


@dataclass(frozen=True)
class PriorScore:
    """Scores of the forecasts from one share of each curve.

    Args:
        share: of each curve that was observed.
        log_likelihood: mean log-density of the later, noisy points, in nats.
        standard_error: of that mean, over curves.
        coverage: by central interval, the share of later points inside it.
    """

    share: float
    log_likelihood: float
    standard_error: float
    coverage: dict[float, float]


@torch.inference_mode()
def score_on_prior(model: LCPFN, prior: Prior, curves: int, seed: int) -> list[PriorScore]:
    """Scores a model on fresh curves of a prior, in the prior's own unit, without any bounds.

    Args:
        model: to score.
        prior: draws the curves.
        curves: how many, at least 2 for a standard error.
        seed: of the curves.

    Raises:
        InputError: fewer than 2 curves are asked for.
    """
    if curves < 2:
        raise InputError(f"curves is {curves}, but must be at least 2 for a standard error")
    generator = torch.Generator().manual_seed(seed)
    network = Network.of(model.network)
    likelihoods: dict[float, list[Tensor]] = {share: [] for share in SHARES}
    distances: dict[float, list[Tensor]] = {share: [] for share in SHARES}
    for begin in range(0, curves, _CHUNK):
        batch = prior.sample(min(_CHUNK, curves - begin), generator)
        fractions = batch.fractions.expand_as(batch.values).contiguous()
        complete = Observations(fractions, batch.values, batch.limits)
        for share, forecast, unseen in forecasts_by_share(network, complete):
            likelihoods[share].append(forecast.log_prob(unseen).double().mean(1))
            distances[share].append(2 * (forecast.cdf(unseen) - 0.5).abs())
    return [
        _prior_score(share, torch.cat(likelihoods[share]), distances[share]) for share in SHARES
    ]


def _prior_score(share: float, likelihood: Tensor, distances: list[Tensor]) -> PriorScore:
    """The score of one share: log-likelihoods (curves,), and ranks' distances from the median."""
    coverage = {
        level: float(torch.cat([(far < level).double().mean(1) for far in distances]).mean())
        for level in INTERVALS
    }
    error = float(likelihood.std()) / math.sqrt(len(likelihood))
    return PriorScore(share, float(likelihood.mean()), error, coverage)
