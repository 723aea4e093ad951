"""What scheduler and stopper share: how a search hears of Tune's trials, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.utils import flatten_dict

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Goal, read_number
from lcpfn.integrations.ray.results import read_record
from lcpfn.logs.name_bounds import settings_by_name
from lcpfn.search.search import Search
from lcpfn.search.settings import check_taken
from lcpfn.search.verdict import Verdict

MaxT = float | str | Callable[[Mapping[str, Any]], float] | None

PREFIX = "lcpfn/"
ACTION = f"{PREFIX}action"
UNJUDGED = Verdict("continue", "the search was not asked")
_GOALS: dict[str, Goal] = {"max": "maximize", "min": "minimize"}
_TAKEN = {"goal": "it is called mode", "horizon": "it is called max_t"}


class Door:
    """The arguments that scheduler and stopper share, checked, and what follows from them.

    Args:
        max_t, time_attr: see `LCPFNScheduler`.
        settings: those of `lcpfn.Search`.

    Raises:
        InputError: an argument breaks its rule.
        WeightsError: there is no such model.
    """

    def __init__(self, max_t: MaxT, time_attr: str, settings: Mapping[str, Any]) -> None:
        check_name("time_attr", time_attr)
        check_taken(settings, _TAKEN)
        self.max_t = max_t
        self.time_attr = time_attr
        self._settings = settings
        # A wrong setting is told now, not at the first result.
        self.search("max")

    def search(self, mode: str, metric: str | None = None) -> Search:
        """A new search, without trials."""
        goal = read_mode(mode)
        settings = settings_by_name(self._settings, metric, goal)
        return Search(goal, self.max_t, calls_horizon="max_t", **settings)

    def begin(self, search: Search, trial_id: str, config: Mapping[str, Any]) -> None:
        """Tells a search of a trial, or that it goes on after all."""
        own = (
            read_number("what max_t returns", self.max_t(config)) if callable(self.max_t) else None
        )
        search.describe(trial_id, flatten_dict(dict(config)), own)

    def hear(
        self, search: Search, trial_id: str, result: Mapping[str, Any], metric: str | None
    ) -> bool:
        """Tells a search of a flat result; whether there was a record in it."""
        record = read_record(result, self.time_attr, metric or "")
        if record is not None:
            search.observe(trial_id, *record)
        return record is not None


def as_result(verdict: Verdict, finished: bool = False) -> dict[str, Any]:
    """What is added to a trial's result; NaN where unknown."""
    known = verdict.record(unknown=math.nan)
    if finished:
        known["action"] = "finish"
    return {f"{PREFIX}{key}": value for key, value in known.items()}


def check_name(name: str, value: Any) -> None:
    """Checks the key of a result."""
    if not isinstance(value, str) or not value:
        raise InputError(f"{name} is {value!r}, but must be the name of a reported value")


def read_mode(mode: Any) -> Goal:
    """The goal that Tune's mode stands for."""
    if not isinstance(mode, str) or mode not in _GOALS:
        raise InputError(f"mode is {mode!r}, but must be 'min' or 'max'")
    return _GOALS[mode]
