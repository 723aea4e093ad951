"""Results of a long experiment in one file, so that a run can be cut off and go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from lcpfn.atomic import write_atomically


class SavedResults:
    """Results by data set, with the settings that they belong to.

    Args:
        path: the file, read where it exists; None keeps nothing.
        settings: of JSON's kinds; tuples count as lists.

    Attributes:
        sets: what is known of each data set; `keep` writes it.

    Raises:
        typer.BadParameter: the file holds results of other settings.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]):
        self._path = path
        self._settings = json.loads(json.dumps(settings))
        self.sets: dict[str, Any] = {}
        if path is not None and path.exists():
            before = json.loads(path.read_text())
            if before["settings"] != self._settings:
                raise typer.BadParameter(
                    f"{path} holds scores of other settings, {before['settings']}; give another"
                )
            self.sets = before["sets"]

    def keep(self) -> None:
        """Writes all that is known."""
        if self._path is not None:
            content = {"settings": self._settings, "sets": self.sets}
            write_atomically(self._path, json.dumps(content).encode())
