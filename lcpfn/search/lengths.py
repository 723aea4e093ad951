"""How long full runs are, and from where their steps count."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from typing import Any

from lcpfn.errors import InputError
from lcpfn.search.run import Run

Length = float | str | Callable[[Any], float] | None
"""A number; the name of the hyperparameter that holds it; a function of them; None to learn it."""

# A length is learned from the longest runs once so many have ended within a tenth of it.
_AGREEING = 3
_AGREEMENT = 0.9


class Lengths:
    """The lengths of the runs of one search, stated or learned.

    Steps may count from 0 or from 1. A length is a number of steps, so of a run that counts from 0
    one more than its last step.

    Args:
        stated: as users state it.
        name: what they know it by.

    Attributes:
        shift: what is added to steps: 1 where they count from 0, as no forecast has a step 0.
    """

    def __init__(self, stated: Length, name: str) -> None:
        if not (stated is None or isinstance(stated, str) or callable(stated)):
            stated = read_length(name, stated)
        self.stated = stated
        self.shift = 0
        self._name = name
        self._longest = -math.inf
        self._finished: list[float] = []

    @property
    def learned(self) -> bool:
        """Whether nobody has stated how long runs are."""
        return self.stated is None

    @property
    def unknown(self) -> str:
        """Why the length of a run is unknown."""
        if self.learned:
            return (
                f"the length of a full run is unknown: {self._name} is not given, and fewer than "
                f"{_AGREEING} runs have ended where the longest did"
            )
        return f"the length of this run is unknown: {self._name} says it by the hyperparameters"

    def described(self, config: Mapping[str, Any]) -> float | None:
        """A run's own length by its hyperparameters, where that is where it stands."""
        if isinstance(self.stated, str):
            if self.stated not in config:
                raise InputError(
                    f"{self._name} is {self.stated!r}, but a run has no such hyperparameter; it "
                    f"has {', '.join(sorted(map(str, config))) or 'none'}"
                )
            return read_length(f"{self._name} {self.stated!r}", config[self.stated])
        if callable(self.stated):
            return read_length(f"what {self._name} gives", self.stated(config))
        return None

    def observe(self, run: Run) -> None:
        """Hears that a run has new records."""
        if run.steps and run.steps[0] == 0:
            self.shift = 1
        self._longest = max(self._longest, run.last)

    def finish(self, run: Run) -> None:
        """Hears that a run has reached its end."""
        if not run.steps:
            return
        insort(self._finished, run.last)
        # Runs that report every fifth step may never show that they count from 0.
        if run.last + 1 == self.own(run) and run.steps[:2] != [1, 2]:
            self.shift = 1

    def withdraw(self, run: Run) -> None:
        """Hears that a run which had finished goes on after all, or failed."""
        index = bisect_left(self._finished, run.last)
        if index < len(self._finished) and self._finished[index] == run.last:
            del self._finished[index]

    def own(self, run: Run) -> float | None:
        """How many steps a run has as stated; None where nobody has said."""
        if run.horizon is not None:
            return run.horizon
        return self.stated if isinstance(self.stated, int | float) else None

    def of(self, run: Run) -> float | None:
        """How many steps a full run has; None where nobody can tell yet."""
        own = self.own(run)
        if own is not None or not self.learned:
            return own
        return run.last + self.shift if run.state == "finished" else self.longest

    @property
    def longest(self) -> float | None:
        """The length learned: that of the longest run known, once several have ended there.

        Longer runs than all that have finished may be under way, so none that is longer than it
        would be taken for complete, and none for hopeless by the length of shorter ones.
        """
        if not self.learned:
            return None
        agreeing = len(self._finished) - bisect_left(self._finished, _AGREEMENT * self._longest)
        return self._longest + self.shift if agreeing >= _AGREEING else None

    @property
    def spread(self) -> tuple[float, float] | None:
        """The last steps of the shortest and the longest that have finished."""
        return (self._finished[0], self._finished[-1]) if self._finished else None


def same_share(place: float, length: float, other: float) -> float:
    """The place in a run of another length that is the same share of it."""
    # Equal lengths stay exact; of others rounding must not hide a record.
    return place if length == other else math.nextafter(place / length * other, math.inf)


def read_length(name: str, length: Any) -> float:
    """Checks how long a run is: a positive, finite number."""
    try:
        number = math.nan if isinstance(length, bool | str) else float(length)
    except (TypeError, ValueError):
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise InputError(f"{name} is {length!r}, but must be a positive, finite number")
    return number
