"""Files of columns: CSV with any separator, and columns that are set apart by blanks.

Keras, Lightning, Ultralytics, timm, Stable-Baselines, Ray Tune, CatBoost, DeePMD, `numpy.savetxt`,
fastai, spaCy, MLflow, exports of Weights & Biases and of spreadsheets.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lcpfn.errors import InputError
from lcpfn.logs.cells import has_decimal_commas, is_logged, to_number, without_commas
from lcpfn.logs.content import Content
from lcpfn.logs.names import PHASES
from lcpfn.logs.run_length import constant_totals
from lcpfn.logs.table import Record, Table, left_out, listed

LONE_COLUMN = "value"

_DELIMITERS = ",;\t|"
_COMMENTS = ("#", "%")
_EXCEL_HINT = re.compile(r"sep=(.)$", re.IGNORECASE)
_RULE = re.compile(r"[-=\s]*[-=]{2,}[-=\s]*$")
# What stands for a number in columns set apart by blanks: durations, and nothing.
_AS_GOOD_AS_A_NUMBER = re.compile(r"\d+(?::\d\d)+(?:\.\d+)?$|-+$|[?]$|None$")
_PAIR = re.compile(r"[A-Za-z]['\"]?\s*[:=]\s*[-+]?\.?\d")
_WITH_UNIT = re.compile(r"[-+]?[\d.]+\s*[A-Za-z%]+$")
# What may hold names and numbers of its own: "{'Cash': 32.98}"
_INSIDE = re.compile(r'"[{\[][^"]*[}\]]"')
# What Hugging Face's tables say where nothing was logged yet.
_NO_LOG = re.compile(r"\bNo log\b")
_SAMPLE = 60
# A line of so many numbers and nothing else is a whole curve, and not the first of many rows.
_CURVE = 20
# Records that show how a table is laid out.
_RUN = 3


@dataclass(frozen=True)
class Shape:
    """How a file of columns is laid out.

    Args:
        delimiter: between cells; " " for any number of blanks.
        header: names of the columns.
        first: index of the first line of records.
    """

    delimiter: str
    header: list[str]
    first: int


def shape_of(lines: Sequence[str]) -> Shape | None:
    """The layout of a file of columns; None where the lines are none.

    Args:
        lines: whole lines.
    """
    start, delimiter = _after_hint(lines)
    body = [index for index in range(start, len(lines)) if _is_content(lines[index])]
    if not body:
        return None
    head = lines[body[0]]
    candidates = [delimiter] if delimiter else _candidates(head)
    for candidate in candidates:
        shape = _separated(lines, body, candidate)
        if shape is not None:
            return shape
    return _mixed(lines, body) or _lone(lines, body) or _aligned(lines, body)


def _after_hint(lines: Sequence[str]) -> tuple[int, str | None]:
    # The first line of what Excel writes and reads.
    hint = _EXCEL_HINT.match(lines[0].strip()) if lines else None
    return (1, hint[1]) if hint else (0, None)


def _is_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(_COMMENTS)


def _candidates(line: str) -> list[str]:
    """The delimiters of a line, the most frequent first.

    `csv.Sniffer` guesses from frequencies of letters and often misses on short logs.
    """
    unquoted = "".join(line.split('"')[::2])
    counts = {delimiter: unquoted.count(delimiter) for delimiter in _DELIMITERS}
    return sorted((d for d in counts if counts[d]), key=lambda d: -counts[d])


def _separated(lines: Sequence[str], body: Sequence[int], delimiter: str) -> Shape | None:
    sample = [_cells_of(lines[index], delimiter) for index in body[:_SAMPLE]]
    header, first = sample[0], body[0]
    width = len(header)
    if 2 * sum(map(_is_number, header)) > width:
        # Names are no numbers, though a date or 3/50 may stand beside these.
        above = _header_above(lines, body[0], width, delimiter)
        names, data = above or _names_without_header(width), sample
    else:
        names, data, first = header, sample[1:], body[0] + 1
        if not data:
            # A header alone, or one line of text.
            text = _PAIR.search(lines[body[0]]) or re.search(r"[{}\[\]=]", lines[body[0]])
            return None if text else Shape(delimiter, names, first)
    if any(_WITH_UNIT.match(name) for name in names):
        return None
    told = sum(bool(_PAIR.search(_INSIDE.sub("", lines[index]))) for index in body[1:_SAMPLE])
    if told > len(data) / 2:
        # Names stand beside numbers: commas are punctuation.
        return None
    if sum(len(row) == width and any(map(_is_number, row)) for row in data) >= _RUN:
        # Texts of fewer cells between the rows, such as those of another table, say nothing of
        # these, nor do wider ones of a run that was appended.
        data = [row for row in data if len(row) >= width or any(map(_is_number, row))]
        data = [row[:width] if _all_numbers(row) else row for row in data]
    if _all_wider(data, width):
        # Whoever reads the rows says so.
        return Shape(delimiter, names, first)
    fitting = [row for row in data if len(row) <= width and any(_is_number(c) for c in row)]
    if len(fitting) < max(1, len(data) / 2) or not _some_column_of_numbers(data, width):
        return None
    return Shape(delimiter, names, first)


def _all_wider(rows: Sequence[list[str]], width: int) -> bool:
    """Whether all rows of a table have more cells than it has names, as with decimal commas."""
    return (
        len(rows) > 1
        and width > 1
        and all(len(row) > width and 2 * sum(map(_is_number, row)) > len(row) for row in rows)
    )


def _mixed(lines: Sequence[str], body: Sequence[int]) -> Shape | None:
    """A header whose names are separated in another way than the cells of the rows."""
    if len(body) < _RUN:
        return None
    for between in _candidates(lines[body[0]]):
        names = _cells_of(lines[body[0]], between)
        for delimiter in _candidates(lines[body[1]]):
            rows = [_cells_of(lines[index], delimiter) for index in body[1:_SAMPLE]]
            fits = all(len(row) == len(names) and _all_numbers(row[:-1]) for row in rows)
            if fits and len(names) > 1 and not any(map(_is_number, names)):
                return Shape(delimiter, names, body[1])
    return None


def _some_column_of_numbers(rows: Sequence[list[str]], width: int) -> bool:
    for column in range(width):
        cells = [row[column] for row in rows if len(row) > column and is_logged(row[column])]
        if cells and sum(map(_is_number, cells)) >= len(cells) / 2:
            return True
    return False


def _lone(lines: Sequence[str], body: Sequence[int]) -> Shape | None:
    """A bare column of numbers, with a name above it or without."""
    sample = [lines[index].strip() for index in body[:_SAMPLE]]
    if any(len(cell.split()) > 1 for cell in sample[1:]):
        return None
    if _is_number(sample[0]):
        if sum(map(_is_number, sample)) < len(sample) / 2:
            return None
        name = _header_above(lines, body[0], 1, " ") or [LONE_COLUMN]
        return Shape(" ", name, body[0])
    named = bool(re.match(r"[A-Za-z_\"'][^=:{}\[\]]*$", sample[0]))
    if len(sample) == 1 and any(map(_is_number, sample[0].split())):
        # A line of text.
        return None
    if named and all(_is_number(cell) or not is_logged(cell) for cell in sample[1:2]):
        return Shape(",", [sample[0].strip("\"'")], body[0] + 1)
    return None


def _aligned(lines: Sequence[str], body: Sequence[int]) -> Shape | None:
    """Columns set apart by blanks, below any number of other lines."""
    counts: Counter[int] = Counter()
    rows: dict[int, int] = {}
    for index in body[: 4 * _SAMPLE]:
        cells = _blank_cells(lines[index])
        if len(cells) > 1 and not _RULE.match(lines[index]) and all(map(_could_be_number, cells)):
            rows[index] = len(cells)
            counts[len(cells)] += 1
    if not counts:
        return None
    width, count = counts.most_common(1)[0]
    if count < len(body[: 4 * _SAMPLE]) / 2 and count < 3:
        return None
    first = min(index for index, found in rows.items() if found == width)
    names = _header_above(lines, first, width, " ")
    if names is None and count < len(body[: 4 * _SAMPLE]) / 2:
        return None
    return Shape(" ", names or _names_without_header(width), first)


def _header_above(lines: Sequence[str], first: int, width: int, delimiter: str) -> list[str] | None:
    """The nearest line above the records that has as many names as they have cells."""
    rule: list[tuple[int, int]] = []
    for index in range(first - 1, -1, -1):
        line = lines[index]
        if _RULE.match(line) and line.strip():
            rule = [match.span() for match in re.finditer(r"[-=]+", line)]
            continue
        line = re.sub(r"^(\s*)[#%]+", r"\1", line)
        if len(rule) == width:
            return _by_rule(line, rule)
        options = [_cells_of(line, delimiter)]
        if delimiter == " ":
            options += [re.split(r"\s{2,}|\t", line.strip()), _with_parts(line.split())]
        for names in options:
            if len(names) == width and all(map(_could_be_name, names)):
                return names
            if len(names) == width - 1 > 1 and lines[first].split()[0] == "0":
                # pandas prints the numbers of the rows without a name.
                return ["index", *names]
    return None


def _could_be_name(cell: str) -> bool:
    # ***** Running training *****
    return not _is_number(cell) and (not cell or any(map(str.isalnum, cell)) or cell == "#")


def _with_parts(words: Sequence[str]) -> list[str]:
    """Names of a header in which only a part of the data goes before another word."""
    names: list[str] = []
    for word in words:
        if names and names[-1].lower() in PHASES:
            names[-1] = f"{names[-1]} {word}"
        else:
            names.append(word)
    return names


def _blank_cells(line: str) -> list[str]:
    return (_NO_LOG.sub("None", line) if "No log" in line else line).split()


def _by_rule(line: str, rule: Sequence[tuple[int, int]]) -> list[str]:
    """Names that stand above dashes, and may hold blanks themselves."""
    ends = [start for start, _ in rule[1:]] + [len(line)]
    starts = [0, *ends[:-1]]
    return [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def _names_without_header(count: int) -> list[str]:
    return [LONE_COLUMN] if count == 1 else [f"column {i}" for i in range(1, count + 1)]


def _cells_of(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.split()
    try:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        cells = line.split(delimiter)
    return [cell.strip() for cell in cells]


def _all_numbers(cells: Sequence[str]) -> bool:
    return all(map(_is_number, cells))


def _is_number(cell: str) -> bool:
    return to_number(cell) is not None or to_number(without_commas(cell, True)) is not None


def _could_be_number(cell: str) -> bool:
    return _is_number(cell) or bool(_AS_GOOD_AS_A_NUMBER.match(cell))


def read_delimited(content: Content, shape: Shape) -> Table:
    """The records of a file of columns.

    Raises:
        InputError: it holds no records, or one that has more cells than there are columns.
    """
    lines = content.lines()
    notes = list(content.notes)
    if shape.delimiter == " ":
        rows = [
            (number, _blank_cells(lines[number - 1]))
            for number in range(shape.first + 1, len(lines) + 1)
            if _is_content(lines[number - 1]) and not _RULE.match(lines[number - 1])
        ]
    else:
        rows = _separate(lines, shape, content.name)
    rows = _without_the_last_if_cut(rows, shape, content, notes)
    if shape.delimiter == " ":
        rows = _of_one_width(rows, len(shape.header), notes)
    rows = _with_points(rows, shape.delimiter)
    columns, records = _records(rows, shape, content.name, notes)
    if not records:
        raise InputError(
            f"{content.name} holds no records, only the header {listed(shape.header)}"
            if content.ended
            else f"{content.name} holds no whole record yet"
        )
    if (
        len(records) == 1
        and len(columns) >= _CURVE
        and columns == _names_without_header(len(columns))
    ):
        notes.append(f"one line of {len(columns)} numbers is read as one curve")
        return _curve(content.name, records[0], notes)
    totals = constant_totals(columns, records)
    return Table(content.name, columns, records, notes, totals, ordered=True)


def _curve(name: str, row: Record, notes: list[str]) -> Table:
    """A row as the records of one metric."""
    records = [Record(row.line, {LONE_COLUMN: cell}) for cell in row.cells.values()]
    return Table(name, [LONE_COLUMN], records, notes, ordered=True)


def _separate(lines: Sequence[str], shape: Shape, name: str) -> list[tuple[int, list[str]]]:
    kept = ("" if line.lstrip().startswith(_COMMENTS) else line for line in lines[shape.first :])
    reader = csv.reader(
        io.StringIO("\n".join(kept)), delimiter=shape.delimiter, skipinitialspace=True
    )
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                rows.append((shape.first + reader.line_num, stripped))
    except csv.Error as error:
        raise InputError(f"{name}, line {shape.first + reader.line_num}: {error}") from None
    return rows


def _without_the_last_if_cut(
    rows: list[tuple[int, list[str]]], shape: Shape, content: Content, notes: list[str]
) -> list[tuple[int, list[str]]]:
    """The rows but for a last one that is still being written."""
    if not rows:
        return rows
    width = len(shape.header)
    line, cells = rows[-1]
    others = rows[-_SAMPLE:-1]
    usual = {len(other) for _, other in others}
    # All may have fewer cells than there are names: a header that was glued to its first row.
    least = usual.pop() if len(usual) == 1 else width
    short = len(cells) < least and all(len(other) >= least for _, other in others)
    # Only a closing quote shows that a last cell without its line's end is whole.
    lines = content.lines()
    last = lines[-1].strip()
    quoted = last.startswith('"') and last.endswith('"') and last.count('"') % 2 == 0
    unended = not content.ended and line == len(lines) and bool(lines[-1].strip())
    if short or (unended and not (quoted and len(cells) == width and width > 1)):
        notes.append(left_out(line))
        return rows[:-1]
    return rows


def _of_one_width(
    rows: list[tuple[int, list[str]]], width: int, notes: list[str]
) -> list[tuple[int, list[str]]]:
    fitting = [
        row
        for row in rows
        if len(row[1]) == width and 2 * sum(map(_could_be_number, row[1])) >= width
    ]
    if len(fitting) < len(rows):
        count = len(rows) - len(fitting)
        notes.append(
            f"{count} line{'s' if count > 1 else ''} that {'are' if count > 1 else 'is'} no row of "
            f"{width} numbers {'were' if count > 1 else 'was'} skipped"
        )
    return fitting


def _with_points(rows: list[tuple[int, list[str]]], delimiter: str) -> list[tuple[int, list[str]]]:
    """The rows with decimal commas as points; where commas separate, only quoted ones are left."""
    with_commas = [cell for _, cells in rows for cell in cells if "," in cell]
    decimal = has_decimal_commas(with_commas)
    if decimal is None:
        return rows
    if delimiter == ";" and all(cell.count(",") == 1 for cell in with_commas):
        # Semicolons separate where commas are decimal: 2,312 is no thousands there.
        decimal = True
    return [(line, [without_commas(cell, decimal) for cell in cells]) for line, cells in rows]


def _records(
    rows: list[tuple[int, list[str]]], shape: Shape, name: str, notes: list[str]
) -> tuple[list[str], list[Record]]:
    columns = shape.header
    seen = dict.fromkeys(columns)
    records: list[Record] = []
    wider: tuple[int, int] | None = None
    between: list[int] = []
    for line, cells in rows:
        if len(cells) == len(columns) and is_logged(cells[0]) and to_number(cells[0]) is not None:
            records.append(Record(line, dict(zip(columns, cells, strict=True))))
        elif _is_header(cells, columns):
            # A resumed run writes it again, maybe with more columns.
            columns = cells
            seen.update(dict.fromkeys(cells))
        elif any(cells[len(columns) :]):
            if wider is None and not _begins_anew(cells, columns, records):
                raise InputError(_too_wide(cells, len(columns), f"{name}, line {line}", shape))
            wider = wider or (line, len(cells))
            records.append(Record(line, dict(zip(columns, cells, strict=False))))
        elif len(cells) < len(columns) and not any(map(_is_number, cells)):
            between.append(line)
        else:
            # A short row is one whose last cells are empty.
            records.append(Record(line, dict(zip(columns, cells, strict=False))))
    if wider is not None:
        line, width = wider
        notes.append(
            f"from line {line} on rows have {width} cells, and their first {len(columns)} are "
            "read, as those of a run that was appended with more columns"
        )
    if between:
        lines_are = "1 line is" if len(between) == 1 else f"{len(between)} lines are"
        notes.append(f"{lines_are} no row of the table and skipped, first line {between[0]}")
    return (shape.header if seen.keys() == set(shape.header) else list(seen)), records


def _begins_anew(cells: list[str], columns: list[str], records: list[Record]) -> bool:
    """Whether a wider row is the first of a run that was appended with more columns.

    Numbers with commas make rows wider, too, and there the first cells are not what they seem.
    """
    first, whole = to_number(cells[0]), [r for r in records if len(r.cells) == len(columns)]
    if first is None or len(whole) < _RUN:
        return False
    begun, before = (to_number(record.cells[columns[0]]) for record in (whole[0], whole[-1]))
    return begun is not None and before is not None and first <= begun < before


def _too_wide(cells: list[str], width: int, where: str, shape: Shape) -> str:
    hint = "; where commas are decimal points, separate the cells by semicolons"
    return (
        f"{where}: there are {len(cells)} cells, but must be at most {width}, one for each column"
        + (hint if shape.delimiter == "," else "")
    )


def _is_header(cells: Sequence[str], columns: Sequence[str]) -> bool:
    if list(cells) == list(columns):
        return True
    shared = len(set(cells) & set(columns))
    return shared >= len(columns) / 2 and shared > 1 and not any(map(_is_number, cells))
