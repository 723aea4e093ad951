"""Names for the columns of a table of numbers, so that nothing goes by position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any


@dataclass(frozen=True)
class Columns:
    """The columns of a table in order, each name for one of them or for several side by side.

    Args:
        counts: how many columns each name has.
    """

    counts: Mapping[str, int]

    @cached_property
    def _found(self) -> dict[str, int | slice]:
        ends = accumulate(self.counts.values())
        return {
            name: end - 1 if count == 1 else slice(end - count, end)
            for (name, count), end in zip(self.counts.items(), ends, strict=True)
        }

    def __getitem__(self, name: str) -> Any:
        """The index of a single column, the slice of several."""
        return self._found[name]

    def __len__(self) -> int:
        return sum(self.counts.values())

    def through(self, name: str) -> slice:
        """All columns up to those of a name."""
        found = self._found[name]
        return slice(0, found.stop if isinstance(found, slice) else found + 1)
