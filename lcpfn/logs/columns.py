"""Which column of a table is meant: the metric, the steps, the learning rate."""

from __future__ import annotations

import difflib
import itertools
import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from lcpfn.errors import InputError
from lcpfn.logs.cells import to_number
from lcpfn.logs.likely import likely, most_likely
from lcpfn.logs.names import (
    MINIMIZE,
    TEST,
    VALIDATION,
    goal_of,
    is_extreme,
    is_rate,
    meaning,
    phase_of,
)
from lcpfn.logs.run_length import BATCH, EPOCH, kind_of, states_a_total
from lcpfn.logs.table import Record, Table, listed

# In order of preference. A validation metric has one row an epoch, and people plan runs in epochs.
_STEP_NAMES = (
    "epoch",
    "epochs",
    "ep",
    "training_iteration",
    "iteration",
    "iterations",
    "iter",
    "iters",
    "it",
    "#",
    "round",
    "boosting_round",
    "step",
    "steps",
    "global_step",
    "current_steps",
    "train_step",
    "training_step",
    "evaluations",
    "_step",
    "num_updates",
    "update",
    "updates",
    "total_timesteps",
    "timesteps_total",
    "num_timesteps",
    "num_env_steps_sampled_lifetime",
    "num_env_steps_sampled",
    "timesteps",
    "timestep",
    "env_steps",
    "total_steps",
    "episode",
    "episodes",
    "episodes_total",
    "num_episodes",
    "frame",
    "frames",
    "num_frames",
    "total_frames",
    "generation",
    "tokens",
    "batch",
)
_RANK = {name: rank for rank, name in enumerate(_STEP_NAMES)}
# Numbers that every log carries and nobody wants forecast.
_OTHER_NAMES = frozenset(
    (
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
        "time_elapsed",
        "time_total_s",
        "time_this_iter_s",
        "time_since_restore",
        "iterations_since_restore",
        "train_runtime",
        "eval_runtime",
        "data_time",
        "batch_time",
        "passed_time",
        "remaining_time",
        "remaining",
        "eta",
        "eta_seconds",
        "fps",
        "mfu",
        "percentage",
        "memory",
        "max_mem",
        "max mem",
        "gpu_mem",
        "ips",
        "throughput",
        "total_tokens",
        "num_tokens",
        "num_input_tokens_seen",
        "n_parameters",
        "total params",
        "total_flos",
        "n_updates",
        "\u65f6\u95f4",
    )
)
# Ends of the names of times, speeds and memory, and what a time for a batch begins with.
_ENDINGS_TEXT = """
_per_second _per_sec _time _times _time_ms _time_sec _time_seconds _time_s _sec _secs _seconds
_duration _mem _memory _mb _gb
"""
_ENDINGS = (*_ENDINGS_TEXT.split(), " / sec", "/sec", " time")
_PER = ("ms/", "s/", "sec/", "sec_per", "time per", "time_per")
_AT_THE_END = "train_runtime"
_TIMES = ("ms", "s", "sec", "seconds", "us")
_ROUNDS = frozenset(("round", "episode", "generation"))
# What a few trainers call steps, episodes and updates, and others something else.
_SHORT_NAMES = frozenset(("e", "f", "n", "s", "t", "up"))
# What pandas calls the index that it writes.
_INDICES = frozenset(("", "index", "unnamed: 0"))
# What Ultralytics writes after a metric: of boxes, masks or poses.
_TASK = re.compile(r"\([bmp]\)$")
_STATED_LIMIT = 1000
LITTLE = 0.02
"""Of a horizon: nobody plans a run of which so small a share has been logged in such steps."""
_MUCH = 0.25
_CLEARLY = 10.0
_EVENLY = 2.0
_FEW = 4
_MOST_SUGGESTED = 3
# A last step is logged twice where a trainer evaluates once more at its end.
_ENDS_AGAIN = 3


class Choice(NamedTuple):
    """A column, and what a person may want to know of its choice."""

    column: str
    notes: list[str]


def step_rank(column: str) -> float | None:
    """How good a column's name is for the steps, the lower the better; None for any other."""
    lower = column.strip().lower().replace(" ", "_")
    if lower in _RANK:
        return _RANK[lower]
    before, _, last = lower.rpartition("/")
    # ms/batch is a time.
    return _RANK[last] + 0.5 if last in _RANK and before not in _TIMES else None


