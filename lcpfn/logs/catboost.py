"""`catboost_training.json`: numbers without names, whose names stand in `meta`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lcpfn.logs.cells import Cell, to_cell
from lcpfn.logs.run_length import STEP
from lcpfn.logs.table import Record

_SETS = ("learn", "test")


def is_catboost(document: Any) -> bool:
    """Whether a JSON document is one of CatBoost's."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("iterations"), list)
        and isinstance(document.get("meta"), dict)
    )


def records_of(document: Mapping[str, Any]) -> tuple[list[Record], dict[str, float]]:
    """The records, with metrics as `learn/RMSE` and `test/RMSE`, and the length of the run."""
    meta = document["meta"]
    names = {each: _metrics(meta.get(f"{each}_metrics")) for each in _SETS}
    rows = [
        Record(number, dict(_cells(entry, names)))
        for number, entry in enumerate(document["iterations"], start=1)
        if isinstance(entry, dict)
    ]
    count = meta.get("iteration_count")
    return rows, {STEP: float(count)} if isinstance(count, int) and count > 0 else {}


def _metrics(stated: Any) -> list[str]:
    if not isinstance(stated, list):
        return []
    return [str(metric.get("name")) for metric in stated if isinstance(metric, dict)]


def _cells(
    entry: Mapping[str, Any], names: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Cell]]:
    for key, value in entry.items():
        # Several test sets are test, test1, test2, ...
        known = names.get(key.rstrip("0123456789"), ())
        if isinstance(value, list):
            for index, number in enumerate(value):
                name = known[index] if index < len(known) else str(index)
                yield f"{key}/{name}", to_cell(number)
        else:
            yield key, to_cell(value)
