"""How long a run will be, where its log says so: `max_steps`, `num_train_epochs`, `Epoch 3/60`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from lcpfn.logs.cells import Cell, is_logged, to_number
from lcpfn.logs.table import Record, Table

EPOCH, STEP = "epoch", "step"
# What lines of text count within an epoch without a name: Epoch: [3][ 50/469]
BATCH = "batch"

# A count that trainers keep constant and log beside their metrics or in their settings.
_TOTALS = {
    EPOCH: (
        "num_train_epochs",
        "num_epochs",
        "max_epochs",
        "max_epoch",
        "total_epochs",
        "n_epochs",
        "epochs",
    ),
    STEP: (
        "max_steps",
        "total_steps",
        "max_train_steps",
        "num_train_steps",
        "train_steps",
        "num_training_steps",
        "training_steps",
        "max_iters",
        "max_iter",
        "total_iters",
        "train_iters",
        "num_iterations",
        "iteration_count",
        "num_boost_round",
        "n_estimators",
        "max_updates",
        "max_update",
        "total_updates",
    ),
}
_KINDS = {name: kind for kind, names in _TOTALS.items() for name in names}
_AT_THE_END = "train_runtime"
_EPOCH_NAMES = ("epoch", "epochs", "ep")


def kind_of(column: str) -> str:
    """What a step column counts: epochs, or steps of any other kind."""
    last = re.split(r"[\s/._-]+", column.strip().lower())[-1]
    return EPOCH if last in _EPOCH_NAMES else STEP


def stated_totals(cells: Mapping[str, Cell]) -> Iterator[tuple[str, float]]:
    """Kind of step and length of the run, of the settings that state one."""
    for column, cell in cells.items():
        kind = _KINDS.get(_last(column))
        if kind is not None:
            total = to_number(cell)
            # Hugging Face writes -1 where the number of epochs decides.
            if total is not None and 0 < total < math.inf:
                yield kind, total


def constant_totals(columns: Sequence[str], rows: Sequence[Record]) -> dict[str, float]:
    """The same of columns that hold one number throughout, by kind of step."""
    totals: dict[str, float] = {}
    for column in columns:
        # A column `epochs` may as well count them, where no other does.
        counts = column.lower() in _EPOCH_NAMES and not (
            column.lower() == "epochs" and any(name.lower() == EPOCH for name in columns)
        )
        if _last(column) in _KINDS and not counts:
            cells = {row.cells[column] for row in rows if is_logged(row.cells.get(column))}
            if len(cells) == 1:
                totals.update(stated_totals({column: cells.pop()}))
    return totals


def states_a_total(column: str) -> bool:
    """Whether a column's name says that it holds the length of the run."""
    return _last(column) in _KINDS and column.lower() not in _EPOCH_NAMES


def _last(column: str) -> str:
    return column.rsplit("/", 1)[-1].strip().lower()


def is_constant_total(table: Table, column: str) -> bool:
    """Whether a column says in every record how long the run will be, and counts nothing."""
    if not states_a_total(column):
        return False
    numbers = {to_number(row.cells[column]) for row in table.records_with(column)}
    return len(numbers) == 1 < len(table.rows)


def total_of(table: Table, column: str | None, last: Record | None = None) -> float | None:
    """How long the run will be in a column, where the log says so.

    Args:
        table: the log.
        column: of the steps; None where records are counted.
        last: the newest record, which tells a count within an epoch from one of the whole run.
    """
    if column is None:
        # Lists in a document have one entry an epoch.
        return None if table.ordered else table.totals.get(EPOCH)
    total = table.totals.get(column, table.totals.get(kind_of(column)))
    epochs = table.totals.get(EPOCH)
    if column == BATCH:
        return total if epochs == 1 else None
    if total is None or last is None or epochs is None or kind_of(column) == EPOCH:
        return total
    epoch, step = to_number(last.cells.get(EPOCH)), to_number(last.cells.get(column))
    within = epoch is not None and step is not None and step / total > epoch / epochs + 1e-9
    return None if within else total


def end_of(table: Table, records: Sequence[Record], column: str | None) -> float | None:
    """The step at which training ended, where the log says so; None where it does not.

    Hugging Face's trainers write how long it took at its very end, be it early or not.
    """
    summaries = table.records_with(_AT_THE_END) if _AT_THE_END in table.columns else []
    if column is None or not summaries or summaries[-1].line < records[-1].line:
        return None
    return to_number(summaries[-1].cells.get(column))
