"""MLflow's `metrics/`: one file a metric, whose lines hold a time stamp, a value and a step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lcpfn.errors import InputError
from lcpfn.logs.cells import Cell
from lcpfn.logs.content import Content, decoded, read_bytes
from lcpfn.logs.table import Record, Table, left_out

FOLDER = "metrics"

# Milliseconds since 1970, as MLflow counts; a step is never as large.
_LEAST_TIME = 10**11
_SAMPLE = 20


def is_metric(lines: Sequence[str]) -> bool:
    """Whether lines are those of a metric.

    Args:
        lines: whole lines.
    """
    filled = [line.split() for line in lines[:_SAMPLE] if line.strip()]
    return bool(filled) and all(
        len(cells) in (2, 3)
        and cells[0].isdigit()
        and int(cells[0]) >= _LEAST_TIME
        and (len(cells) == 2 or cells[2].lstrip("-").isdigit())
        for cells in filled
    )


def read_metric(content: Content) -> Table:
    """The records of one metric, which is called after its file."""
    metric = content.stem or "value"
    rows, notes = _rows(content, metric)
    if not rows:
        raise InputError(f"{content.name} holds no whole record yet")
    return Table(content.name, [metric, "step"], rows, [*content.notes, *notes])


def _rows(content: Content, metric: str) -> tuple[list[Record], list[str]]:
    lines = content.lines()
    rows: list[Record] = []
    for number, line in enumerate(lines, start=1):
        cells = line.split()
        if number == len(lines) and cells:
            return rows, [left_out(number)]
        if len(cells) >= 2:
            row: dict[str, Cell] = {metric: cells[1]}
            if len(cells) > 2:
                row["step"] = cells[2]
            rows.append(Record(number, row))
    return rows, []


def read_metrics(folder: Path) -> Table | None:
    """All metrics below a folder in one table; None where there are none."""
    rows: list[Record] = []
    notes: list[str] = []
    columns: list[str] = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        try:
            content = decoded(read_bytes(path), str(path))
        except InputError:
            continue
        if not is_metric(content.lines()[:-1]):
            continue
        metric = path.relative_to(folder).as_posix()
        found, remarks = _rows(content, metric)
        rows += found
        notes += [f"{metric}: {remark}" for remark in (*content.notes, *remarks)]
        columns.append(metric)
    return Table(str(folder), [*columns, "step"], rows, notes) if rows else None
