"""Do forecasts of a table's runs hold at other lengths than the table's?

    python experiments/other_lengths.py ../shared/data --model default --model BEFORE.safetensors

A network that was taught by a table of runs, all of 52 records, may know them by that number and
take a run of 60 for one of another kind. So runs of the tables, and the project's own, are read
anew at other lengths (`lcpfn.priors.recorded.resample`) and forecast from the first 10, 20, 40 and
80 %. Printed: the CRPS of the final value over that of repeating the last value, each data set
counting alike, with its standard error over data sets, and how often the central 88 % held the
truth.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.real_runs import by_source, table
from experiments.support.recorded_runs import own_runs, read_even
from experiments.support.run_scores import CUTOFFS, pool, score_runs
from lcpfn.priors import RecordedRun
from lcpfn.priors.recorded import resample

_TABLES = ("lcbench", "lcbench_surrogate", "taskset")


def main(
    data: Annotated[Path, typer.Argument(help="folder with one folder of .npz per family")],
    model: Annotated[list[str], typer.Option(help="name or path of a model; repeatable")],
    length: Annotated[list[int] | None, typer.Option(help="records of a run; repeatable")] = None,
    per_set: Annotated[int, typer.Option(help="runs of each data set")] = 24,
    markdown: Annotated[Path | None, typer.Option(help="write the tables here as well")] = None,
) -> None:
    """Scores forecasts of runs that are read anew at other lengths."""
    torch.set_num_threads(1)
    lengths = length or [25, 36, 44, 52, 60, 72, 100]
    if min(lengths) < 2:
        raise typer.BadParameter(f"--length is {min(lengths)}, but a run has at least 2 records")
    models = {Path(name).stem: lcpfn.load(name) for name in model}
    families = {name: list(read_even(data / name)) for name in _TABLES if (data / name).is_dir()}
    families |= {f"own {metric}": list(own_runs(metric)) for metric in ("val_accuracy", "val_loss")}
    lines: list[str] = []
    for family, runs in families.items():
        chosen = by_source(runs, per_set).values()
        for records in lengths:
            sets = [
                [_read_anew(run, records, index) for index, run in enumerate(members)]
                for members in chosen
            ]
            rows = []
            for name, loaded in models.items():
                scores = [score_runs(loaded, members) for members in sets]
                rows.append([name, *(str(pool(scores, cutoff)) for cutoff in CUTOFFS)])
            title = f"{family}, {records} records ({len(sets)} data sets)"
            lines += table(title, ["", *(f"{cutoff:.0%}" for cutoff in CUTOFFS)], rows)
    if markdown is not None:
        markdown.write_text("\n".join(lines).lstrip() + "\n")


def _read_anew(run: RecordedRun, records: int, index: int) -> RecordedRun:
    """As it was, where it has so many records."""
    if len(run.values) == records:
        return run
    seed = [zlib.crc32(run.source.encode()), records, index]
    return resample(run, records, np.random.default_rng(seed))


if __name__ == "__main__":
    typer.run(main)
