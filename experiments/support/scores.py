"""The protocol for real curves: what is observed, how a forecast is scored, how scores are pooled.

Of each curve with T records the first max(2, round(f T)) are observed, for f = 10, 20, 40 and
80 %, and the final value is forecast by 49 quantiles. CRPS is twice their mean pinball loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from experiments.support.tasks import Array, Task

CUTOFFS = (0.1, 0.2, 0.4, 0.8)
PROBABILITIES = np.arange(1, 50) / 50
COVERAGES = (0.5, 0.88, 0.96)
_CAP = 10.0

Forecaster = Callable[[Task, Array], Array]
"""Quantiles (curves, 49) of the final value, increasing, from the observed records (curves, n)."""


@dataclass(frozen=True)
class Scores:
    """Scores of one forecaster on one data set or several, (cutoffs, curves) each.

    Args:
        crps: over the data set's spread, capped at 10.
        median_error: absolute error of the median, likewise.
        covered: by interval, whether it held the truth: (cutoffs, intervals, curves).
    """

    crps: Array
    median_error: Array
    covered: Array

    def first(self, count: int) -> Scores:
        """The scores of the first curves alone."""
        return Scores(
            self.crps[..., :count], self.median_error[..., :count], self.covered[..., :count]
        )


SetScores = Mapping[str, Scores]
"""Scores on one data set, by forecaster."""


def observed_records(cutoff: float, records: int) -> int:
    """How many of a curve's records are observed at a cutoff."""
    return max(2, round(cutoff * records))


def score(task: Task, forecaster: Forecaster) -> Scores:
    """Runs a forecaster on one data set at every cutoff."""
    truth = task.truth
    crps, errors, covered = [], [], []
    for cutoff in CUTOFFS:
        seen = observed_records(cutoff, task.curves.shape[1])
        quantiles = forecaster(task, task.curves[:, :seen])
        crps.append(np.minimum(pinball_score(quantiles, truth) / task.spread, _CAP))
        middle = quantiles[:, len(PROBABILITIES) // 2]
        errors.append(np.minimum(np.abs(middle - truth) / task.spread, _CAP))
        covered.append([_inside(quantiles, truth, coverage) for coverage in COVERAGES])
    return Scores(np.array(crps), np.array(errors), np.array(covered, dtype=np.float64))


def pinball_score(quantiles: Array, truth: Array) -> Array:
    """CRPS of (curves, 49) quantiles, by twice their mean pinball loss: (curves,)."""
    error = truth[:, None] - quantiles
    loss = np.maximum(PROBABILITIES * error, (PROBABILITIES - 1) * error)
    return np.asarray(2 * loss.mean(1))


def _inside(quantiles: Array, truth: Array, coverage: float) -> Array:
    """Whether the central interval holds the truth; exact ties count as inside."""
    slack = 1e-12 * np.abs(truth)
    low, high = (_level(quantiles, (1 + side * coverage) / 2) for side in (-1, 1))
    return np.asarray((truth >= low - slack) & (truth <= high + slack))


def _level(quantiles: Array, probability: float) -> Array:
    """A quantile (curves,), linear between the two of the 49 around it."""
    place = probability * 50 - 1
    below = int(np.floor(place + 1e-9))
    share = max(0.0, place - below)
    above = min(below + 1, len(PROBABILITIES) - 1)
    return np.asarray((1 - share) * quantiles[:, below] + share * quantiles[:, above])


def ratio(scores: Array, baseline: Array) -> tuple[float, float]:
    """Mean score over mean baseline score, and its standard error by the delta method.

    Both are of the same curves. A baseline without any error gives infinity.
    """
    if baseline.mean() == 0:
        return float("inf"), float("nan")
    value = float(scores.mean() / baseline.mean())
    residual = scores - value * baseline
    return value, float(residual.std() / np.sqrt(scores.size) / baseline.mean())


def pool(results: Mapping[str, SetScores]) -> dict[str, SetScores]:
    """Puts the data sets of each benchmark together, and all of them where there are several."""
    names = list(dict.fromkeys(name.split("/")[0] for name in results))
    pooled: dict[str, SetScores] = {
        benchmark: _together([s for name, s in results.items() if name.split("/")[0] == benchmark])
        for benchmark in names
    }
    if len(names) > 1:
        pooled["all"] = _together(list(results.values()))
    return pooled


def _together(members: list[SetScores]) -> SetScores:
    return {
        name: Scores(
            np.concatenate([scores[name].crps for scores in members], -1),
            np.concatenate([scores[name].median_error for scores in members], -1),
            np.concatenate([scores[name].covered for scores in members], -1),
        )
        for name in members[0]
    }


def first_curves(results: Mapping[str, SetScores], count: int) -> dict[str, SetScores]:
    """All forecasters on the first curves of every data set, for one that was run on these only."""
    return {
        task: {name: scores.first(count) for name, scores in members.items()}
        for task, members in results.items()
    }
