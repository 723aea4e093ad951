"""Forecasts of real curves, good and bad ones, chosen by rule."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure

import lcpfn
from experiments.support.scores import CUTOFFS, Scores, observed_records
from experiments.support.tasks import Task
from lcpfn.forecast.plotting import plot_forecast, write_picture

_CUTOFF = CUTOFFS.index(0.2)
_RULES = {"best": 0.0, "median": 0.5, "worst": 1.0}


def choose_curves(results: Mapping[str, Scores], benchmark: str) -> dict[str, tuple[str, int]]:
    """The best, the median and the worst CRPS after 20 % among all curves of a benchmark.

    Returns:
        by rule, the data set and the number of the curve in it.
    """
    scored = [
        (float(crps), task, index)
        for task, scores in results.items()
        if task.split("/")[0] == benchmark
        for index, crps in enumerate(scores.crps[_CUTOFF])
    ]
    scored.sort()
    last = len(scored) - 1
    return {rule: scored[round(share * last)][1:] for rule, share in _RULES.items()}


def draw_good_and_bad(
    model: lcpfn.LCPFN, tasks: Mapping[str, Task], results: Mapping[str, Scores], path: Path
) -> None:
    """A row per benchmark: its best, median and worst forecast after 20 %, with what happened."""
    benchmarks = list(dict.fromkeys(task.benchmark for task in tasks.values()))
    figure = Figure((4.5 * len(_RULES), 3.4 * len(benchmarks)), layout="constrained")
    grid = figure.subplots(len(benchmarks), len(_RULES), squeeze=False)
    for benchmark, row in zip(benchmarks, grid, strict=True):
        chosen = choose_curves(results, benchmark)
        for ax, (rule, (name, index)) in zip(row, chosen.items(), strict=True):
            task = tasks[name]
            curve = task.curves[index]
            seen = observed_records(CUTOFFS[_CUTOFF], len(curve))
            post = model.extrapolate(
                curve[:seen], task.steps[:seen], task.horizon, task.goal, query=task.steps[seen:]
            )
            plot_forecast(post, ax, metric=task.metric, truth=(task.steps, curve), legend=False)
            crps = np.round(results[name].crps[_CUTOFF, index], 3)
            ax.set_title(f"{fill(name, 48)}\n{rule}: CRPS {crps:g} spreads", fontsize="small")
    write_picture(grid[0, 0], path)
