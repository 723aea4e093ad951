"""Which reader a log is for, told by its content."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from lcpfn.logs import boxes, events, folders, mlflow
from lcpfn.logs.content import STANDARD_INPUT, Content, decoded, decompressed, name_of, read_bytes
from lcpfn.logs.delimited import read_delimited, shape_of
from lcpfn.logs.json_document import read_json_document
from lcpfn.logs.json_lines import concatenated, looks_like_lines, read_json_lines
from lcpfn.logs.json_prefix import Document, NotJSONError, read_document
from lcpfn.logs.lines import plain, read_lines, without_colours, without_holders
from lcpfn.logs.long_form import spread
from lcpfn.logs.run_column import by_run
from lcpfn.logs.table import Table
from lcpfn.logs.weights_and_biases import runs_of

_BEGINNINGS = ("{", "[")
# history = {...}
_ASSIGNED = re.compile(r"\s*[A-Za-z_][\w.]*\s*[=:]\s*(?=\{\s*[\"'])")


def read_tables(
    source: str | os.PathLike[str], known: events.EventFolder | None = None
) -> list[Table]:
    """Reads a log: a file, a folder, or standard input for "-".

    Args:
        source: its path.
        known: what has been read of the event files of a folder; None reads all from the start.

    Returns:
        One table for each run that it holds, which is one in nearly every format.

    Raises:
        InputError: it cannot be read; the message names the file and the line.
    """
    if source != STANDARD_INPUT and Path(source).is_dir():
        table = folders.read_folder(Path(source), parse, known)
    else:
        table = parse(read_bytes(source), name_of(source), _stem(source))
    return runs_in_table(table)


def runs_in_table(table: Table) -> list[Table]:
    """One table for each run in a table as its reader made it, in wide form."""
    return [run for export in runs_of(spread(table)) for run in by_run(export)]


def _stem(source: str | os.PathLike[str]) -> str:
    return "" if source == STANDARD_INPUT else Path(source).stem


def parse(data: bytes, name: str, stem: str = "") -> Table:
    """The table of a log whose bytes are given.

    Args:
        data: all that there is of it.
        name: what messages call it.
        stem: name of the file without folder and suffix, where there is one.

    Raises:
        InputError: it holds no records, or is of no format that is known.
    """
    if events.is_events(decompressed(data)[0]):
        return events.read_events(decompressed(data)[0], name)
    return parse_text(decoded(data, name, stem))


def parse_text(content: Content) -> Table:
    """The table of a log that is text."""
    content = replace(content, text=without_colours(content.text))
    assigned = _ASSIGNED.match(content.text)
    if assigned or content.text.lstrip()[:1] in _BEGINNINGS:
        document = content.text[assigned.end() :] if assigned else content.text
        table = _json(replace(content, text=without_holders(document)))
        if table is not None:
            return table
    lines = content.lines()
    # Nothing is told by a line that may be half of one.
    whole = lines if content.ended else lines[:-1]
    if mlflow.is_metric(whole):
        return mlflow.read_metric(content)
    clean = plain(content.text).split("\n")
    if boxes.has_boxes(clean if content.ended else clean[:-1]):
        return boxes.read_boxes(content, clean)
    shape = shape_of(whole)
    if shape is not None:
        return read_delimited(content, shape)
    return read_lines(content)


def _json(content: Content) -> Table | None:
    """The table of a text that begins as JSON does, None where it goes on otherwise."""
    try:
        return read_json_document(read_document(content.text), content)
    except NotJSONError:
        pass
    if looks_like_lines(content):
        return read_json_lines(content)
    objects = concatenated(content.text)
    if objects:
        return read_json_document(Document(objects, False), content)
    return None
