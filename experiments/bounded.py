"""What forecasts hold beyond a bound of the metric: cut off, or kept next to it.

    python experiments/bounded.py ../shared/data

A forecast of a metric with bounds has mass beyond them, which `lcpfn/forecast/bounded.py` keeps in
a narrow strip inside. Printed for each family of recorded runs, after 10, 20, 40 and 80 % of the
steps, beside the same forecasts cut off at the bounds and renormalised: by what share the CRPS of
the final value falls, paired, each source counting alike, with its standard error over sources; how
often the central 88 % hold the truth, cut off and kept; and by how much its log-density rises. Then
the same for other strips, by width, power and tail, of all ragged runs.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.real_runs import by_source, table
from experiments.support.recorded_runs import own_runs
from experiments.support.run_scores import (
    CAP,
    CUTOFFS,
    PROBABILITIES,
    ratio_of_means,
    score_quantiles,
)
from experiments.train_default import is_ragged, recorded_runs
from lcpfn.forecast.arguments import Array
from lcpfn.forecast.bounded import Bounded, Strip
from lcpfn.forecast.distribution import Distribution
from lcpfn.forecast.model import LCPFN
from lcpfn.priors import RecordedRun

_OWN = ("val_accuracy", "val_loss")
_CUT, _KEPT = "cut off", "kept"
_STRIPS = {
    f"{width:g}, {power}, {tail:g}": Strip(width, power, tail)
    for width, power, tail in (
        *((width, power, 0.05) for width in (0.1, 0.3, 1.0) for power in (1, 2, 4)),
        *((0.1, 4, tail) for tail in (1e-9, 0.02, 0.1, 0.2, 0.5)),
    )
}
_LEAST_LOG_DENSITY = -30.0
Rows = dict[str, list[tuple[float, float, float]]]


@dataclass(frozen=True)
class Source:
    """Scores of the runs of one source, ways of reading a forecast by name.

    Args:
        means: by cutoff and way, the means of the CRPS over the runs' own spread, of whether the
            truth is inside the central 88 %, and of its log-density.
    """

    means: Mapping[float, Mapping[str, Array]]


def main(
    data: Annotated[Path, typer.Argument(help="folder with one folder of .npz per family")],
    model: Annotated[str, typer.Option(help="name or path of a model")] = "default",
    per_source: Annotated[int, typer.Option(help="most runs of each source")] = 40,
    markdown: Annotated[Path | None, typer.Option(help="write the tables here as well")] = None,
) -> None:
    """Scores forecasts that are cut off at bounds, and those that are kept within."""
    torch.set_num_threads(1)
    loaded = lcpfn.load(model)
    runs = [run for run in recorded_runs(data) if run.group != "own"]
    for metric in _OWN:
        runs += [replace(run, group=f"own {metric}") for run in own_runs(metric)]
    families: dict[str, list[Source]] = defaultdict(list)
    ragged: list[Source] = []
    for (group, _), members in by_source(runs, per_source).items():
        scored = _scored(loaded, members)
        families[group.split("/")[0]].append(scored)
        if is_ragged(members[0]):
            ragged.append(scored)
    columns = ["", "sources", *(f"{cutoff:.0%}" for cutoff in CUTOFFS)]
    heading = "CRPS falls by; held by the 88 % band cut off and kept; log-density rises by"
    lines = table(
        heading,
        columns,
        [
            [family, str(len(sources)), *_cells(sources, _KEPT)]
            for family, sources in sorted(families.items())
        ],
    )
    if ragged:
        heading = "The same of all ragged runs, by width, power and tail of the strip"
        rows = [[way, str(len(ragged)), *_cells(ragged, way)] for way in _STRIPS]
        lines += table(heading, columns, rows)
    if markdown is not None:
        markdown.write_text("\n".join(lines).lstrip() + "\n")


def _scored(model: LCPFN, runs: Sequence[RecordedRun]) -> Source:
    found: dict[float, Rows] = {cutoff: defaultdict(list) for cutoff in CUTOFFS}
    for run in runs:
        for cutoff in CUTOFFS:
            seen = run.steps <= cutoff * run.steps[-1]
            if seen.sum() < 2:
                continue
            post = model.extrapolate(
                run.values[seen],
                steps=run.steps[seen],
                horizon=float(run.steps[-1]),
                goal="maximize" if run.maximize else "minimize",
                query=[run.steps[-1]],
            )
            for way, read in _ways(post._margins).items():
                found[cutoff][way].append(_score(read, run))
    return Source(
        {
            cutoff: {way: np.mean(rows, axis=0) for way, rows in ways.items()}
            for cutoff, ways in found.items()
        }
    )


def _ways(margin: Distribution) -> dict[str, Distribution]:
    """A forecast as it is kept within its bounds, cut off at them, and with other strips."""
    if not isinstance(margin, Bounded):
        return dict.fromkeys((_CUT, _KEPT, *_STRIPS), margin)
    cut = margin.open.truncate(margin.low, margin.high)
    others = {way: replace(margin, strip=strip) for way, strip in _STRIPS.items()}
    return {_CUT: cut, _KEPT: margin, **others}


def _score(forecast: Distribution, run: RecordedRun) -> tuple[float, float, float]:
    truth = float(run.values[-1])
    spread = float(np.quantile(run.values, 0.95) - np.quantile(run.values, 0.05))
    quantiles = np.asarray(forecast.quantile(PROBABILITIES[:, None]))[:, -1]
    crps, side = score_quantiles(quantiles, truth)
    density = float(np.asarray(forecast.log_prob(truth)).ravel()[-1])
    return min(crps / spread, CAP), float(side == 0), max(density, _LEAST_LOG_DENSITY)


def _cells(sources: Sequence[Source], way: str) -> list[str]:
    """After each cutoff, what a way is worth beside cutting off; sources count alike."""
    cells = []
    for cutoff in CUTOFFS:
        known = [source.means[cutoff] for source in sources if source.means[cutoff]]
        cut, ours = (np.array([each[name] for each in known]).T for name in (_CUT, way))
        ratio, error = ratio_of_means(ours[0], cut[0])
        gain = ours[2] - cut[2]
        cells.append(
            f"{1 - ratio:+.1%} ± {error:.1%}; {cut[1].mean():.2f}, {ours[1].mean():.2f}; "
            f"{gain.mean():+.2f} ± {gain.std() / max(1, len(known) - 1) ** 0.5:.2f}"
        )
    return cells


if __name__ == "__main__":
    typer.run(main)
