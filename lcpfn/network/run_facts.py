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

    share: Any
    first: Any
    quarter: Any
    half: Any
    value: Any
    low: Any
    middle: Any
    high: Any
    met: Any
    reach: Any
    became: Any
    became_low: Any
    became_middle: Any
    became_high: Any
    became_met: Any


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
