"""Reads folders of recorded runs, for training and judging, each with its source."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.benchmarks.folder import OWN_CURVES, load
from lcpfn.forecast.bounds import guess_bounds
from lcpfn.priors.recorded import RecordedRun

LARGEST = 1e6
# The project's other four data sets, and all of its losses, are left to judge by.
COUNTED = ("breast_cancer", "digits", "moons", "wine")
_FEWEST = 12
FOLDS = 2
# Workloads are few and large; these are spread by hand, all other sources by their names.
FOLD_OF_WORKLOAD = {
    "world/imagenet_resnet": 0,
    "world/gpt": 0,
    "world/rl": 0,
    "world/wmt": 1,
    "world/fastmri": 1,
    "world/librispeech_deepspeech": 1,
}
SIXTHS = 6
# Each workload by itself; an even sixth lies in the first half, an odd one in the second.
SIXTH_OF_WORKLOAD = {
    "world/imagenet_resnet": 0,
    "world/wmt": 1,
    "world/gpt": 2,
    "world/fastmri": 3,
    "world/rl": 4,
    "world/librispeech_deepspeech": 5,
}
_BY_HAND = {FOLDS: FOLD_OF_WORKLOAD, SIXTHS: SIXTH_OF_WORKLOAD}


def part_of(group: str, source: str, parts: int = FOLDS) -> int:
    """Which part of all sources one belongs to, of halves, sixths, or all in one."""
    return _BY_HAND.get(parts, {}).get(group, zlib.crc32(source.encode()) % parts)


def read_ragged(folder: Path, only: str = "*.npz") -> Iterator[RecordedRun]:
    """Runs of a folder of .npz with steps and values (runs, n), padded with NaN."""
    for path in sorted(folder.glob(only)):
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        rates = arrays.get("rates", np.full_like(arrays["values"], np.nan))
        own = path.stem.split("__")
        workload = "__".join(own[:2]) if own[0] == "algoperf" else own[0]
        for index, (steps, values) in enumerate(
            zip(arrays["steps"], arrays["values"], strict=True)
        ):
            known = np.isfinite(steps)
            steps, values, rate = steps[known], values[known], rates[index][known]
            if len(steps) > 1 and steps[0] <= 0:
                steps = steps + (steps[1] - steps[0])
            if not _usable(values):
                continue
            source = str(arrays["repo"][index]) if "repo" in arrays else workload
            yield RecordedRun(
                steps.astype(np.float64),
                values.astype(np.float64),
                str(arrays["goal"]) == "maximize",
                _guessed(values, str(arrays["goal"]) == "maximize"),
                f"{folder.name}/{_kind(path.stem)}",
                source,
                rate.astype(np.float64) if np.isfinite(rate).all() else None,
            )


def _kind(stem: str) -> str:
    return stem.split("__")[0] if not stem.startswith("algoperf") else stem.split("__")[1]


def read_even(folder: Path, per_set: int = 2000) -> Iterator[RecordedRun]:
    """Runs of a benchmark's folder, (runs, n) values of which the first are untrained."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as stored:
            name = next(n for n in ("val_loss", "valid_loss", "val_accuracy") if n in stored.files)
            curves = stored[name][:per_set]
        maximize = name == "val_accuracy"
        steps, cosine = np.arange(1.0, curves.shape[1] + 1), _cosine(curves.shape[1])
        for values in curves.astype(np.float64):
            if _usable(values):
                yield RecordedRun(
                    steps,
                    values,
                    maximize,
                    _guessed(values, maximize),
                    folder.name,
                    path.stem,
                    cosine if folder.name.startswith("lcbench") else None,
                )


def own_accuracies() -> Iterator[RecordedRun]:
    """Counted accuracies of the project's own, of the sets that priors are fitted on."""
    return (run for run in own_runs("val_accuracy") if run.source in COUNTED)


def own_runs(metric: str) -> Iterator[RecordedRun]:
    """The project's own runs by `val_accuracy` or `val_loss`."""
    for recorded in load(OWN_CURVES, metric):
        maximize = recorded.goal == "maximize"
        for values in recorded.values:
            if _usable(values):
                steps, rates = np.arange(1.0, len(values) + 1), _cosine(len(values))
                bounds = _guessed(values, maximize)
                yield RecordedRun(steps, values, maximize, bounds, "own", recorded.name, rates)


def _cosine(records: int) -> np.ndarray:
    """Learning rates over their peak, annealed to zero."""
    rates: np.ndarray = 0.5 * (1 + np.cos(np.pi * np.arange(records) / (records - 1)))
    return rates


def _usable(values: np.ndarray) -> bool:
    if len(values) < _FEWEST or not np.isfinite(values).all() or np.abs(values).max() > LARGEST:
        return False
    return bool(np.quantile(values, 0.95) > np.quantile(values, 0.05))


def _guessed(values: np.ndarray, maximize: bool) -> tuple[float, float]:
    """What bounds="auto" takes for granted."""
    low, high = guess_bounds(values, "maximize" if maximize else "minimize")
    return -np.inf if low is None else low, np.inf if high is None else high
