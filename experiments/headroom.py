r"""What headroom does to forecasts: recorded runs, with and without it.

    python experiments/headroom.py ../shared/data
    python experiments/headroom.py ../shared/data --model WITHOUT0.safetensors \
        --model WITHOUT1.safetensors

A forecast of far more than a run has ever moved is drawn in (`lcpfn/forecast/headroom.py`). Printed
for each family of recorded runs, after 10, 20, 40 and 80 % of the steps: by what share the CRPS of
the final value falls by that, paired, each source counting alike, with its standard error over
sources; and how often the central 88 % hold the truth without it and with it. With two models, each
half of the sources is forecast by the one that has not seen it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.real_runs import by_source, table
from experiments.support.recorded_runs import FOLDS, own_runs
from experiments.support.run_scores import CUTOFFS, RunScores, paired_gain, pool, score_runs
from experiments.train_default import fold_of, recorded_runs
from lcpfn.forecast.model import LCPFN

_OWN = ("val_accuracy", "val_loss")


def main(
    data: Annotated[Path, typer.Argument(help="folder with one folder of .npz per family")],
    model: Annotated[
        list[str] | None, typer.Option(help="name or path; two for halves left out")
    ] = None,
    per_source: Annotated[int, typer.Option(help="most runs of each source")] = 40,
    markdown: Annotated[Path | None, typer.Option(help="write the table here as well")] = None,
) -> None:
    """Scores forecasts of recorded runs with and without headroom."""
    torch.set_num_threads(1)
    loaded = [lcpfn.load(name) for name in model or ["default"]]
    if len(loaded) not in (1, FOLDS):
        raise typer.BadParameter(f"there are {len(loaded)} models, but must be 1 or {FOLDS}")
    runs = [run for run in recorded_runs(data) if run.group != "own"]
    if len(loaded) == 1:
        for metric in _OWN:
            runs += [replace(run, group=f"own {metric}") for run in own_runs(metric)]
    families: dict[str, list[tuple[RunScores, RunScores]]] = defaultdict(list)
    for (group, _), members in by_source(runs, per_source).items():
        asked = loaded[fold_of(members[0]) % len(loaded)]
        without, within = (
            score_runs(_with_headroom(asked, headroom), members) for headroom in (False, True)
        )
        families[group.split("/")[0]].append((without, within))
    rows = []
    for family, scores in sorted(families.items()):
        without, within = ([pair[side] for pair in scores] for side in (0, 1))
        cells = (
            f"{paired_gain(within, without, cutoff)}; "
            f"{pool(without, cutoff).inside:.2f}, {pool(within, cutoff).inside:.2f}"
            for cutoff in CUTOFFS
        )
        rows.append([family, str(len(scores)), *cells])
    columns = ["", "sources", *(f"{cutoff:.0%}" for cutoff in CUTOFFS)]
    lines = table("CRPS falls by; held by the 88 % band without and with headroom", columns, rows)
    if markdown is not None:
        markdown.write_text("\n".join(lines).lstrip() + "\n")


def _with_headroom(model: LCPFN, headroom: bool) -> LCPFN:
    return LCPFN(model.network, {**model.card, "headroom": headroom})


if __name__ == "__main__":
    typer.run(main)