def is_beside_the_point(column: str) -> bool:
    """Whether a column is a step, a time, a learning rate or the like, and never the metric."""
    lower = column.strip().lower()
    last = lower.rsplit("/", 1)[-1]
    return (
        step_rank(column) is not None
        or lower in _OTHER_NAMES
        or last in _OTHER_NAMES
        or lower in _INDICES
        or is_rate(column)
        or states_a_total(column)
        or lower.startswith("time/")
        or last.endswith(_ENDINGS)
        or lower.startswith(_PER)
    )


def find_metric(table: Table, wanted: str | None, steps_column: str | None) -> Choice:
    """The column of the metric, by what a person calls it or because no other could be meant.

    Raises:
        InputError: none fits, or several do.
    """
    if wanted is not None:
        choice = find_named(table, "metric", wanted)
        if table.columns.count(choice.column) > 1:
            raise InputError(
                f"{table.name} has {table.columns.count(choice.column)} columns "
                f"{choice.column!r}, but must have one"
            )
        return choice
    steps = None if steps_column is None else find_named(table, "steps", steps_column).column
    possible = [name for name in table.columns if name != steps and not is_beside_the_point(name)]
    numeric = [name for name in possible if table.numeric(name)]
    if len(numeric) > 1 and table.ordered and _opens_with_steps(table, numeric[0]):
        numeric = numeric[1:]
    if len(numeric) == 1:
        return Choice(numeric[0], [])
    if not numeric and len(possible) == 1:
        # The reader's message then names the cell that is no number.
        return Choice(possible[0], [])
    numeric = likely(table, numeric)
    found = f"{len(numeric)} could be the metric" if numeric else "none could be the metric"
    example = (
        f", as in --metric {shlex.quote(most_likely(numeric))}" if numeric else " with --metric"
    )
    raise InputError(
        f"{table.name}: name the metric{example}; of the columns {listed(table.columns)}, {found}"
        + (f" ({listed(numeric)})" if numeric else "")
    )


def _opens_with_steps(table: Table, column: str) -> bool:
    return table.columns[0] == column and _counts_up(table, table.rows, column)


def find_named(table: Table, role: str, wanted: str) -> Choice:
    """The column that a person named.

    The best of what was logged so far is meant only where it is asked for, or nothing else fits.

    As it is written; in any case of letters; by the end of its name; by the same meaning in other
    words, such as `eval/loss` for `val_loss`; by more words than were given; and `val_loss` also
    by the only other error of the validation data. The first of these that fits counts.

    Raises:
        InputError: none fits, or several do equally.
    """
    if wanted in table.columns:
        return Choice(wanted, [])
    asked = wanted.strip().lower()
    for fitting in _fitting(table, asked, role):
        distinct = _plainest(list(dict.fromkeys(fitting)))
        if len(distinct) == 1:
            column = distinct[0]
            same = column.lower() == asked
            return Choice(column, [] if same else [f"{wanted} is read from column {column!r}"])
        if distinct:
            raise InputError(
                f"{table.name} has {len(distinct)} columns that could be {wanted!r}: "
                f"{listed(distinct)}; name one of them"
            )
    raise InputError(
        f"{table.name} has no column {wanted!r} for the {role}; "
        f"{_suggestion(table, asked)}its columns are {listed(_telling_first(table))}"
    )


def _fitting(table: Table, asked: str, role: str) -> list[list[str]]:
    columns = table.columns
    tiers = [
        [name for name in columns if name.lower() == asked],
        [
            name
            for name in columns
            if (_ends_with(name.lower(), asked) or _ends_with(_TASK.sub("", name.lower()), asked))
            and table.has_numbers(name)
        ],
        [name for name in columns if _joined(name) == _joined(asked) and table.has_numbers(name)],
    ]
    if role == "metric":
        sense, phase = meaning(asked), phase_of(asked)
        metrics = [
            name for name in columns if not is_beside_the_point(name) and table.has_numbers(name)
        ]
        tiers += [
            [name for name in metrics if meaning(name) == sense],
            [name for name in metrics if meaning(name) >= sense],
        ]
        if phase is not None and sense == {phase, "loss"}:
            # Boosters call their validation data a test set.
            tiers += [
                [name for name in metrics if phase_of(name) == part and goal_of(name) == MINIMIZE]
                for part in ((phase, TEST) if phase == VALIDATION else (phase,))
            ]
    if not is_extreme(asked):
        # val/loss before best_val_loss, though that ends as what was asked.
        tiers[1:] = [[name for name in tier if not is_extreme(name)] for tier in tiers[1:]] + tiers[
            1:
        ]
    if not table.cut:
        return tiers
    # The column itself may be to come: one of another part of the data is none.
    phase = phase_of(asked)
    return [[name for name in tier if phase_of(name) == phase] for tier in tiers]


