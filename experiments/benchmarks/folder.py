"""A folder of recorded curves: an .npz per data set, in it or in folders, one per benchmark.

Each .npz holds an array (curves, records) that is called after its metric: `val_loss` or
`valid_loss` (lower is better), or `val_accuracy` (percent). `config` (curves, settings), with or
without `config_names`, is optional.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.recorded import Array, MissingDownloadError, RecordedCurves, choose
from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Goal
from lcpfn.forecast.bounds import Bounds

OWN_CURVES = Path(__file__).parents[1] / "curves"
"""The project's own recorded curves, see `experiments/collect_curves.py`."""

METRICS: Mapping[str, tuple[Goal, Bounds]] = {
    "val_loss": ("minimize", (0.0, None)),
    "valid_loss": ("minimize", (0.0, None)),
    "val_accuracy": ("maximize", (0.0, 100.0)),
}


def load(path: Path, metric: str | None = None) -> Iterator[RecordedCurves]:
    """Every data set below `path` that records the metric.

    Args:
        path: holds DATASET.npz or BENCHMARK/DATASET.npz.
        metric: one of METRICS; None for the first of them that a file has.

    Raises:
        MissingDownloadError: where the folder is missing.
        InputError: where nothing in it fits.
    """
    wanted = METRICS if metric is None else {metric: choose("metric", metric, METRICS)}
    if not path.is_dir():
        raise MissingDownloadError(
            f"{path} is no folder, but must hold an .npz file per data set, or folders of such "
            f"files, each with an array {' or '.join(METRICS)} of shape (curves, records)"
        )
    found = False
    for file in sorted([*path.glob("*.npz"), *path.glob("*/*.npz")]):
        with np.load(file) as arrays:
            key = next((key for key in wanted if key in arrays), None)
            if key is None:
                continue
            curves = arrays[key].astype(np.float64)
            configurations = _configurations(arrays, len(curves))
        found = True
        goal, bounds = METRICS[key]
        steps: Array = np.arange(1.0, curves.shape[1] + 1)
        yield RecordedCurves(
            file.parent.resolve().name,
            file.stem,
            key,
            goal,
            bounds,
            (steps,) * len(curves),
            tuple(curves),
            configurations,
        )
    if not found:
        raise InputError(f"{path} holds no .npz file with an array {' or '.join(wanted)}")


def _configurations(arrays: Any, count: int) -> tuple[Mapping[str, Any], ...]:
    if "config" not in arrays:
        return ({},) * count
    settings = arrays["config"]
    names = (
        [str(name) for name in arrays["config_names"]]
        if "config_names" in arrays
        else [f"setting {index}" for index in range(settings.shape[1])]
    )
    return tuple(dict(zip(names, map(float, row), strict=True)) for row in settings)
