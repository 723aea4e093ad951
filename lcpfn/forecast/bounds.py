"""What a metric can never pass: as stated by a user, or guessed from its goal and its values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import LARGEST, NOT_NUMBERS, Array, Goal

Bounds = tuple[float | None, float | None]
BoundsLike = Literal["auto"] | Bounds | None

# Percentages are hardly ever whole numbers and begin at chance; scores begin near nothing.
_LEAST_SCORE = 5.0


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

    A metric to maximise within [0, 1] is taken for an accuracy; one of different whole numbers
    within [0, 100], the least of them at most 5, for a score above 0; any other within [0, 100] for
    an accuracy in percent. A metric to minimise that is never negative is taken for a loss above 0.
    Anything else is open. State the bounds where this guess is wrong for your metric.
    """
    low, high = float(values.min()), float(values.max())
    return guess_from_extremes(low, high, goal, all_whole(values))


def guess_from_extremes(low: float, high: float, goal: Goal, whole: bool) -> Bounds:
    """`guess_bounds` of values whose least and largest are these; `whole` where all are whole."""
    if goal == "minimize":
        return (0.0, None) if low >= 0 else (None, None)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    if low >= 0 and high <= 100:
        return (0.0, None) if whole and low < high and low <= _LEAST_SCORE else (0.0, 100.0)
    return None, None


def all_whole(values: Array) -> bool:
    """Whether all values are whole numbers."""
    return bool((values == np.floor(values)).all())


def holds(bounds: Bounds, value: float) -> bool:
    """Whether a value lies within bounds."""
    low, high = bounds
    return (low is None or value >= low) and (high is None or value <= high)


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
        others: values of other runs of its search, or the `telling_values` of these.

    Returns:
        None for stated bounds that the run's values pass. For "auto", what all values suggest
        where the others pass what the run's own would.
    """
    if isinstance(bounds, str):
        own = telling_values(values)
        known = telling_values((*own, *others))
        if not (own and known):
            return bounds
        guess = guess_bounds(np.array(known), goal)
        return bounds if guess == guess_bounds(np.array(own), goal) else guess
    if bounds is None:
        return None
    inside = holds(bounds, min(values)) and holds(bounds, max(values))
    return bounds if inside else None


def telling_values(values: Iterable[float]) -> tuple[float, ...]:
    """Those values that bounds are guessed by: as the guess is from all, so it is from these.

    Returns:
        The least and the largest of the finite values, and one that is no whole number where
        there is one; nothing where none is finite.
    """
    finite = [float(value) for value in values if math.isfinite(value)]
    if not finite:
        return ()
    broken = next((value for value in finite if not value.is_integer()), None)
    return (min(finite), max(finite)) if broken is None else (min(finite), max(finite), broken)


def check_inside(values: Array, steps: Array, bounds: Bounds) -> None:
    """Checks that values (n,) at steps (n,) lie within stated bounds.

    Raises:
        InputError: naming the first one that does not.
    """
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
    except NOT_NUMBERS:
        raise InputError(f"bounds holds {end!r}, {rule}") from None
    if math.isnan(number):
        raise InputError(f"bounds holds nan, {rule}")
    # Values cannot get beyond this either, and the distance of two such bounds would overflow.
    return None if abs(number) > LARGEST else number
