"""PD1: optimizer settings of networks from small CNNs to transformers (Wang et al. 2021).

The published files are JSON lines, a trial each, in four files by phase and by whether all tasks
share their settings, packed (.gz) or not. A trial has its settings in `hps.*`, the step of every
record in `global_step`, and the records in arrays such as `valid/error_rate`. A task is a data
set, a model and a batch size. A trial that diverged has the status "diverged" and fewer records,
perhaps none.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.recorded import Array, Download, RecordedCurves, choose
from lcpfn.forecast.arguments import Goal
from lcpfn.forecast.bounds import Bounds

DOWNLOAD = Download(
    "PD1 (Wang et al. 2021, github.com/google-research/hyperbo)",
    (
        "curl -O http://storage.googleapis.com/gresearch/pint/pd1.tar.gz",
        "tar xzf pd1.tar.gz",
    ),
    "the folder pd1, or one of its pd1_*_results.jsonl files",
)
METRICS: Mapping[str, tuple[Goal, Bounds]] = {
    f"{part}/{measure}": ("minimize", bounds)
    for part in ("valid", "train", "test")
    for measure, bounds in (("error_rate", (0.0, 1.0)), ("ce_loss", (0.0, None)))
}


def load(path: Path, metric: str = "valid/error_rate") -> Iterator[RecordedCurves]:
    """Every task, with the trials of all files that `path` holds.

    Trials without a single record of the metric are left out.

    Args:
        path: the folder, or one .jsonl or .jsonl.gz file.
        metric: "error_rate" or "ce_loss" on "valid", "train" or "test".

    Raises:
        MissingDownloadError: saying what to type where nothing is there.
        InputError: for another metric or another format.
    """
    goal, bounds = choose("metric", metric, METRICS)
    DOWNLOAD.require(path)
    files = [path] if path.is_file() else sorted(path.rglob("pd1_*_results.jsonl*"))
    if not files:
        raise DOWNLOAD.wrong(path, "it holds no pd1_*_results.jsonl")
    tasks: dict[str, list[tuple[Array, Array, Mapping[str, Any]]]] = {}
    for file in files:
        for number, line in enumerate(_lines(file), start=1):
            try:
                trial = json.loads(line)
                values = _series(trial.get(metric))
                if len(values):
                    steps = _series(trial["global_step"])
                    tasks.setdefault(_task(trial), []).append((steps, values, _settings(trial)))
            except (KeyError, TypeError, ValueError) as error:
                reason = f"line {number}: {type(error).__name__}: {error}"
                raise DOWNLOAD.wrong(file, reason) from error
    for name, trials in tasks.items():
        at, recorded, configurations = zip(*trials, strict=True)
        yield RecordedCurves("pd1", name, metric, goal, bounds, at, recorded, configurations)


def _lines(file: Path) -> Iterator[str]:
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
        yield from (line for line in lines if line.strip())


def _series(recorded: list[float | None] | None) -> Array:
    """Records as numbers, NaN where null; none at all where the whole series is null."""
    return np.array([] if recorded is None else recorded, dtype=np.float64)


def _task(trial: Mapping[str, Any]) -> str:
    parts = (trial["dataset"], trial["model"], f"batch{int(trial['hps.batch_size'])}")
    return "_".join(map(str, parts))


def _settings(trial: Mapping[str, Any]) -> dict[str, Any]:
    settings = {
        name.removeprefix("hps."): value
        for name, value in trial.items()
        if name.startswith("hps.") and value is not None
    }
    return {"status": trial.get("status"), **settings}
