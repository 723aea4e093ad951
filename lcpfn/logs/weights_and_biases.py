"""Exports of Weights & Biases: columns `run - metric`, for one run or many."""

from __future__ import annotations

from dataclasses import replace

from lcpfn.errors import InputError
from lcpfn.logs.table import Record, Table

# Columns of the table of all runs, which the page of a project lets people download.
_OF_RUNS = frozenset(("Name", "State", "Created"))
_STATES = frozenset(("finished", "running", "crashed", "failed", "killed", "pending"))
_BETWEEN = " - "
_EXTREMES = ("__MIN", "__MAX")


def runs_of(table: Table) -> list[Table]:
    """The runs of an export, each with its own columns and those that all share.

    A table that is no such export is the one run that it is.

    Raises:
        InputError: it lists runs, one a row, and holds the records of none.
    """
    if _lists_runs(table):
        raise InputError(
            f"{table.name} is a table of {len(table.rows)} runs, one a row, and not the log of "
            "one: export the chart of the metric instead, or a run's history"
        )
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


def _lists_runs(table: Table) -> bool:
    states = {row.cells.get("State") for row in table.rows}
    return set(table.columns) >= _OF_RUNS and states <= _STATES


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
