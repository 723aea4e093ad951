"""What the callbacks of all trainers share: the run that one of them follows."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcpfn.atomic import write_atomically
from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Goal, read_count
from lcpfn.logs.name_bounds import settings_by_name
from lcpfn.logs.names import goal_of, meaning
from lcpfn.search.early_stopping import EarlyStopping
from lcpfn.search.search import Search
from lcpfn.search.verdict import Verdict

if TYPE_CHECKING:
    from lcpfn.forecast.model import LCPFN

PREFIX = "lcpfn/"
_NUMBERS = ("prob_better", "limit", "to_beat", "low", "median", "high")
_OWN = ("stopped_at", "stop_reason")
_MODES: dict[str, Goal] = {"max": "maximize", "min": "minimize"}
_MOST_LISTED = 12
_RECORDS = 100


class TrainedRun:
    """One run of a trainer, or one after the other, and what was decided about it.

    Decisions are those of `lcpfn.EarlyStopping`; this only knows what trainers tell late: how long
    the run is and which way its metric is better.

    Args:
        best, target, model: as for `lcpfn.EarlyStopping`.
        horizon: how many steps the full run has; None where the trainer will say it.
        settings: by name, as for `lcpfn.EarlyStopping`.

    Raises:
        InputError: an argument breaks its rule.
        TypeError: there is no such setting.
        WeightsError: there is no such model.

    Attributes:
        verdict: the newest decision, None before the first.
        stopped_at: the step after which the run was first to be stopped, None where it was not.
        stop_reason: why, in a sentence for a person.
    """

    def __init__(
        self,
        *,
        best: float | None,
        target: float | None,
        horizon: float | None,
        model: str | Path | LCPFN | None,
        settings: Mapping[str, Any],
    ) -> None:
        self._best, self._target, self._horizon = best, target, horizon
        self._about = {**settings, "model": model}
        # What is wrong with an argument is told now, not after the first hour of training.
        EarlyStopping(1 if horizon is None else horizon, best=best, target=target)
        Search(horizon=horizon, **self._about)
        self._stopping: EarlyStopping | None = None
        self._restored: Mapping[str, Any] | None = None
        self.verdict: Verdict | None = None
        self.stopped_at: float | None = None
        self.stop_reason: str | None = None

    @property
    def states_horizon(self) -> bool:
        """Whether the user has said how long the run is."""
        return self._horizon is not None

    @property
    def stopped(self) -> bool:
        """Whether the run was to be stopped."""
        return self.stopped_at is not None

    def begin(self, metric: str, goal: Goal, horizon: float | None = None, *, afresh: bool) -> None:
        """Says that a training begins, or goes on.

        Args:
            metric: its name.
            goal: which way it is better, "maximize" or "minimize".
            horizon: how many steps the full run has, as the trainer says; what the user has said
                goes before.
            afresh: whether it is a new run; else records of before still count.

        Raises:
            InputError: neither says how long the run is, or what was restored is of another goal.
        """
        state = None if afresh else self._state()
        if self._horizon is not None:
            horizon = self._horizon
        if horizon is None or not 0 < horizon < math.inf:
            raise InputError(
                "the trainer does not say how long a full run is: add horizon=, the number of "
                "its last step"
            )
        # A run that goes on is not stopped, whatever had been said of it.
        self.stopped_at, self.stop_reason = None, None
        self.verdict = None if afresh else self.verdict
        self._restored = None
        about = settings_by_name(self._about, metric, goal)
        self._stopping = EarlyStopping(horizon, goal, best=self._best, target=self._target, **about)
        if state is not None:
            self._stopping.load_state_dict(state)

    def hear(self, step: float, value: float) -> Verdict:
        """Takes a record after so many steps, and says what should happen to the run."""
        if self._stopping is None:
            raise InputError("a record came before the training began")
        verdict = self.verdict = self._stopping.update(step, value)
        if verdict.stop and self.stopped_at is None:
            self.stopped_at, self.stop_reason = step, verdict.reason
        return verdict

    def keep(self) -> None:
        """Says that the run has come to its end: the next one must beat it, where it is better."""
        if self._stopping is None or not self._stopping.state_dict()["values"]:
            return
        better = max if self._stopping.goal == "maximize" else min
        values = [value for value in self._stopping.state_dict()["values"] if math.isfinite(value)]
        worth = values[-1:] if self._about.get("of", "last") == "last" else values
        known = worth if self._best is None else [*worth, self._best]
        self._best = better(known) if known else None

    def numbers(self) -> dict[str, float]:
        """The newest decision for a trainer's logger: `lcpfn/prob_better`, ...; NaN is unknown."""
        verdict = self.verdict or Verdict("continue", "nothing was decided")
        known = verdict.record(unknown=math.nan)
        numbers = {f"{PREFIX}{name}": float(known[name]) for name in _NUMBERS}
        return {**numbers, f"{PREFIX}stop": float(verdict.stop)}

    def farewell(self, unit: str) -> str:
        """Why the run is stopped, after how many units, as a sentence for a log."""
        return f"LCPFNEarlyStopping: stopped after {unit} {self.stopped_at:g}: {self.stop_reason}"

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold: plain numbers and words."""
        own = {name: getattr(self, name) for name in _OWN}
        return {**own, **(self._state() or {})}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state_dict` returned.

        Raises:
            InputError: it is no such state.
        """
        missing = set(_OWN) - state.keys()
        if missing:
            raise InputError(
                f"the state has no {min(missing)!r}, but must be what state_dict returned"
            )
        for name in _OWN:
            setattr(self, name, state[name])
        records = {key: value for key, value in state.items() if key not in _OWN}
        self._stopping, self._restored = None, records or None

    def recall(self, goal: Goal, records: Mapping[float, float]) -> None:
        """Goes on from values by step that the trainer itself has kept."""
        steps = sorted(records)
        values = [records[step] for step in steps]
        state = {"goal": goal, "steps": steps, "values": values}
        self.verdict = None
        self.load_state_dict({**dict.fromkeys(_OWN), **state})

    def _state(self) -> Mapping[str, Any] | None:
        return self._restored if self._stopping is None else self._stopping.state_dict()


