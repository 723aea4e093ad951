"""How good are forecasts? Scored after 10, 20, 40 and 80 % of each curve.

On curves of a prior the later, noisy points are scored; on recorded runs the last record, with
everything as it would have been at the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lcpfn.errors import InputError
from lcpfn.forecast.bounds import BoundsLike
from lcpfn.forecast.model import LCPFN
from lcpfn.network.histogram import BinnedDistribution
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.transformer import Network
from lcpfn.priors import Prior

SHARES = (0.1, 0.2, 0.4, 0.8)
"""Of each curve that are observed."""
INTERVALS = (0.50, 0.88, 0.96)
"""Central ones whose coverage is scored."""
LEAST_RECORDS = 4
"""Of a run that can be forecast in hindsight."""

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
        later = Questions(complete.fractions[:, seen:])
        forecast, _ = network.extend(None, complete.first(seen), later)
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
    likelihoods: dict[float, list[Tensor]] = {share: [] for share in SHARES}
    distances: dict[float, list[Tensor]] = {share: [] for share in SHARES}
    for begin in range(0, curves, _CHUNK):
        batch = prior.sample(min(_CHUNK, curves - begin), generator)
        fractions = batch.fractions.expand_as(batch.values).contiguous()
        complete = Observations(fractions, batch.values, batch.limits)
        for share, forecast, unseen in forecasts_by_share(model.network, complete):
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


@dataclass(frozen=True)
class Hindsight:
    """One forecast of a run's final value, beside what happened.

    Args:
        share: of the records that was observed.
        records: how many these were.
        last_value: the last of them.
        low, median, high: 6 %, 50 % and 94 % quantiles of the forecast.
        final: the value that was forecast.
        rank: probability that the forecast gave to values below the final one.
    """

    share: float
    records: int
    last_value: float
    low: float
    median: float
    high: float
    final: float
    rank: float

    def inside(self, level: float) -> bool:
        """Whether the final value lies in the central interval of this probability."""
        return 2 * abs(self.rank - 0.5) < level


def hindsight(
    model: LCPFN, values: ArrayLike, steps: ArrayLike, goal: str, bounds: BoundsLike = "auto"
) -> list[Hindsight]:
    """Forecasts of a run's last record from shares of its records, as they would have been made.

    Bounds are guessed from the records observed by then.

    Args:
        model: that forecasts.
        values: (n,) as logged; records that are missing or infinite are left out.
        steps: (n,) of these.
        goal, bounds: as for `LCPFN.extrapolate`.

    Returns:
        one for each share that leaves something to forecast.

    Raises:
        InputError: too few records, or as for `LCPFN.extrapolate`.
    """
    logged = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(logged)
    logged, at = logged[finite], np.asarray(steps, dtype=np.float64)[finite]
    if len(logged) < LEAST_RECORDS:
        raise InputError(
            f"the run has {len(logged)} finite records, but must have at least {LEAST_RECORDS} to "
            "be forecast in hindsight"
        )
    counts = {share: max(2, round(share * len(logged))) for share in SHARES}
    posts = {
        share: model.extrapolate(
            logged[:count],
            at[:count],
            horizon=float(at[-1]),
            goal=goal,
            bounds=bounds,
            query=at[-1:],
        )
        for share, count in counts.items()
        if count < len(logged)
    }
    made = []
    for share, post in posts.items():
        low, median, high = post.quantile([0.06, 0.5, 0.94])[:, -1].tolist()
        last_value, final = float(logged[counts[share] - 1]), float(logged[-1])
        rank = float(post.cdf(final)[-1])
        made.append(Hindsight(share, counts[share], last_value, low, median, high, final, rank))
    return made
