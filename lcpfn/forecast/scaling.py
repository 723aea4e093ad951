"""Metric scaling: the affine map between a user's metric and the unit a model was trained in.

Inside a model higher is better, so minimising y is maximising -y. Two kinds of model exist:

- "relative" models are scale-free. The map only centres on the first value and divides by a power
  of two near its size, so that float32 resolves the curve. Once values differ it changes no
  forecast; before that, the first value is all there is to judge their scale by.
- "absolute" models (the published prior) live on [0, 1]. Values that already do are taken as they
  are. With two finite bounds, these become 0 and 1. With only the better end bounded (a loss
  above 0), that end becomes 1 and the worst value so far 0.2. Otherwise the seen range is spread
  over 0.2 to 0.7. This serves, but a relative model serves metrics of this kind better.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lcpfn.forecast.arguments import Array
from lcpfn.forecast.bounded import Bounded, Marginal
from lcpfn.forecast.bounds import Bounds
from lcpfn.forecast.curve import Curve
from lcpfn.forecast.headroom import Headroom
from lcpfn.network.histogram import BinnedDistribution
from lcpfn.network.views import Frame

_WORST = 0.2
_OPEN_RANGE = 0.5
# The published prior's noise leaves [0, 1] at times; this much is still taken as it is.
_MARGIN = 0.5
_SMALLEST = 1e-290
_LARGEST_RATIO = 1e6
# A bound this many units away says nothing, and would not fit float32.
_FARTHEST = 1e30
# Fractions of anything smaller would leave float32's normal numbers; it counts as zero.
LEAST_UNIT = 1e-30


@dataclass(frozen=True)
class MetricMap:
    """unit = (metric - offset) * gain; the gain is negative where lower is better."""

    offset: float
    gain: float

    def to_unit(self, metric: Array) -> Array:
        # Scaled first: the difference of two huge values could overflow.
        unit = metric * self.gain - self.offset * self.gain
        return np.where(np.abs(unit) < LEAST_UNIT, 0.0, unit)

    def limits(self, bounds: Bounds) -> tuple[float, float]:
        """The best and the worst value there can be, in units; infinite where open."""
        low, high = bounds
        best, worst = (high, low) if self.gain > 0 else (low, high)
        return self._limit(best, math.inf), self._limit(worst, -math.inf)

    def _limit(self, bound: float | None, otherwise: float) -> float:
        unit = otherwise if bound is None else bound * self.gain - self.offset * self.gain
        if abs(unit) < LEAST_UNIT:
            return 0.0
        return unit if abs(unit) < _FARTHEST else otherwise


MapOf = Callable[[Curve], MetricMap]
"""Gives the map of a curve, for models of one kind."""


def same_map_throughout(curve: Curve, map_of: MapOf) -> bool:
    """Whether all prefixes of a curve with the same bounds have the same map.

    Once there is a range it only ever grows, and maps follow it one way; before, they follow the
    level. So the first prefix, the first one with a range and the whole curve decide.
    """
    whole, level = map_of(curve), curve.values[0]
    ranging = int(np.argmax(curve.values != level)) + 1
    return all(map_of(curve.first(records)) == whole for records in {1, ranging})


def relative_map(curve: Curve) -> MetricMap:
    """The map of a curve for a relative model."""
    # The size of the first value serves all prefixes alike, so a stream need not start over; the
    # spread takes over where float32 could not hold both.
    first, (lowest, highest) = float(curve.values[0]), curve.extremes
    spread = highest - lowest
    size = _size(0.0, first)
    exponent = math.frexp(spread if spread > _LARGEST_RATIO * size else size)[1]
    return MetricMap(first, _sign(curve) * math.ldexp(1.0, -exponent))


def absolute_map(curve: Curve) -> MetricMap:
    """The map of a curve for an absolute model."""
    sign = _sign(curve)
    low, high = curve.bounds if sign > 0 else _mirror(curve.bounds)
    lowest, highest = curve.extremes
    worst, best = (lowest, highest) if sign > 0 else (-highest, -lowest)
    if low is not None and high is not None:
        offset, gain = low, 1 / _size(high - low, high)
    elif not curve.guessed_bounds and worst >= -_MARGIN and best <= 1 + _MARGIN:
        offset, gain = 0.0, 1.0
    elif high is not None and high > worst:
        gain = (1 - _WORST) / _size(high - worst, high)
        offset = high - 1 / gain
    else:
        gain = _OPEN_RANGE / _size(best - worst, best)
        offset = worst - _WORST / gain
    return MetricMap(sign * offset, sign * gain)


MAPS: dict[Frame, MapOf] = {"absolute": absolute_map, "relative": relative_map}
"""By the frame of a model."""


def _size(spread: float, level: float) -> float:
    """A length to divide by: the spread, else the level, else 1; 1 / length does not overflow."""
    return max(spread or abs(level) or 1.0, _SMALLEST)


def _sign(curve: Curve) -> float:
    return 1.0 if curve.goal == "maximize" else -1.0


def _mirror(bounds: Bounds) -> Bounds:
    low, high = bounds
    return (None if high is None else -high), (None if low is None else -low)


def to_metric(
    unit: BinnedDistribution,
    metric: MetricMap,
    bounds: Bounds,
    headroom: Headroom | None,
    keeps_beyond: bool,
) -> Marginal:
    """A forecast in model units as one in the metric's own, within its bounds; numpy, float64.

    Args:
        unit: (...,) the forecast.
        metric, bounds: of the curve.
        headroom: (...,) how far the run may come, in model units; None draws nothing in.
        keeps_beyond: whether what lies beyond a bound is kept next to it, or cut off.
    """
    answer = unit.numpy().double()
    answer = answer if headroom is None else headroom.applied(answer)
    answer = answer.affine(metric.offset, 1 / metric.gain)
    if keeps_beyond and bounds != (None, None):
        return Bounded(answer, *bounds)
    return answer.truncate(*bounds)
