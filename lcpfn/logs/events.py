"""TensorBoard's event files, read without TensorBoard.

A file is a row of records: the length of the next one (8 bytes) and its checksum (4), the record,
and its checksum (4). A record is a protocol buffer `Event`; of it and of what it holds, the few
fields that carry scalars are read, by the numbers that `tensorboard/compat/proto` gives them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lcpfn.errors import InputError
from lcpfn.logs.content import read_bytes
from lcpfn.logs.table import Record, Table, columns_of

PATTERN = "*tfevents*"

_HEADER = struct.Struct("<QI")
_FOOTER = 4
_MASK = 0xA282EAD8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Event
_STEP, _SUMMARY = 2, 5
# Summary, Summary.Value
_VALUE = 1
_TAG, _SIMPLE_VALUE, _TENSOR = 1, 2, 8
# TensorProto
_DTYPE, _CONTENT, _FLOATS, _DOUBLES, _INTS, _LONGS = 1, 4, 5, 6, 7, 10
_FORMATS = {1: "<f", 2: "<d", 3: "<i", 9: "<q"}
_STEPS_COLUMN = "step"


class Scalar(NamedTuple):
    """One number of one event."""

    step: int
    tag: str
    value: float


def is_events(data: bytes) -> bool:
    """Whether a file begins with the length of a record and the checksum of that length."""
    if len(data) < _HEADER.size:
        return False
    length, check = _HEADER.unpack_from(data)
    return 0 < length < 1 << 32 and bool(check == _masked_crc(data[:8]))


def read_events(data: bytes, name: str) -> Table:
    """The scalars of an event file, one record a step.

    Raises:
        InputError: it holds none.
    """
    reader = EventReader()
    reader.feed(data)
    if not reader.rows:
        raise InputError(f"{name} holds no scalars yet")
    notes = [_note("its")] if reader.unfinished else []
    return Table(name, columns_of(reader.rows), reader.rows, notes)


class EventReader:
    """Reads an event file piece by piece, as it is written.

    Attributes:
        rows: one record for each step in a row.
        position: how many bytes it has taken.
    """

    def __init__(self) -> None:
        self.rows: list[Record] = []
        self.position = 0
        self._rest = b""

    @property
    def unfinished(self) -> bool:
        """Whether the end of the last event is missing."""
        return bool(self._rest)

    def feed(self, data: bytes) -> None:
        """Takes more of the file."""
        self.position += len(data)
        data = self._rest + data
        taken = 0
        cells = self.rows[-1].cells if self.rows else {}
        for event, end in _events(data):
            taken = end
            for scalar in _scalars(event):
                if cells.get(_STEPS_COLUMN) != scalar.step or scalar.tag in cells:
                    cells = {_STEPS_COLUMN: float(scalar.step)}
                    self.rows.append(Record(len(self.rows) + 1, cells))
                cells[scalar.tag] = scalar.value
        self._rest = data[taken:]


class EventFolder:
    """The scalars of all event files below a folder, each read from where it had been read.

    Files of one folder follow each other, as a resumed run writes them. Where several folders hold
    some, such as `train` and `validation`, their names go before the tags.
    """

    def __init__(self) -> None:
        self._readers: dict[tuple[Path, int], EventReader] = {}

    def read(self, folder: Path) -> Table | None:
        """The scalars that the files hold by now; None where there are none."""
        before, self._readers = self._readers, {}
        for path in sorted(path for path in folder.rglob(PATTERN) if path.is_file()):
            # A file that takes the place of another is read from its start.
            key = path, path.stat().st_ino
            reader = _read_on(path, before.get(key))
            if reader is not None:
                self._readers[key] = reader
        several = len({path.parent for path, _ in self._readers}) > 1
        rows: list[Record] = []
        notes: list[str] = []
        for (path, _), reader in self._readers.items():
            home = path.parent.relative_to(folder).as_posix()
            prefix = f"{home}/" if several and home != "." else ""
            rows += _of_folder(reader.rows, prefix, len(rows))
            if reader.unfinished:
                notes.append(_note(f"{path.name}: its"))
        return Table(str(folder), columns_of(rows), rows, notes) if rows else None


def _read_on(path: Path, reader: EventReader | None) -> EventReader | None:
    """Reads what is new in a file; None where it is no event file."""
    if reader is not None and path.stat().st_size >= reader.position:
        with path.open("rb") as file:
            file.seek(reader.position)
            reader.feed(file.read())
        return reader
    data = read_bytes(path)
    if not is_events(data):
        return None
    reader = EventReader()
    reader.feed(data)
    return reader


def _of_folder(rows: list[Record], prefix: str, before: int) -> list[Record]:
    """The records of one file among those of others."""
    if not prefix:
        return [Record(before + row.line, row.cells) for row in rows] if before else list(rows)
    return [
        Record(
            before + row.line,
            {
                name if name == _STEPS_COLUMN else prefix + name: cell
                for name, cell in row.cells.items()
            },
        )
        for row in rows
    ]


def _note(whose: str) -> str:
    return f"{whose} last event is incomplete, still being written, and was skipped"


def _events(data: bytes) -> Iterator[tuple[memoryview, int]]:
    view = memoryview(data)
    position = 0
    while position + _HEADER.size <= len(data):
        length, check = _HEADER.unpack_from(data, position)
        start = position + _HEADER.size
        end = start + length + _FOOTER
        # A length that is not what was written leads nowhere.
        if end > len(data) or check != _masked_crc(data[position : position + 8]):
            return
        yield view[start : end - _FOOTER], end
        position = end


def _scalars(event: memoryview) -> Iterator[Scalar]:
    step, summaries = 0, []
    try:
        for number, value in _fields(event):
            if number == _STEP and isinstance(value, int):
                step = value - (1 << 64) if value >> 63 else value
            elif number == _SUMMARY and isinstance(value, memoryview):
                summaries.append(value)
        for summary in summaries:
            for number, value in _fields(summary):
                if number == _VALUE and isinstance(value, memoryview):
                    tag, scalar = _value(value)
                    if tag and scalar is not None:
                        yield Scalar(step, tag, scalar)
    except (IndexError, ValueError, struct.error):
        # An event of another make, or damaged: nothing of it is a scalar.
        return


def _value(message: memoryview) -> tuple[str, float | None]:
    tag, scalar = "", None
    for number, value in _fields(message):
        if isinstance(value, memoryview):
            if number == _TAG:
                tag = bytes(value).decode(errors="replace")
            elif number == _SIMPLE_VALUE and len(value) == 4:
                scalar = float(struct.unpack("<f", value)[0])
            elif number == _TENSOR:
                scalar = _scalar_of_tensor(value)
    return tag, scalar


def _scalar_of_tensor(message: memoryview) -> float | None:
    dtype, found = 0, None
    content = memoryview(b"")
    for number, value in _fields(message):
        if number == _DTYPE and isinstance(value, int):
            dtype = value
        elif isinstance(value, memoryview):
            if number == _CONTENT:
                content = value
            elif number == _FLOATS and len(value) == 4:
                found = float(struct.unpack("<f", value)[0])
            elif number == _DOUBLES and len(value) == 8:
                found = float(struct.unpack("<d", value)[0])
            elif number in (_INTS, _LONGS) and value:
                found = float(_varint(value, 0)[0])
        elif number in (_INTS, _LONGS):
            found = float(value)
    layout = _FORMATS.get(dtype)
    if layout is None:
        return None
    if len(content) == struct.calcsize(layout):
        return float(struct.unpack(layout, content)[0])
    return found


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and content of each field; a varint as a number, anything else as its bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            length, position = _varint(message, position)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"field {number} is of kind {kind}")
        if position + length > len(message):
            raise IndexError
        yield number, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7


def _crc_table() -> tuple[int, ...]:
    table = []
    for index in range(256):
        for _ in range(8):
            index = (index >> 1) ^ (0x82F63B78 if index & 1 else 0)
        table.append(index)
    return tuple(table)


_CRC = _crc_table()


def _masked_crc(data: bytes) -> int:
    """The checksum of the format: CRC-32C, rotated and shifted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 255] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF
