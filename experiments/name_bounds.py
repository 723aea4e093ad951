"""What it is worth to know by its name that a metric has no ceiling.

    python experiments/name_bounds.py COLLECTED

Of the curves that `experiments/public_runs.py` reads, those whose metric is a reward by its name
(`lcpfn/logs/name_bounds.py`) are forecast with bounds guessed from their values, and without any.
Printed after 10, 20, 40 and 80 % of the steps: the CRPS of the final value over that of repeating
the last value, how often the central 88 % held it, and by what share the CRPS falls without bounds,
paired, each repository counting alike, with its standard error over repositories.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.public_runs import Curve, read_collected
from experiments.real_runs import table
from experiments.support.run_scores import (
    CAP,
    CUTOFFS,
    PROBABILITIES,
    ratio_of_means,
    score_quantiles,
)
from lcpfn.forecast.bounds import BoundsLike
from lcpfn.forecast.model import LCPFN
from lcpfn.logs.name_bounds import bounds_by_name

_WAYS: tuple[BoundsLike, ...] = ("auto", None)


def main(
    collected: Annotated[Path, typer.Argument(help="folder of .csv files")],
    model: Annotated[str, typer.Option(help="name or path of a model")] = "default",
) -> None:
    """Scores forecasts of rewards with bounds that are guessed, and without."""
    torch.set_num_threads(1)
    loaded = lcpfn.load(model)
    curves = [curve for curve in read_collected(collected) if _is_open(curve)]
    sources: dict[str, list[Curve]] = defaultdict(list)
    for curve in curves:
        sources[curve.about["repo"]].append(curve)
    rows = [_row(loaded, list(sources.values()), cutoff) for cutoff in CUTOFFS]
    heading = f"{len(curves)} curves of {len(sources)} repositories"
    table(heading, ["after", "guessed bounds", "no bounds", "CRPS falls by"], rows)


def _is_open(curve: Curve) -> bool:
    return bounds_by_name("auto", curve.about["metric"], curve.about["goal"]) is None


def _row(model: LCPFN, sources: list[list[Curve]], cutoff: float) -> list[str]:
    """Means over sources as cells: of the last value, and of each way its CRPS and coverage."""
    found = []
    for curves in sources:
        scores = [score for curve in curves if (score := _scores(model, curve, cutoff))]
        if scores:
            found.append(np.mean(scores, axis=0))
    last, guessed, inside, free, held = np.array(found).T
    ratio, error = ratio_of_means(free, guessed)
    return [
        f"{cutoff:.0%}",
        f"{guessed.mean() / last.mean():.3f}, {inside.mean():.2f}",
        f"{free.mean() / last.mean():.3f}, {held.mean():.2f}",
        f"{1 - ratio:+.1%} ± {error:.1%}",
    ]


def _scores(model: LCPFN, curve: Curve, cutoff: float) -> list[float]:
    """The last value's error, and of each way the CRPS and whether the truth is inside."""
    steps, values = curve.counted_from_one, curve.records[:, 1]
    seen = steps <= cutoff * steps[-1]
    if seen.sum() < 2:
        return []
    spread = float(np.quantile(values, 0.95) - np.quantile(values, 0.05))
    found = [min(abs(values[seen][-1] - values[-1]) / spread, CAP)]
    for bounds in _WAYS:
        post = model.extrapolate(
            values[seen],
            steps=steps[seen],
            horizon=float(steps[-1]),
            goal="maximize",
            bounds=bounds,
            query=[steps[-1]],
        )
        crps, side = score_quantiles(post.quantile(PROBABILITIES)[:, -1], float(values[-1]))
        found += [min(crps / spread, CAP), float(side == 0)]
    return found


if __name__ == "__main__":
    typer.run(main)
