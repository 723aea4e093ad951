"""Where the learning rates of a run stand in its log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lcpfn.logs.cells import to_number
from lcpfn.logs.columns import step_rank
from lcpfn.logs.names import is_rate
from lcpfn.logs.table import Record, Table


class Rates(NamedTuple):
    """The learning rates of a run.

    Args:
        column: where they stand.
        steps_column: what tells which record a rate belongs to; None where they stand beside it.
    """

    column: str
    steps_column: str | None


def find_rates(table: Table, records: Sequence[Record], steps_column: str | None) -> Rates | None:
    """Where the learning rates are: in the column that most of the records have, or any rows.

    Args:
        table: the log.
        records: those of the metric.
        steps_column: where their steps are counted.
    """
    columns = [column for column in table.columns if is_rate(column)]
    if not columns:
        return None

    def known(column: str) -> int:
        return sum(to_number(record.cells.get(column)) is not None for record in records)

    def agreeing(column: str) -> int:
        own = [record.cells.get(column) for record in records]
        return sum(own == [record.cells.get(other) for record in records] for other in columns)

    # Of several groups, one may be that of the biases, which are warmed up in another way.
    column = max(columns, key=lambda column: (known(column), agreeing(column)))
    if known(column) == len(records):
        return Rates(column, None)
    rows = table.records_with(column)
    if len(rows) == 1 < len(records):
        # A setting at the top of the log does not say that the rate stays what it is.
        return None
    counts = [name for name in table.columns if step_rank(name) is not None]
    if steps_column is not None:
        counts.sort(key=lambda name: (name != steps_column, step_rank(name) or 0))
    for name in counts:
        if all(to_number(row.cells.get(name)) is not None for row in (*rows, *records)):
            return Rates(column, name)
    return None
