"""Early stopping of one run in a training loop of one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import read_number
from lcpfn.forecast.direction import doubt_goal
from lcpfn.search.lengths import read_length
from lcpfn.search.search import Search
from lcpfn.search.verdict import Verdict

if TYPE_CHECKING:
    from lcpfn.forecast.model import LCPFN

_RUN = "run"
_TO_BEAT = "to beat"


class EarlyStopping:
    """Says after every record of a run whether the rest of it is still worth its compute.

    A run is stopped where its final value will hardly beat `best`, or will hardly reach `target`;
    where neither is given, only where it diverges. By a forecast it is never stopped before the
    least evidence of the rule: four records, or `min_steps`.

    >>> import lcpfn
    >>> stopping = lcpfn.EarlyStopping(horizon=50, goal="maximize", best=0.93)
    >>> for epoch in range(1, 51):
    ...     accuracy = 0.6 - 0.4 * 0.7**epoch
    ...     decision = stopping.update(epoch, accuracy)
    ...     if decision:
    ...         break
    >>> decision.stop, epoch < 20
    (True, True)

    Steps may count from 0 or from 1, and skip. A record at a step that was there before means that
    the run went back to a checkpoint: it replaces what was reported from that step on.

    Args:
        horizon: how many steps the full run has, in the unit of the steps.
        goal: "maximize" or "minimize".
        best: the final value that the run must beat, such as that of the best run so far; None
            where there is none yet. Infinite: worse than any, or better than any.
        target: the final value that is good enough and must be reached; None where there is none.
        model: bundled name or path, as for `lcpfn.load`, or a model; None is the default model.
        settings: by keywords, see `lcpfn.SearchSettings` and `lcpfn.StoppingRule`: `threshold`,
            `min_steps`, `patience`, `min_delta`, `of`, `bounds`, `schedule`, `nan`, ...

    Raises:
        InputError: an argument breaks its rule.
        TypeError: there is no such setting.
        WeightsError: there is no such model.
    """

    def __init__(
        self,
        horizon: float,
        goal: str = "maximize",
        *,
        best: float | None = None,
        target: float | None = None,
        model: str | Path | LCPFN | None = None,
        **settings: Any,
    ) -> None:
        self._horizon = read_length("horizon", horizon)
        self._model, self._settings = model, settings
        self._search = Search(goal, self._horizon, model=model, **settings)
        self.goal = self._search.goal
        self.best, self.target = _value("best", best), _value("target", target)
        self._doubted = False
        self._begin()

    def update(self, step: float, value: float, rate: float | None = None) -> Verdict:
        """Adds a record, and says what should happen to the run.

        Args:
            step: of the record, at least 0.
            value: of the metric; NaN or infinite where the run diverged.
            rate: learning rate at the record, in any unit, which makes forecasts sharper; None
                where unknown.

        Returns:
            A verdict that is true where the run should be stopped; its `reason` says why or why
            not, and `prob_better`, `low`, `median` and `high` what is expected of the run's end.

        Raises:
            InputError: the step is negative or not finite, the rate negative, or one no number.
        """
        self._search.observe(_RUN, step, value, rate)
        verdict = self._search.judge(_RUN)
        if verdict.action == "stop" and self.goal == "maximize" and not self._doubted:
            values = np.array([value for _, value in self._search.runs[_RUN].usable])
            self._doubted = doubt_goal(values, stacklevel=2)
        return verdict

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint of the run must hold: its goal, and its records as lists of numbers.

        Where learning rates are known, they are in it as well, None where one is not.
        """
        run = self._search.runs.get(_RUN)
        steps, values, rates = ([], [], {}) if run is None else (run.steps, run.values, run.rates)
        state = {"goal": self.goal, "steps": list(steps), "values": list(values)}
        return {**state, "rates": [rates.get(step) for step in steps]} if rates else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint; arguments of the constructor stay as they are now.

        Args:
            state: what `state_dict` returned.

        Raises:
            InputError: it is no such state, or of a run with another goal.
        """
        if not isinstance(state, Mapping):
            raise InputError(f"the state is {state!r}, but must be what state_dict returned")
        missing = {"goal", "steps", "values"} - state.keys()
        if missing:
            raise InputError(
                f"the state has no {min(missing)!r}, but must be what state_dict returned"
            )
        if state["goal"] != self.goal:
            raise InputError(f"the state's goal is {state['goal']!r}, but that here is {self.goal}")
        steps, values = list(state["steps"]), list(state["values"])
        if len(steps) != len(values):
            raise InputError(f"the state has {len(steps)} steps, but {len(values)} values")
        restored = [
            (read_number("step", step), read_number("value", value))
            for step, value in zip(steps, values, strict=True)
        ]
        self._search = Search(self.goal, self._horizon, model=self._model, **self._settings)
        self._begin()
        if restored:
            told = zip(steps, state.get("rates", ()), strict=False)
            rates = {step: rate for step, rate in told if rate is not None}
            self._search.set_records(_RUN, restored, rates)

    def _begin(self) -> None:
        """Tells the search what the run must beat."""
        stated = [value for value in (self.best, self.target) if value is not None]
        if stated:
            harder = max(stated) if self.goal == "maximize" else min(stated)
            self._search.end(_TO_BEAT, "finished", value=harder)


def _value(name: str, value: float | None) -> float | None:
    """Checks a value to beat."""
    if value is None:
        return None
    number = read_number(name, value)
    if math.isnan(number):
        raise InputError(f"{name} is nan, but must be a number, or None where there is none")
    return number
