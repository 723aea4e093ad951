"""Reading one metric of one run from its log: CSV or JSON-lines, a file or standard input.

What trainers really write is accepted as it is:

- Any of the delimiters `,` `;` tab `|` and blanks; quoted cells, blanks around cells, Windows line
  ends, a byte-order mark, UTF-16 (PowerShell's `>`), a header repeated by a resumed run, and a
  bare column of numbers without a header.
- One JSON array of records, or `trainer_state.json` of Hugging Face, which holds one.
- JSON-lines whose lines carry different keys (Hugging Face, Weights & Biases) or nested objects
  (Ray Tune), whose keys are joined by `/`.
- Rows where the metric was not logged: an empty cell, `None` or `null`, or no such key. They are
  skipped, because Lightning writes training and validation metrics on alternate rows. A literal
  `NaN` is a record whose value is missing, and is kept as NaN.
- Repeated steps and steps that go back, as a resumed run writes them: the last number logged for a
  step counts.
- A last JSON line that is still being written: it is skipped.

Steps that start at 0 are moved up, because models count the first finished epoch as 1: by one, or
by the smallest gap between steps where that is less (epochs 0, 0.5, 1, ...). `RunLog` converts
between both numberings.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lcpfn.errors import InputError
from lcpfn.log_table import Record, Table, is_logged, listed, read_table, to_number

Array = NDArray[np.float64]

# In order of preference. A validation metric has one row an epoch, and people plan runs in epochs.
_STEP_NAMES = (
    "epoch",
    "epochs",
    "training_iteration",
    "iteration",
    "iterations",
    "iter",
    "step",
    "steps",
    "global_step",
    "train/global_step",
    "trainer/global_step",
    "_step",
    "batch",
)
# Numbers that every log carries and nobody wants forecast.
_OTHER_NAMES = (
    "time",
    "timestamp",
    "wall_time",
    "walltime",
    "wall time",
    "elapsed",
    "seconds",
    "runtime",
    "date",
    "datetime",
    "_timestamp",
    "_runtime",
    "time_total_s",
    "time_this_iter_s",
    "time_since_restore",
    "iterations_since_restore",
    # The index that pandas writes.
    "",
    "index",
    "unnamed: 0",
    "lr",
    "learning_rate",
    "train/learning_rate",
)
_OTHER_PREFIXES = ("lr-", "lr_", "lr/")


@dataclass(frozen=True)
class RunLog:
    """One metric of one run.

    Args:
        metric: name of its column.
        values: (n,) in the order of the steps; NaN where the log says NaN.
        steps_column: name of the step column; None where the log has none.
        steps: (n,) strictly increasing and positive, as models want them; None without a column.
        shift: what was added to the log's own steps to get `steps`.
        consecutive: whether the log's own steps start at 0 and go up in ones, so that a run "of
            100 epochs" ends with the one it numbers 99.
        notes: decisions a person may want to know of, each a sentence.
    """

    metric: str
    values: Array
    steps_column: str | None = None
    steps: Array | None = None
    shift: float = 0.0
    consecutive: bool = False
    notes: tuple[str, ...] = ()

    @property
    def step_name(self) -> str:
        """What to call a step in tables and pictures."""
        return self.steps_column or "record"

    @property
    def model_steps(self) -> Array:
        """(n,) the steps for a model: `steps`, or 1..n where the log has none."""
        return np.arange(1.0, len(self.values) + 1) if self.steps is None else self.steps

    def own_steps(self, steps: Array) -> Array:
        """Steps of a model in the log's own numbering, same shape."""
        return steps - self.shift

    def model_horizon(self, horizon: float) -> float:
        """A horizon as a person states it, for a model.

        It is the last step in the log's own numbering; but where epochs are numbered 0, 1, 2, ...,
        "100" means a run of 100 epochs, the last of which has number 99.

        Raises:
            InputError: the horizon is not positive and finite, or lies before the last step.
        """
        if not (math.isfinite(horizon) and horizon > 0):
            raise InputError(f"horizon is {horizon:g}, but must be positive and finite")
        converted = horizon if self.consecutive else horizon + self.shift
        last = float(self.model_steps[-1])
        if converted < last:
            own = f"the log's last {self.step_name} is {last - self.shift:g}"
            raise InputError(
                f"horizon is {horizon:g}, but must be at least {last:g}: {own}, counted from 0"
                if self.consecutive
                else f"horizon is {horizon:g}, but must not lie before the end of the log: {own}"
            )
        return converted

    def first(self, records: int) -> RunLog:
        """The log as it was after its first `records`."""
        if not 1 <= records <= len(self.values):
            raise InputError(
                f"the number of records to use is {records}, but must lie between 1 and the "
                f"{len(self.values)} records of the log"
            )
        return RunLog(
            self.metric,
            self.values[:records],
            self.steps_column,
            None if self.steps is None else self.steps[:records],
            self.shift,
            self.consecutive,
            self.notes,
        )


