"""One JSON document, whole or cut off.

A list of records, lists by column, flat or nested (histories of Keras, results of XGBoost and
LightGBM), what `DataFrame.to_json` writes in any orientation, states of Hugging Face and CatBoost,
and a scalar that TensorBoard lets people download.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lcpfn.errors import InputError
from lcpfn.logs import catboost, hugging_face
from lcpfn.logs.cells import Cell, to_cell, to_number
from lcpfn.logs.columns import step_rank
from lcpfn.logs.content import Content
from lcpfn.logs.json_prefix import Document
from lcpfn.logs.names import PHASES, phase_of
from lcpfn.logs.run_length import constant_totals, stated_totals
from lcpfn.logs.table import Record, Table, columns_of, flattened

_WHOLE_NUMBER = re.compile(r"\d+$")
_COUNTED_KEY = re.compile(r"(?:epoch|step|iter|iteration)[\s_-]?\d+$", re.IGNORECASE)
_SECONDS_SINCE_1970 = 1e8
_CUT_NOTE = "the JSON document is cut off, still being written, and was read as far as it goes"
_LONE_COLUMN = "value"


def read_json_document(document: Document, content: Content) -> Table:
    """The records of a document.

    Raises:
        InputError: it holds none.
    """
    rows, totals, by_column = _rows(document)
    if not rows:
        raise InputError(
            f"{content.name} holds no whole record yet"
            if document.cut
            else f"{content.name} holds no records"
        )
    columns = columns_of(rows)
    notes = [*content.notes, *([_CUT_NOTE] if document.cut else [])]
    totals = {**constant_totals(columns, rows), **totals}
    return Table(content.name, columns, rows, notes, totals, cut=document.cut and by_column)


def _rows(document: Document) -> tuple[list[Record], dict[str, float], bool]:
    """The records, the lengths of the run, and whether columns follow one another."""
    value = document.value
    if hugging_face.is_trainer_state(value):
        records, totals = hugging_face.records_of(value)
        # Steps and epochs are stated one after the other, and only both together are understood.
        return _records(records), {} if document.cut else totals, False
    if catboost.is_catboost(value):
        return *catboost.records_of(value), False
    if isinstance(value, list):
        return _of_list(value), {}, False
    if not isinstance(value, dict):
        return [], {}, False
    if isinstance(value.get("data"), list) and isinstance(value.get("columns"), list):
        return _named([str(name) for name in value["columns"]], value["data"]), {}, False
    if isinstance(value.get("data"), list) and "schema" in value:
        return _records(value["data"]), {}, False
    return _of_object(value, document.cut)


def _records(entries: Sequence[Any]) -> list[Record]:
    return [
        Record(number, dict(flattened(entry)))
        for number, entry in enumerate(entries, start=1)
        if isinstance(entry, dict)
    ]


def _of_list(entries: list[Any]) -> list[Record]:
    if any(isinstance(entry, dict) for entry in entries):
        return _records(entries)
    if any(isinstance(entry, list) for entry in entries):
        width = max(len(entry) for entry in entries if isinstance(entry, list))
        return _named(_names(width, entries), entries)
    return [
        Record(number, {_LONE_COLUMN: to_cell(entry)})
        for number, entry in enumerate(entries, start=1)
    ]


def _names(width: int, entries: Sequence[Any]) -> list[str]:
    first = entries[0]
    # TensorBoard lets people download lists of wall time, step and value.
    if width == 3 and isinstance(first, list) and len(first) == 3:
        time = to_number(to_cell(first[0]))
        if time is not None and time > _SECONDS_SINCE_1970:
            return ["wall time", "step", _LONE_COLUMN]
    return [f"column {index}" for index in range(1, width + 1)]


def _named(names: list[str], entries: Sequence[Any]) -> list[Record]:
    return [
        Record(number, dict(zip(names, map(to_cell, entry), strict=False)))
        for number, entry in enumerate(entries, start=1)
        if isinstance(entry, list) and len(entry) >= len(names)
    ]


def _of_object(value: Mapping[str, Any], cut: bool) -> tuple[list[Record], dict[str, float], bool]:
    by_row = _indexed_by_row(value, cut)
    if by_row is not None:
        return by_row, {}, False
    lists: dict[str, dict[str, Cell]] = {}
    records: dict[str, list[Any]] = {}
    settings: dict[str, Cell] = {}
    _collect(value, "", lists, records, settings)
    totals = dict(stated_totals(settings))
    longest = max(records.values(), key=len, default=[])
    columns = _main_columns(lists, cut)
    height = max(map(len, columns.values()), default=0)
    if len(longest) >= height and longest:
        parts = {name: each for name, each in records.items() if _part(name) in PHASES}
        if len(parts) > 1 and any(each is longest for each in parts.values()):
            return _by_part(parts), totals, True
        return _records(longest), totals, False
    if columns:
        return _by_column(columns), totals, True
    # One object of numbers is one record, unless more of it is to come.
    return ([] if cut or not settings else [Record(1, settings)]), totals, False


def _part(column: str) -> str:
    return column.rpartition("/")[2].lower()


def _by_part(parts: Mapping[str, list[Any]]) -> list[Record]:
    """Lists of records of several parts of the data: beside one another, or at their own steps."""
    rows = [
        [dict(_of_part(entry, _part(name))) for entry in entries if isinstance(entry, dict)]
        for name, entries in parts.items()
    ]
    if all(any(step_rank(column) is not None for column in row) for each in rows for row in each):
        merged = [row for each in rows for row in each]
    else:
        together = itertools.zip_longest(*rows, fillvalue={})
        merged = [{name: cell for row in each for name, cell in row.items()} for each in together]
    return [Record(number, row) for number, row in enumerate(merged, start=1)]


def _of_part(entry: Mapping[str, Any], part: str) -> Iterator[tuple[str, Cell]]:
    for column, cell in flattened(entry):
        own = step_rank(column) is not None or phase_of(column) is not None
        yield (column if own else f"{part}/{column}"), cell


def _indexed_by_row(value: Mapping[str, Any], cut: bool) -> list[Record] | None:
    """The records of an object of objects whose keys are row numbers, steps or `epoch_3`."""
    if not value or not all(isinstance(entry, dict) for entry in value.values()):
        return None
    numbers = [re.search(r"(\d+)$", key) for key in value]
    if not all(numbers):
        return None
    entries = list(value.values())
    first = entries[0]
    counts = all(map(_COUNTED_KEY.match, value))
    if not counts and not any(not isinstance(cell, dict | list) for cell in first.values()):
        return None
    # XGBoost's validation_0 and validation_1 hold lists, which the line above tells apart.
    steps = [int(number[1]) for number in numbers if number]
    if cut:
        steps, entries = steps[:-1], entries[:-1]
    counted = steps == list(range(len(steps))) and all(key.isdigit() for key in value)
    name = re.sub(r"[\W_]*\d+$", "", next(iter(value))) or "step"
    rows = []
    for number, (step, entry) in enumerate(zip(steps, entries, strict=True), start=1):
        cells = dict(flattened(entry))
        rows.append(Record(number, cells if counted else {name: float(step), **cells}))
    return rows


def _collect(
    value: Mapping[str, Any],
    prefix: str,
    lists: dict[str, dict[str, Cell]],
    records: dict[str, list[Any]],
    settings: dict[str, Cell],
) -> None:
    """Sorts what an object holds into lists of numbers, lists of records and single numbers."""
    for key, entry in value.items():
        column = f"{prefix}{key}"
        if isinstance(entry, dict) and entry and all(map(_WHOLE_NUMBER.match, entry)):
            # A column as pandas writes it, with the numbers of its rows.
            if not any(isinstance(cell, dict | list) for cell in entry.values()):
                lists[column] = {row: to_cell(cell) for row, cell in entry.items()}
            else:
                records[column] = list(entry.values())
        elif isinstance(entry, dict):
            _collect(entry, f"{column}/", lists, records, settings)
        elif isinstance(entry, list) and any(isinstance(each, dict) for each in entry):
            records[column] = entry
        elif isinstance(entry, list) and _are_pairs(entry):
            lists[column] = {str(int(step)): to_cell(number) for step, number in entry}
        elif isinstance(entry, list):
            if entry and not any(isinstance(each, list) for each in entry):
                lists[column] = {str(row): to_cell(cell) for row, cell in enumerate(entry)}
        else:
            settings[column] = to_cell(entry)


def _are_pairs(entries: list[Any]) -> bool:
    """Whether a list holds pairs of a step and a value."""
    return bool(entries) and all(
        isinstance(entry, list)
        and len(entry) == 2
        and isinstance(entry[0], int)
        and entry[0] >= 0
        and isinstance(entry[1], int | float)
        for entry in entries
    )


def _main_columns(lists: dict[str, dict[str, Cell]], cut: bool) -> dict[str, dict[str, Cell]]:
    """The columns of the log: the longest list, those beside it and those as long.

    Shapes, sizes and the like are lists as well, but stand elsewhere and are shorter.
    """
    numeric = {
        column: cells
        for column, cells in lists.items()
        if any(to_number(cell) is not None for cell in cells.values())
    }
    if not numeric:
        return {}
    longest = max(len(cells) for cells in numeric.values())
    homes = {_home(column) for column, cells in numeric.items() if len(cells) == longest}
    last = list(numeric)[-1] if cut else None
    return {
        column: cells
        for column, cells in numeric.items()
        if len(cells) == longest or _home(column) in homes or column == last
    }


def _home(column: str) -> str:
    return column.rpartition("/")[0]


def _by_column(columns: Mapping[str, Mapping[str, Cell]]) -> list[Record]:
    indices: dict[str, None] = {}
    for cells in columns.values():
        indices.update(dict.fromkeys(cells))
    ordered = sorted(indices, key=int)
    counted = ordered == [str(row) for row in range(len(ordered))]
    return [
        Record(number, dict(_row(columns, index, counted)))
        for number, index in enumerate(ordered, start=1)
    ]


def _row(
    columns: Mapping[str, Mapping[str, Cell]], index: str, counted: bool
) -> Iterator[tuple[str, Cell]]:
    # An index that is not 0, 1, 2, ... holds the steps.
    if not counted and "step" not in columns:
        yield "step", float(index)
    for column, cells in columns.items():
        if index in cells:
            yield column, cells[index]
