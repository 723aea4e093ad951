"""Steps that stand in other rows of a log than the metric.

A trainer that evaluates by steps may log beside the result how large the data are, or the epoch,
and the step in the rows of training alone. Where a horizon is meant in these, the steps of a record
are those of the row of training before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from lcpfn.logs.cells import is_logged, to_number
from lcpfn.logs.columns import step_rank
from lcpfn.logs.run_length import EPOCH, kind_of
from lcpfn.logs.steps_column import LITTLE
from lcpfn.logs.table import Record, Table

_CLEARLY = 5.0


def borrowed(
    table: Table, records: list[Record], metric: str, horizon: float | None
) -> tuple[list[Record], list[str], str | None]:
    """The records with steps of the rows before them, a note on that, and the column.

    They stay as they are where the horizon, as a person states it, fits a column of their own.
    """
    if horizon is None:
        return records, [], None
    named = [name for name in table.columns if step_rank(name) is not None and name != metric]
    own = [max(_numbers(records, name), default=0.0) for name in named]
    if not own or not 0 < max(own) < LITTLE * horizon:
        return records, [], None
    for name in sorted(named, key=lambda name: step_rank(name) or 0):
        steps = _before(table, records, name, metric)
        if steps and _CLEARLY * max(own) <= steps[-1] <= horizon and kind_of(name) != EPOCH:
            note = (
                f"the horizon of {horizon:g} fits {name} in other rows of the log, so each record "
                f"is at the {name} that was logged before it"
            )
            return (
                [
                    Record(record.line, {**record.cells, name: step})
                    for record, step in zip(records, steps, strict=True)
                ],
                [note],
                name,
            )
    return records, [], None


def _numbers(records: Sequence[Record], column: str) -> list[float]:
    found = (to_number(record.cells.get(column)) for record in records)
    return [number for number in found if number is not None]


def _before(table: Table, records: Sequence[Record], column: str, metric: str) -> list[float]:
    """The newest number of a column before each record; none where they do not increase."""
    wanted = {record.line for record in records}
    newest: float | None = None
    steps: list[float] = []
    for row in table.rows:
        if is_logged(row.cells.get(metric)):
            if row.line in wanted and newest is not None:
                steps.append(newest)
        else:
            number = to_number(row.cells.get(column))
            newest = newest if number is None else number
    increases = all(before < after for before, after in itertools.pairwise(steps))
    return steps if increases and len(steps) == len(records) else []
