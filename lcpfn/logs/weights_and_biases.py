"""Exports of Weights & Biases: columns `run - metric`, for one run or many."""

from __future__ import annotations

from dataclasses import replace

from lcpfn.logs.table import Record, Table

_BETWEEN = " - "
_EXTREMES = ("__MIN", "__MAX")


def runs_of(table: Table) -> list[Table]:
    """The runs of an export, each with its own columns and those that all share.

    A table that is no such export is the one run that it is.
    """
    owners: dict[str, dict[str, str]] = {}
    shared: list[str] = []
    for column in table.columns:
        run, between, metric = column.rpartition(_BETWEEN)
        if not between:
            shared.append(column)
        elif not metric.endswith(_EXTREMES):
            owners.setdefault(run, {})[column] = metric
    # Only the axis stands without a run, in front of all others.
    if not owners or not shared or table.columns[0] not in shared or not table.ordered:
        return [table]
    return [_run(table, run, own, shared) for run, own in owners.items()]


def _run(table: Table, run: str, own: dict[str, str], shared: list[str]) -> Table:
    names = {**{column: column for column in shared}, **own}
    rows = [
        Record(
            row.line,
            {name: row.cells[column] for column, name in names.items() if column in row.cells},
        )
        for row in table.rows
    ]
    return replace(table, rows=rows, columns=list(names.values()), run=run)
