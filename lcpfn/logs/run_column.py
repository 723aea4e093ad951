"""Tables of several runs, told apart by a column: seeds, folds, trials, models, members."""

from __future__ import annotations

import itertools
from dataclasses import replace

from lcpfn.logs.cells import Cell, is_logged, to_number
from lcpfn.logs.columns import step_rank
from lcpfn.logs.names import PHASES
from lcpfn.logs.table import Record, Table

_NAMES_TEXT = """
run run_id run_name runs seed fold cv_fold kfold trial trial_id trial_number replicate repetition
repeat experiment experiment_id exp exp_id exp_name job job_id member model_id client client_id
worker worker_id rank pid process_id agent agent_id behavior
"""
_NAMES = frozenset(_NAMES_TEXT.split())
# Each of these learns by itself, wherever it begins.
_ALONE = frozenset(("behavior",))
# A text that stands in one row alone is a remark, and not the name of a run.
_LEAST_RECORDS = 2


def by_run(table: Table) -> list[Table]:
    """The runs of a table, each without the column that names it; a table of one run itself.

    There are several where a column whose name says so takes several values, each in any order of
    the rows, and the runs have been at the same steps. A column of texts does, too, or all of them
    together, where steps begin anew with each of its values and in no other place.
    """
    if table.run is not None:
        return [table]
    for column in table.columns:
        name = column.strip().lower().replace(" ", "_")
        if name in _NAMES:
            runs = _split(table, [column])
            if len(runs) > 1 and (name in _ALONE or _share_steps(table, runs)):
                return _runs(table, runs, [column])
    texts = [column for column in table.columns if _tells_apart(table, column)]
    for columns in [*([column] for column in texts), *([texts] if len(texts) > 1 else [])]:
        runs = _split(table, columns)
        if len(runs) > 1 and _share_steps(table, runs) and _only_each_counts(table, runs):
            return _runs(table, runs, columns)
    return [table]


def _runs(table: Table, runs: dict[str, list[Record]], columns: list[str]) -> list[Table]:
    rest = [name for name in table.columns if name not in columns]
    return [
        replace(table, rows=_without(rows, columns), columns=rest, run=name)
        for name, rows in runs.items()
    ]


def _split(table: Table, columns: list[str]) -> dict[str, list[Record]]:
    """The rows of each run; none where some row says no run."""
    runs: dict[str, list[Record]] = {}
    for row in table.rows:
        cells = [row.cells.get(column) for column in columns]
        if not all(map(is_logged, cells)):
            return {}
        name = " ".join(map(_name, columns, cells))
        runs.setdefault(name, []).append(row)
    return runs


def _name(column: str, cell: Cell) -> str:
    number = to_number(cell)
    return str(cell) if number is None else f"{column.strip()} {number:g}"


def _tells_apart(table: Table, column: str) -> bool:
    """Whether a column holds a few texts, each in several rows, that are no parts of the data."""
    counts: dict[Cell, int] = {}
    for row in table.rows:
        cell = row.cells.get(column)
        if not isinstance(cell, str) or to_number(cell) is not None or not is_logged(cell):
            return False
        counts[cell] = counts.get(cell, 0) + 1
    phases = any(str(text).lower() in PHASES for text in counts)
    return len(counts) > 1 and not phases and min(counts.values()) >= _LEAST_RECORDS


def _share_steps(table: Table, runs: dict[str, list[Record]]) -> bool:
    """Whether the second run has been where the first began, in the first column of steps there is.

    A count of restarts, such as that of a job that was resumed, does not begin anew with each.
    """
    step = _steps_column(table)
    if step is None:
        return False
    first, second = (_at(rows, step) for rows in list(runs.values())[:2])
    return bool(first) and min(first) in second


def _only_each_counts(table: Table, runs: dict[str, list[Record]]) -> bool:
    """Whether steps increase in every run and not in all rows, and all runs log the same."""
    step = _steps_column(table)
    logged = [
        {column for row in rows for column, cell in row.cells.items() if is_logged(cell)}
        for rows in runs.values()
    ]
    return (
        step is not None
        and all(each == logged[0] for each in logged)
        and all(_increases(rows, step) for rows in runs.values())
        and not _increases(table.rows, step)
    )


def _increases(rows: list[Record], step: str) -> bool:
    numbers = [to_number(row.cells.get(step)) for row in rows]
    return all(
        before is not None and after is not None and before < after
        for before, after in itertools.pairwise(numbers)
    )


def _steps_column(table: Table) -> str | None:
    steps = [name for name in table.columns if step_rank(name) is not None]
    return min(steps, key=lambda name: step_rank(name) or 0, default=None)


def _at(rows: list[Record], step: str) -> set[float]:
    """The steps at which there are records."""
    found = (to_number(row.cells.get(step)) for row in rows)
    return {number for number in found if number is not None}


def _without(rows: list[Record], columns: list[str]) -> list[Record]:
    return [
        Record(row.line, {name: cell for name, cell in row.cells.items() if name not in columns})
        for row in rows
    ]