def _plainest(names: list[str]) -> list[str]:
    """Of names that say more and less, the one that all others only add to, if there is one."""
    for name in names:
        if all(other == name or meaning(name) < meaning(other) for other in names):
            return [name]
    return names


def _joined(name: str) -> str:
    """A name with all that sets its words apart written alike."""
    return re.sub(r"[\s/_.-]+", "_", name.lower())


def _ends_with(name: str, asked: str) -> bool:
    return name.endswith(asked) and not name[: -len(asked)][-1:].isalnum() and bool(asked)


def _suggestion(table: Table, asked: str) -> str:
    by_name = {name.lower(): name for name in table.columns}
    close = difflib.get_close_matches(asked, by_name, n=_MOST_SUGGESTED, cutoff=0.6)
    if not close:
        shared = meaning(asked)
        close = [
            name for name, column in by_name.items() if meaning(column) & shared - {"train", "val"}
        ][:_MOST_SUGGESTED]
    if not close:
        return ""
    return f"did you mean {' or '.join(repr(by_name[name]) for name in close)}? "


def _telling_first(table: Table) -> list[str]:
    """The columns, those of numbers first where there are many."""
    if len(table.columns) <= _MOST_SUGGESTED:
        return table.columns
    numeric = [name for name in table.columns if table.numeric(name)]
    return (
        table.columns
        if len(numeric) == len(table.columns)
        else [
            *numeric,
            *(name for name in table.columns if name not in set(numeric)),
        ]
    )


class _Candidate(NamedTuple):
    column: str
    steps: list[float]
    repeats: int

    @property
    def last(self) -> float:
        return max(self.steps)


def find_steps(
    table: Table,
    records: Sequence[Record],
    metric: str,
    wanted: str | None,
    horizon: float | None,
) -> Choice | None:
    """The column of the steps; None where there is none and records must be counted.

    Of the columns that a name tells, it is the one that repeats itself least; a stated horizon
    that only another one can reach decides.

    Raises:
        InputError: the column that was named does not exist or is the metric; or the horizon could
            be meant in several columns.
    """
    if wanted is not None:
        choice = _named_steps(table, records, wanted)
        if choice.column == metric:
            raise InputError(
                f"{table.name}: the metric and the steps are both {metric!r}, but must be two "
                "columns"
            )
        return choice
    named = [
        name
        for name in table.columns
        if step_rank(name) is not None and name != metric and not _is_constant_total(table, name)
    ]
    named.sort(key=lambda name: step_rank(name) or 0)
    candidates = [
        candidate
        for candidate in (_candidate(table, records, name) for name in named)
        if candidate is not None
    ]
    if not candidates:
        candidates = _appended(records, named) or _unnamed(table, records, metric)
        if not candidates:
            return None
        chosen, _ = _reaching(table, candidates, horizon)
        said = f"steps are counted in column {chosen.column!r}, because it increases"
        return Choice(chosen.column, [] if chosen.column in named else [said])
    candidates.sort(key=lambda candidate: candidate.repeats)
    chosen, reason = _reaching(table, candidates, horizon)
    others = [candidate.column for candidate in candidates if candidate is not chosen]
    if reason:
        return Choice(chosen.column, [reason])
    far = _far_horizon(chosen, horizon)
    if others:
        return Choice(
            chosen.column,
            [f"steps are counted in column {chosen.column!r}, not in {listed(others)}", *far],
        )
    return Choice(chosen.column, far)


def _named_steps(table: Table, records: Sequence[Record], wanted: str) -> Choice:
    """The column of the steps that a person named: of several, the one that all records have."""
    own = [
        name
        for name in table.columns
        if all(to_number(record.cells.get(name)) is not None for record in records)
    ]
    try:
        return find_named(replace(table, columns=own), "steps", wanted)
    except InputError:
        return find_named(table, "steps", wanted)


def unusable_steps(table: Table, records: Sequence[Record], metric: str) -> list[str]:
    """A note on a column that looks as if it counted the steps, and does not."""
    for name in table.columns:
        if step_rank(name) is None or name == metric:
            continue
        numbers = [to_number(record.cells.get(name)) for record in records]
        if None in numbers:
            reason = f"holds no number in some records of {metric}"
        elif len(set(numbers)) == len(numbers):
            reason = "goes up and down"
        else:
            reason = "begins again and again"
        return [f"column {name!r} {reason}, so records are counted from 1 instead"]
    return []


