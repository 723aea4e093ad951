"""One observed curve, checked: what every forecast starts from.

All rules on input live here, and every message names the value and the rule it breaks.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lcpfn.errors import InputError
from lcpfn.schedule import LearningRates, Schedule, read_schedule

Goal = Literal["maximize", "minimize"]
Bounds = tuple[float | None, float | None]
BoundsLike = Literal["auto"] | Bounds | None
Array = NDArray[np.float64]

_DEFAULT_QUERIES = 200
# A usual spacing far below the distance to go would overflow their ratio.
_MOST_SPACINGS = 1e12
# Beyond this a forecast's own tails could overflow.
_LARGEST = 1e150
# An infinite record counts as one this many ranges beyond all before it.
_DIVERGED = 1000.0
# What the conversion of anything else raises: words, numbers too large, tensors with gradients.
_NOT_NUMBERS = (TypeError, ValueError, OverflowError, RuntimeError)


class Curve(NamedTuple):
    """A checked curve. Missing records are gone; the steps of the rest are kept.

    A tuple, because a backtest makes one for each prefix.

    Args:
        steps: (n,) strictly increasing and positive, in the user's unit.
        values: (n,) finite.
        extremes: lowest and highest of `values`.
        horizon: last step of the full run, at or after the last of `steps`.
        goal: "maximize" or "minimize".
        bounds: what the metric can never pass; None where open. "auto" has been resolved.
        guessed_bounds: whether `bounds` were guessed.
        schedule: the learning rates of the whole run, None where unknown.
        diverged: how many of the newest records were infinite; `values` holds far ones for them.
    """

    steps: Array
    values: Array
    extremes: tuple[float, float]
    horizon: float
    goal: Goal
    bounds: Bounds
    guessed_bounds: bool
    schedule: LearningRates | None = None
    diverged: int = 0

    @property
    def recorded(self) -> Array:
        """(n,) the values as they were logged, infinite where the run had diverged."""
        if not self.diverged:
            return self.values
        logged: Array = self.values.copy()
        logged[-self.diverged :] = -math.inf if self.goal == "maximize" else math.inf
        return logged

    @property
    def finished(self) -> bool:
        """Whether the horizon itself has been observed."""
        return bool(self.steps[-1] >= self.horizon)

    def first(self, records: int) -> Curve:
        """The curve as it was after its first `records`; guessed bounds are guessed again."""
        steps, values = self.steps[:records], self.values[:records]
        extremes = float(values.min()), float(values.max())
        bounds = _guess(*extremes, self.goal) if self.guessed_bounds else self.bounds
        diverged = max(0, self.diverged - (len(self.values) - records))
        shared = (self.horizon, self.goal, bounds, self.guessed_bounds, self.schedule, diverged)
        return Curve(steps, values, extremes, *shared)

    def extended(self, value: float, step: float) -> Curve | None:
        """The curve with one more record, or None where the record breaks a rule.

        For streams, where checking the whole curve again at every record would cost as much as
        the forecast; `read_curve` then finds the words for what is wrong.
        """
        low, high = self.bounds
        within = self.guessed_bounds or (
            (low is None or value >= low) and (high is None or value <= high)
        )
        if self.diverged:
            # It recovered: what it was taken for changes.
            return None
        if not (abs(value) <= _LARGEST and self.steps[-1] < step <= self.horizon and within):
            return None
        lowest, highest = self.extremes
        extremes = min(lowest, value), max(highest, value)
        return Curve(
            np.concatenate((self.steps, (step,))),
            np.concatenate((self.values, (value,))),
            extremes,
            self.horizon,
            self.goal,
            _guess(*extremes, self.goal) if self.guessed_bounds else self.bounds,
            self.guessed_bounds,
            self.schedule,
        )


def read_curve(
    values: ArrayLike,
    steps: ArrayLike | None,
    horizon: float,
    goal: str,
    bounds: BoundsLike,
    schedule: Schedule | LearningRates | None = None,
) -> Curve:
    """Checks user input and drops missing records.

    Args:
        values: (n,) observed metric, NaN where missing; infinite where the run had diverged. A
            record that it recovered from, so that a finite one follows, says nothing and counts
            as missing.
        steps: (n,) strictly increasing positive numbers; None for 1..n.
        horizon: last step of the full run.
        goal: "maximize" or "minimize".
        bounds: (low, high), None for open, or "auto".
        schedule: learning rates over the run, see `read_schedule`, which may have read it already.

    Raises:
        InputError: naming the value and the rule.
    """
    checked_goal = read_goal(goal)
    observed = _vector("values", values)
    if not len(observed):
        raise InputError("values is empty, but at least one observation is needed")
    worst = -math.inf if checked_goal == "maximize" else math.inf
    best = np.flatnonzero(observed == -worst)
    if len(best):
        raise InputError(
            f"values[{best[0]}] is {observed[best[0]]}, but to {checked_goal} only {worst} is "
            "possible, a run that diverged (NaN marks a missing record)"
        )
    huge = np.flatnonzero(np.isfinite(observed) & (np.abs(observed) > _LARGEST))
    if len(huge):
        raise InputError(
            f"values[{huge[0]}] is {observed[huge[0]]:g}, but values must be below {_LARGEST:g} "
            "in size"
        )
    at = _steps(steps, len(observed))
    last = read_horizon(horizon)
    if at[-1] > last:
        raise InputError(f"horizon is {last:g}, but must not lie before the last step, {at[-1]:g}")
    present = ~np.isnan(observed) & ~recovered(observed)
    if not present.any():
        raise InputError(
            f"all {len(observed)} values are NaN, but at least one observation is needed"
        )
    at, observed = at[present], observed[present]
    guessed = isinstance(bounds, str) and bounds == "auto"
    checked = guess_bounds(observed, checked_goal) if guessed else read_bounds(bounds)
    if not guessed:
        _check_inside(observed, at, checked)
    diverged = int(np.isinf(observed).sum())
    observed = _far_instead_of_infinite(observed, diverged)
    rates = schedule if isinstance(schedule, LearningRates) else read_schedule(schedule, last)
    extremes = float(observed.min()), float(observed.max())
    return Curve(at, observed, extremes, last, checked_goal, checked, guessed, rates, diverged)


def recovered(values: Array) -> NDArray[np.bool_]:
    """(n,) which records are infinite and followed by a finite one."""
    finite = np.flatnonzero(np.isfinite(values))
    end = finite[-1] if len(finite) else 0
    return np.isinf(values) & (np.arange(len(values)) < end)


def _far_instead_of_infinite(values: Array, diverged: int) -> Array:
    """Puts far but finite values for the last `diverged`, judged by the records before each."""
    if not diverged:
        return values
    finite: Array = values.copy()
    for index in range(len(values) - diverged, len(values)):
        before = finite[:index]
        size = float(np.ptp(before)) if index else 0.0
        size = size or (abs(float(before[-1])) if index else 0.0) or 1.0
        edge = (before.max() if values[index] > 0 else before.min()) if index else 0.0
        far = edge + math.copysign(_DIVERGED * size, values[index])
        finite[index] = min(max(far, -_LARGEST), _LARGEST)
    return finite


def read_number(name: str, number: Any) -> float:
    """Checks that a single argument is a number; NaN and infinities pass."""
    try:
        return float(number)
    except _NOT_NUMBERS:
        raise InputError(f"{name} is {number!r}, but must be a number") from None


def read_count(name: str, value: Any, least: int = 1) -> int:
    """Checks an integer argument that must not lie below `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise InputError(f"{name} is {value!r}, but must be an integer of at least {least}")
    return number


def read_goal(goal: str) -> Goal:
    """Checks a goal."""
    if goal not in get_args(Goal):
        raise InputError(f"goal is {goal!r}, but must be 'maximize' or 'minimize'")
    return goal  # type: ignore[return-value]


def read_horizon(horizon: float) -> float:
    """Checks a horizon: a positive finite number."""
    try:
        number = float(horizon)
    except _NOT_NUMBERS:
        raise InputError(f"horizon is {horizon!r}, but must be a positive number") from None
    if not (math.isfinite(number) and number > 0):
        raise InputError(f"horizon is {number:g}, but must be positive and finite")
    return number


def read_bounds(bounds: Any) -> Bounds:
    """Checks explicit bounds: None, or a pair (low, high) whose ends may be None."""
    if bounds is None:
        return None, None
    rule = "but must be 'auto', None or a pair (low, high), each end a number or None"
    if isinstance(bounds, str) or not isinstance(bounds, Sequence | np.ndarray):
        raise InputError(f"bounds is {bounds!r}, {rule}")
    if len(bounds) != 2:
        raise InputError(f"bounds is {bounds!r}, {rule}")
    low, high = (_bound(end, rule) for end in bounds)
    if low is not None and high is not None and not low < high:
        raise InputError(f"bounds is ({low:g}, {high:g}), but low must be below high")
    return low, high


def guess_bounds(values: Array, goal: Goal) -> Bounds:
    """What the metric can never pass, judged by its goal and its values so far.

    A metric to maximise within [0, 1] is taken for an accuracy, within [0, 100] for one in
    percent. A metric to minimise that is never negative is taken for a loss above 0. Anything
    else is open. State the bounds where this guess is wrong for your metric.
    """
    return _guess(float(values.min()), float(values.max()), goal)


def _guess(low: float, high: float, goal: Goal) -> Bounds:
    if goal == "minimize":
        return (0.0, None) if low >= 0 else (None, None)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    if low >= 0 and high <= 100:
        return 0.0, 100.0
    return None, None


def bounds_that_hold(
    bounds: BoundsLike,
    values: Sequence[float],
    goal: Goal,
    others: Sequence[float] = (),
) -> BoundsLike:
    """The bounds for a run, of which stated ones may be wrong and guessed ones may be too narrow.

    Args:
        bounds: as stated, or "auto".
        values: of the run.
        goal: "maximize" or "minimize".
        others: values of other runs of its search, or the extremes of these.

    Returns:
        None for stated bounds that the run's values pass. For "auto", what all values suggest
        where the others pass what the run's own would.
    """
    if isinstance(bounds, str):
        own = finite_extremes(values)
        known = finite_extremes((*own, *others))
        if not (own and known):
            return bounds
        guess = _guess(*known, goal)
        return bounds if guess == _guess(*own, goal) else guess
    if bounds is None:
        return None
    low, high = bounds
    inside = (low is None or min(values) >= low) and (high is None or max(values) <= high)
    return bounds if inside else None


def finite_extremes(values: Iterable[float]) -> tuple[float, float] | tuple[()]:
    """The least and the largest of the finite values; empty where there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else ()


def read_query(query: ArrayLike | None, curve: Curve) -> Array:
    """The steps to forecast, (m,), checked against the curve.

    The default runs from the last observed step to the horizon in steps of the curve's own usual
    spacing (1 for a single observation), or in the least multiple of it that needs at most 200.
    """
    last, horizon = curve.steps[-1], curve.horizon
    if query is None:
        return np.array([horizon]) if curve.finished else _default_query(curve)
    asked = _vector("query", np.atleast_1d(np.asarray(query, dtype=object)))
    if not len(asked):
        raise InputError("query is empty, but at least one step is needed")
    for step in asked:
        if not math.isfinite(step):
            raise InputError(f"query holds {step}, but every step must be finite")
        if step > horizon:
            raise InputError(f"query holds {step:g}, but must not pass the horizon, {horizon:g}")
        if step <= last and not (curve.finished and step == horizon):
            raise InputError(
                f"query holds {step:g}, but must come after the last observed step, {last:g}"
            )
    _check_increasing("query", asked)
    return asked


def _default_query(curve: Curve) -> Array:
    last, horizon = float(curve.steps[-1]), curve.horizon
    usual = float(np.median(np.diff(curve.steps))) if len(curve.steps) > 1 else 1.0
    spacing = max(usual, (horizon - last) / _MOST_SPACINGS)
    count = max(1, math.ceil((horizon - last) / spacing - 1e-9))
    stride = math.ceil(count / _DEFAULT_QUERIES)
    steps = last + spacing * stride * np.arange(1, math.ceil(count / stride))
    return np.append(steps, horizon)


def _steps(steps: ArrayLike | None, count: int) -> Array:
    if steps is None:
        return np.arange(1.0, count + 1)
    at = _vector("steps", steps)
    if len(at) != count:
        raise InputError(
            f"steps has {len(at)} entries, but must have one for each of {count} values"
        )
    for index, step in enumerate(at):
        if not (math.isfinite(step) and step > 0):
            raise InputError(f"steps[{index}] is {step:g}, but must be positive and finite")
    _check_increasing("steps", at)
    return at


def _check_increasing(name: str, steps: Array) -> None:
    falls = np.flatnonzero(np.diff(steps) <= 0)
    if len(falls):
        index = falls[0] + 1
        raise InputError(
            f"{name}[{index}] is {steps[index]:g} after {steps[index - 1]:g}, but {name} must "
            "strictly increase"
        )


def _check_inside(values: Array, steps: Array, bounds: Bounds) -> None:
    low, high = bounds
    below = -math.inf if low is None else low
    above = math.inf if high is None else high
    outside = np.flatnonzero((values < below) | (values > above))
    if len(outside):
        index = outside[0]
        raise InputError(
            f"the value at step {steps[index]:g} is {values[index]:g}, but must lie within the "
            f"stated bounds ({_end(low)}, {_end(high)})"
        )


def _end(bound: float | None) -> str:
    return "open" if bound is None else f"{bound:g}"


def _bound(end: Any, rule: str) -> float | None:
    if end is None:
        return None
    try:
        number = float(end)
    except _NOT_NUMBERS:
        raise InputError(f"bounds holds {end!r}, {rule}") from None
    if math.isnan(number):
        raise InputError(f"bounds holds nan, {rule}")
    # Values cannot get beyond this either, and the distance of two such bounds would overflow.
    return None if abs(number) > _LARGEST else number


def read_array(name: str, data: ArrayLike, rule: str) -> Array:
    """Checks that data are numbers, of any shape; `rule` says what they must be."""
    try:
        return np.asarray(data, dtype=np.float64)
    except _NOT_NUMBERS:
        raise InputError(f"{name} is {_short(data)}, but must be {rule}") from None


def _vector(name: str, data: ArrayLike) -> Array:
    vector = read_array(name, data, "a sequence of numbers")
    if vector.ndim != 1:
        raise InputError(f"{name} has shape {vector.shape}, but must have one dimension")
    return vector


def _short(data: object) -> str:
    text = repr(data)
    return text if len(text) <= 60 else f"{text[:57]}..."
