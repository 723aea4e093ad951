"""What is known of a run at a landmark, as a row of numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class RunFacts(NamedTuple):
    """What is known of a run at a landmark; higher is better, NaN where unknown.

    Args:
        share: of the run that the newest record by the landmark had seen.
        first, quarter, half, value: the first record, and those a quarter as far, half as far and
            at the landmark.
        low, middle, high: quantiles of the forecast of the end that was made there; of the run at
            hand, of its newest.
        met: the probability, of a forecast made half as far, at which `value` came.
        reach: share of the run at which it is looked up what became of it, NaN where it has not
            gone on.
        became: what the run was worth there; of the run at hand, its newest record.
        became_low, became_middle, became_high: quantiles of the forecast of that from the landmark.
        became_met: the probability of that forecast at which `became` came.
    """

    share: float
    first: float
    quarter: float
    half: float
    value: float
    low: float
    middle: float
    high: float
    met: float
    reach: float
    became: float
    became_low: float
    became_middle: float
    became_high: float
    became_met: float


FACTS = len(RunFacts._fields)


def fact(name: str) -> int:
    """The column of a fact."""
    return RunFacts._fields.index(name)


def facts(names: str) -> NDArray[np.intp]:
    """The columns of some facts, whose names are separated by spaces."""
    return np.array([fact(name) for name in names.split()])


class Pairs(NamedTuple):
    """Facts that are subtracted from each other.

    Args:
        left, right: (n,) their columns.
    """

    left: NDArray[np.intp]
    right: NDArray[np.intp]

    @staticmethod
    def of(text: str) -> Pairs:
        """Pairs by lines of two names."""
        lines = [line.split() for line in text.strip().splitlines()]
        return Pairs(facts(" ".join(a for a, _ in lines)), facts(" ".join(b for _, b in lines)))

    def differences(self, table: NDArray[Any]) -> NDArray[Any]:
        """(..., n) of rows of facts (..., FACTS)."""
        found: NDArray[Any] = table[..., self.left] - table[..., self.right]
        return found


SIZES = Pairs.of("""
high low
high middle
middle low
became_high became_low
""")
"""Widths of forecasts: of the end, of its upper and its lower half, and of what became."""
