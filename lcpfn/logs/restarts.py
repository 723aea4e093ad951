"""Steps that go back: runs that were resumed or appended, and rows in another order."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from lcpfn.logs.cells import is_logged, to_number
from lcpfn.logs.columns import step_rank
from lcpfn.logs.table import Record, Table

# Records in a row that show a run, and records after a fall that show that it is another one.
_FEW = 4
_SOME = 3


@dataclass
class Numbered:
    """The values that count, by step, and where steps went back.

    Args:
        values: the last one of each step.
        back: index of the record at which steps first went back, and the steps there; or None.
        resumed: indices of the records with which a run was resumed.
        begun: indices of the records with which a run began anew.
    """

    values: dict[float, float] = field(default_factory=dict)
    back: tuple[int, float, float] | None = None
    resumed: list[int] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)


def numbered(
    steps: Sequence[float], values: Sequence[float], others: Sequence[Sequence[float]] = ()
) -> Numbered:
    """The value that counts of each step.

    Where a run was resumed, what it had logged further on belongs to the attempt before. Rows in
    another order are all of one run.

    Args:
        steps: of the records, in the order of the log.
        values: of the records.
        others: the same in other columns of steps, which may tell that a run began anew.
    """
    found = Numbered()
    latest, risen, since = -math.inf, 0, 0
    for index, (step, value) in enumerate(zip(steps, values, strict=True)):
        if step < latest:
            found.back = found.back or (index, latest, step)
            begins = any(_begins(other, since, index) for other in others)
            if begins or step in found.values or _is_another_run(steps, index, found, risen):
                kept = {} if begins else found.values
                found.values = {at: held for at, held in kept.items() if at <= step}
                fresh = not any(at < step for at in found.values)
                (found.begun if fresh else found.resumed).append(index)
                since = index
            risen = 0
        risen += step > latest
        latest = step
        if not math.isnan(value) or step not in found.values:
            found.values[step] = value
    return found


def _begins(other: Sequence[float], since: int, index: int) -> bool:
    """Whether another count is back where it was when the run before began.

    One that begins anew in every epoch does not tell.
    """
    ran = other[since:index]
    through = all(before < after for before, after in itertools.pairwise(ran))
    return other[index] == ran[0] < ran[-1] and through


def _is_another_run(steps: Sequence[float], index: int, found: Numbered, risen: int) -> bool:
    """Whether a step that was not logged before is one of another run that went another pace."""
    if risen < _FEW:
        return False
    before = sorted(found.values)
    gap = min(after - earlier for earlier, after in itertools.pairwise(before))
    if steps[index] < before[0] <= gap:
        return True
    ahead = itertools.takewhile(
        lambda pair: pair[1] > pair[0] and pair[1] < before[-1],
        itertools.pairwise([-math.inf, *steps[index:]]),
    )
    places = [bisect_left(before, step) for _, step in ahead]
    return len(places) >= _SOME and places[0] < places[-1]


def outlived(
    table: Table, records: list[Record], metric: str, column: str
) -> tuple[list[Record], list[str]]:
    """The records of a metric that the newest attempt has not gone back behind, and a note.

    A metric of validation shows only when it is logged again that a run was resumed; the rows of
    training show it at once.

    Args:
        table: the log.
        records: of the metric.
        metric: its column.
        column: of the steps.
    """
    rows, steps = _with_numbers(table.rows, column)
    if all(before <= after for before, after in itertools.pairwise(steps)):
        return records, []
    rows, steps = _with_numbers(_densest(table, rows, metric), column)
    found = numbered(steps, [0.0] * len(steps))
    if 2 * (len(found.begun) + len(found.resumed)) > len(records):
        # A count that begins anew in every epoch is no resumed run.
        return records, []
    kept, notes = records, []
    for index in (*found.begun, *found.resumed):
        line, step = rows[index].line, steps[index]
        if records[-1].line > line:
            continue
        valid = [each for each in kept if (to_number(each.cells.get(column)) or 0.0) <= step]
        gone = len(kept) - len(valid)
        if valid and gone:
            kept = valid
            notes = [
                f"the run went back to {column} {step:g} at line {line}: {gone} "
                f"record{'s' if gone > 1 else ''} of {metric} beyond it no longer "
                f"count{'' if gone > 1 else 's'}"
            ]
    return kept, notes


def _with_numbers(rows: Sequence[Record], column: str) -> tuple[list[Record], list[float]]:
    """The rows that have a number in a column, and these numbers."""
    numbers = ((row, to_number(row.cells.get(column))) for row in rows)
    found = [(row, number) for row, number in numbers if number is not None]
    return [row for row, _ in found], [number for _, number in found]


def _densest(table: Table, rows: Sequence[Record], metric: str) -> list[Record]:
    """The rows of the column that was logged most often, beside the metric and all steps."""
    counts = {name: 0 for name in table.columns if name != metric and step_rank(name) is None}
    for row in rows:
        for name, cell in row.cells.items():
            if name in counts and is_logged(cell):
                counts[name] += 1
    densest = max(counts, key=lambda name: counts[name], default=metric)
    return [row for row in rows if is_logged(row.cells.get(densest))]
