"""`trainer_state.json` of the Hugging Face trainer: its records lie in `log_history`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lcpfn.logs.cells import to_cell, to_number
from lcpfn.logs.run_length import EPOCH, STEP, stated_totals
from lcpfn.logs.table import flattened

STATE_FILE = "trainer_state.json"

_RECORDS = "log_history"
# Older trainers round the epoch to two decimals.
_ROUNDED = 0.005
_EXACTLY = 0.001


def is_trainer_state(document: Any) -> bool:
    """Whether a JSON document is such a state."""
    return isinstance(document, dict) and isinstance(document.get(_RECORDS), list)


def records_of(state: Mapping[str, Any]) -> tuple[list[Any], dict[str, float]]:
    """The records of a state, and the lengths of the run that it states, by kind of step."""
    settings = {key: value for key, value in state.items() if key != _RECORDS}
    totals = dict(stated_totals(dict(flattened(settings))))
    if EPOCH in totals and not _comes_to(state, totals):
        del totals[EPOCH]
    return state[_RECORDS], totals


def _comes_to(state: Mapping[str, Any], totals: Mapping[str, float]) -> bool:
    """Whether the run will come to the number of epochs that its state says.

    Where a person limits the steps, the trainer rounds up the epochs that they make, be they half
    an epoch or the endless ones of a stream.
    """
    epoch, step = (to_number(to_cell(state.get(key))) for key in (EPOCH, "global_step"))
    if epoch is None or not step or STEP not in totals:
        return True
    ahead = totals[STEP] / step
    return abs(totals[EPOCH] - epoch * ahead) <= _ROUNDED * ahead + _EXACTLY * totals[EPOCH]


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
