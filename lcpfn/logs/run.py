"""One metric of one run, from whatever log it was written to.

What trainers really write is accepted as it is; `lcpfn.logs.formats` tells the formats apart by
their content. In every one of them:

- Records without the metric are passed over: an empty cell, `None` or `null`, or no such key. A
  literal `NaN` is a record whose value is missing, and is kept as NaN.
- Repeated steps and steps that go back, as a resumed run writes them: the last number logged for a
  step counts.
- What is still being written, a last line without its end or the end of a document, is left out.

Steps that start at 0 are moved up, because models count the first finished epoch as 1: by one, or
by the smallest gap between steps where that is less (epochs 0, 0.5, 1, ...); and so are steps 19,
39, 59, ..., which count from 0 as well. `RunLog` converts between both numberings.
"""

from __future__ import annotations

import itertools
import math
import os
import shlex
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lcpfn.errors import InputError
from lcpfn.logs.borrowed_steps import borrowed
from lcpfn.logs.cells import is_logged, to_number
from lcpfn.logs.columns import Choice, find_metric
from lcpfn.logs.formats import read_tables
from lcpfn.logs.names import goal_of, is_of_coco
from lcpfn.logs.placed import placed
from lcpfn.logs.rates import Rates, find_rates
from lcpfn.logs.restarts import Numbered, numbered, outlived
from lcpfn.logs.run_length import end_of, total_of
from lcpfn.logs.steps_column import find_steps, other_steps, unusable_steps
from lcpfn.logs.table import Record, Table, listed
from lcpfn.logs.within_epochs import in_epochs

Array = NDArray[np.float64]

# Stands in a note for a metric that was not named, until it is known.
_UNNAMED = "{metric}"
# Columns of a log that holds nothing but steps and one metric.
_ALONE = 2
# What pycocotools writes for the precision of objects that do not occur.
_NO_OBJECTS = -1.0
# Values that, all again in this order, are those of another run with the same seed.
_SAME = 5


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
        stride: of steps 19, 39, 59, ... it is 20, so that a run "of 4,000 steps" ends with the one
            it numbers 3,999; None for any others.
        rates: (n,) learning rates at the records; None where the log does not have them all.
        rates_column: name of their column.
        stated_horizon: how long the log says the run will be, as a person would say it; None
            where it does not.
        stated_goal: "maximize" or "minimize", where the name of the metric says so.
        run: name of the run, where the log holds several.
    """

    metric: str
    values: Array
    steps_column: str | None = None
    steps: Array | None = None
    shift: float = 0.0
    consecutive: bool = False
    notes: tuple[str, ...] = ()
    stride: float | None = None
    rates: Array | None = None
    rates_column: str | None = None
    stated_horizon: float | None = None
    stated_goal: str | None = None
    run: str | None = None

    @property
    def step_name(self) -> str:
        """What to call a step in tables and pictures."""
        return self.steps_column or "record"

    @property
    def notes_on_steps(self) -> list[str]:
        """That records are counted for want of a step column, where they are."""
        if self.steps_column is not None:
            return []
        count = len(self.values)
        counted = "the one record is" if count == 1 else f"the {count} records are"
        return [
            f"no column counts the steps: {counted} counted from 1, and the horizon is a number of "
            "records"
        ]

    @property
    def model_steps(self) -> Array:
        """(n,) the steps for a model: `steps`, or 1..n where the log has none."""
        return np.arange(1.0, len(self.values) + 1) if self.steps is None else self.steps

    @property
    def logged_steps(self) -> Array:
        """(n,) the steps as the log numbers them, a record before training being 0."""
        return self.own_steps(self.model_steps)

    def own_steps(self, steps: Array) -> Array:
        """Steps of a model in the log's own numbering, same shape."""
        return steps - self.shift

    def model_horizon(self, horizon: float) -> float:
        """A horizon as a person states it, for a model.

        It is the last step in the log's own numbering; but where epochs are numbered 0, 1, 2, ...,
        "100" means a run of 100 epochs, the last of which has number 99; and where steps are
        numbered 19, 39, 59, ..., "4000" means one whose last step has number 3999.

        Raises:
            InputError: the horizon is not positive and finite, or lies before the last step.
        """
        if not (math.isfinite(horizon) and horizon > 0):
            raise InputError(f"horizon is {horizon:g}, but must be positive and finite")
        if self.stride is not None and horizon % self.stride == 0:
            converted = horizon - 1
        else:
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
        return replace(
            self,
            values=self.values[:records],
            steps=None if self.steps is None else self.steps[:records],
            rates=None if self.rates is None else self.rates[:records],
        )


