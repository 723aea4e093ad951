"""Tables in long form, made wide: one row a metric, or one row a part of the data."""

from __future__ import annotations

from dataclasses import replace

from lcpfn.logs.cells import Cell, is_logged, to_number
from lcpfn.logs.columns import is_beside_the_point
from lcpfn.logs.names import PHASES
from lcpfn.logs.table import Record, Table, columns_of

_METRIC_COLUMNS = ("metric", "key", "tag", "name", "variable", "metric_name")
# ClearML calls the series of a plot so: metric loss, variant val.
_VARIANT = "variant"
_VALUE_COLUMNS = ("value", "metric_value")
_PHASE_COLUMNS = ("mode", "phase", "split", "stage", "set", "subset", "dataset", "type", "part")


def spread(table: Table) -> Table:
    """The table with a column for each metric and each part of the data."""
    return _by_phase(_by_metric(table))


def _by_metric(table: Table) -> Table:
    """Columns `metric` and `value`, maybe `variant`: every metric becomes a column."""
    by_name = {column.lower(): column for column in table.columns}
    key = next((by_name[name] for name in _METRIC_COLUMNS if name in by_name), None)
    value = next((by_name[name] for name in _VALUE_COLUMNS if name in by_name), None)
    if key is None or value is None:
        return table
    variant = by_name.get(_VARIANT)
    names = [row.cells.get(key) for row in table.rows]
    if not all(isinstance(name, str) and to_number(name) is None for name in names):
        return table
    rows = [
        Record(
            row.line,
            {
                _wide_name(row, key, variant) if column == value else column: cell
                for column, cell in row.cells.items()
                if column not in (key, variant)
            },
        )
        for row in table.rows
    ]
    return replace(table, rows=rows, columns=columns_of(rows))


def _wide_name(row: Record, key: str, variant: str | None) -> str:
    name, part = str(row.cells[key]), None if variant is None else row.cells.get(variant)
    return f"{name}/{part}" if is_logged(part) and part != name else name


def _by_phase(table: Table) -> Table:
    """A column that says of which part of the data a row is: metrics of several parts split up."""
    phases = next((column for column in table.columns if column.lower() in _PHASE_COLUMNS), None)
    if phases is None:
        return table
    found = {row.cells.get(phases) for row in table.rows if is_logged(row.cells.get(phases))}
    if len(found) < 2 or not any(str(phase).lower() in PHASES for phase in found):
        return table
    where: dict[str, set[Cell]] = {}
    for row in table.rows:
        for column, cell in row.cells.items():
            if is_logged(cell):
                where.setdefault(column, set()).add(row.cells.get(phases))
    shared = {
        column
        for column, parts in where.items()
        if len(parts) > 1 and column != phases and not is_beside_the_point(column)
    }
    if not shared:
        return table
    rows = [
        Record(
            row.line,
            {
                f"{row.cells[phases]}/{column}"
                if column in shared and phases in row.cells
                else column: cell
                for column, cell in row.cells.items()
            },
        )
        for row in table.rows
    ]
    return replace(table, rows=rows, columns=columns_of(rows))
