"""The step in which the values of a run are counted.

A metric that counts examples, such as an accuracy, takes no values but multiples of a step, which
is one example of those that are counted. It shows in the values of a finished run, and tells
whether another run was counted on as many examples. Most metrics have none. Values that were
rounded when they were written down come in steps, too, of a power of ten: those say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Of fewer different values nobody knows in which steps they come; with more steps between the
# smallest and the largest, nearly every value lies near one.
_FEWEST, _MOST_STEPS = 6, 30_000
# Values are known to within this share of the largest, and lie at a multiple of the step to within
# this share of it.
_ROUNDING, _OFF = 3e-6, 0.1
# A step is so many times what values are known to.
_CLEAR = 20.0
# Values are looked at for having been rounded to up to so many decimals; a step is a power of ten
# to within this share of it.
_MOST_DECIMALS, _LIKE = 7, 1e-4


@dataclass(frozen=True)
class Grain:
    """In which steps values come.

    Args:
        anchor: one of the values.
        step: all others are some times this away; 0 where they come in none, NaN where there are
            too few to know.
    """

    anchor: float
    step: float

    @cached_property
    def counts(self) -> bool:
        """Whether there is a step which is not what values are rounded to."""
        if not self.step > 0:
            return False
        decimals = math.log10(self.step)
        return bool(abs(10.0 ** (round(decimals) - decimals) - 1) > _LIKE)

    @staticmethod
    def of(values: Array) -> Grain:
        """That of a run's values (n,)."""
        known = np.unique(values[np.isfinite(values)])
        rounding = _ROUNDING * np.abs(known).max(initial=0.0)
        apart = known[np.diff(known, prepend=-np.inf) > rounding]
        if len(apart) < _FEWEST:
            return Grain(0.0, math.nan)
        anchor, step = float(apart[0]), float(np.diff(apart).min())
        products = squares = 0.0
        # The further away a value is, the better is it known how long a step is.
        for distance in (apart[1:] - anchor).tolist():
            count = round(distance / step)
            if abs(distance / step - count) > _OFF:
                return Grain(anchor, 0.0)
            products, squares = products + count * distance, squares + count * count
            step = products / squares
        steps = (apart[-1] - anchor) / step
        clear = step > _CLEAR * rounding and steps < _MOST_STEPS
        return Grain(anchor, step if clear else 0.0)


def counted_otherwise(values: Array, grains: Sequence[Grain]) -> NDArray[np.bool_]:
    """Which runs were counted in other steps than a run, (len(grains),).

    Those of which it is not known go with most of the others.

    Args:
        values: (n,) of the run, of which a few do.
        grains: of the other runs.
    """
    found = np.zeros(len(grains), dtype=bool)
    counted = [index for index, grain in enumerate(grains) if grain.counts]
    known = values[np.isfinite(values)]
    if counted and len(known):
        anchors, steps = np.array([(grains[i].anchor, grains[i].step) for i in counted]).T
        places = (known - anchors[:, None]) / steps[:, None]
        # A value that was rounded may lie half of its last digit beside its place.
        off = _OFF + 0.5 * _last_digit(known) / steps
        found[counted] = np.abs(places - np.round(places)).max(1) > off
        unknown = np.array([math.isnan(grain.step) for grain in grains])
        if found.sum() > 0.5 * (~unknown).sum():
            found |= unknown
    return found


def _last_digit(values: Array) -> float:
    """What the last decimal of values (n,) is worth, 0 where they have many."""
    size = np.abs(values).max()
    for decimals in range(_MOST_DECIMALS):
        if np.abs(values - np.round(values, decimals)).max() <= 1e-9 * size:
            return float(10.0**-decimals)
    return 0.0