def read_run(
    source: str | os.PathLike[str],
    metric: str | None = None,
    steps_column: str | None = None,
    horizon: float | None = None,
) -> RunLog:
    """Reads one metric of a run from its log.

    Args:
        source: path of a log in any format, or of a folder that holds one; "-" for standard input.
        metric: what the metric is called, in full or by the end of its name or in other words; by
            default the only column of numbers that is no step, time or learning rate. Of a log
            with several runs, `RUN - METRIC` names both, and otherwise the first run is read.
        steps_column: column of the steps; by default the first of `epoch`, `training_iteration`,
            `iteration`, `step`, `global_step`, ... (in any case of letters) that tells the
            metric's records apart, or else a first column that increases, or else none.
        horizon: length of the run, where a person stated it: it tells which column they meant.

    Raises:
        InputError: the log cannot be read, or the columns cannot be told; the message names the
            file, the line, the column and the value.
    """
    tables = read_tables(source)
    table, metric, notes = _one_run(tables, metric)
    return _run_of(table, metric, steps_column, horizon, notes)


def read_runs(
    source: str | os.PathLike[str],
    metric: str | None = None,
    steps_column: str | None = None,
    horizon: float | None = None,
) -> list[RunLog]:
    """Reads one metric of every run in a log: more than one in exports of Weights & Biases.

    Args and errors are those of `read_run`; a run without the metric is left out if others have it.
    """
    return runs_in(read_tables(source), metric, steps_column, horizon)


def runs_in(
    tables: Sequence[Table],
    metric: str | None = None,
    steps_column: str | None = None,
    horizon: float | None = None,
) -> list[RunLog]:
    """The same of a log whose tables were read; see `lcpfn.logs.formats.read_tables`."""
    named = any(metric is not None and metric.startswith(f"{table.run} - ") for table in tables)
    if len(tables) == 1 or named:
        table, metric, notes = _one_run(tables, metric)
        return [_run_of(table, metric, steps_column, horizon, notes)]
    found: list[RunLog] = []
    problem: InputError | None = None
    for table in tables:
        try:
            found.append(_run_of(table, metric, steps_column, horizon, []))
        except InputError as error:
            problem = problem or error
    if not found and problem is not None:
        raise problem
    return found


def _one_run(tables: Sequence[Table], metric: str | None) -> tuple[Table, str | None, list[str]]:
    """The run that is meant, what its metric is called, and a note on the others."""
    if len(tables) == 1 and tables[0].run is None:
        return tables[0], metric, []
    if metric is not None:
        for table in tables:
            if metric.startswith(f"{table.run} - "):
                return table, metric[len(f"{table.run} - ") :], []
    first = tables[0]
    if len(tables) == 1:
        return first, metric, []
    others = listed([str(table.run) for table in tables[1:]])
    asked = metric or _UNNAMED
    return (
        first,
        metric,
        [
            f"the log holds {len(tables)} runs, and {first.run} is read, not {others}; another one "
            f"is read with --metric {shlex.quote(f'{tables[1].run} - {asked}')}"
        ],
    )


def _run_of(
    table: Table,
    metric: str | None,
    steps_column: str | None,
    horizon: float | None,
    notes: list[str],
) -> RunLog:
    choice = find_metric(table, metric, steps_column)
    column = choice.column
    notes = [note.replace(_UNNAMED, column) for note in notes]
    notes = [*table.notes, *notes, *choice.notes]
    records = table.records_with(column)
    if not records:
        raise InputError(f"{table.name}: column {column!r} is empty in all {len(table.rows)} rows")
    records, chosen, remarks = _in_their_places(table, records, column, steps_column, horizon)
    values, doubts = _values(table, records, column)
    notes += [*remarks, *doubts]
    if chosen is None:
        notes += unusable_steps(table, records, column)
        records, log = _counted(records, column, values, notes)
    else:
        log = _with_steps(table, records, column, values, chosen.column, notes + chosen.notes)
    total = total_of(table, log.steps_column, records[-1])
    end = end_of(table, records, log.steps_column)
    where = find_rates(table, records, log.steps_column)
    rates = None if where is None else _rates(table, records, where, log)
    return replace(
        log,
        rates=rates,
        rates_column=None if where is None or rates is None else where.column,
        notes=(*log.notes, *_note_on_end(log, end, horizon or total)),
        stated_horizon=end if total is None else _stated_length(log, total),
        stated_goal=goal_of(column) or goal_of(metric or ""),
        run=table.run,
    )


