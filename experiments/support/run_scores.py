"""Scores of forecasts of ragged runs: the final value, from the first shares of the steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lcpfn.forecast.model import LCPFN
from lcpfn.priors.recorded import RecordedRun

Array = NDArray[np.float64]

CUTOFFS = (0.1, 0.2, 0.4, 0.8)
_PROBABILITIES = np.linspace(0.02, 0.98, 49)
_CAP = 5.0


@dataclass(frozen=True)
class RunScores:
    """Scores of the runs of one source.

    Args:
        crps, last_value: by cutoff, (runs,) errors over the run's own spread (the central 90 % of
            its values), capped at 5; `last_value` is that of repeating the last value.
        side: by cutoff, (runs,) 1 where the truth is better than the central 88 %, -1 where it is
            worse, 0 inside.
    """

    crps: dict[float, Array]
    last_value: dict[float, Array]
    side: dict[float, Array]

    @staticmethod
    def pooled(sources: Sequence[RunScores], cutoff: float) -> str:
        """CRPS over the last value's, each source counting alike, its standard error, coverage."""
        known = [source for source in sources if len(source.crps[cutoff])]
        crps = np.array([source.crps[cutoff].mean() for source in known])
        last = np.array([source.last_value[cutoff].mean() for source in known])
        ratio = crps.mean() / last.mean()
        # Of a ratio of means over sources, by the delta method.
        error = (
            np.std(crps - ratio * last) / (len(known) - 1) ** 0.5 / last.mean()
            if len(known) > 1
            else np.nan
        )
        inside = np.mean([(source.side[cutoff] == 0).mean() for source in known])
        better = np.mean([(source.side[cutoff] > 0).mean() for source in known])
        return f"{ratio:.3f} ± {error:.3f}, holds {inside:.2f}, better {better:.2f}"


def score_runs(model: LCPFN, runs: Sequence[RecordedRun], of: str = "last") -> RunScores:
    """Forecasts the final value of each run after each cutoff; bounds are guessed."""
    scores = RunScores(*({cutoff: np.empty(0) for cutoff in CUTOFFS} for _ in range(3)))
    for cutoff in CUTOFFS:
        asked = [run for run in runs if (run.steps <= cutoff * run.steps[-1]).sum() >= 2]
        rows = [_score(model, run, cutoff) for run in asked]
        for table, column in zip(
            (scores.crps, scores.last_value, scores.side),
            np.array(rows).reshape(-1, 3).T,
            strict=True,
        ):
            table[cutoff] = column
    return scores


def _score(model: LCPFN, run: RecordedRun, cutoff: float) -> tuple[float, float, float]:
    seen = run.steps <= cutoff * run.steps[-1]
    spread = np.quantile(run.values, 0.95) - np.quantile(run.values, 0.05)
    truth = run.values[-1]
    post = model.extrapolate(
        run.values[seen],
        steps=run.steps[seen],
        horizon=float(run.steps[-1]),
        goal="maximize" if run.maximize else "minimize",
        query=[run.steps[-1]],
    )
    quantiles = post.quantile(_PROBABILITIES)[:, -1]
    missed = truth - quantiles
    crps = 2 * np.mean(np.maximum(_PROBABILITIES * missed, (_PROBABILITIES - 1) * missed))
    low, high = quantiles[2], quantiles[-3]
    above = float(truth > high) - float(truth < low)
    last = abs(run.values[seen][-1] - truth)
    return (
        min(float(crps / spread), _CAP),
        min(float(last / spread), _CAP),
        above if run.maximize else -above,
    )