class FollowsRun:
    """What every callback says of the run that it follows."""

    _run: TrainedRun

    @property
    def verdict(self) -> Verdict | None:
        """The newest decision."""
        return self._run.verdict

    @property
    def stopped_at(self) -> float | None:
        """The step after which the run was stopped, in the callback's unit."""
        return self._run.stopped_at

    @property
    def stop_reason(self) -> str | None:
        """Why the run was stopped."""
        return self._run.stop_reason


class KeepsRun(FollowsRun):
    """A callback of a trainer whose checkpoints hold nothing of callbacks."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint of one's own must hold."""
        return self._run.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self._run.load_state_dict(state)


class StateFile:
    """A file in which a run is kept, for trainers whose checkpoints hold nothing of callbacks.

    Args:
        path: of the file; None keeps nothing.
    """

    def __init__(self, path: str | Path | None) -> None:
        self._path = None if path is None else Path(path)

    def read(self, run: TrainedRun) -> bool:
        """Restores the run, and says whether there was anything to restore.

        Raises:
            InputError: the file is no such state.
        """
        if self._path is None or not self._path.exists():
            return False
        try:
            state = json.loads(self._path.read_text(encoding="utf-8"))
            if not isinstance(state, dict):
                raise InputError("it is no JSON object")
            run.load_state_dict(state)
        except ValueError as error:
            raise InputError(
                f"state_file is {str(self._path)!r}, which holds no state of a run: {error}; "
                "name another file"
            ) from None
        return True

    def write(self, run: TrainedRun) -> None:
        """Keeps the run."""
        if self._path is not None:
            write_atomically(self._path, json.dumps(run.state_dict()).encode())


def read_mode(mode: str | None, monitor: str) -> Goal:
    """The goal that "min" or "max" stands for; None goes by the metric's name.

    Raises:
        InputError: it is neither, or the name does not say it.
    """
    if mode is None:
        return goal_by_name(monitor, "mode='min' or mode='max'")
    if mode not in _MODES:
        raise InputError(f"mode is {mode!r}, but must be 'min' or 'max'")
    return _MODES[mode]


def goal_by_name(metric: str, otherwise: str) -> Goal:
    """The goal that a metric's name says.

    Args:
        metric: its name.
        otherwise: what to add where the name does not say it.

    Raises:
        InputError: it does not.
    """
    named = goal_of(metric)
    if named is None:
        raise InputError(f"the name {metric!r} does not say which way is better: add {otherwise}")
    return "maximize" if named == "maximize" else "minimize"


def read_every(every: int | None, horizon: float) -> int:
    """How many rounds make a record; None, so many that a full run has about a hundred."""
    return max(1, round(horizon / _RECORDS)) if every is None else read_count("every", every)


def not_reported(argument: str, wanted: str, reported: Iterable[str]) -> InputError:
    """The error that tells of a metric which the trainer does not report."""
    names = sorted(reported)
    same = [name for name in names if meaning(name) == meaning(wanted)]
    close = (same or difflib.get_close_matches(wanted, names, 1))[:1]
    guess = f" (did you mean {close[0]!r}?)" if close else ""
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    known = f"{', '.join(names[:_MOST_LISTED])}{more}" if names else "nothing"
    return InputError(f"{argument} is {wanted!r}{guess}, but the trainer reports {known}")
