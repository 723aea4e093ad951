"""JSON lines: one object a line, or one after another over several lines.

Weights & Biases' history, Hugging Face, detectron2, MMEngine, Ray Tune's `result.json`, DeiT's
`log.txt` and most things that people write themselves.
"""

from __future__ import annotations

import json
from typing import Any

from lcpfn.errors import InputError
from lcpfn.logs.cells import shortened
from lcpfn.logs.content import Content
from lcpfn.logs.run_length import constant_totals
from lcpfn.logs.table import Record, Table, columns_of, flattened, left_out


def looks_like_lines(content: Content) -> bool:
    """Whether some line is an object of its own."""
    return any(_object(line) is not None for line in content.lines()[:200])


def read_json_lines(content: Content) -> Table:
    """The objects of all lines; lines that hold none are skipped with a note.

    Raises:
        InputError: no line is whole yet.
    """
    lines = content.lines()
    rows: list[Record] = []
    skipped: list[int] = []
    notes = list(content.notes)
    for number, line in enumerate(lines, start=1):
        if not line or line.isspace():
            continue
        found = _object(line)
        if found is not None:
            rows.append(Record(number, dict(flattened(found))))
        elif number == len(lines):
            notes.append(left_out(number))
        else:
            skipped.append(number)
    if not rows:
        raise InputError(f"{content.name} holds no whole record yet")
    if skipped:
        lines_are = "1 line is" if len(skipped) == 1 else f"{len(skipped)} lines are"
        notes.append(
            f"{lines_are} no JSON object and skipped, first line {skipped[0]}: "
            f"{shortened(lines[skipped[0] - 1])}"
        )
    columns = columns_of(rows)
    return Table(content.name, columns, rows, notes, constant_totals(columns, rows))


def concatenated(text: str) -> list[Any] | None:
    """The objects of a text that holds nothing but whole objects, one after another."""
    decoder = json.JSONDecoder()
    found: list[Any] = []
    position = 0
    while True:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        if position == len(text):
            return found
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            # The last one may still be being written.
            return found or None
        if not isinstance(value, dict):
            return None
        found.append(value)


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
