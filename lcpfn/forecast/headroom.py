"""Headroom, how far a run may still come: what a forecast holds beyond that is drawn in.

A network that learned from the logarithm of a density pays next to nothing for a tail that reaches
far too far: that a loss of 0.5 will be below -30, or that a reward that has never passed 5,000
will be 100,000. Whoever reads a mean or a wide band does. Over the rest of a run there is seldom
more to come than it has moved so far, in proportion to the steps that are left; so a forecast
beyond that is drawn in, and the more the farther out, on the better side alone: what went wrong
has no such measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lcpfn.forecast.arguments import Array
from lcpfn.network.histogram import BinnedDistribution

# A run that went on as it did on average since its first record would come `_PACE` times as far as
# its records range, in proportion to the steps. `_AT_ONCE` of the range is free at any time: a
# forecast of the next step is not to be cut to nothing.
_PACE, _AT_ONCE = 1.0, 0.5
# What lies d beyond that, in units of it, comes to lie at 3 ((1 + d)^(1 / 3) - 1).
_POWER = 3
# Less than this beyond what is free is left where it is.
_LEAST_BEYOND = 1e-5
# Less than this below the best value there can be says nothing of where it is.
_LEAST_BELOW = 1e-9


@dataclass(frozen=True)
class Headroom:
    """How far beyond its best record a run may come before a forecast is drawn in.

    Higher is better.

    Args:
        free: (...,) the value up to which nothing is drawn in.
        room: (...,) how far that is beyond the best record; 0 where nothing is known of it.
        ceiling: (...,) no value is better, infinite where unknown. What is forecast beyond it is
            not drawn in but cut off.
    """

    free: Array
    room: Array
    ceiling: Array

    @staticmethod
    def after(worst: Array, best: Array, seen: Array, asked: Array, ceiling: float) -> Headroom:
        """What the records so far leave free.

        Args:
            worst, best: (...,) of these records.
            seen, asked: (...,) the last record's share of the run, and that of the step asked for.
            ceiling: the best value there can be.
        """
        to_come = np.maximum(asked - seen, 0.0) / seen
        room = (best - worst) * (_PACE * to_come + _AT_ONCE)
        return Headroom(best + room, room, ceiling + 0 * room)

    @staticmethod
    def stacked(each: Sequence[Headroom]) -> Headroom:
        """Those of several runs, (n,), from scalars."""
        columns = zip(*((one.free, one.room, one.ceiling) for one in each), strict=True)
        return Headroom(*(np.array(column) for column in columns))

    def applied(self, forecast: BinnedDistribution) -> BinnedDistribution:
        """The forecast (...,), drawn in where it lies too far out.

        What lies within the headroom stays as probable as it was, but for what is cut off.

        Args:
            forecast: in numpy, without bounds.
        """
        if not np.ndim(forecast.location):
            return self.applied(forecast.expand(1))[0]
        shape = forecast.location.shape
        free, room, ceiling = (
            np.broadcast_to(x, shape) for x in (self.free, self.room, self.ceiling)
        )
        within, below = forecast.cdf(np.stack([free, ceiling]))
        chosen = (room > 0) & (below - within > _LEAST_BEYOND * below) & (below > _LEAST_BELOW)
        if not chosen.any():
            return forecast
        drawn = _drawn_in(forecast[chosen], free[chosen], room[chosen], ceiling[chosen])
        return BinnedDistribution(
            _with(forecast.location, chosen, drawn.location),
            _with(forecast.scale, chosen, drawn.scale),
            _with(forecast.log_masses, chosen, drawn.log_masses),
        )


def _drawn_in(
    forecast: BinnedDistribution, free: Array, room: Array, ceiling: Array
) -> BinnedDistribution:
    """The distribution (n,) of what becomes of the values that lie beyond `free`."""

    def before(values: Array) -> Array:
        """Which value each comes from."""
        past = np.maximum((values - free[:, None]) / room[:, None], 0.0)
        far = free[:, None] + room[:, None] * ((1 + past / _POWER) ** _POWER - 1)
        return np.where(past > 0, far, values)

    # Where the middle lies out there, the bins follow it, and are narrower as the values are.
    widening = np.cbrt(1 + np.maximum((forecast.location - free) / room, 0.0))
    outside = free + _POWER * room * (widening - 1)
    location = np.where(widening > 1, outside, forecast.location)
    return forecast.mapped(location, forecast.scale * widening ** (1 - _POWER), before, ceiling)


def _with(known: Array, chosen: NDArray[np.bool_], values: Array) -> Array:
    """A copy in which the chosen entries have other values."""
    copy = np.array(known)
    copy[chosen] = values
    return copy
