"""How long a run will be, where its log says so: `max_steps`, `num_train_epochs`, `Epoch 3/60`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from lcpfn.logs.cells import Cell, is_logged, to_number
from lcpfn.logs.table import Record

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
