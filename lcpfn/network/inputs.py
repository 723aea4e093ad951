"""What a network is given: observations of curves, and questions about them.

Steps are fractions of the horizon, values are in the network's units, higher is better. What a log
or a user may not know is None where no curve of the batch has it. Arrays are torch tensors or numpy
arrays, all of one kind; see `lcpfn.network.arrays`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcpfn.network.arrays import AnyArray, rows_of

UNKNOWN = -1.0
"""What a learning rate says at a step where it is not known."""
SCHEDULE_CHANNELS = 2
"""Rate relative to the peak, and share of the summed rate spent."""


@dataclass(frozen=True)
class Observations:
    """What was recorded of a batch of curves.

    Args:
        fractions: (curves, n) observed steps over the horizon, increasing, in (0, 1].
        values: (curves, n) observed values.
        limits: (curves, 2) the best and the worst value the metric can take, infinite where
            unknown.
        schedule: (curves, n, SCHEDULE_CHANNELS) learning rates at the observed steps where those
            of the whole run are known, see `lcpfn.forecast.schedule.LearningRates.at`; UNKNOWN
            elsewhere.
        rates: (curves, n) learning rates at the observed steps in any unit, where those to come
            are not known; negative elsewhere.
    """

    fractions: AnyArray
    values: AnyArray
    limits: AnyArray | None = None
    schedule: AnyArray | None = None
    rates: AnyArray | None = None

    @property
    def length(self) -> int:
        """How many observations each curve has."""
        return int(self.values.shape[1])

    def first(self, count: int) -> Observations:
        """The first `count` of each curve."""
        return self._map(lambda records: records[:, :count])

    def last(self) -> Observations:
        """The last one of each curve, (curves, 1)."""
        return self._map(lambda records: records[:, -1:])

    def at(self, index: AnyArray) -> Observations:
        """Those of number `index` (curves, m), counted from 0."""
        rows = rows_of(index)
        return self._map(lambda records: records[rows, index])

    def copies(self, count: int) -> Observations:
        """`count` copies of a single curve in numpy, sharing memory."""
        limits = None if self.limits is None else _copied(self.limits, count)
        return self._map(lambda records: _copied(records, count), limits)

    def appended(self, later: Observations) -> Observations:
        """These and `later` ones (curves, k) of the same curves, which know the same; in numpy."""
        parts = [
            None if own is None or new is None else np.concatenate([own, new], 1)
            for own, new in zip(self._records, later._records, strict=True)
        ]
        return Observations(parts[0], parts[1], self.limits, parts[2], parts[3])

    @staticmethod
    def padded(curves: Sequence[Observations]) -> Observations:
        """One batch from curves of different length, each (1, n), in numpy.

        Padding at the end is harmless as long as no question comes after it. All curves know
        their limits and their learning rates, or none of them does.
        """
        longest = max(curve.length for curve in curves)
        # Padding goes on increasing, as features expect of steps.
        after = np.arange(1, longest + 1, dtype=np.float32)[None]
        fractions = np.repeat(after, len(curves), 0)
        values = np.zeros_like(fractions)
        for row, curve in enumerate(curves):
            fractions[row, : curve.length] = curve.fractions[0]
            values[row, : curve.length] = curve.values[0]
        return Observations(
            fractions,
            values,
            _joined([curve.limits for curve in curves]),
            _padded([curve.schedule for curve in curves], longest),
            _padded([curve.rates for curve in curves], longest),
        )

    @property
    def _records(self) -> tuple[Any, Any, Any, Any]:
        """All that has an entry for each record."""
        return self.fractions, self.values, self.schedule, self.rates

    def _map(self, change: Callable[[Any], Any], limits: Any = None) -> Observations:
        fractions, values, schedule, rates = (
            None if part is None else change(part) for part in self._records
        )
        kept = self.limits if limits is None else limits
        return Observations(fractions, values, kept, schedule, rates)


@dataclass(frozen=True)
class Questions:
    """What is asked about a batch of curves.

    Args:
        fractions: (curves, m) asked steps over the horizon, after the last observation each
            question may know of.
        schedule: (curves, m, SCHEDULE_CHANNELS) learning rates there, as those of `Observations`.
        best: (curves, m) 1 where the best value from the last observed step up to the asked one is
            meant, 0 where the value at it is; None for the latter throughout.
    """

    fractions: AnyArray
    schedule: AnyArray | None = None
    best: AnyArray | None = None

    @staticmethod
    def stacked(curves: Sequence[Questions]) -> Questions:
        """One batch from questions about single curves, each (1, m), in numpy."""
        return Questions(
            _joined([curve.fractions for curve in curves]),
            _joined([curve.schedule for curve in curves]),
            _joined([curve.best for curve in curves]),
        )

    def copies(self, count: int) -> Questions:
        """The questions about a single curve, asked about `count` copies of it, in numpy."""
        return Questions(
            *(
                None if part is None else _copied(part, count)
                for part in (self.fractions, self.schedule, self.best)
            )
        )

    def repeated(self, count: int) -> Questions:
        """One question about a single curve, (1, 1), asked after each of `count` prefixes of it."""
        return Questions(
            *(
                None if part is None else np.repeat(part, count, axis=1)
                for part in (self.fractions, self.schedule, self.best)
            )
        )


def _copied(part: AnyArray, count: int) -> AnyArray:
    """(1, ...) as (count, ...) that shares its memory."""
    return np.broadcast_to(part, (count, *part.shape[1:]))


def _joined(parts: Sequence[AnyArray | None]) -> AnyArray | None:
    """Parts (1, ...) one below the other; None where nobody has one."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None


def _padded(parts: Sequence[AnyArray | None], length: int) -> NDArray[np.float32] | None:
    """Parts (1, n, ...) one below the other, with zeros up to `length`; None where nobody has one.

    All have one, or nobody has.
    """
    known = [part[0] for part in parts if part is not None]
    if not known:
        return None
    together = np.zeros((len(known), length, *known[0].shape[1:]), np.float32)
    for row, part in zip(together, known, strict=True):
        row[: len(part)] = part
    return together
