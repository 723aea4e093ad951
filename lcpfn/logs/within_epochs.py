"""Counts that begin anew in every epoch: batches, and iterations as many trainers log them.

Such a count says nothing of the run by itself; with the epoch beside it, it says which part of that
has gone by. Steps are then epochs and their fractions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from lcpfn.logs.columns import step_rank
from lcpfn.logs.run_length import BATCH, EPOCH, kind_of
from lcpfn.logs.steps_column import LITTLE
from lcpfn.logs.table import Record, Table, whole_numbers


@dataclass(frozen=True)
class _Inner:
    """A count within epochs.

    Args:
        column: where it stands.
        numbers: of the records.
        length: how far it counts in an epoch.
    """

    column: str
    numbers: list[float]
    length: float


def in_epochs(
    table: Table, records: list[Record], metric: str, horizon: float | None
) -> tuple[list[Record], list[str]]:
    """The records, with fractions of an epoch where several are of one, and a note on that.

    Where the horizon, as a person states it, is one of batches, they are counted through the run.
    The records stay as they are where some column does so anyway, or none counts within epochs.
    """
    named = sorted(
        (name for name in table.columns if step_rank(name) is not None and name != metric),
        key=lambda name: step_rank(name) or 0,
    )
    of_epochs = ((name, whole_numbers(records, name)) for name in named if kind_of(name) == EPOCH)
    epoch, epochs = next(((name, numbers) for name, numbers in of_epochs if numbers), ("", []))
    if len(set(epochs)) == len(epochs):
        return records, []
    counts = {name: whole_numbers(records, name) for name in named if name != epoch}
    others = {name: numbers for name, numbers in counts.items() if numbers}
    if any(_counts_through(numbers, epochs) for numbers in others.values()):
        return records, []
    inner = _inner(table, others, epochs)
    if inner is None:
        return records, []
    first = 0 if min(epochs) == 0 else 1
    parts = [
        number - first + min(1.0, place / inner.length)
        for number, place in zip(epochs, inner.numbers, strict=True)
    ]
    begins = f"{inner.column} begins anew in every {epoch}"
    if horizon is not None and max(parts) < LITTLE * horizon:
        steps = [round(part * inner.length) for part in parts]
        if steps[-1] <= horizon:
            return _at(records, inner.column, epoch, steps), [
                f"{begins}, and the horizon of {horizon:g} is one of {inner.column}, so they are "
                f"counted through the run, {inner.length:g} to each {epoch}"
            ]
    note = f"{begins}, so records lie at parts of an {epoch}"
    return _at(records, epoch, inner.column, parts), [note]


def _at(records: list[Record], column: str, other: str, steps: Sequence[float]) -> list[Record]:
    """The records at other steps in one column, and at none in the other."""
    return [
        Record(record.line, {**record.cells, column: float(step), other: None})
        for record, step in zip(records, steps, strict=True)
    ]


def _counts_through(numbers: Sequence[float], epochs: Sequence[float]) -> bool:
    """Whether a count goes on where an epoch ends."""
    return any(
        after > before and later > earlier
        for (before, after), (earlier, later) in zip(
            itertools.pairwise(numbers), itertools.pairwise(epochs), strict=True
        )
    )


def _inner(table: Table, counts: dict[str, list[float]], epochs: Sequence[float]) -> _Inner | None:
    """The count that begins anew with each epoch, and only then."""
    for column, numbers in counts.items():
        steps = list(zip(itertools.pairwise(numbers), itertools.pairwise(epochs), strict=True))
        moved = [before > after for (before, after), (earlier, later) in steps if earlier < later]
        # A run may have been resumed in the epoch in which it had ended.
        again = sum(
            before > after for (before, after), (earlier, later) in steps if earlier == later
        )
        stated = table.totals.get(column, 0.0)
        alone = column == BATCH and stated > 0 and table.totals.get(EPOCH) != 1
        if all(moved) and again <= 1 < len(set(numbers)) and (moved or alone):
            length = stated if stated >= max(numbers) else _length(numbers)
            return _Inner(column, numbers, length)
    return None


def _length(numbers: Sequence[float]) -> float:
    """How far a count has been seen to go; one from 0 has one more to go than it says."""
    seen = sorted(set(numbers))
    beyond = 0.0 if seen[0] > 0 else seen[1] - seen[0]
    return seen[-1] + beyond
