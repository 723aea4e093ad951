"""The runs that have finished, best first."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable
from itertools import islice
from typing import NamedTuple

from lcpfn.forecast.arguments import Goal


class _Entry(NamedTuple):
    """A finished run; `rank` is lower for better ones."""

    rank: float
    number: int
    final: float
    run: Hashable


class Ranking:
    """The runs that have finished, best first; adding one among ten thousand is quick.

    Args:
        goal: "maximize" or "minimize".
    """

    def __init__(self, goal: Goal) -> None:
        self._sign = -1 if goal == "maximize" else 1
        self._entries: list[_Entry] = []
        self._of: dict[Hashable, _Entry] = {}
        self._number = 0

    def add(self, run: Hashable, value: float, final: float) -> None:
        """Adds a run.

        Args:
            run: its key.
            value: by which it is ranked.
            final: what the others must beat.
        """
        self._number += 1
        entry = _Entry(self._sign * value, self._number, final, run)
        insort(self._entries, entry, key=lambda known: known[:2])
        self._of[run] = entry

    def remove(self, run: Hashable) -> None:
        """Removes a run, where it is there."""
        entry = self._of.pop(run, None)
        if entry is not None:
            del self._entries[bisect_left(self._entries, entry[:2], key=lambda known: known[:2])]

    def top(self, count: int) -> list[float]:
        """What is to beat of the best so many runs, best first."""
        return [entry.final for entry in islice(self._entries, count)]

    @property
    def best(self) -> tuple[Hashable, float] | None:
        """The best run and what is to beat of it."""
        return (self._entries[0].run, self._entries[0].final) if self._entries else None
