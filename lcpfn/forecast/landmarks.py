"""Landmarks: the shares of a run after which runs of a search are compared with each other.

A forecast changes with every record, but what it says of the runs of a search changes slowly. So
runs are compared, and their forecasts are held against what became of them, at fixed shares of the
run alone: four for each doubling. What is known of a run there never changes, and is computed once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lcpfn.forecast.arguments import Array

_PER_DOUBLING = 4
# From an eightieth of the run to 95 % of it; a tenth, a fifth, two and four fifths are among them.
_FIRST, _LAST = -12, 13
# A record that is late by so little still counts as being at the landmark.
_LATE = 1.02

SHARES: tuple[float, ...] = tuple(
    0.1 * 2 ** (power / _PER_DOUBLING) for power in range(_FIRST, _LAST + 1)
)
"""The landmarks, shares of the run."""
END = len(SHARES)
"""The number of the end of the run, after the last landmark."""
HALF = _PER_DOUBLING
"""So many landmarks earlier the run was half as far."""
REACHES: tuple[int, ...] = tuple(range(0, END, 2))
"""Landmarks at which it is looked up what became of a run that has not ended."""

_ALLOWED = [share * _LATE for share in SHARES]
_REACHED = [share / _LATE for share in SHARES]


def landmark_of(share: float, following: float = 0.0) -> int:
    """The number of the landmark that a run has reached; -1 before the first.

    Args:
        share: of the run that its newest record has seen.
        following: where its next record is to be expected: a landmark that comes before that is
            reached as well, as nothing more will be known there.
    """
    ahead = bisect_left(_ALLOWED, share)
    if ahead < END and _ALLOWED[ahead] < following:
        return ahead
    return bisect_right(_REACHED, share) - 1


def expected(shares: Sequence[float]) -> float:
    """Where the record after some at increasing shares of the run is to be expected."""
    return shares[-1] + (shares[-1] - shares[-2] if len(shares) > 1 else shares[-1])


def reach_of(landmark: int) -> int:
    """The last among `REACHES` up to a landmark; -1 before any."""
    return landmark - landmark % 2 if landmark >= 0 else -1


def records_by(shares: Array) -> NDArray[np.int64]:
    """How many of the records at increasing shares (n,) lie at or before each landmark, (END,)."""
    return np.searchsorted(shares, _ALLOWED, side="right")
