"""Which of many columns of numbers a person may have in mind when asking for the metric."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from lcpfn.logs.cells import to_number
from lcpfn.logs.names import (
    PHASES,
    TEST,
    TRAIN,
    VALIDATION,
    goal_of,
    is_extreme,
    meaning,
    phase_of,
    words,
)
from lcpfn.logs.table import Table

_COMMON = ("reward", "loss", "acc")
_PHASES = (VALIDATION, None, TEST, TRAIN)
# Records that show that a column goes nowhere but up, as a clock does.
_FEW = 4


def likely(table: Table, names: Sequence[str]) -> list[str]:
    """The columns that say something of the run, in their order; all of them where none does.

    Those that hold one number, or the same throughout, are settings and summaries; those that only
    rise, and whose names do not say that this is good, are clocks and counters.
    """
    kept = [name for name in names if _says_something(table, name)]
    return kept or list(names)


def most_likely(names: Sequence[str]) -> str:
    """The one to name as an example: a metric of validation whose name says what is better."""
    order = {name: place for place, name in enumerate(names)}

    def rank(name: str) -> tuple[bool, bool, int, int, int, int]:
        unclear = goal_of(name) is None and name.lower() not in PHASES
        common = next(
            (place for place, word in enumerate(_COMMON) if word in meaning(name)), len(_COMMON)
        )
        phase = _PHASES.index(phase_of(name))
        return is_extreme(name), unclear, phase, common, len(words(name)), order[name]

    return min(names, key=rank)


def _says_something(table: Table, column: str) -> bool:
    cells = (to_number(row.cells.get(column)) for row in table.records_with(column))
    numbers = [number for number in cells if number is not None and math.isfinite(number)]
    if len(set(numbers)) < 2:
        return False
    rises = all(before < after for before, after in itertools.pairwise(numbers))
    # A share may well rise all the time.
    clock = rises and len(numbers) >= _FEW and numbers[-1] > 1
    return not clock or goal_of(column) is not None
