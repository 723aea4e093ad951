"""What a growing log adds: its new lines are read, not the old ones again.

Each tail takes the bytes that were appended and gives the table of all there is. Formats whose
files are written anew as a whole, such as JSON documents and drawn tables, have no tail.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from lcpfn.errors import InputError
from lcpfn.logs import boxes, events, mlflow
from lcpfn.logs.content import Content, decoded, decompressed
from lcpfn.logs.delimited import Shape, read_delimited, shape_of
from lcpfn.logs.json_lines import looks_like_lines, read_json_lines
from lcpfn.logs.json_prefix import NotJSONError, read_document
from lcpfn.logs.lines import LineReader, has_decimal_commas_in, plain, without_colours
from lcpfn.logs.run_length import constant_totals
from lcpfn.logs.table import Record, Table

_BEGINNINGS = ("{", "[")


class StartAgainError(Exception):
    """What was appended cannot be read by itself: the whole log must be read again."""


class Tail(Protocol):
    """The rest of a log as it grows."""

    def feed(self, data: bytes) -> None:
        """Takes what was appended.

        Raises:
            StartAgainError: it needs the whole log.
        """
        ...

    def table(self) -> Table:
        """All records so far.

        Raises:
            InputError: there are none.
        """
        ...


def tail_of(data: bytes, name: str, stem: str) -> Tail | None:
    """A tail that has read a log so far; None where its format has none.

    Args:
        data: all of the log.
        name: what messages call it.
        stem: of its file.

    Raises:
        InputError: it cannot be read.
    """
    tail = _tail(data, name, stem)
    if tail is not None:
        tail.feed(data)
    return tail


def _tail(data: bytes, name: str, stem: str) -> Tail | None:
    if events.is_events(data):
        return _Events(name)
    # Only UTF-8 ends its lines with one byte.
    if not decompressed(data)[1] or data[:2] in (b"\x1f\x8b", b"\xff\xfe", b"\xfe\xff"):
        return None
    if b"\0" in data:
        # Blocks of zero bytes are taken out of the whole.
        return None
    content = decoded(data, name, stem)
    coloured = "\x1b" in content.text
    content = replace(content, text=without_colours(content.text))
    lines = content.lines()
    whole = lines if content.ended else lines[:-1]
    if content.text.lstrip()[:1] in _BEGINNINGS:
        if _is_document(content.text):
            return None
        if looks_like_lines(content):
            return None if coloured else _JSONLines(name)
    if mlflow.is_metric(whole):
        return _Metric(name, stem)
    clean = plain(content.text)
    if boxes.has_boxes(clean.split("\n")):
        return None
    shape = shape_of(whole)
    if shape is None:
        return None if has_decimal_commas_in(clean) else _Lines(name, clean)
    return None if coloured else _Columns(name, shape)


def _is_document(text: str) -> bool:
    try:
        read_document(text)
    except NotJSONError:
        return False
    return True


def _refuse_zeros(data: bytes) -> None:
    if b"\0" in data:
        raise StartAgainError


class _ByLine:
    """A tail of text: whole lines are read once, the last of them again with what follows it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rest = b""
        self._before = 0
        self._rows: list[Record] = []
        self._columns: dict[str, None] = {}
        self._notes: dict[str, None] = {}

    def feed(self, data: bytes) -> None:
        _refuse_zeros(data)
        self._rest += data
        # The newest whole line may be one that only the next one completes.
        end = self._rest.rfind(b"\n", 0, self._rest.rfind(b"\n"))
        if end < 0:
            return
        settled, self._rest = self._rest[: end + 1], self._rest[end + 1 :]
        text = self._text(settled)
        table = self._parse(Content(self._name, text, True), self._before)
        if table is not None:
            self._add(table)
        self._before += text.count("\n")

    def table(self) -> Table:
        found: Table | None = None
        if self._rest.strip():
            text = self._text(self._rest)
            content = Content(self._name, text, text.endswith("\n"))
            found = self._parse(content, self._before)
        rows = [*self._rows, *(found.rows if found else [])]
        if not rows:
            raise InputError(f"{self._name} holds no whole record yet")
        columns = list({**self._columns, **dict.fromkeys(found.columns if found else [])})
        notes = list({**self._notes, **dict.fromkeys(found.notes if found else [])})
        return self._finish(Table(self._name, columns, rows, notes), found)

    def _text(self, data: bytes) -> str:
        try:
            return decoded(data, self._name).text
        except InputError:
            # Blank lines, or the first half of a letter.
            return data.decode(errors="ignore")

    def _add(self, table: Table) -> None:
        self._rows += table.rows
        self._columns.update(dict.fromkeys(table.columns))
        self._notes.update(dict.fromkeys(table.notes))

    def _parse(self, content: Content, before: int) -> Table | None:
        """The records of some lines; None where they have none."""
        raise NotImplementedError

    def _finish(self, table: Table, found: Table | None) -> Table:
        return replace(table, totals=constant_totals(table.columns, table.rows))


def _moved(table: Table, before: int) -> Table:
    """A table whose rows have the lines that they have in the whole log."""
    return replace(table, rows=[Record(row.line + before, row.cells) for row in table.rows])


class _JSONLines(_ByLine):
    def _parse(self, content: Content, before: int) -> Table | None:
        try:
            return _moved(read_json_lines(content), before)
        except InputError:
            return None


class _Metric(_ByLine):
    def __init__(self, name: str, stem: str) -> None:
        super().__init__(name)
        self._stem = stem

    def _parse(self, content: Content, before: int) -> Table | None:
        try:
            return _moved(mlflow.read_metric(replace(content, stem=self._stem)), before)
        except InputError:
            return None


class _Columns(_ByLine):
    def __init__(self, name: str, shape: Shape) -> None:
        super().__init__(name)
        self._shape = shape

    def _parse(self, content: Content, before: int) -> Table | None:
        first = max(0, self._shape.first - before)
        # Commas within numbers are told by the whole file, quotes may hold the ends of lines, and
        # colours are taken out of the whole.
        told_by_all = '"\x1b' if self._shape.delimiter == "," else ',"\x1b'
        if any(sign in content.text for sign in told_by_all):
            raise StartAgainError
        try:
            table = read_delimited(content, replace(self._shape, first=first))
        except InputError as error:
            if "holds no" in str(error):
                return None
            # Rows that have too many cells may go on from those before.
            raise StartAgainError from error
        if table.columns != self._shape.header:
            raise StartAgainError
        return _moved(table, before)

    def _finish(self, table: Table, found: Table | None) -> Table:
        return replace(super()._finish(table, found), columns=self._shape.header, ordered=True)


class _Lines:
    """A tail of lines of text."""

    def __init__(self, name: str, head: str) -> None:
        self._name = name
        self._reader = LineReader(head)
        self._rest = b""
        self._before = 0
        self._columns: dict[str, None] = {}
        self._counted = 0

    def feed(self, data: bytes) -> None:
        _refuse_zeros(data)
        self._rest += data
        end = self._rest.rfind(b"\n") + 1
        settled, self._rest = self._rest[:end], self._rest[end:]
        if settled:
            text = plain(settled.decode(errors="replace").removeprefix("\ufeff"))
            if has_decimal_commas_in(text):
                raise StartAgainError
            self._before += self._reader.feed(text, self._before) - 1

    def table(self) -> Table:
        rows, totals = list(self._reader.rows), dict(self._reader.totals)
        if b"\r" in self._rest or b"\x08" in self._rest:
            # A progress bar says more than once how far it is.
            text = plain(self._rest.decode(errors="ignore"))
            ahead = self._reader.peek(text, self._before)
            rows, totals = rows + ahead.rows, ahead.totals
        if not rows:
            raise InputError(f"{self._name} holds no whole record yet")
        for row in rows[self._counted :]:
            self._columns.update(dict.fromkeys(row.cells))
        self._counted = len(self._reader.rows)
        return Table(self._name, list(self._columns), rows, [], totals)


class _Events:
    """A tail of a TensorBoard event file."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._reader = events.EventReader()
        self._columns: dict[str, None] = {}
        self._counted = 0

    def feed(self, data: bytes) -> None:
        self._reader.feed(data)

    def table(self) -> Table:
        rows = self._reader.rows
        if not rows:
            raise InputError(f"{self._name} holds no scalars yet")
        # The newest step may have got more scalars since.
        for row in rows[max(0, self._counted - 1) :]:
            self._columns.update(dict.fromkeys(row.cells))
        self._counted = len(rows)
        return Table(self._name, list(self._columns), list(rows))
