"""From recorded curves to forecasting tasks: which curves count, in which unit, at which steps."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks import RecordedCurves
from lcpfn.forecast.arguments import Goal
from lcpfn.forecast.bounds import Bounds

Array = NDArray[np.float64]

LARGEST = 1e6


@dataclass(frozen=True)
class Task:
    """Curves of one data set, all records of them.

    Args:
        name: benchmark/data set.
        metric: in the benchmark's own words.
        curves: (curves, records) chosen at random.
        steps: (records,) positive, increasing, the same for all curves.
        goal: "minimize" or "maximize".
        bounds: of the metric.
        spread: median absolute deviation of final values, over the whole data set.
        left_out: unusable curves in the data set.
    """

    name: str
    metric: str
    curves: Array
    steps: Array
    goal: Goal
    bounds: Bounds
    spread: float
    left_out: int

    @property
    def benchmark(self) -> str:
        return self.name.split("/")[0]

    @property
    def truth(self) -> Array:
        """(curves,) final values."""
        return self.curves[:, -1]

    @property
    def horizon(self) -> float:
        return float(self.steps[-1])

    def first(self, count: int) -> Task:
        """The task with its first curves alone."""
        return replace(self, curves=self.curves[:count])


def read_tasks(
    recorded: Iterable[RecordedCurves], per_set: int, seed: int
) -> Iterator[tuple[str, Task | None]]:
    """Every data set's name, with its task; None where its final values do not differ."""
    for curves in recorded:
        yield curves.full_name, make_task(curves, per_set, seed)


def make_task(recorded: RecordedCurves, per_set: int, seed: int) -> Task | None:
    """A seeded choice of the usable curves of a data set, another one in each data set.

    A curve is usable if it has the steps that most curves have (one that stopped early has no
    final value) and if every record is finite and within 1e6 in size.

    Returns:
        the task, or None where most final values are equal, so that there is no spread to divide
        errors by.
    """
    common = Counter(at.tobytes() for at in recorded.steps).most_common(1)[0][0]
    usable = [
        values
        for at, values in zip(recorded.steps, recorded.values, strict=True)
        if at.tobytes() == common and _is_tame(values)
    ]
    if not usable:
        return None
    kept = np.stack(usable)
    final = kept[:, -1]
    spread = float(np.median(np.abs(final - np.median(final))))
    if spread == 0:
        return None
    count = min(per_set, len(kept))
    # Benchmarks try the same configurations on all data sets: the same rows would be few runs.
    generator = np.random.default_rng([seed, zlib.crc32(recorded.full_name.encode())])
    chosen = generator.choice(len(kept), count, replace=False)
    return Task(
        recorded.full_name,
        recorded.metric,
        kept[chosen],
        _positive(np.frombuffer(common, dtype=np.float64)),
        recorded.goal,
        recorded.bounds,
        spread,
        len(recorded.values) - len(kept),
    )


def _is_tame(values: Array) -> bool:
    return len(values) > 2 and bool((np.abs(values) <= LARGEST).all())


def _positive(steps: Array) -> Array:
    """Counts a record taken before training, at step 0, as the first one."""
    return steps if steps[0] > 0 else steps - steps[0] + (steps[1] - steps[0])
