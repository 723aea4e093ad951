"""LCBench: 2,000 MLPs on each of 35 OpenML data sets (Zimmer, Lindauer and Hutter 2021).

The published file is one JSON object {data set: {number of the run: {"config": {...}, "log":
{"Train/val_cross_entropy": [...], ...}, "results": {...}}}}, about a gigabyte in its light form.
It is read as a stream, so memory holds the asked curves only. Record 0 was taken before training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.recorded import Array, Download, RecordedCurves, choose
from lcpfn.errors import MissingExtraError
from lcpfn.forecast.arguments import Goal
from lcpfn.forecast.bounds import Bounds

DOWNLOAD = Download(
    "LCBench (Zimmer et al. 2021, github.com/automl/LCBench)",
    (
        "curl -L -o data_2k_lw.zip https://figshare.com/ndownloader/files/21188598",
        "unzip data_2k_lw.zip",
    ),
    "data_2k_lw.json (or data_2k.json, six_datasets_lw.json)",
)
METRICS: Mapping[str, tuple[Goal, Bounds]] = {
    "Train/val_cross_entropy": ("minimize", (0.0, None)),
    "Train/val_accuracy": ("maximize", (0.0, 100.0)),
    "Train/val_balanced_accuracy": ("maximize", (0.0, 1.0)),
    "Train/test_cross_entropy": ("minimize", (0.0, None)),
    "Train/test_result": ("maximize", (0.0, 100.0)),
    "Train/train_cross_entropy": ("minimize", (0.0, None)),
    "Train/train_accuracy": ("maximize", (0.0, 100.0)),
    "Train/loss": ("minimize", (0.0, None)),
}


def load(path: Path, metric: str = "Train/val_cross_entropy") -> Iterator[RecordedCurves]:
    """Every data set of LCBench's JSON file, in the file's order.

    Args:
        path: `data_2k_lw.json`, `data_2k.json` or `six_datasets_lw.json`.
        metric: one of METRICS.

    Raises:
        MissingDownloadError: saying what to type where the file is missing.
        InputError: for another metric or another format.
        MissingExtraError: where json-stream is not installed.
    """
    goal, bounds = choose("metric", metric, METRICS)
    DOWNLOAD.require(path)
    try:
        import json_stream
    except ImportError:
        raise MissingExtraError(
            "LCBench is read with json-stream: pip install json-stream"
        ) from None
    with path.open(encoding="utf-8") as file:
        try:
            for name, runs in json_stream.load(file).items():
                steps, values, configurations = zip(
                    *(_run(path, name, number, run, metric) for number, run in runs.items()),
                    strict=True,
                )
                yield RecordedCurves(
                    "lcbench", name, metric, goal, bounds, steps, values, configurations
                )
        except (AttributeError, ValueError, StopIteration) as error:
            raise DOWNLOAD.wrong(path, str(error) or type(error).__name__) from error


def _run(
    path: Path, name: str, number: str, run: Any, metric: str
) -> tuple[Array, Array, Mapping[str, Any]]:
    """Steps, values and configuration of a run; a stream gives each part once, in its order."""
    from json_stream import to_standard_types

    configuration: Mapping[str, Any] = {}
    logged: dict[str, Array] = {}
    for part, content in run.items():
        if part == "config":
            configuration = to_standard_types(content)
        elif part == "log":
            for tag, series in content.items():
                if tag in ("epoch", metric):
                    logged[tag] = np.array(to_standard_types(series), dtype=np.float64)
    if metric not in logged:
        raise DOWNLOAD.wrong(path, f"run {number} of {name} has no {metric!r} in its log")
    values = logged[metric]
    return logged.get("epoch", np.arange(len(values), dtype=np.float64)), values, configuration
