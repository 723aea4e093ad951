"""A run whose log is several files, followed as one while they are being written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from lcpfn.errors import InputError
from lcpfn.logs import events, hugging_face, mlflow
from lcpfn.logs.follow import Follower
from lcpfn.logs.names import PHASES
from lcpfn.logs.run import RunLog, runs_in
from lcpfn.logs.table import Record, Table, columns_of

CHECKPOINT = re.compile(r"checkpoint-\d+$")

_STEPS_COLUMN = "step"
Rename = Callable[[str], str]


class FilesFollower:
    """Reads the files of one run again and again while they are being written.

    Each is read from where it had been read; see `lcpfn.logs.follow.Follower`.

    Args:
        folder: of the run.
        find: gives the files in it, in the order in which they were written, and for each what its
            columns are called in the log of the run.
    """

    def __init__(self, folder: Path, find: Callable[[Path], Mapping[Path, Rename]]) -> None:
        self.path = folder
        self._find = find
        self._members: dict[Path, Follower] = {}
        self._tables: list[Table] = []
        self._doubted = False

    @property
    def tables(self) -> list[Table]:
        """What the log held at the last update."""
        return self._tables

    @property
    def problem(self) -> InputError | None:
        """Why nothing could be read, the newest reason."""
        return next((each.problem for each in self._members.values() if each.problem), None)

    @property
    def changed(self) -> float:
        """When the log was last written to, in seconds since 1970; 0 where it was never seen."""
        return max((member.changed for member in self._members.values()), default=0.0)

    def forget(self) -> None:
        """Drops what was read, as of a run that has ended; once it changes it is read again."""
        self._tables = []
        for member in self._members.values():
            member.forget()

    def update(self) -> bool:
        """Reads what is new; returns whether there is anything new."""
        found = self._find(self.path)
        same = found.keys() == self._members.keys()
        self._members = {path: self._members.get(path) or Follower(path) for path in found}
        news = [member.update() for member in self._members.values()]
        if same and not any(news) and not self._doubted:
            return False
        for member, new in zip(self._members.values(), news, strict=True):
            if any(news) and not new and not member.tables:
                # It was forgotten, but its neighbour was not done.
                self._members[member.path] = Follower(member.path)
                self._members[member.path].update()
        tables = self._merged(found)
        if not self._doubted and _records(tables) < _records(self._tables):
            # A newer file may be half-way written.
            self._doubted = True
            return False
        self._doubted = False
        self._tables = tables
        return bool(tables)

    def runs(
        self,
        metric: str | None = None,
        steps_column: str | None = None,
        horizon: float | None = None,
    ) -> list[RunLog]:
        """The runs in the log as it was at the last update; see `Follower.runs`."""
        if not self._tables:
            raise self.problem or InputError(f"{self.path} holds no record yet")
        return runs_in(self._tables, metric, steps_column, horizon)

    def _merged(self, found: Mapping[Path, Rename]) -> list[Table]:
        tables = [
            _renamed(table, found[path])
            for path, member in self._members.items()
            for table in member.tables
        ]
        if len(tables) < 2:
            return tables
        rows = [row for table in tables for row in table.rows]
        notes = [note for table in tables for note in table.notes]
        return [Table(str(self.path), columns_of(rows), rows, notes)]


def follow_events(folder: Path) -> FilesFollower:
    """Follows the event files of TensorBoard in a folder and in its `train`, `validation`, ..."""
    return FilesFollower(folder, _event_files)


def follow_metrics(folder: Path) -> FilesFollower:
    """Follows the files in `metrics/` of a run of MLflow."""
    return FilesFollower(folder, _metric_files)


def follow_state(folder: Path) -> FilesFollower:
    """Follows the state of a Hugging Face trainer, or that of its newest checkpoint."""
    return FilesFollower(folder, _state_files)


def _event_files(folder: Path) -> Mapping[Path, Rename]:
    homes = [folder, *(folder / name for name in sorted(_names(folder)) if name.lower() in PHASES)]
    files = [path for home in homes for path in sorted(home.glob(events.PATTERN))]
    several = len({path.parent for path in files}) > 1
    return {
        path: partial(_prefixed, f"{path.parent.name}/")
        if several and path.parent != folder
        else _as_it_is
        for path in files
    }


def _metric_files(folder: Path) -> Mapping[Path, Rename]:
    inner = folder / mlflow.FOLDER
    files = sorted(path for path in inner.rglob("*") if path.is_file())
    return {
        path: partial(_called, path.relative_to(inner).as_posix())
        for path in files
        if not path.name.startswith(".")
    }


def _state_files(folder: Path) -> Mapping[Path, Rename]:
    newest = hugging_face.newest_state(folder)
    return {} if newest is None else {newest: _as_it_is}


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _as_it_is(column: str) -> str:
    return column


def _prefixed(prefix: str, column: str) -> str:
    return column if column == _STEPS_COLUMN else prefix + column


def _called(name: str, column: str) -> str:
    return column if column == _STEPS_COLUMN else name


def _renamed(table: Table, name: Rename) -> Table:
    if name is _as_it_is:
        return table
    rows = [
        Record(row.line, {name(column): cell for column, cell in row.cells.items()})
        for row in table.rows
    ]
    return Table(table.name, [name(column) for column in table.columns], rows, table.notes)


def _records(tables: list[Table]) -> int:
    return sum(len(table.rows) for table in tables)