def _in_their_places(
    table: Table,
    records: list[Record],
    metric: str,
    steps_column: str | None,
    horizon: float | None,
) -> tuple[list[Record], Choice | None, list[str]]:
    """The records that count, with their steps; the column of these, if any; and notes on both."""
    notes: list[str] = []
    if steps_column is None:
        records, remarks = placed(table, records, metric)
        notes += remarks
        records, remarks, steps_column = borrowed(table, records, metric, horizon)
        notes += remarks
    if steps_column is None:
        records, remarks = in_epochs(table, records, metric, horizon)
        notes += remarks
    chosen = find_steps(table, records, metric, steps_column, horizon)
    if table.cut and chosen is not None:
        records = [record for record in records if is_logged(record.cells.get(chosen.column))]
    if chosen is not None and len(table.columns) > _ALONE:
        records, remarks = outlived(table, records, metric, chosen.column)
        notes += remarks
    return records, chosen, notes


def _values(table: Table, records: Sequence[Record], metric: str) -> tuple[Array, list[str]]:
    """(n,) the values of a metric, and a note on those that are none."""
    values = np.array([table.number(record, metric) for record in records])
    if not is_of_coco(metric) or not (values == _NO_OBJECTS).any():
        return values, []
    values[values == _NO_OBJECTS] = np.nan
    return values, [f"{metric} of -1 is no value: there are no such objects in the data"]


def _counted(
    records: list[Record], metric: str, values: Array, notes: list[str]
) -> tuple[list[Record], RunLog]:
    """Records without steps, those of the last run where several stand one after the other."""
    begun = _begun_anew(values)
    if begun:
        notes += [
            f"from line {records[begun].line} on the first {_SAME} values stand once more, so what "
            "came before is read as another run and left out"
        ]
    return records[begun:], RunLog(metric, values[begun:], notes=tuple(notes))


def _begun_anew(values: Array) -> int:
    """Where the last run of several begins, which repeats how the first one began; 0 if none."""
    first = values[:_SAME].tolist()
    if len(set(first)) < _SAME:
        return 0
    places = (place for place in range(len(values) - _SAME, 0, -1) if values[place] == first[0])
    return next((at for at in places if values[at : at + _SAME].tolist() == first), 0)


def _note_on_end(log: RunLog, end: float | None, planned: float | None) -> list[str]:
    """That training ended before the step that is forecast, where the log says so."""
    if end is None or planned is None or end >= planned:
        return []
    return [f"the log says that training ended at {log.step_name} {end:g}, not at {planned:g}"]


def _stated_length(log: RunLog, total: float) -> float | None:
    """The length of a run whose log says `Epoch 3/24`; None where that cannot be.

    Of epochs 0, 1, 2, ... the total may be the number of the last one. It is where the log has come
    to it, and is taken for it where one more would be a round number: 24, 59, 99.
    """
    is_number = log.consecutive and (total % 5 == 4 or float(log.logged_steps[-1]) == total)
    length = total + 1 if is_number else total
    return length if _reaches(log, length) else None


def _reaches(log: RunLog, total: float) -> bool:
    try:
        log.model_horizon(total)
    except InputError:
        return False
    return True


