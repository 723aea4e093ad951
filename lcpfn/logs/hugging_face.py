"""`trainer_state.json` of the Hugging Face trainer: its records lie in `log_history`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lcpfn.logs.run_length import stated_totals
from lcpfn.logs.table import flattened

STATE_FILE = "trainer_state.json"

_RECORDS = "log_history"


def is_trainer_state(document: Any) -> bool:
    """Whether a JSON document is such a state."""
    return isinstance(document, dict) and isinstance(document.get(_RECORDS), list)


def records_of(state: Mapping[str, Any]) -> tuple[list[Any], dict[str, float]]:
    """The records of a state, and the lengths of the run that it states, by kind of step."""
    settings = {key: value for key, value in state.items() if key != _RECORDS}
    return state[_RECORDS], dict(stated_totals(dict(flattened(settings))))


def newest_state(folder: Path) -> Path | None:
    """The state in a folder of the trainer: its own, or that of the newest checkpoint."""
    own = folder / STATE_FILE
    if own.is_file():
        return own
    states = [path for path in folder.glob(f"checkpoint-*/{STATE_FILE}") if path.is_file()]
    return max(states, key=_step_of, default=None)


def _step_of(state: Path) -> int:
    number = state.parent.name.rsplit("-", 1)[-1]
    return int(number) if number.isdigit() else -1
