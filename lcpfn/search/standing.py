"""Where a run stands among the other runs of its search, at the same step."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Goal, read_goal

# The standing among fewer than this says next to nothing.
_FEWEST = 4


@dataclass(frozen=True)
class Peer:
    """Another run of the search.

    Args:
        steps: (n,) of its records, increasing.
        values: (n,) its records; NaN counts as worse than anything.
        stopped: it was stopped before its end, because it would not have won.
        config: its hyperparameters, None where unknown.

    Raises:
        InputError: steps do not increase, or are not as many as the values.
    """

    steps: Sequence[float]
    values: Sequence[float]
    stopped: bool
    config: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.values):
            raise InputError(f"{len(self.steps)} steps, but {len(self.values)} values")
        for earlier, later in pairwise(self.steps):
            if not earlier < later:
                raise InputError(
                    f"steps has {later:g} after {earlier:g}, but they must strictly increase"
                )

    @staticmethod
    def of(records: Iterable[tuple[float, float]], stopped: bool) -> Peer:
        """A run by its (step, value) records in order; NaN is a record that is missing."""
        present = [(step, value) for step, value in records if not math.isnan(value)]
        return Peer([step for step, _ in present], [value for _, value in present], stopped)

    def at(self, step: float) -> float | None:
        """Its newest value at a step; NaN where it had been stopped, None before its first."""
        if self.stopped and (not self.steps or step > self.steps[-1]):
            return math.nan
        return newest(self.steps, self.values, step)


def newest(steps: Sequence[float], values: Sequence[float], step: float) -> float | None:
    """The newest value at a step, None before the first."""
    index = bisect_right(steps, step) - 1
    return values[index] if index >= 0 else None


def standing(step: float, value: float, peers: Sequence[Peer], goal: Goal) -> float | None:
    """The share of peers that were better at this step: 0 for the run that leads, 1 for the last.

    Ties count half. A peer that had been stopped by then counts as worse, and so does a value that
    is no finite number: it is worse than any.

    >>> peers = [Peer([1, 2, 3], [0.1, 0.5, level], stopped=False) for level in (0.6, 0.7, 0.8)]
    >>> standing(3, 0.75, [*peers, Peer([1, 2], [0.1, 0.2], stopped=True)], "maximize")
    0.25

    Args:
        step, value: of the run's newest record.
        peers: the other runs.
        goal: "maximize" or "minimize".

    Returns:
        None where fewer than four can be compared with.

    Raises:
        InputError: `goal` is neither "maximize" nor "minimize".
    """
    read_goal(goal)
    others = [other for peer in peers if (other := peer.at(step)) is not None]
    return share_better(value, others, goal)


def share_better(value: float, others: Sequence[float], goal: Goal) -> float | None:
    """The share of values that are better than one, ties half; None of fewer than four."""
    if len(others) < _FEWEST:
        return None
    sign = 1 if goal == "maximize" else -1
    own, ranks = _rank(value, sign), [_rank(other, sign) for other in others]
    better = sum(rank > own for rank in ranks)
    ties = sum(rank == own for rank in ranks)
    return (better + 0.5 * ties) / len(others)


def _rank(value: float, sign: int) -> float:
    return sign * value if math.isfinite(value) else -math.inf