def _rates(table: Table, records: Sequence[Record], where: Rates, log: RunLog) -> Array | None:
    """(n,) learning rates at the records of a log: their own, or the last one set before them."""
    own = [to_number(record.cells.get(where.column)) for record in records]
    if where.steps_column is not None:
        known: dict[float, float] = {}
        for row in table.records_with(where.column):
            step = to_number(row.cells.get(where.steps_column))
            rate = to_number(row.cells[where.column])
            if step is not None and rate is not None:
                known[step] = rate
        steps = sorted(known)
        begins = 2 * sum(rate is None for rate in own) < len(own)
        for index, record in enumerate(records):
            step = to_number(record.cells.get(where.steps_column))
            place = 0 if step is None else bisect_right(steps, step)
            # Before the first rate that is logged it is taken to have been the same.
            if own[index] is None and step is not None and steps and (place or begins):
                own[index] = known[steps[max(place - 1, 0)]]
    if log.steps_column is not None:
        # Of a step that was logged again, the last record counts.
        by_step = {
            (to_number(record.cells[log.steps_column]) or 0.0) + log.shift: rate
            for record, rate in zip(records, own, strict=True)
        }
        own = [by_step.get(step) for step in log.model_steps.tolist()]
    rates = [rate for rate in own if rate is not None and math.isfinite(rate) and rate >= 0]
    return np.array(rates, dtype=np.float64) if len(rates) == len(own) else None


def _with_steps(
    table: Table,
    records: list[Record],
    metric: str,
    values: Array,
    column: str,
    notes: list[str],
) -> RunLog:
    steps: list[float] = []
    for record in records:
        step = record.cells.get(column)
        if not (isinstance(step, float) and 0 <= step < math.inf):
            step = _step(table, record, column)
        steps.append(step)
    falls = any(before > after for before, after in itertools.pairwise(steps))
    others = other_steps(table, records, column) if falls else ()
    found = numbered(steps, values.tolist(), others)
    notes = notes + _notes_on_repeats(records, values, steps, column, found)
    logged = np.array(sorted(found.values))
    ordered = np.array([found.values[step] for step in logged])
    shift, consecutive, stride = _numbering(logged)
    if consecutive and logged[0] == 0 and _is_before_training(table, records, column):
        consecutive = False
    return RunLog(metric, ordered, column, logged + shift, shift, consecutive, tuple(notes), stride)


def _is_before_training(table: Table, records: list[Record], column: str) -> bool:
    """Whether the record of epoch 0 is that of step 0 as well, and so of no training at all."""
    starts = [place for place, record in enumerate(records) if to_number(record.cells[column]) == 0]
    others = other_steps(table, records, column)
    return any(all(other[place] == 0 for place in starts) and max(other) > 0 for other in others)


def _numbering(logged: Array) -> tuple[float, bool, float | None]:
    """What to add to steps so that they count from 1, and whether and how they count from 0."""
    gap = float(np.diff(logged).min()) if len(logged) > 1 else 1.0
    if logged[0] == 0:
        return min(1.0, gap), gap == 1, None
    # 19, 39, 59, ...: every twentieth step, the first of all being number 0.
    if gap >= 2 and gap.is_integer() and not ((logged + 1) % gap).any():
        return 0.0, False, gap
    return 0.0, False, None


def _step(table: Table, record: Record, column: str) -> float:
    where = f"{table.name}, line {record.line}, column {column!r}"
    if not is_logged(record.cells.get(column)):
        raise InputError(f"{where}: there is no step, but every record of the metric needs one")
    step = table.number(record, column)
    if not (math.isfinite(step) and step >= 0):
        raise InputError(f"{where}: the step is {step:g}, but must be finite and not negative")
    return step


def _notes_on_repeats(
    records: list[Record], values: Array, steps: list[float], column: str, found: Numbered
) -> list[str]:
    if found.back is not None:
        index, before, after = found.back
        back = f"{column} goes back from {before:g} to {after:g} at line {records[index].line}"
        if found.begun:
            runs = len(found.begun) + 1
            last = records[found.begun[-1]].line
            read_as = (
                f"read as {runs} runs, one after the other: the last one counts, from line {last}"
            )
        elif found.resumed:
            read_as = (
                "read as a resumed run: what was logged there and after it before no longer counts"
            )
        else:
            read_as = "read in order of its steps"
        return [f"{back}, {read_as}"]
    if len(found.values) == len(records):
        return []
    known: dict[float, float] = {}
    repeated = 0
    for step, value in zip(steps, values.tolist(), strict=True):
        # The same number once more, such as that of the best so far, is no news.
        repeated += str(known.setdefault(step, value)) != str(value)
    if repeated:
        verb = "record repeats" if repeated == 1 else "records repeat"
        return [f"{repeated} {verb} an earlier {column}: the last one of each counts"]
    return []
