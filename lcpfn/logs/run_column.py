"""Tables of several runs, told apart by a column: seeds, folds, trials."""

from __future__ import annotations

from dataclasses import replace

from lcpfn.logs.cells import Cell, is_logged, to_number
from lcpfn.logs.columns import step_rank
from lcpfn.logs.table import Record, Table

_NAMES_TEXT = """
run run_id run_name runs seed fold trial trial_id trial_number replicate repetition experiment
experiment_id exp job job_id
"""
_NAMES = frozenset(_NAMES_TEXT.split())


def by_run(table: Table) -> list[Table]:
    """The runs of a table, each without the column that names it; a table of one run itself.

    There are several where such a column takes several values, each in any order of the rows, and
    the runs have been at the same steps.
    """
    if table.run is not None:
        return [table]
    for column in table.columns:
        if column.strip().lower().replace(" ", "_") in _NAMES:
            runs = _split(table, column)
            if len(runs) > 1 and _share_steps(table, runs):
                rest = [name for name in table.columns if name != column]
                return [
                    replace(table, rows=_without(rows, column), columns=rest, run=name)
                    for name, rows in runs.items()
                ]
    return [table]


def _split(table: Table, column: str) -> dict[str, list[Record]]:
    """The rows of each run; none where some row says no run."""
    runs: dict[str, list[Record]] = {}
    for row in table.rows:
        cell = row.cells.get(column)
        if cell is None or not is_logged(cell):
            return {}
        runs.setdefault(_name(column, cell), []).append(row)
    return runs


def _name(column: str, cell: Cell) -> str:
    number = to_number(cell)
    return str(cell) if number is None else f"{column.strip()} {number:g}"


def _share_steps(table: Table, runs: dict[str, list[Record]]) -> bool:
    """Whether the second run has been where the first began, in the first column of steps there is.

    A count of restarts, such as that of a job that was resumed, does not begin anew with each.
    """
    steps = [name for name in table.columns if step_rank(name) is not None]
    if not steps:
        return False
    step = min(steps, key=lambda name: step_rank(name) or 0)
    first, second = (_at(rows, step) for rows in list(runs.values())[:2])
    return bool(first) and min(first) in second


def _at(rows: list[Record], step: str) -> set[float]:
    """The steps at which there are records."""
    found = (to_number(row.cells.get(step)) for row in rows)
    return {number for number in found if number is not None}


def _without(rows: list[Record], column: str) -> list[Record]:
    return [
        Record(row.line, {name: cell for name, cell in row.cells.items() if name != column})
        for row in rows
    ]
