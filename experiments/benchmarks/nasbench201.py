"""NAS-Bench-201: 15,625 cells, each trained on three image data sets (Dong and Yang 2020).

Read through the authors' own package, which ships its successor NATS-Bench (Dong et al. 2021):
its topology search space is NAS-Bench-201. The data are pickles, which run code when they are
loaded: get them from the authors only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.recorded import Array, Download, RecordedCurves, choose
from lcpfn.errors import InputError, MissingExtraError
from lcpfn.forecast.arguments import Goal
from lcpfn.forecast.bounds import Bounds

DOWNLOAD = Download(
    "NAS-Bench-201 (Dong and Yang 2020, github.com/D-X-Y/NATS-Bench)",
    (
        "pip install nats_bench",
        "# download NATS-tss-v1_0-3ffb9-simple.tar from",
        "# https://drive.google.com/drive/folders/1zjB6wMANiKwB2A1yil2hQ8H_qyeSe2yt",
        "tar xf NATS-tss-v1_0-3ffb9-simple.tar",
    ),
    "the folder NATS-tss-v1_0-3ffb9-simple, or the file NATS-tss-v1_0-3ffb9.pickle.pbz2",
)
METRICS: Mapping[str, tuple[Goal, Bounds]] = {
    "accuracy": ("maximize", (0.0, 100.0)),
    "loss": ("minimize", (0.0, None)),
}
# The part of each data set that was evaluated after every epoch.
EVALUATED = {
    "cifar10-valid": "x-valid",
    "cifar10": "ori-test",
    "cifar100": "ori-test",
    "ImageNet16-120": "ori-test",
}


def load(
    path: Path, metric: str = "accuracy", limit: int = 1000, epochs: str = "200"
) -> Iterator[RecordedCurves]:
    """Every data set, with the first training (seed) of each architecture.

    Args:
        path: the unpacked folder, or the single file.
        metric: "accuracy" (percent) or "loss".
        limit: architectures, evenly spaced over the whole list; all of them take long to read.
        epochs: "200", or "12" for the short trainings.

    Raises:
        MissingDownloadError: saying what to type where nothing is there.
        InputError: for another metric, another format, or epochs that the data do not have.
        MissingExtraError: where nats_bench is not installed.
    """
    goal, bounds = choose("metric", metric, METRICS)
    choose("epochs", epochs, dict.fromkeys(("12", "200")))
    DOWNLOAD.require(path)
    try:
        import nats_bench
    except ImportError:
        raise MissingExtraError(
            "NAS-Bench-201 is read with its own package: pip install nats_bench"
        ) from None
    try:
        api = nats_bench.create(str(path), "tss", fast_mode=path.is_dir(), verbose=False)
    except Exception as error:  # the package asserts and unpickles, so anything may come
        raise DOWNLOAD.wrong(path, f"{type(error).__name__}: {error}") from error
    indices = _spread(_available(path, api), limit)
    for name, part in EVALUATED.items():
        curves, configurations = [], []
        for index in indices:
            trained = api.query_meta_info_by_index(index, epochs)
            if name in trained.get_dataset_names():
                seed, result = next(iter(sorted(trained.query(name).items())))
                curves.append(_curve(result, part, metric))
                configurations.append({"architecture": api.arch(index), "seed": seed})
        if curves:
            yield RecordedCurves(
                "nasbench201",
                name,
                f"{part} {metric}",
                goal,
                bounds,
                tuple(np.arange(1.0, len(curve) + 1) for curve in curves),
                tuple(curves),
                tuple(configurations),
            )


def _available(path: Path, api: Any) -> list[int]:
    if path.is_file():
        return sorted(api.evaluated_indexes)
    numbers = (file.name.split(".")[0] for file in path.glob("*.pickle.pbz2"))
    return sorted(int(number) for number in numbers if number.isdigit())


def _spread(indices: list[int], limit: int) -> list[int]:
    if limit < 1:
        raise InputError(f"limit is {limit}, but must be at least 1")
    chosen = np.linspace(0, len(indices) - 1, min(limit, len(indices))).round().astype(int)
    return [indices[position] for position in chosen]


def _curve(result: Any, part: str, metric: str) -> Array:
    epochs = range(result.get_total_epoch())
    return np.array([result.get_eval(part, epoch)[metric] for epoch in epochs], dtype=np.float64)
