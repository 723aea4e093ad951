"""What stands in one cell of a log: a number, a text, or nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

Cell = str | float | None

# Among them what pandas and R write, and Hugging Face's tables where nothing was logged yet.
_NOT_LOGGED = frozenset(
    (
        "",
        "none",
        "null",
        "no log",
        "na",
        "n/a",
        "<na>",
        "#n/a",
        "-",
        "--",
        "---",
        "\u2013",
        "\u2014",
    )
)
# What people print after a number.
_UNIT = re.compile(r"(?<=[\d.])\s*(?:%|ms|us|s|sec|seconds|m|min|h)$")
_WITH_COMMA = re.compile(r"[-+]?\d+(?:,\d+)+(?:[eE][-+]?\d+)?(?:\s?%)?$")
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\s?%)?$")


def is_logged(cell: Cell) -> bool:
    """Whether something was written into a cell; an empty one, None, NA and the like say no."""
    return cell is not None and not (isinstance(cell, str) and cell.lower() in _NOT_LOGGED)


def to_number(cell: Cell) -> float | None:
    """The number in a cell, NaN and infinities included; None where it holds none.

    A unit after it, such as % or ms, does not count.
    """
    if cell is None or isinstance(cell, float):
        return cell
    # Python reads 1_000 as a number; no log means that.
    if "_" in cell:
        return None
    try:
        return float(cell)
    except ValueError:
        pass
    shorter = _UNIT.sub("", cell)
    if shorter == cell:
        return None
    try:
        return float(shorter)
    except ValueError:
        return None


def to_cell(value: Any) -> Cell:
    """A cell for a value of a JSON document; a list of one number is that number."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.copysign(math.inf, value)
    return None if value is None else str(value).strip()


def has_decimal_commas(cells: Iterable[str]) -> bool | None:
    """Whether commas inside numbers are decimal ones: 0,5 or 12,25 and not 1,024.

    Where every one of them could stand for thousands, they do. None: there are no such commas.
    """
    found = None
    for cell in cells:
        if "," in cell and _WITH_COMMA.match(cell):
            if not _THOUSANDS.match(cell):
                return cell.count(",") == 1 or None
            found = False
    return found


def without_commas(cell: str, decimal: bool) -> str:
    """A cell in which a number is written with a point, and without any commas."""
    if "," in cell and _WITH_COMMA.match(cell):
        return cell.replace(",", "." if decimal else "")
    return cell


def shortened(cell: object) -> str:
    """A cell for a message."""
    text = repr(cell)
    return text if len(text) <= 40 else f"{text[:37]}..."
