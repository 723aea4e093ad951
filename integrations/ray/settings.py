"""The arguments that scheduler and stopper share, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Goal, read_count
from lcpfn.forecast.bounds import BoundsLike, read_bounds
from lcpfn.forecast.schedule import Schedule, check_schedule
from lcpfn.stopping import StoppingRule
from lcpfn.weights import read_card

Missing = Literal["stop", "missing"]
_GOALS: dict[str, Goal] = {"max": "maximize", "min": "minimize"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decisions go by; see `LCPFNScheduler` for the meaning.

    Raises:
        InputError: an argument breaks its rule.
        WeightsError: there is no such model.
    """

    max_t: float
    time_attr: str
    model: str | Path | None
    threshold: float
    min_steps: int | None
    patience: int
    min_delta: float
    keep_top: int
    warmup_trials: int
    peers: int
    bounds: BoundsLike
    schedule: Schedule | None
    nan: Missing

    def __post_init__(self) -> None:
        _check_length(self.max_t)
        check_name("time_attr", self.time_attr)
        read_count("warmup_trials", self.warmup_trials)
        read_count("peers", self.peers, least=0)
        if self.nan not in get_args(Missing):
            raise InputError(f"nan is {self.nan!r}, but must be 'stop' or 'missing'")
        if not (isinstance(self.bounds, str) and self.bounds == "auto"):
            object.__setattr__(self, "bounds", read_bounds(self.bounds))
        # A wrong rule or name is told now, not at the first forecast.
        _ = self.rule
        check_schedule(self.schedule, read_card(self.model), self.max_t)

    @property
    def rule(self) -> StoppingRule:
        """The stopping rule."""
        return StoppingRule(
            self.threshold, self.min_steps, self.patience, self.min_delta, self.keep_top
        )


def check_name(name: str, value: Any) -> None:
    """Checks the key of a result."""
    if not isinstance(value, str) or not value:
        raise InputError(f"{name} is {value!r}, but must be the name of a reported value")


def read_mode(mode: Any) -> Goal:
    """The goal that Tune's mode stands for."""
    if not isinstance(mode, str) or mode not in _GOALS:
        raise InputError(f"mode is {mode!r}, but must be 'min' or 'max'")
    return _GOALS[mode]


def _check_length(max_t: Any) -> None:
    try:
        length = math.nan if isinstance(max_t, bool | str) else float(max_t)
    except (TypeError, ValueError):
        length = math.nan
    if not (length > 0 and math.isfinite(length)):
        raise InputError(f"max_t is {max_t!r}, but must be a positive, finite number")
