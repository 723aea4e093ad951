"""Recorded runs with their hyperparameters, as the pool that a search chooses from."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks import folder
from lcpfn.forecast.arguments import Array, Goal


@dataclass(frozen=True)
class Pool:
    """Configurations of one data set, each with the curve that training it would show.

    Args:
        name: of the data set, with its benchmark's.
        curves: (runs, records) as recorded; divergence shows as NaN or infinity.
        goal: what counts as better.
        names: of the hyperparameters.
        settings: (runs, hyperparameters) that the runs were trained with.
    """

    name: str
    curves: Array
    goal: Goal
    names: tuple[str, ...]
    settings: Array

    @property
    def records(self) -> int:
        """Of a full run."""
        return self.curves.shape[1]

    @property
    def configs(self) -> list[dict[str, float]]:
        """The configurations by name, in the order of the runs."""
        return [dict(zip(self.names, row, strict=True)) for row in self.settings.tolist()]

    def generator(self, seed: int) -> np.random.Generator:
        """Randomness of one search in this pool."""
        return np.random.default_rng([seed, zlib.crc32(self.name.encode())])

    def order(self, seed: int) -> NDArray[np.int64]:
        """A random order of the configurations, the same for all methods."""
        return self.generator(seed).permutation(len(self.curves))

    def regret(self, seen: Array) -> Array:
        """What values (n,) lack of the best of the pool, over the median's distance to it.

        The best is the best record of any run, the median that of the final records.
        """
        sign = 1.0 if self.goal == "maximize" else -1.0
        values = sign * self.curves
        values = np.where(np.isfinite(values), values, -np.inf)
        finals = values[:, -1][np.isfinite(values[:, -1])]
        best = values.max()
        found: Array = (best - sign * seen) / (best - np.median(finals))
        return found


def read_pools(path: Path, per_set: int, seed: int = 0) -> Iterator[Pool]:
    """Every data set below a folder whose runs say their hyperparameters.

    Args:
        path: as for `experiments.benchmarks.folder.load`.
        per_set: how many runs are taken of each, at random; all where there are no more.
        seed: of the choice.
    """
    for task in folder.load(path):
        curves, configs = np.stack(task.values), task.configurations
        if not configs[0]:
            continue
        generator = np.random.default_rng([seed, zlib.crc32(task.name.encode())])
        chosen = np.sort(generator.permutation(len(curves))[:per_set])
        names = tuple(configs[0])
        settings = np.array([[configs[index][name] for name in names] for index in chosen])
        yield Pool(f"{task.benchmark}/{task.name}", curves[chosen], task.goal, names, settings)