def _candidate(table: Table, records: Sequence[Record], column: str) -> _Candidate | None:
    numbers = [to_number(record.cells.get(column)) for record in records]
    steps = [number for number in numbers if number is not None and math.isfinite(number)]
    # A document that was cut off may lack the newest steps only.
    whole = len(steps) == len(records) or (table.cut and None not in numbers[: len(steps)])
    if not steps or not whole:
        return None
    # A count that begins again in every epoch tells nothing of the run.
    falls = sum(after < before for before, after in itertools.pairwise(steps))
    repeats = len(steps) - len(set(steps))
    # Without repeats it is a log in another order, such as the newest first, or a number of its own
    # in each record.
    if repeats and falls > max(2, len(steps) / 10):
        return None
    if not repeats and falls >= max(2, len(steps) / 5) and not _is_an_order(steps):
        return None
    return None if _ends_again(table, column, steps) else _Candidate(column, steps, repeats)


def _is_an_order(steps: Sequence[float]) -> bool:
    """Whether numbers without repeats are those of records in some order: backwards, or evenly."""
    rises = sum(before < after for before, after in itertools.pairwise(steps))
    gaps = [after - before for before, after in itertools.pairwise(sorted(steps))]
    return rises <= len(steps) / 10 or sum(gaps) <= _EVENLY * len(gaps) * min(gaps)


def other_steps(table: Table, records: Sequence[Record], column: str) -> list[list[float]]:
    """What the records have in all other columns of steps that say something of each of them."""
    found: list[list[float]] = []
    for name in table.columns:
        if step_rank(name) is not None and name != column:
            numbers = [to_number(record.cells.get(name)) for record in records]
            steps = [number for number in numbers if number is not None]
            if len(steps) == len(records):
                found.append(steps)
    return found


def _ends_again(table: Table, column: str, steps: Sequence[float]) -> bool:
    """Whether a count comes to one end again and again, and begins anew.

    So do bars that are drawn anew in every epoch. Of epochs it is another run, such as a fold.
    """
    if kind_of(column) == EPOCH:
        return False
    falls = [pair for pair in itertools.pairwise(steps) if pair[1] < pair[0]]
    if not falls:
        return len(steps) >= _ENDS_AGAIN and len(set(steps)) == 1
    # One fall may be that of a run that was resumed, unless the log says that it was at its end.
    end = table.totals.get(column) if len(falls) == 1 else max(steps)
    return all(before == end and after == steps[0] for before, after in falls)


def _appended(records: Sequence[Record], named: Sequence[str]) -> list[_Candidate]:
    """Epochs and rounds that begin again and again, as those of many runs in one file do."""
    found = []
    for name in named:
        numbers = _whole_numbers(records, name)
        if not numbers or not (kind_of(name) == EPOCH or name.strip().lower() in _ROUNDS):
            continue
        falls = [pair for pair in itertools.pairwise(numbers) if pair[1] < pair[0]]
        if all(after <= numbers[0] for _, after in falls) and 2 * len(falls) < len(numbers):
            found.append(_Candidate(name, numbers, len(numbers) - len(set(numbers))))
    return found


def _unnamed(table: Table, records: Sequence[Record], metric: str) -> list[_Candidate]:
    """Columns whose names do not say that they count steps, and which do.

    A first column that increases, one of 0, 1, 2, ... anywhere, or one that increases and has a
    short name for steps.
    """
    found = []
    for place, name in enumerate(table.columns):
        numbers = _whole_numbers(records, name)
        if name == metric or not numbers or _speaks_against(name):
            continue
        pairs = list(itertools.pairwise(numbers))
        rises = all(before < after for before, after in pairs)
        evenly = numbers[0] in (0, 1) and all(
            after in (before + 1, numbers[0]) for before, after in pairs
        )
        short = name.strip().lower().rsplit("/", 1)[-1] in _SHORT_NAMES and len(records) >= _FEW
        opens = table.ordered and place == 0
        counts = table.ordered and len(set(numbers)) >= _FEW and evenly
        if (rises and (opens or short)) or counts:
            found.append(_Candidate(name, numbers, len(numbers) - len(set(numbers))))
    return found


