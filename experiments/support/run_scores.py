"""Scores of forecasts of ragged runs: the value at the end, from the first shares of the steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lcpfn.forecast.best import Of, best_of
from lcpfn.forecast.model import LCPFN
from lcpfn.priors import RecordedRun

Array = NDArray[np.float64]

CUTOFFS = (0.1, 0.2, 0.4, 0.8)
Told = Literal["nothing", "rates", "schedule"]
"""What a forecast is told of learning rates: those at its records, or those of the whole run."""

PROBABILITIES = np.linspace(0.02, 0.98, 49)
"""Of the quantiles that forecasts are scored by."""
CAP = 5.0
"""What errors over the spread of a run are cut to."""


@dataclass(frozen=True)
class RunScores:
    """Scores of some runs.

    Args:
        crps, last_value: by cutoff, (runs,) errors over the run's own spread (the central 90 % of
            its values), capped at 5; `last_value` is that of repeating what the run has now.
        side: by cutoff, (runs,) 1 where the truth is better than the central 88 %, -1 where it is
            worse, 0 inside.
    """

    crps: Mapping[float, Array]
    last_value: Mapping[float, Array]
    side: Mapping[float, Array]


@dataclass(frozen=True)
class Pooled:
    """Scores of several sources after a cutoff, each source counting alike.

    Args:
        ratio, error: CRPS over the last value's, and its standard error over sources, NaN of one.
        inside, better: how often the truth lay inside the central 88 %, and how often beyond it
            on the better side.
    """

    ratio: float
    error: float
    inside: float
    better: float

    def __str__(self) -> str:
        error = "" if np.isnan(self.error) else f" ± {self.error:.3f}"
        return f"{self.ratio:.3f}{error}, {self.inside:.2f} ({self.better:.2f})"


def pool(sources: Sequence[RunScores], cutoff: float) -> Pooled:
    """Pools sources that have runs with enough records at the cutoff."""
    known = [source for source in sources if len(source.crps[cutoff])]
    crps, last, inside, better = (
        np.array([statistic(source) for source in known])
        for statistic in (
            lambda source: source.crps[cutoff].mean(),
            lambda source: source.last_value[cutoff].mean(),
            lambda source: (source.side[cutoff] == 0).mean(),
            lambda source: (source.side[cutoff] > 0).mean(),
        )
    )
    ratio = crps.mean() / last.mean()
    # Of a ratio of means over sources, by the delta method.
    spread = np.std(crps - ratio * last) / last.mean()
    error = spread / (len(known) - 1) ** 0.5 if len(known) > 1 else np.nan
    return Pooled(float(ratio), float(error), float(inside.mean()), float(better.mean()))


def paired_gain(ours: Sequence[RunScores], theirs: Sequence[RunScores], cutoff: float) -> str:
    """By what share our CRPS is below theirs on the same runs, with its standard error."""
    ratio, error = paired_ratio(ours, theirs, cutoff)
    return f"{1 - ratio:+.1%} ± {error:.1%}"


def paired_ratio(
    ours: Sequence[RunScores], theirs: Sequence[RunScores], cutoff: float
) -> tuple[float, float]:
    """Our CRPS over theirs on the same runs, and its standard error over sources."""
    pairs = [
        (own.crps[cutoff].mean(), other.crps[cutoff].mean())
        for own, other in zip(ours, theirs, strict=True)
        if len(own.crps[cutoff])
    ]
    own, other = np.array(pairs).T
    return ratio_of_means(own, other)


def ratio_of_means(own: Array, other: Array) -> tuple[float, float]:
    """The mean of ours over that of theirs (sources,), and its standard error, paired."""
    ratio = own.mean() / other.mean()
    spread = np.std(ratio * other - own) / other.mean()
    return float(ratio), float(spread / max(1, len(own) - 1) ** 0.5)


def score_runs(
    model: LCPFN, runs: Sequence[RecordedRun], of: Of = "last", told: Told = "nothing"
) -> RunScores:
    """Forecasts the end of each run after each cutoff; bounds are guessed.

    Runs with fewer than two records by then are left out there, as are runs without the learning
    rates that are to be told.
    """
    scores: list[dict[float, Array]] = [{}, {}, {}]
    for cutoff in CUTOFFS:
        asked = [
            run
            for run in runs
            if (run.steps <= cutoff * run.steps[-1]).sum() >= 2
            and (told == "nothing" or run.rates is not None)
        ]
        rows = np.array([_score(model, run, cutoff, of, told) for run in asked]).reshape(-1, 3)
        for table, column in zip(scores, rows.T, strict=True):
            table[cutoff] = column
    return RunScores(*scores)


def _score(
    model: LCPFN, run: RecordedRun, cutoff: float, of: Of, told: Told
) -> tuple[float, float, float]:
    seen = run.steps <= cutoff * run.steps[-1]
    spread = float(np.quantile(run.values, 0.95) - np.quantile(run.values, 0.05))
    goal: Literal["maximize", "minimize"] = "maximize" if run.maximize else "minimize"
    reached: Callable[[Array], float] = lambda values: (  # noqa: E731
        best_of(values, goal) if of == "best" else float(values[-1])
    )
    truth = reached(run.values)
    post = model.extrapolate(
        run.values[seen],
        steps=run.steps[seen],
        horizon=float(run.steps[-1]),
        goal=goal,
        query=[run.steps[-1]],
        of=of,
        **_rates(run, seen, told),
    )
    quantiles = post.quantile(PROBABILITIES)[:, -1]
    last = abs(reached(run.values[seen]) - truth)
    crps, above = score_quantiles(quantiles, truth)
    return (
        min(crps / spread, CAP),
        min(last / spread, CAP),
        above if run.maximize else -above,
    )


def score_quantiles(quantiles: Array, truth: float) -> tuple[float, float]:
    """CRPS of a forecast by its quantiles (k,) at `PROBABILITIES`, and on which side the truth is.

    Returns:
        the score in the unit of the metric; 1 where the truth is above the central 88 %, -1 where
        it is below, 0 inside.
    """
    missed = truth - quantiles
    crps = 2 * np.mean(np.maximum(PROBABILITIES * missed, (PROBABILITIES - 1) * missed))
    return float(crps), float(truth > quantiles[-3]) - float(truth < quantiles[2])


def _rates(run: RecordedRun, seen: NDArray[np.bool_], told: Told) -> dict[str, Any]:
    if told == "nothing" or run.rates is None:
        return {}
    if told == "rates":
        return {"rates": run.rates[seen]}
    return {"schedule": (run.steps, run.rates)}
