"""Which column of a table counts the steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from lcpfn.errors import InputError
from lcpfn.logs.cells import to_number
from lcpfn.logs.columns import Choice, counts_no_steps, find_named, step_rank
from lcpfn.logs.run_length import EPOCH, is_constant_total, kind_of, total_of
from lcpfn.logs.table import Record, Table, listed, whole_numbers

_ROUNDS = frozenset(("round", "episode", "generation"))
# What a few trainers call steps, episodes and updates, and others something else.
_SHORT_NAMES = frozenset(("e", "f", "n", "s", "t", "up"))
_STATED_LIMIT = 1000
LITTLE = 0.02
"""Of a horizon: nobody plans a run of which so small a share has been logged in such steps."""
_VERY_LITTLE = 0.01
_MUCH = 0.25
_MANY = 300
_CLEARLY = 10.0
_EVENLY = 2.0
_FEW = 4
# A last step is logged twice where a trainer evaluates once more at its end.
_ENDS_AGAIN = 3


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
        if step_rank(name) is not None and name != metric and not is_constant_total(table, name)
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
    far = _far_horizon(table, chosen, horizon)
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
        numbers = whole_numbers(records, name)
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
        numbers = whole_numbers(records, name)
        if name == metric or not numbers or counts_no_steps(name):
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


def _far_horizon(table: Table, chosen: _Candidate, horizon: float | None) -> list[str]:
    """A note where a horizon is far beyond the epochs, and other steps are logged as well.

    Hugging Face prints epochs by their fractions, others batches beside them, and people plan such
    runs in steps.
    """
    if horizon is None or not math.isfinite(horizon) or kind_of(chosen.column) != EPOCH:
        return []
    if chosen.last <= 0:
        return []
    parts = _in_parts(chosen) and len(chosen.steps) >= _FEW and chosen.last < LITTLE * horizon
    batches = horizon >= _MANY and chosen.last <= _VERY_LITTLE * horizon and _has_finer(table)
    if not (parts or batches):
        return []
    return [
        f"the horizon of {horizon:g} is {horizon / chosen.last:,.0f} times the last "
        f"{chosen.column}, {chosen.last:g}; if it was meant in other steps, say how many "
        f"{chosen.column}s the run will have"
    ]


def _has_finer(table: Table) -> bool:
    """Whether something else than epochs is counted somewhere in a log."""
    return any(
        step_rank(name) is not None and kind_of(name) != EPOCH and table.has_numbers(name)
        for name in table.columns
    )


def _in_parts(candidate: _Candidate) -> bool:
    """Whether epochs are logged by their fractions."""
    whole = all(step.is_integer() for step in candidate.steps)
    return not whole and kind_of(candidate.column) == EPOCH


def _told(table: Table, candidates: Sequence[_Candidate]) -> tuple[_Candidate, str]:
    """The first candidate, or one as good of which alone the log says how far it will go."""
    first = candidates[0]
    constant = any(is_constant_total(table, name) for name in table.columns)
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