def _whole_numbers(records: Sequence[Record], column: str) -> list[float]:
    """The numbers of a column; none where some record has no whole one."""
    numbers = [to_number(record.cells.get(column)) for record in records]
    found = [each for each in numbers if each is not None and each.is_integer() and each >= 0]
    return found if len(found) == len(records) else []


def _speaks_against(column: str) -> bool:
    """Whether a name says that a column counts no steps."""
    return (
        column.strip().lower() in _INDICES
        or is_beside_the_point(column)
        or goal_of(column) is not None
        or phase_of(column.rsplit("/", 1)[-1]) is not None
    )


def _counts_up(table: Table, records: Sequence[Record], column: str) -> bool:
    """Whether a column of whole numbers increases, and nothing in its name speaks against it."""
    numbers = _whole_numbers(records, column)
    rises = all(before < after for before, after in itertools.pairwise(numbers))
    return bool(numbers) and rises and not _speaks_against(column)


def _reaching(
    table: Table, candidates: Sequence[_Candidate], horizon: float | None
) -> tuple[_Candidate, str]:
    """The first candidate that a horizon fits, and why it is not the first of all."""
    first = candidates[0]
    if horizon is None:
        return _told(table, candidates)
    if not (math.isfinite(horizon) and horizon > 0):
        return first, ""
    fitting = [candidate for candidate in candidates if candidate.last <= horizon]
    if not fitting:
        return first, ""
    if fitting[0] is not first:
        chosen = fitting[0]
        return chosen, (
            f"steps are counted in column {chosen.column!r}, because the horizon of {horizon:g} "
            f"lies before {first.column} {first.last:g}"
        )
    stated = [each for each in fitting if total_of(table, each.column) == horizon]
    if stated and stated[0] is not first:
        return stated[0], (
            f"steps are counted in column {stated[0].column!r}, whose last one the log says is "
            f"{horizon:g}"
        )
    share = first.last / horizon
    others = [each for each in fitting[1:] if each.last > first.last]
    if stated or not others or share >= LITTLE:
        return first, ""
    # Nobody plans 5,000 epochs and has 38 of them beside 5,000 steps, or 950 and has 0.9 of one
    # beside 900 steps.
    best = max(others, key=lambda candidate: candidate.last)
    near = _in_parts(first) and best.last >= _MUCH * horizon
    if horizon <= _STATED_LIMIT and not near:
        return first, ""
    if best.last < _CLEARLY * first.last:
        raise InputError(
            f"{table.name}: the horizon of {horizon:g} could be meant in {first.column} (now "
            f"{first.last:g}) or in {best.column} (now {best.last:g}); say which with "
            f"--step {first.column!r} or --step {best.column!r}"
        )
    return best, (
        f"steps are counted in column {best.column!r}, because the horizon of {horizon:g} fits it "
        f"better than {first.column} {first.last:g}; if that is wrong, say --step {first.column!r}"
    )


def _far_horizon(chosen: _Candidate, horizon: float | None) -> list[str]:
    """A note where a horizon is beyond what epochs logged by their fractions will come to.

    Hugging Face prints those, and people plan such runs in steps.
    """
    if horizon is None or len(chosen.steps) < _FEW or not _in_parts(chosen):
        return []
    if not math.isfinite(horizon) or chosen.last >= LITTLE * horizon:
        return []
    return [
        f"the horizon of {horizon:g} is {horizon / chosen.last:,.0f} times the last "
        f"{chosen.column}, {chosen.last:g}; if it was meant in other steps, say how many "
        f"{chosen.column}s the run will have"
    ]


def _in_parts(candidate: _Candidate) -> bool:
    """Whether epochs are logged by their fractions."""
    whole = all(step.is_integer() for step in candidate.steps)
    return not whole and kind_of(candidate.column) == EPOCH


def _told(table: Table, candidates: Sequence[_Candidate]) -> tuple[_Candidate, str]:
    """The first candidate, or one as good of which alone the log says how far it will go."""
    first = candidates[0]
    constant = any(_is_constant_total(table, name) for name in table.columns)
    if not constant and len(first.steps) == 1:
        # One record alone does not show whether a count begins anew in every epoch.
        return first, ""
    equals = [each for each in candidates if each.repeats == first.repeats]
    totals = [total_of(table, each.column) for each in equals]
    if totals[0] is None:
        for each, total in zip(equals, totals, strict=True):
            if total is not None and total >= each.last:
                return each, (
                    f"steps are counted in column {each.column!r}, whose last one the log says is "
                    f"{total:g}"
                )
    return first, ""


def _is_constant_total(table: Table, column: str) -> bool:
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