def read_run(
    source: str | os.PathLike[str],
    metric: str | None = None,
    steps_column: str | None = None,
) -> RunLog:
    """Reads one metric of a run from its log.

    Args:
        source: path of a CSV or JSON-lines file, told apart by content; "-" for standard input.
        metric: column of the metric; by default the only column of numbers that is no step, time
            or learning rate.
        steps_column: column of the steps; by default the first of `epoch`, `training_iteration`,
            `iteration`, `step`, `global_step`, ... (in any case of letters) that tells the
            metric's records apart, or else none.

    Raises:
        InputError: the log cannot be read, or the columns cannot be told; the message names the
            file, the line, the column and the value.
    """
    table = read_table(source)
    column = _find_metric(table, metric, steps_column)
    records = table.records_with(column)
    if not records:
        raise InputError(f"{table.name}: column {column!r} is empty in all {len(table.rows)} rows")
    values = np.array([table.number(record, column) for record in records])
    chosen, notes = _find_steps_column(table, records, column, steps_column)
    if chosen is None:
        return RunLog(column, values, notes=tuple(table.notes + notes))
    return _with_steps(table, records, column, values, chosen, table.notes + notes)


def _find_metric(table: Table, metric: str | None, steps_column: str | None) -> str:
    if metric is not None:
        column = table.find("metric", metric)
        if table.columns.count(column) > 1:
            raise InputError(
                f"{table.name} has {table.columns.count(column)} columns {column!r}, but must "
                "have one"
            )
        return column
    steps = None if steps_column is None else table.find("steps", steps_column)
    possible = [name for name in table.columns if name != steps and not _beside_the_point(name)]
    numeric = [name for name in possible if table.numeric(name)]
    if len(numeric) == 1:
        return numeric[0]
    if not numeric and len(possible) == 1:
        # The reader's message then names the cell that is no number.
        return possible[0]
    found = f"{len(numeric)} could be the metric" if numeric else "none could be the metric"
    raise InputError(
        f"{table.name}: name the metric; of the columns {listed(table.columns)}, {found}"
        + (f" ({listed(numeric)})" if numeric else "")
    )


def _beside_the_point(column: str) -> bool:
    name = column.lower()
    return name in _STEP_NAMES or name in _OTHER_NAMES or name.startswith(_OTHER_PREFIXES)


def _find_steps_column(
    table: Table, records: list[Record], metric: str, wanted: str | None
) -> tuple[str | None, list[str]]:
    """The step column, if any, and notes on its choice."""
    if wanted is not None:
        column = table.find("steps", wanted)
        if column == metric:
            raise InputError(
                f"{table.name}: the metric and the steps are both {metric!r}, but must be two "
                "columns"
            )
        return column, []
    by_name = {column.lower(): column for column in reversed(table.columns)}
    candidates = [by_name[name] for name in _STEP_NAMES if name in by_name]
    usable = [
        column
        for column in candidates
        if column != metric
        and all(to_number(record.cells.get(column)) is not None for record in records)
    ]
    if not usable:
        gaps = [column for column in candidates if column != metric]
        return None, [
            f"column {column!r} holds no number in some records of {metric}, so records are "
            "counted from 1 instead"
            for column in gaps[:1]
        ]
    # Several records an epoch: then a finer column tells them apart.
    repeats = {
        column: len(records) - len({table.number(record, column) for record in records})
        for column in usable
    }
    chosen = min(usable, key=lambda column: repeats[column])
    others = [column for column in usable if column != chosen]
    if not others:
        return chosen, []
    return chosen, [f"steps are counted in column {chosen!r}, not in {listed(others)}"]


def _with_steps(
    table: Table,
    records: list[Record],
    metric: str,
    values: Array,
    column: str,
    notes: list[str],
) -> RunLog:
    numbered: dict[float, float] = {}
    latest = -math.inf
    back: tuple[int, float, float] | None = None
    restarted = False
    for record, value in zip(records, values, strict=True):
        step = _step(table, record, column)
        if step < latest:
            back = back or (record.line, latest, step)
            if step in numbered:
                # A restart: what it had logged further on belongs to the attempt before.
                restarted = True
                numbered = {at: held for at, held in numbered.items() if at <= step}
        latest = step
        if not math.isnan(value) or step not in numbered:
            numbered[step] = float(value)
    notes = notes + _notes_on_repeats(records, numbered, column, back, restarted)
    own = np.array(sorted(numbered))
    ordered = np.array([numbered[step] for step in own])
    gap = float(np.diff(own).min()) if len(own) > 1 else 1.0
    shift = min(1.0, gap) if own[0] == 0 else 0.0
    consecutive = bool(own[0] == 0) and gap == 1
    return RunLog(metric, ordered, column, own + shift, shift, consecutive, tuple(notes))


def _step(table: Table, record: Record, column: str) -> float:
    where = f"{table.name}, line {record.line}, column {column!r}"
    if not is_logged(record.cells.get(column)):
        raise InputError(f"{where}: there is no step, but every record of the metric needs one")
    step = table.number(record, column)
    if not (math.isfinite(step) and step >= 0):
        raise InputError(f"{where}: the step is {step:g}, but must be finite and not negative")
    return step


def _notes_on_repeats(
    records: list[Record],
    numbered: dict[float, float],
    column: str,
    back: tuple[int, float, float] | None,
    restarted: bool,
) -> list[str]:
    if back is not None:
        line, before, after = back
        read_as = (
            "read as a resumed run: what was logged there and after it before no longer counts"
            if restarted
            else "read in order of its steps"
        )
        return [f"{column} goes back from {before:g} to {after:g} at line {line}, {read_as}"]
    repeated = len(records) - len(numbered)
    if repeated:
        verb = "record repeats" if repeated == 1 else "records repeat"
        return [f"{repeated} {verb} an earlier {column}: the last one of each counts"]
    return []
