"""A log that is being written: what is new in it is read, and nothing that was in it is lost.

A file that has grown is read from where it had been read. One that was written anew, truncated or
replaced is read again as a whole, and until that gives as many records as before, or stays as it
is, the records before still count: it may be half-way written. A file that was rotated is read to
its end under its new name, and goes on in the new file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from lcpfn.errors import InputError
from lcpfn.logs.content import refuse_pickles
from lcpfn.logs.events import EventFolder
from lcpfn.logs.formats import parse, read_tables, runs_in_table
from lcpfn.logs.run import RunLog, runs_in
from lcpfn.logs.table import Table
from lcpfn.logs.tails import StartAgainError, Tail, tail_of

# Below this many bytes a log is read as a whole: it may not show yet which format it has.
_SETTLED = 8192
# How much before the place to go on at must be as it was.
_FINGERPRINT = 256
# How often a log that is being rotated is read anew before what there is counts.
_ATTEMPTS = 5
_ROTATED = re.compile(r"\.(\d+|\d{4}-\d\d-\d\d[\w-]*)$")


@dataclass(frozen=True)
class _State:
    """What a file was like when it was last looked at."""

    device: int
    inode: int
    size: int
    changed: int

    @property
    def identity(self) -> tuple[int, int]:
        return self.device, self.inode


class Follower:
    """Reads one log again and again while it is being written.

    Args:
        source: path of a file or of a folder that a trainer writes. It need not exist yet.
    """

    def __init__(self, source: str | os.PathLike[str]) -> None:
        self.path = Path(source)
        self._tables: list[Table] = []
        self._problem: InputError | None = None
        self._tail: Tail | None = None
        self._state: _State | None = None
        self._folder: tuple[tuple[str, _State], ...] | None = None
        self._events = EventFolder()
        # Bytes that the tail has taken of the file as it is now, and the last of them.
        self._read = 0
        self._before = b""
        self._doubted: _State | None = None

    def update(self) -> bool:
        """Reads what is new.

        Returns:
            Whether there is anything new.
        """
        if self.path.is_dir():
            return self._update_folder()
        state = _state_of(self.path)
        if state is None:
            # Between the removal of a file and its return nothing is said.
            return False
        if state == self._state:
            return self._doubted == state and self._accept_what_there_is()
        before, self._state = self._state, state
        try:
            try:
                return self._go_on(before)
            except StartAgainError:
                return self._read_whole()
        except FileNotFoundError:
            self._state = before
            return False
        except OSError as error:
            self._problem = InputError(f"{self.path} cannot be read: {error.strerror}")
            return False

    @property
    def tables(self) -> list[Table]:
        """What the log held at the last update, one table a run."""
        return self._tables

    @property
    def problem(self) -> InputError | None:
        """Why nothing could be read, the newest reason."""
        return self._problem

    @property
    def changed(self) -> float:
        """When the log was last written to, in seconds since 1970; 0 where it was never seen."""
        states = [*(state for _, state in self._folder or ()), self._state]
        return max((state.changed / 1e9 for state in states if state is not None), default=0.0)

    def forget(self) -> None:
        """Drops what was read, as of a run that has ended; once it changes it is read again."""
        self._tables, self._tail, self._before = [], None, b""
        self._events = EventFolder()

    def runs(
        self,
        metric: str | None = None,
        steps_column: str | None = None,
        horizon: float | None = None,
    ) -> list[RunLog]:
        """The runs in the log as it was at the last update; arguments are those of `read_run`.

        Raises:
            InputError: it holds no record yet, or the columns cannot be told.
        """
        if not self._tables:
            raise self._problem or InputError(f"{self.path} does not exist")
        return runs_in(self._tables, metric, steps_column, horizon)

    def _update_folder(self) -> bool:
        found = tuple(
            (str(path), state)
            for path in sorted(self.path.rglob("*"))
            for state in [_state_of(path)]
            if state is not None and path.is_file()
        )
        if found == self._folder:
            return False
        self._folder = found
        try:
            self._tables = read_tables(self.path, self._events)
        except InputError as error:
            self._problem = error
            return False
        return True

    def _go_on(self, before: _State | None) -> bool:
        if self._tail is None or before is None:
            return self._read_whole()
        # What the file is called may become another one's name at any moment, so each is opened
        # once, and then asked which one it is.
        state, data = _opened(self.path, max(0, self._read - len(self._before)))
        self._state = state
        if state.identity == before.identity and state.size >= self._read:
            if data.startswith(self._before):
                return self._take(data[len(self._before) :])
            return self._read_whole()
        if self._rotated(before):
            return self._read_rotated(before, self._tail)
        if state.size >= self._read and data.startswith(self._before) and self._same_beginning():
            # Replaced by a copy that has grown.
            return self._take(data[len(self._before) :])
        return self._read_whole()

    def _read_rotated(self, before: _State, tail: Tail) -> bool:
        """Reads the file that was read before to its end, and all that came after it."""
        state, pieces = self._pieces()
        places = [place for place, (each, _) in enumerate(pieces) if each == before.identity]
        if not places:
            return self._read_whole()
        (_, first), *later = pieces[places[0] :]
        fresh = later.pop()[1] if later else b""
        for data in (first[self._read :], *(data for _, data in later)):
            tail.feed(_ended(data))
        self._state, self._read, self._before = state, 0, b""
        self._take(fresh)
        return True

    def _pieces(self) -> tuple[_State, list[tuple[tuple[int, int], bytes]]]:
        """What the file was rotated to and the file itself, the oldest first, as at one moment."""
        opened: list[tuple[_State, bytes]] = []
        for _ in range(_ATTEMPTS):
            try:
                opened = [_opened(path, 0) for path in (*self._siblings(), self.path)]
            except FileNotFoundError:
                continue
            now = [_state_of(path) for path in (*self._siblings(), self.path)]
            if [each.identity for each, _ in opened] == [each and each.identity for each in now]:
                break
        if not opened:
            raise FileNotFoundError(self.path)
        return opened[-1][0], [(state.identity, data) for state, data in opened]

    def _same_beginning(self) -> bool:
        # The place before the end tells files apart unless they repeat themselves.
        return len(self._before) == min(self._read, _FINGERPRINT)

    def _rotated(self, before: _State) -> bool:
        states = (_state_of(path) for path in self._siblings())
        return any(state is not None and state.identity == before.identity for state in states)

    def _siblings(self) -> list[Path]:
        """What the file was rotated to, the oldest first: `run.log.2`, `run.log.1`."""
        found = [
            (match[1], path)
            for path in self.path.parent.glob(f"{_literal(self.path.name)}.*")
            for match in [_ROTATED.search(path.name)]
            if match and path.name[: match.start()] == self.path.name
        ]
        numbered = [each for each in found if each[0].isdigit()]
        dated = [each for each in found if not each[0].isdigit()]
        return [
            *(path for _, path in sorted(numbered, key=lambda each: -int(each[0]))),
            *(path for _, path in sorted(dated)),
        ]

    def _take(self, data: bytes) -> bool:
        """Gives the tail what was appended to the file."""
        if self._tail is None:
            return self._read_whole()
        self._tail.feed(data)
        self._read += len(data)
        self._before = (self._before + data)[-_FINGERPRINT:]
        try:
            self._tables = _tables_of(self._tail.table())
        except InputError as error:
            self._problem = error
            return False
        self._doubted = None
        return bool(data)

    def _read_whole(self) -> bool:
        """Reads all that there is, the files that it was rotated to included."""
        self._tail = None
        try:
            refuse_pickles(self.path)
            self._state, pieces = self._pieces()
            current = pieces.pop()[1]
            data = b"".join(_ended(older) for _, older in pieces) + current
            name = str(self.path)
            table = self._table_by_tail(data, name) if len(data) > _SETTLED else None
            tables = _tables_of(table or parse(data, name, self.path.stem))
        except InputError as error:
            self._problem = error
            self._tail = None
            # Nothing at all may be the moment before a file is written anew.
            self._doubted = self._state
            return False
        self._read, self._before = len(current), current[-_FINGERPRINT:]
        if _records(tables) < _records(self._tables):
            self._doubted = self._state
            return False
        self._doubted = None
        self._tables = tables
        return True

    def _table_by_tail(self, data: bytes, name: str) -> Table | None:
        """What a new tail reads of a log; None where there is none for it."""
        try:
            self._tail = tail_of(data, name, self.path.stem)
            return None if self._tail is None else self._tail.table()
        except StartAgainError:
            self._tail = None
            return None

    def _accept_what_there_is(self) -> bool:
        """A log that has shrunk and stays so is a new one."""
        self._doubted = None
        self._tables = []
        return self._read_whole()


def _tables_of(table: Table) -> list[Table]:
    return runs_in_table(replace(table))


def _records(tables: list[Table]) -> int:
    return sum(len(table.rows) for table in tables)


def _ended(data: bytes) -> bytes:
    return data if not data or data.endswith(b"\n") else data + b"\n"


def _literal(name: str) -> str:
    return re.sub(r"([*?\[\]])", r"[\1]", name)


def _state_of(path: Path) -> _State | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return _State(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _opened(path: Path, position: int) -> tuple[_State, bytes]:
    """Which file it is, and what it holds from a position on."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        file.seek(position)
        data = file.read()
    return _State(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns), data
