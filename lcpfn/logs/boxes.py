"""Tables that are drawn: Markdown, boxes of rich and tabulate, Stable-Baselines' console."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lcpfn.errors import InputError
from lcpfn.logs.cells import Cell, is_logged, to_number
from lcpfn.logs.content import Content
from lcpfn.logs.run_length import constant_totals, stated_totals
from lcpfn.logs.table import Record, Table, columns_of, left_out

_BARS = "|│┃║┆"
_SPLIT = re.compile(f"[{_BARS}]")
# Rules between rows: of dashes, crossings and corners, maybe with the colons of Markdown.
_RULE = re.compile(r"[\s|+:=\-_─━═┼╪╇┿┬┴├┤┌┐└┘╭╮╰╯┏┓┗┛┡┩╞╡╒╕╘╛╔╗╚╝╠╣╬╦╩┳┻┣┫╋│┃]+$")
# Above the table of a model card: - num_epochs: 15
_SETTING = re.compile(r"[\s*-]*(\w+):\s*(\d+)\s*$")
_RULED = re.compile(r"[-=─━═_]{2,}")


def has_boxes(lines: Sequence[str]) -> bool:
    """Whether lines hold such a table: a row between bars beside a rule."""
    previous = ""
    for line in lines:
        if (_is_rule(line) and _is_row(previous)) or (_is_row(line) and _is_rule(previous)):
            return True
        previous = line
    return False


def read_boxes(content: Content, lines: Sequence[str]) -> Table:
    """The records of all tables in a text; other lines are passed over.

    Args:
        content: where they come from.
        lines: its lines without colours.

    Raises:
        InputError: there is no whole record.
    """
    rows: list[Record] = []
    notes = list(content.notes)
    block: list[tuple[int, list[str]]] = []
    reader = _Boxes(rows)
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and line.strip():
            # Only what has its end counts.
            if _is_row(line) or _is_rule(line):
                notes.append(left_out(number))
            break
        if _is_row(line):
            block.append((number, _cells(line)))
        elif _is_rule(line):
            reader.rule(block)
            block = []
        elif block:
            reader.end(block)
            block = []
    reader.flush(block)
    if not rows:
        raise InputError(f"{content.name} holds no whole record yet")
    columns = columns_of(rows)
    settings = {found[1]: found[2] for found in map(_SETTING.match, lines[:-1]) if found}
    totals = {**dict(stated_totals(settings)), **constant_totals(columns, rows)}
    return Table(content.name, columns, rows, notes, totals, ordered=not reader.by_key)


class _Boxes:
    """Turns blocks of rows between rules into records."""

    def __init__(self, rows: list[Record]) -> None:
        self._rows = rows
        self._header: list[str] | None = None
        self.by_key = False

    def rule(self, block: Sequence[tuple[int, list[str]]]) -> None:
        """A block has ended with a rule: a header, records, or names beside numbers."""
        if not block:
            return
        if _names_beside_numbers([cells for _, cells in block]) and not self._header:
            self.by_key = True
            self._rows.append(Record(block[-1][0], _by_key([cells for _, cells in block])))
        elif not any(to_number(cell) is not None for _, cells in block for cell in cells):
            # Of several lines, the others say of what type the columns are.
            self._header = block[0][1]
        else:
            self._add(block)

    def end(self, block: Sequence[tuple[int, list[str]]]) -> None:
        """A table has ended without a rule, as those of Markdown do."""
        self._add(block)
        self._header = None

    def flush(self, block: Sequence[tuple[int, list[str]]]) -> None:
        """The text has ended; names beside numbers count only when their rule is there."""
        if block and self._header is not None:
            self._add(block)

    def _add(self, block: Sequence[tuple[int, list[str]]]) -> None:
        for line, cells in block:
            numbers = any(to_number(cell) is not None for cell in cells)
            if self._header is None or (not numbers and len(cells) == len(self._header)):
                # The first row names the columns, again in a resumed run.
                if not numbers:
                    self._header = cells
            elif len(cells) == len(self._header) and numbers:
                self._rows.append(Record(line, dict(zip(self._header, cells, strict=True))))


def _names_beside_numbers(rows: Sequence[list[str]]) -> bool:
    return all(len(cells) == 2 and to_number(cells[0]) is None for cells in rows) and any(
        to_number(cells[1]) is not None for cells in rows
    )


def _by_key(rows: Sequence[list[str]]) -> dict[str, Cell]:
    """One record: names that end in a slash head those below them."""
    found: dict[str, Cell] = {}
    section = ""
    for name, value in rows:
        if not is_logged(value) and name.endswith("/"):
            section = name
        else:
            found[section + name] = value
    return found


def _is_row(line: str) -> bool:
    stripped = line.strip()
    return (
        len(stripped) > 2 and stripped[0] in _BARS and stripped[-1] in _BARS and not _is_rule(line)
    )


def _is_rule(line: str) -> bool:
    return bool(_RULE.match(line)) and bool(_RULED.search(line))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in _SPLIT.split(line.strip()[1:-1])]
