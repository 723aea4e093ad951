"""The known learning rate of a run: every future step has one, and it shapes what is to come.

A gradient step moves the weights in proportion to the learning rate, so a curve goes on while the
rate is high and settles as it anneals. A model that was trained with schedules is told two numbers
for every step: the rate relative to the peak of the run, and the share of the summed rate that is
spent by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Array, read_vector, shortened

NamedSchedule = Literal["constant", "linear", "cosine"]
"""Constant, or falling from the start to zero at the horizon."""
Schedule = NamedSchedule | Callable[[float], float] | tuple[ArrayLike, ArrayLike]

_CELLS = 512


@dataclass(frozen=True)
class LearningRates:
    """A schedule tabulated over a run.

    Args:
        horizon: last step of the run.
        rates: (cells,) rate in the middle of each of the equal cells of (0, horizon], peak 1.
        spent: (cells + 1,) share of the summed rate spent by each edge of the cells.
    """

    horizon: float
    rates: Array
    spent: Array

    def at(self, steps: Array) -> NDArray[np.float32]:
        """Relative rate and share of the summed rate at steps (n,): (n, 2)."""
        cells = len(self.rates)
        place = np.asarray(steps, dtype=np.float64) / self.horizon * cells
        rate = np.interp(place, np.arange(cells) + 0.5, self.rates)
        spent = np.interp(place, np.arange(cells + 1), self.spent)
        return np.stack([rate, spent], -1).astype(np.float32)


def read_schedule(schedule: Any, horizon: float) -> LearningRates | None:
    """Checks a schedule and tabulates it.

    Args:
        schedule: None; a name; a callable of the step, asked at steps within (0, horizon); or a
            pair (steps, rates), linear in between, whose steps reach the horizon.
        horizon: last step of the run.

    Raises:
        InputError: naming the value and the rule.
    """
    if schedule is None:
        return None
    middles = (np.arange(_CELLS) + 0.5) / _CELLS * horizon
    if isinstance(schedule, str):
        rates = _named(schedule)(middles / horizon)
    elif callable(schedule):
        rates = np.array([_rate(_asked(schedule, float(step)), float(step)) for step in middles])
    else:
        rates = np.interp(middles, *_pair(schedule, horizon))
    peak = float(rates.max())
    if not peak > 0:
        raise InputError("schedule is zero at every step, but some rate must be positive")
    rates = rates / peak
    spent = np.concatenate([[0.0], np.cumsum(rates)])
    return LearningRates(horizon, rates, spent / spent[-1])


def read_rates(rates: ArrayLike | None, count: int) -> Array | None:
    """Checks learning rates at the records of a log.

    Args:
        rates: (count,) in any unit, NaN where unknown; None where none is known.
        count: how many records there are.

    Raises:
        InputError: naming the value and the rule.
    """
    if rates is None:
        return None
    told = read_vector("rates", rates)
    if len(told) != count:
        raise InputError(
            f"rates has {len(told)} entries, but must have one for each of {count} values"
        )
    wrong = np.flatnonzero(np.isinf(told) | (told < 0))
    if len(wrong):
        raise InputError(
            f"rates[{wrong[0]}] is {told[wrong[0]]:g}, but must be finite and not negative, or NaN "
            "where unknown"
        )
    return told


def check_told(argument: str, given: Any, told: bool, name: str) -> None:
    """Checks that a model which is told learning rates was trained with them.

    Args:
        argument: what they are called.
        given: None where nothing is given.
        told: whether the model was trained with them.
        name: of the model.

    Raises:
        InputError: it was not.
    """
    if given is not None and not told:
        raise InputError(
            f"{argument} is given, but model {name!r} was trained without learning rates; "
            "leave it None"
        )


def check_schedule(schedule: Any, card: Mapping[str, Any], horizon: float | None) -> None:
    """Checks a schedule as far as that is possible before a run is there.

    Args:
        schedule: as for `read_schedule`.
        card: of the model that is to be told it.
        horizon: how many steps a full run has, counted from 0 or 1; None where unknown.

    Raises:
        InputError: the schedule breaks a rule, or the model was trained without learning rates.
    """
    if schedule is None:
        return
    check_told("schedule", schedule, card["network"].get("schedule", False), card["name"])
    if isinstance(schedule, str):
        _named(schedule)
    elif not callable(schedule):
        # Where steps start at 0, the last is one less.
        _pair(schedule, -math.inf if horizon is None else horizon - 1)


def shifted(schedule: Schedule | None, by: float) -> Schedule | None:
    """The same schedule for steps that are `by` larger, as of runs counted from 0 instead of 1.

    A callable is not asked below step 0.
    """
    if schedule is None or isinstance(schedule, str) or by == 0:
        return schedule
    if callable(schedule):
        return lambda step: schedule(max(step - by, 0.0))
    steps, rates = schedule
    return np.asarray(steps, dtype=np.float64) + by, rates


_NAMED: dict[str, Callable[[Array], Array]] = {
    "constant": np.ones_like,
    "linear": lambda share: 1 - share,
    "cosine": lambda share: (1 + np.cos(math.pi * share)) / 2,
}


def _named(name: str) -> Callable[[Array], Array]:
    if name not in _NAMED:
        raise _no_schedule(name)
    return _NAMED[name]


def _no_schedule(schedule: Any) -> InputError:
    names = ", ".join(repr(name) for name in _NAMED)
    return InputError(
        f"schedule is {shortened(schedule)}, but must be None, {names}, a callable of the step or "
        "a pair (steps, rates)"
    )


def _asked(schedule: Callable[[float], Any], step: float) -> Any:
    try:
        return schedule(step)
    except (TypeError, LookupError) as error:
        raise InputError(
            f"schedule raises {error!r} at step {step:g}, but must give a rate at every step of "
            "the run, fractions of one among them"
        ) from error


def _rate(rate: Any, step: float) -> float:
    try:
        number = float(rate)
    except (TypeError, ValueError):
        raise InputError(
            f"schedule gives {rate!r} at step {step:g}, but must give a number"
        ) from None
    if not (math.isfinite(number) and number >= 0):
        raise InputError(
            f"schedule gives {number:g} at step {step:g}, but rates must be finite and not negative"
        )
    return number


def _pair(schedule: Any, horizon: float) -> tuple[Array, Array]:
    try:
        steps, rates = (np.asarray(part, dtype=np.float64) for part in schedule)
    except (TypeError, ValueError):
        raise _no_schedule(schedule) from None
    if steps.ndim != 1 or steps.shape != rates.shape or not len(steps):
        raise InputError(
            f"schedule has steps of shape {steps.shape} and rates of shape {rates.shape}, but "
            "needs one rate for each step, and at least one"
        )
    for step, rate in zip(steps, rates, strict=True):
        if not math.isfinite(step):
            raise InputError(f"schedule has the step {step:g}, but steps must be finite")
        _rate(rate, float(step))
    falls = np.flatnonzero(np.diff(steps) <= 0)
    if len(falls):
        later, earlier = steps[falls[0] + 1], steps[falls[0]]
        raise InputError(
            f"schedule has step {later:g} after {earlier:g}, but steps must strictly increase"
        )
    if steps[-1] < horizon:
        raise InputError(
            f"schedule ends at step {steps[-1]:g}, but must reach the end of the run, {horizon:g}"
        )
    return steps, rates
