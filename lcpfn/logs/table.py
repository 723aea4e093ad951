"""One table of records: what every reader makes of its format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lcpfn.errors import InputError
from lcpfn.logs.cells import Cell, is_logged, shortened, to_cell, to_number

# What DETR logs of a pycocotools evaluation: its twelve numbers in a list.
_COCO = "coco_eval"
_COCO_TEXT = """
AP AP50 AP75 APs APm APl AR1 AR10 AR ARs ARm ARl
"""
_COCO_NAMES = _COCO_TEXT.split()
_LISTED = 12
_LONGEST_NAME = 60
_LONGEST_LIST = 300


class Record(NamedTuple):
    """One row of a log: its line, counted from 1, and its cells by column."""

    line: int
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Table:
    """A log, whatever its format.

    Args:
        name: what messages call the log.
        columns: in order of first appearance.
        rows: in the order of the log.
        notes: what was skipped, each a sentence.
        totals: where the log says how long the run will be, by step column.
        run: name of the run, where the log holds several.
        cut: whether columns may be missing, because a document was cut off.
        ordered: whether the order of the columns means something, as in a file of columns.
    """

    name: str
    columns: list[str]
    rows: list[Record]
    notes: list[str] = field(default_factory=list)
    totals: Mapping[str, float] = field(default_factory=dict)
    run: str | None = None
    cut: bool = False
    ordered: bool = False

    def number(self, record: Record, column: str) -> float:
        """The number in a cell."""
        cell = record.cells[column]
        number = to_number(cell)
        if number is None:
            raise InputError(
                f"{self.name}, line {record.line}, column {column!r}: {shortened(cell)} is not "
                "a number"
            )
        return number

    def records_with(self, column: str) -> list[Record]:
        """The rows in which a column was logged."""
        return [row for row in self.rows if is_logged(row.cells.get(column))]

    def has_numbers(self, column: str) -> bool:
        """Whether any row has a number in a column."""
        return any(to_number(row.cells.get(column)) is not None for row in self.rows)

    def numeric(self, column: str) -> bool:
        """Whether a column was logged, and holds nothing but numbers."""
        cells = [row.cells[column] for row in self.records_with(column)]
        return bool(cells) and all(to_number(cell) is not None for cell in cells)


def whole_numbers(records: Sequence[Record], column: str) -> list[float]:
    """The numbers of a column; none where some record has no whole one."""
    numbers = [to_number(record.cells.get(column)) for record in records]
    found = [each for each in numbers if each is not None and each.is_integer() and each >= 0]
    return found if len(found) == len(records) else []


def columns_of(rows: Iterable[Record]) -> list[str]:
    """The columns of rows, in order of first appearance."""
    found: dict[str, None] = {}
    for row in rows:
        if not row.cells.keys() <= found.keys():
            found.update(dict.fromkeys(row.cells))
    return list(found)


def flattened(record: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Cell]]:
    """The cells of a JSON object; keys of nested objects are joined by `/`."""
    for key, value in record.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}/")
        elif _COCO in str(key) and isinstance(value, list) and len(value) == len(_COCO_NAMES):
            for name, number in zip(_COCO_NAMES, value, strict=True):
                yield f"{prefix}{key}/{name}", to_cell(number)
        else:
            yield f"{prefix}{key}", to_cell(value)


def listed(columns: Sequence[str]) -> str:
    """Column names for a message; of many, or long ones, the first."""
    # A header that ends in a comma or a tab names a last column that is none.
    columns = [column for column in columns if column.strip()]
    if not columns:
        return "none"
    shown: list[str] = []
    for column in (" ".join(column.split()) for column in columns[:_LISTED]):
        shown.append(
            column if len(column) <= _LONGEST_NAME else f"{column[: _LONGEST_NAME - 3]}..."
        )
        if sum(map(len, shown)) > _LONGEST_LIST:
            break
    more = len(columns) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def left_out(line: int) -> str:
    """The note on a line that is still being written."""
    return f"line {line} is incomplete, still being written, and was skipped"
