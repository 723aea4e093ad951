"""Which column of a table is meant, by its name."""

from __future__ import annotations

import difflib
import itertools
import re
import shlex
from typing import NamedTuple

from lcpfn.errors import InputError
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
from lcpfn.logs.run_length import states_a_total
from lcpfn.logs.table import Table, listed, whole_numbers

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
_TIMES = ("ms", "s", "sec", "seconds", "us")
# What pandas calls the index that it writes.
_INDICES = frozenset(("", "index", "unnamed: 0"))
# What Ultralytics writes after a metric: of boxes, masks or poses.
_TASK = re.compile(r"\([bmp]\)$")
_MOST_SUGGESTED = 3


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
        return Choice(choice.column, choice.notes + _note_on_more(table, choice.column))
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
    once = len(table.rows) > _MOST_SUGGESTED and not any(
        len(table.records_with(name)) > 1 for name in numeric
    )
    numeric = likely(table, numeric)
    found = f"{len(numeric)} could be the metric" if numeric else "none could be the metric"
    example = (
        f", as in --metric {shlex.quote(most_likely(numeric))}" if numeric else " with --metric"
    )
    raise InputError(
        f"{table.name}: name the metric{example}; of the columns {listed(table.columns)}, {found}"
        + (f" ({listed(numeric)})" if numeric else "")
        + ("; none has two numbers, so it may be no log of a run" if once and numeric else "")
    )


def _note_on_more(table: Table, column: str) -> list[str]:
    """That another column of the same name and more has more records, where one has.

    What is said of the best one so far may be called as the metric itself is not.
    """
    count = len(table.records_with(column))
    for name in table.columns:
        longer = name != column and _ends_with(name.lower(), column.lower())
        if longer and not is_beside_the_point(name) and not is_extreme(name):
            more = len(table.records_with(name))
            if more >= 2 * count:
                had = f"{count} record{'s' if count != 1 else ''}"
                return [f"{column} has {had}, and {name} has {more}: is that meant?"]
    return []


def _opens_with_steps(table: Table, column: str) -> bool:
    if table.columns[0] != column or counts_no_steps(column):
        return False
    numbers = whole_numbers(table.rows, column)
    return bool(numbers) and all(before < after for before, after in itertools.pairwise(numbers))


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
    same = [name for name in columns if name.lower() == asked]
    if len(same) == 1 and len(table.records_with(same[0])) == 1 < len(table.rows):
        # A summary at the end may be called as a metric is, in capitals: RMSE: 0.19
        longer = [name for name in columns if name not in same and _ends_with(name.lower(), asked)]
        if longer:
            columns, same = [name for name in columns if name not in same], []
    tiers = [
        same,
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
        close = [name for name in by_name if asked and asked in name][:_MOST_SUGGESTED]
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


def counts_no_steps(column: str) -> bool:
    """Whether a name says that a column counts no steps."""
    return (
        column.strip().lower() in _INDICES
        or is_beside_the_point(column)
        or goal_of(column) is not None
        or phase_of(column.rsplit("/", 1)[-1]) is not None
    )
