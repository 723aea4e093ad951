"""The rows and columns of a log, whatever its format: CSV of any delimiter, JSON-lines or JSON.

`lcpfn.curve_files` says what is accepted and picks the metric and the steps from the table.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lcpfn.errors import InputError

Cell = str | float | None

STANDARD_INPUT = "-"

_NOT_LOGGED = ("", "none", "null")
_DELIMITERS = ",;\t|"
_LONE_COLUMN = "value"
# Where the state that the Hugging Face trainer saves with a checkpoint keeps its log.
_HUGGING_FACE = "log_history"


def read_table(source: str | os.PathLike[str]) -> Table:
    """Reads a log from a path, or from standard input for "-".

    The format is told by the content: JSON starts with a brace or a bracket.

    Raises:
        InputError: it cannot be read; the message names the file and the line.
    """
    name = "standard input" if source == STANDARD_INPUT else str(source)
    return _parse(_decode(_read_bytes(source), name), name)


@dataclass(frozen=True)
class Record:
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
    """

    name: str
    columns: list[str]
    rows: list[Record]
    notes: list[str]

    def number(self, record: Record, column: str) -> float:
        """The number in a cell."""
        cell = record.cells[column]
        number = to_number(cell)
        if number is None:
            raise InputError(
                f"{self.name}, line {record.line}, column {column!r}: {_shortened(cell)} is not "
                "a number"
            )
        return number

    def records_with(self, column: str) -> list[Record]:
        """The rows in which a column was logged."""
        return [row for row in self.rows if is_logged(row.cells.get(column))]

    def numeric(self, column: str) -> bool:
        """Whether a column was logged, and holds nothing but numbers."""
        cells = [row.cells[column] for row in self.records_with(column)]
        return bool(cells) and all(to_number(cell) is not None for cell in cells)

    def find(self, role: str, wanted: str) -> str:
        """The column that a user named, in any case of letters if only one fits."""
        if wanted in self.columns:
            return wanted
        fitting = [name for name in self.columns if name.lower() == wanted.strip().lower()]
        if len(fitting) == 1:
            return fitting[0]
        raise InputError(
            f"{self.name} has no column {wanted!r} for the {role}; its columns are "
            f"{listed(self.columns)}"
        )


def is_logged(cell: Cell) -> bool:
    """Whether something was written into a cell; an empty one, None and null say nothing was."""
    return cell is not None and not (isinstance(cell, str) and cell.lower() in _NOT_LOGGED)


def to_number(cell: Cell) -> float | None:
    """The number in a cell, NaN and infinities included; None where it holds none."""
    if isinstance(cell, float):
        return cell
    try:
        # Python reads 1_000 as a number; no log means that.
        return float(cell) if cell is not None and "_" not in cell else None
    except ValueError:
        return None


def _shortened(cell: Cell) -> str:
    text = repr(cell)
    return text if len(text) <= 40 else f"{text[:37]}..."


def listed(columns: Sequence[str]) -> str:
    """Column names for a message."""
    return ", ".join(columns) if columns else "none"


def _read_bytes(source: str | os.PathLike[str]) -> bytes:
    if source == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{path} is a folder, but must be a CSV or JSON file")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def _decode(content: bytes, name: str) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} is not a text file: byte {error.start} is no {error.encoding}"
        ) from None
    if "\0" in text:
        raise InputError(f"{name} is not a text file: it holds zero bytes")
    if not text.strip():
        raise InputError(f"{name} is empty, but must hold at least one record")
    return text


def _parse(text: str, name: str) -> Table:
    # The first character tells the formats apart better than a file name does.
    if text.lstrip()[0] not in "[{":
        return _read_delimited(text, name)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return _read_json_lines(text, name)
    entries = whole.get(_HUGGING_FACE, [whole]) if isinstance(whole, dict) else whole
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(
            f"{name} is one JSON document, but must then be an array of objects, one a record, or "
            f"hold one as {_HUGGING_FACE!r}"
        )
    if not entries:
        raise InputError(f"{name} holds no records")
    rows = [Record(number, dict(_flattened(entry, ""))) for number, entry in enumerate(entries, 1)]
    return Table(name, _columns(rows), rows, [])


def _lines(text: str) -> list[str]:
    # str.splitlines would also break at characters that JSON allows inside a string.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _read_json_lines(text: str, name: str) -> Table:
    lines = _lines(text)
    rows: list[Record] = []
    notes: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            if rows and number == len(lines) and not text.endswith("\n"):
                notes.append(f"line {number} is incomplete, still being written, and was skipped")
                break
            raise InputError(f"{name}, line {number}: not a JSON object: {error}") from None
        if not isinstance(record, dict):
            raise InputError(
                f"{name}, line {number}: {_shortened(line)} is not a JSON object, but every line "
                "must be one"
            )
        rows.append(Record(number, dict(_flattened(record, ""))))
    return Table(name, _columns(rows), rows, notes)


def _columns(rows: list[Record]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row.cells))


def _flattened(record: dict[str, object], prefix: str) -> Iterator[tuple[str, Cell]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + key, _as_float(value)
        else:
            yield prefix + key, None if value is None else str(value).strip()


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def _read_delimited(text: str, name: str) -> Table:
    lines = _lines(text)
    delimiter = _find_delimiter([line for line in lines if line.strip()])
    # A delimiter of blanks may be repeated, also at either end.
    source = [line.strip() if delimiter == " " else line for line in lines]
    reader = csv.reader(io.StringIO("\n".join(source)), delimiter=delimiter, skipinitialspace=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                rows.append((reader.line_num, stripped))
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: {error}") from None
    header = rows[0][1]
    if all(to_number(cell) is not None for cell in header):
        columns = _names_without_header(len(header))
    else:
        columns, rows = header, rows[1:]
        if not rows:
            raise InputError(f"{name} holds no records, only the header {listed(header)}")
    records = [
        Record(line, _cells(columns, cells, name, line)) for line, cells in rows if cells != columns
    ]
    return Table(name, columns, records, [])


def _find_delimiter(lines: Sequence[str]) -> str:
    """The delimiter that the first line uses most; blanks where the next line has as many fields.

    `csv.Sniffer` guesses from frequencies of letters and often misses on short logs.
    """
    unquoted = "".join(lines[0].split('"')[::2])
    counts = {delimiter: unquoted.count(delimiter) for delimiter in _DELIMITERS}
    best = max(counts, key=lambda delimiter: counts[delimiter])
    if counts[best]:
        return best
    fields = [len(line.split()) for line in lines[:2]]
    return " " if fields[0] > 1 and fields[0] == fields[-1] else ","


def _names_without_header(count: int) -> list[str]:
    return [_LONE_COLUMN] if count == 1 else [f"column {i}" for i in range(1, count + 1)]


def _cells(columns: list[str], cells: list[str], name: str, line: int) -> dict[str, Cell]:
    if any(cells[len(columns) :]):
        raise InputError(
            f"{name}, line {line}: there are {len(cells)} cells, but must be at most "
            f"{len(columns)}, one for each column"
        )
    # A short row is one still being written, or one whose last cells are empty.
    return dict(zip(columns, cells, strict=False))
