"""Where steps and values stand in a picture, and which of them are written beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lcpfn.forecast.arguments import Array
from lcpfn.numbers import write_step

SIZE = 1000
"""Pictures are drawn on a square of this size and stretched to wherever they stand."""

# Beyond this ratio of the largest to the smallest value, a linear axis would hide the end.
_LOGARITHMIC_RATIO = 50.0
# The bands may reach this many heights of everything else before they are cut off.
_ROOM_FOR_TAILS = 1.0
# The first so much of a run may be cut off, beyond so many heights of the rest.
_BEGINNING = 0.1
_ROOM_FOR_START = 0.6
_MARGIN = 0.04
_OUTSIDE = 20.0
_TICKS = 5
_NICE = (1, 2, 2.5, 5, 10)
_MANY, _FEW = 1e6, 1e-5


@dataclass(frozen=True)
class Axes:
    """The range of a picture.

    Args:
        first, last: steps at its left and right edge.
        low, high: values at its lower and upper edge.
        logarithmic: whether values are drawn by their logarithm; then they are positive.
    """

    first: float
    last: float
    low: float
    high: float
    logarithmic: bool

    def x(self, steps: Array) -> Array:
        """Places of steps, from 0 at the left edge to `SIZE` at the right."""
        return SIZE * (steps - self.first) / (self.last - self.first)

    def y(self, values: Array) -> Array:
        """Places of values, from 0 at the upper edge to `SIZE` at the lower; others beyond."""
        low, high = self._scaled(np.array([self.low, self.high]))
        at = self._scaled(np.maximum(values, self.low) if self.logarithmic else values)
        places: Array = SIZE * (high - at) / (high - low)
        # Far outside is as good as further out, and pictures stand no infinite numbers.
        return np.clip(places, -_OUTSIDE * SIZE, (1 + _OUTSIDE) * SIZE)

    @property
    def steps(self) -> list[tuple[float, str]]:
        """Places and words of steps that are written below."""
        return [
            (float(self.x(np.array(step))), write_step(step))
            for step in _round_numbers(self.first, self.last, _TICKS)
        ]

    @property
    def values(self) -> list[tuple[float, str]]:
        """Places and words of values that are written at the left."""
        if self.logarithmic:
            marks, apart = _round_powers(self.low, self.high), None
        else:
            marks = _round_numbers(self.low, self.high, _TICKS)
            apart = marks[1] - marks[0] if len(marks) > 1 else None
        return [(float(self.y(np.array(mark))), _words(mark, apart)) for mark in marks]

    def _scaled(self, values: Array) -> Array:
        scaled: Array = np.log(values) if self.logarithmic else values
        return scaled


def fit_axes(
    first: float,
    last: float,
    curves: Sequence[tuple[Array, Array]],
    bands: Sequence[Array] = (),
) -> Axes:
    """A range that shows all records, and as much of the bands as leaves room for these.

    The first records of a run may lie so far from all later ones that these would look alike: then
    the range ends between.

    Args:
        first, last: steps.
        curves: steps (n,) and values (n,) of each run; values that are not finite do not count.
        bands: values at the ends of intervals.
    """
    own = _finite([values for _, values in curves])
    begun = first + _BEGINNING * (last - first)
    later = _finite([values[steps >= begun] for steps, values in curves])
    tails = _finite(bands)
    low, high = (float(own.min()), float(own.max())) if len(own) else (0.0, 1.0)
    positive = low > 0 and (not len(tails) or float(tails.min()) > 0)
    logarithmic = positive and high / low > _LOGARITHMIC_RATIO
    if len(later) > 1 and not logarithmic:
        height = float(later.max() - later.min())
        low = max(low, float(later.min()) - _ROOM_FOR_START * height)
        high = min(high, float(later.max()) + _ROOM_FOR_START * height)
    if len(tails):
        room = _ROOM_FOR_TAILS * ((high - low) or abs(high) or 1.0)
        floor = low / 3 if logarithmic else low - room
        low = min(low, max(float(tails.min()), floor))
        high = max(high, min(float(tails.max()), high + room))
    if not high > low:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    if logarithmic:
        margin = (high / low) ** _MARGIN
        return Axes(first, last, low / margin, high * margin, True)
    margin = _MARGIN * (high - low)
    return Axes(first, last, low - margin, high + margin, False)


def _finite(arrays: Sequence[Array]) -> Array:
    if not arrays:
        return np.array([])
    together = np.concatenate([np.ravel(array) for array in arrays])
    finite: Array = together[np.isfinite(together)]
    return finite


def _round_numbers(low: float, high: float, about: int) -> list[float]:
    """Round numbers within a range, about so many."""
    rough = 0.8 * (high - low) / about
    size = 10.0 ** math.floor(math.log10(rough))
    apart = next(nice * size for nice in _NICE if nice * size >= rough * (1 - 1e-9))
    begin = math.ceil(low / apart - 1e-9)
    end = math.floor(high / apart + 1e-9)
    return [number * apart for number in range(begin, end + 1)]


def _words(mark: float, apart: float | None) -> str:
    """A mark in as many decimals as tell it from its neighbours."""
    if apart is None:
        return f"{mark:,.0f}" if 1000 <= mark < _MANY else f"{mark:g}"
    if abs(mark) >= _MANY or apart < _FEW:
        return f"{mark:.3g}"
    decimals = next(d for d in range(8) if abs(round(apart, d) - apart) < apart / 1000)
    return f"{mark:,.{decimals}f}"


def _round_powers(low: float, high: float) -> list[float]:
    """Powers of ten within a range, and where these are few, their double and fivefold."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        marks = [factor * 10.0**power for power in powers for factor in factors]
        within = [mark for mark in marks if low <= mark <= high]
        if len(within) >= 3 or factors == (1, 2, 5):
            break
    return within[:: max(1, math.ceil(len(within) / 6))]
