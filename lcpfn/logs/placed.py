"""Which records have a place in the run: banners before its first step and summaries have none."""

from __future__ import annotations

from lcpfn.logs.cells import is_logged, to_number
from lcpfn.logs.columns import step_rank
from lcpfn.logs.table import Record, Table, listed


def placed(table: Table, records: list[Record], metric: str) -> tuple[list[Record], list[str]]:
    """The records that have a step, and a note on those that have none.

    Left out are those before the first step that is said, and those that have a word for it, such
    as `final`; but only where most have a number, and no other column counts them all.
    """
    named = sorted(
        (name for name in table.columns if step_rank(name) is not None and name != metric),
        key=lambda name: step_rank(name) or 0,
    )
    without: dict[str, list[int]] = {}
    for name in named:
        cells = [record.cells.get(name) for record in records]
        without[name] = [at for at, cell in enumerate(cells) if to_number(cell) is None]
        if not without[name]:
            return records, []
    for name, places in without.items():
        cells = [records[place].cells.get(name) for place in places]
        words = [str(cell) for cell in cells if is_logged(cell)]
        before = places == list(range(len(places)))
        if 2 * len(places) > len(records) or not (before or len(words) == len(places)):
            continue
        gone = set(places)
        many = len(places) > 1
        reason = (
            f"{'have' if many else 'has'} {listed(list(dict.fromkeys(words)))} as {name}"
            if words
            else f"{'stand' if many else 'stands'} before the first {name}"
        )
        note = (
            f"{len(places)} record{'s' if many else ''} of {metric} {reason}, and "
            f"{'were' if many else 'was'} left out"
        )
        return [record for place, record in enumerate(records) if place not in gone], [note]
    return records, []
