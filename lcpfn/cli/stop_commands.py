"""Commands that are run once for each run that is to be stopped.

The only thing that does not stand in the logs is for which runs the command has been run already.
That is kept in `.lcpfn-watch.json` beside what is watched, and only where there is a command.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lcpfn.atomic import write_atomically
from lcpfn.errors import InputError

if TYPE_CHECKING:
    from lcpfn.watching import WatchedRun

STATE_FILE = ".lcpfn-watch.json"

_PLACE = "{run}"
# Quotes and what they hold, and characters that a backslash protects.
_QUOTED = re.compile(r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_SHOWN = 200


@dataclass(frozen=True)
class _Started:
    run: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]


class StopCommands:
    """Runs a command once for each run that is to be stopped, and remembers for which.

    A run is known by its path and its first record: another one that is logged to the same path is
    another run. What was begun is written down before it begins, so that nothing is ever run twice.

    Args:
        command: for the shell, with `{run}` where the path of the run goes, quoted as it must be.
        state: file that says for which runs the command was run.

    Raises:
        InputError: the command has no `{run}`, or has it within quotes; or the file is broken.
    """

    def __init__(self, command: str, state: Path) -> None:
        if _PLACE not in command:
            raise InputError(f"--on-stop is {command!r}, but must have {_PLACE} in it")
        if command.count(_PLACE) != _QUOTED.sub("", command).count(_PLACE):
            raise InputError(
                f"--on-stop is {command!r}, but {_PLACE} must not stand within quotes, as it is "
                f"quoted for you; a script of its own takes it as an argument: "
                f"sh -c 'kill $(cat \"$1/pid\")' sh {_PLACE}"
            )
        self._command, self._state = command, state
        self._told = self._read()
        self._started: list[_Started] = []

    def done(self, run: WatchedRun) -> bool:
        """Whether the command was run for a run."""
        return self._told.get(self._key(run)) == _first(run)

    def start(self, run: WatchedRun) -> None:
        """Begins the command for a run, unless it was run before."""
        if self.done(run):
            return
        # Another process may have written to it.
        self._told = {**self._read(), self._key(run): _first(run)}
        write_atomically(self._state, json.dumps(self._told, indent=1).encode())
        name = run.run or _argument(run.path)
        output = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(
            self._filled(name),
            shell=os.name == "posix",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is meant for the view.
            start_new_session=True,
        )
        self._started.append(_Started(run.name, process, output))

    def ended(self, wait: bool = False) -> list[str]:
        """What came of the commands that have ended since the last call, a sentence each.

        Args:
            wait: for those that are under way.
        """
        told: list[str] = []
        for started in list(self._started):
            code = started.process.wait() if wait else started.process.poll()
            if code is None:
                continue
            self._started.remove(started)
            with started.output as output:
                output.seek(0)
                words = " ".join(output.read().decode(errors="replace").split())
            outcome = "done" if code == 0 else f"failed with exit code {code}"
            told.append(
                f"--on-stop for {started.run}: {outcome}{': ' if words else ''}{words[:_SHOWN]}"
            )
        return told

    def _key(self, run: WatchedRun) -> str:
        # Of a folder that is moved, all stays true.
        path = os.path.relpath(run.path, self._state.parent)
        return path if run.run is None else f"{path} - {run.run}"

    def _filled(self, name: str) -> str | list[str]:
        if os.name == "posix":
            return self._command.replace(_PLACE, shlex.quote(name))
        # Other shells quote in other ways: there is none.
        return [word.replace(_PLACE, name) for word in shlex.split(self._command)]

    def _read(self) -> dict[str, Any]:
        try:
            told = json.loads(self._state.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(f"{self._state} cannot be read: {error}") from None
        if not isinstance(told, dict):
            raise InputError(
                f"{self._state} is no record of stopped runs: delete it, or name --state"
            )
        return told


def _first(run: WatchedRun) -> str:
    """A run's first record in words, as NaN differs from itself."""
    step, value = run.first
    return f"{step!r}: {value!r}"


def _argument(path: Path) -> str:
    """A path that no command takes for an option."""
    text = str(path)
    return f"./{text}" if text.startswith("-") else text
