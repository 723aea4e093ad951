"""Forecasts of ragged recorded runs, good and bad ones of every kind, chosen by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.support.run_scores import RunScores
from lcpfn.forecast.model import LCPFN
from lcpfn.forecast.plotting import plot_forecast
from lcpfn.priors import RecordedRun

CUTOFF = 0.2
_RULES = {"best": 0.0, "median": 0.5, "worst": 1.0}
_MOST_POINTS = 120
# A page of thirty-six panels need not be sharp in print.
_DOTS_PER_INCH = 75


def choose_runs(scores: RunScores, runs: Sequence[RecordedRun]) -> dict[str, int]:
    """The runs with the best, the median and the worst CRPS after a fifth of their steps.

    Returns:
        by rule, the number of the run among `runs`.
    """
    asked = [
        index for index, run in enumerate(runs) if (run.steps <= CUTOFF * run.steps[-1]).sum() >= 2
    ]
    order = [asked[place] for place in scores.crps[CUTOFF].argsort(kind="stable")]
    return {rule: order[round(share * (len(order) - 1))] for rule, share in _RULES.items()}


def draw_kinds(
    model: LCPFN,
    kinds: Mapping[str, tuple[Sequence[RecordedRun], RunScores]],
    path: Path,
) -> None:
    """A row for each kind of run: its best, median and worst forecast, with what happened."""
    figure = Figure((4.2 * len(_RULES), 2.7 * len(kinds)), layout="constrained")
    grid = figure.subplots(len(kinds), len(_RULES), squeeze=False)
    for (kind, (runs, scores)), row in zip(kinds.items(), grid, strict=True):
        for ax, (rule, index) in zip(row, choose_runs(scores, runs).items(), strict=True):
            _draw(model, runs[index], ax)
            ax.set_title(f"{kind}: {rule}", fontsize="small")
    figure.savefig(path, dpi=_DOTS_PER_INCH)


def _draw(model: LCPFN, run: RecordedRun, ax: Axes) -> None:
    seen = run.steps <= CUTOFF * run.steps[-1]
    later = run.steps[~seen]
    post = model.extrapolate(
        run.values[seen],
        steps=run.steps[seen],
        horizon=float(run.steps[-1]),
        goal="maximize" if run.maximize else "minimize",
        query=later[np.unique(np.linspace(0, len(later) - 1, _MOST_POINTS).round().astype(int))],
    )
    plot_forecast(post, ax, metric="", step_name="", truth=(run.steps, run.values), legend=False)
    ax.tick_params(labelsize="x-small")
    ax.locator_params(axis="x", nbins=4)
