"""One observed curve, checked: what every forecast starts from.

The rules on records, steps and queries live here; those on bounds and on single arguments beside
it, in `bounds` and `arguments`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import (
    LARGEST,
    NOT_NUMBERS,
    Array,
    Goal,
    read_goal,
    read_vector,
)
from lcpfn.forecast.bounds import (
    Bounds,
    BoundsLike,
    all_whole,
    check_inside,
    guess_from_extremes,
    holds,
    read_bounds,
)
from lcpfn.forecast.schedule import LearningRates, Schedule, read_rates, read_schedule

_DEFAULT_QUERIES = 200
# Where records are missing, gaps are multiples of one spacing, usually of at most so many; how near
# to a whole number the ratio must be.
_MOST_MISSING, _WHOLE = 4, 1e-6
# A usual spacing far below the distance to go would overflow their ratio.
_MOST_SPACINGS = 1e12
# An infinite record counts as one this many ranges beyond all before it.
_DIVERGED = 1000.0


class Curve(NamedTuple):
    """A checked curve. Missing records are gone; the steps of the rest are kept.

    A tuple, because a backtest makes one for each prefix.

    Args:
        steps: (n,) strictly increasing and not negative, in the user's unit.
        values: (n,) finite.
        extremes: lowest and highest of `values`.
        whole: whether all of them are whole numbers.
        horizon: last step of the full run, at or after the last of `steps`.
        goal: "maximize" or "minimize".
        bounds: what the metric can never pass; None where open. "auto" has been resolved.
        guessed_bounds: whether `bounds` were guessed.
        schedule: the learning rates of the whole run, None where unknown.
        diverged: how many of the newest records were infinite; `values` holds far ones for them.
        rates: (n,) learning rates at the records in a unit of their peak so far, NaN where unknown;
            None where none is known, or the whole schedule is.
    """

    steps: Array
    values: Array
    extremes: tuple[float, float]
    whole: bool
    horizon: float
    goal: Goal
    bounds: Bounds
    guessed_bounds: bool
    schedule: LearningRates | None = None
    diverged: int = 0
    rates: Array | None = None

    @property
    def shift(self) -> float:
        """What to add to the steps of a log that begins at 0: its first spacing, else nothing.

        The record at step 0 was taken before training; models know it as one interval after the
        start. A log of that record alone is taken to go on at step 1.
        """
        if self.steps[0] > 0:
            return 0.0
        return float(self.steps[1]) if len(self.steps) > 1 else min(1.0, self.horizon)

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
        whole = self.whole or all_whole(values)
        diverged = max(0, self.diverged - (len(self.values) - records))
        bounds = self.bounds
        if self.guessed_bounds:
            bounds = guess_from_extremes(*extremes, self.goal, whole)
            bounds = _no_better_than(bounds, values[: records - diverged], self.goal, diverged)
        shared = (self.horizon, self.goal, bounds, self.guessed_bounds, self.schedule, diverged)
        rates = None if self.rates is None else self.rates[:records]
        return Curve(steps, values, extremes, whole, *shared, rates)

    def allowing(self, value: float) -> Curve:
        """The curve with bounds that hold a finite value; itself where they do, or are stated."""
        if not (self.guessed_bounds and math.isfinite(value)) or holds(self.bounds, value):
            return self
        low, high = self.extremes
        whole = self.whole and value == math.floor(value)
        allowed = guess_from_extremes(min(low, value), max(high, value), self.goal, whole)
        if self.diverged:
            before = np.append(self.values[: -self.diverged], value)
            allowed = _no_better_than(allowed, before, self.goal, self.diverged)
        return self if allowed == self.bounds else self._replace(bounds=allowed)

    def with_record(self, value: float, step: float, rate: float = math.nan) -> Curve | None:
        """The curve with one more record, or None where the record breaks a rule.

        For streams, where checking the whole curve again at every record would cost as much as
        the forecast; `read_curve` then finds the words for what is wrong.
        """
        within = self.guessed_bounds or holds(self.bounds, value)
        if self.diverged:
            # It recovered: what it was taken for changes.
            return None
        if not (abs(value) <= LARGEST and self.steps[-1] < step <= self.horizon and within):
            return None
        lowest, highest = self.extremes
        extremes = min(lowest, value), max(highest, value)
        whole = self.whole and value == math.floor(value)
        bounds = self.bounds
        if self.guessed_bounds:
            bounds = guess_from_extremes(*extremes, self.goal, whole)
        return Curve(
            np.concatenate((self.steps, (step,))),
            np.concatenate((self.values, (value,))),
            extremes,
            whole,
            self.horizon,
            self.goal,
            bounds,
            self.guessed_bounds,
            self.schedule,
            0,
            self._with_rate(rate),
        )

    def _with_rate(self, rate: float) -> Array | None:
        if self.rates is None:
            unknown = math.isnan(rate) or self.schedule is not None
            return None if unknown else np.append(np.full(len(self.steps), np.nan), rate)
        return np.append(self.rates, rate)


def read_curve(
    values: ArrayLike,
    steps: ArrayLike | None,
    horizon: float,
    goal: str,
    bounds: BoundsLike,
    schedule: Schedule | LearningRates | None = None,
    rates: ArrayLike | None = None,
) -> Curve:
    """Checks user input and drops missing records.

    Args:
        values: (n,) observed metric, NaN where missing; infinite where the run had diverged. A
            record that it recovered from, so that a finite one follows, says nothing and counts
            as missing.
        steps: (n,) strictly increasing numbers, the first not negative; None for 1..n.
        horizon: last step of the full run.
        goal: "maximize" or "minimize".
        bounds: (low, high), None for open, or "auto".
        schedule: learning rates over the run, see `read_schedule`, which may have read it already.
        rates: (n,) learning rates at the records, NaN where unknown. Not needed beside a schedule.

    Raises:
        InputError: naming the value and the rule.
    """
    checked_goal = read_goal(goal)
    observed = read_vector("values", values)
    if not len(observed):
        raise InputError("values is empty, but at least one observation is needed")
    worst = -math.inf if checked_goal == "maximize" else math.inf
    best = np.flatnonzero((observed == -worst) & ~recovered(observed))
    if len(best):
        raise InputError(
            f"values[{best[0]}] is {observed[best[0]]}, but to {checked_goal} only {worst} is "
            "possible, a run that diverged (NaN marks a missing record)"
        )
    huge = np.flatnonzero(np.isfinite(observed) & (np.abs(observed) > LARGEST))
    if len(huge):
        raise InputError(
            f"values[{huge[0]}] is {observed[huge[0]]:g}, but values must be below {LARGEST:g} "
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
    extremes, whole_numbers = (float(observed.min()), float(observed.max())), all_whole(observed)
    diverged = int(np.isinf(observed).sum())
    if not guessed:
        checked = read_bounds(bounds)
        check_inside(observed, at, checked)
    else:
        checked = guess_from_extremes(*extremes, checked_goal, whole_numbers)
        before = observed[: len(observed) - diverged]
        checked = _no_better_than(checked, before, checked_goal, diverged)
    observed = _far_instead_of_infinite(observed, diverged)
    whole = schedule if isinstance(schedule, LearningRates) else read_schedule(schedule, last)
    told = read_rates(rates, len(present))
    told = None if told is None or whole is not None else told[present]
    told = None if told is None or np.isnan(told).all() else told
    if diverged:
        extremes = float(observed.min()), float(observed.max())
    numbers = (at, observed, extremes, whole_numbers)
    return Curve(*numbers, last, checked_goal, checked, guessed, whole, diverged, told)


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
        finite[index] = min(max(far, -LARGEST), LARGEST)
    return finite


def _no_better_than(bounds: Bounds, before: Array, goal: Goal, diverged: int) -> Bounds:
    """Guessed bounds of a run that has diverged: where its better end is open, it was at its best.

    The far values that stand for infinite ones make all before them look alike, so that a return
    to these would look as likely as not.

    Args:
        bounds: as guessed of all its values.
        before: those before it diverged.
        goal: "maximize" or "minimize".
        diverged: how many of its newest records were infinite.
    """
    low, high = bounds
    if not (diverged and len(before)):
        return bounds
    if goal == "maximize":
        return low, float(before.max()) if high is None else high
    return float(before.min()) if low is None else low, high


def read_horizon(horizon: float) -> float:
    """Checks a horizon: a positive finite number."""
    try:
        number = float(horizon)
    except NOT_NUMBERS:
        raise InputError(f"horizon is {horizon!r}, but must be a positive number") from None
    if not (math.isfinite(number) and number > 0):
        raise InputError(f"horizon is {number:g}, but must be positive and finite")
    return number


def read_query(query: ArrayLike | None, curve: Curve) -> Array:
    """The steps to forecast, (m,), checked against the curve.

    The default runs from the last observed step to the horizon in steps of the curve's own usual
    spacing (1 for a single observation), or in the least multiple of it that needs at most 200.
    """
    last, horizon = curve.steps[-1], curve.horizon
    if query is None:
        return np.array([horizon]) if curve.finished else _default_query(curve)
    asked = read_vector("query", np.atleast_1d(np.asarray(query, dtype=object)))
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
    usual = _usual_spacing(curve.steps)
    spacing = max(usual, (horizon - last) / _MOST_SPACINGS)
    count = max(1, math.ceil((horizon - last) / spacing - 1e-9))
    stride = math.ceil(count / _DEFAULT_QUERIES)
    steps = last + spacing * stride * np.arange(1, math.ceil(count / stride))
    return np.append(steps, horizon)


def _usual_spacing(steps: Array) -> float:
    """The usual distance of a record to the next; where some are missing, that of those without."""
    if len(steps) < 2:
        return 1.0
    gaps = np.diff(steps)
    usual, least = float(np.median(gaps)), float(gaps.min())
    with np.errstate(over="ignore", invalid="ignore"):
        for parts in range(1, _MOST_MISSING + 1):
            counts = gaps / least * parts
            if np.abs(counts - np.round(counts)).max() < _WHOLE:
                spacing = least / parts
                return spacing if spacing * _MOST_MISSING >= usual else usual
    return usual


def _steps(steps: ArrayLike | None, count: int) -> Array:
    if steps is None:
        return np.arange(1.0, count + 1)
    at = read_vector("steps", steps)
    if len(at) != count:
        raise InputError(
            f"steps has {len(at)} entries, but must have one for each of {count} values"
        )
    for index, step in enumerate(at):
        if not (math.isfinite(step) and step >= 0):
            raise InputError(f"steps[{index}] is {step:g}, but must be finite and not negative")
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
