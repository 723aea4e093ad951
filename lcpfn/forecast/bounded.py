"""Forecasts of a metric that has bounds: what lies beyond one of them comes to lie next to it.

A network that knows where a metric ends puts some of its density beyond all the same: its bins are
too wide for losses that fall by decades, and for accuracies that miss a few examples. To cut that
off and renormalise would say that a run hardly comes near the bound, of the very runs that come
nearest. So most of it is kept: it lies in a narrow strip inside the bound, the denser the nearer.
Between the strips the density is in proportion to the network's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lcpfn.forecast.arguments import Array
from lcpfn.network.arrays import clipped
from lcpfn.network.histogram import BinnedDistribution

# How wide a strip is at most, as a share of what lies between two bounds.
_LARGEST_SHARE = 0.25
# A density has no end at the bound itself; there it is that of this distance.
_LEAST_DISTANCE = 1e-9
_LEAST_MASS = 1e-300


class _Part(NamedTuple):
    """Mass, mean and variance of a part of a distribution, each (...,)."""

    mass: Array
    mean: Array
    variance: Array


@dataclass(frozen=True)
class Strip:
    """What lies inside a bound; `experiments/bounded.py` compares others.

    Args:
        width: in units of the scale of the distribution.
        power: the distance to the bound, in units of the width, is a uniform number to this power.
        tail: of a mass beyond the bound the share mass / (mass + tail) is kept, the rest cut off: a
            little is but the tail of a forecast that is far from the bound.
    """

    width: float = 0.1
    power: int = 4
    tail: float = 0.05


@dataclass(frozen=True)
class Bounded:
    """A batch of distributions within bounds; see `lcpfn.forecast.distribution`.

    Args:
        open: (...,) the distributions as the network has them, in numpy and without bounds.
        low, high: the bounds, None where open.
        least, most: what lies outside of these is cut off; None leaves a side open.
        strip: at the bounds.
    """

    open: BinnedDistribution
    low: float | None
    high: float | None
    least: float | None = None
    most: float | None = None
    strip: Strip = Strip()

    def __getitem__(self, index: Any) -> Bounded:
        return replace(self, open=self.open[index])

    def expand(self, *shape: int) -> Bounded:
        """The distribution broadcast to another batch shape."""
        return replace(self, open=self.open.expand(*shape))

    def truncate(self, least: float | None, most: float | None) -> Bounded:
        """Cuts off what lies outside [least, most] and renormalises; None leaves a side open."""
        return replace(self, least=least, most=most)

    def arranged(self, like: Array, within: Array) -> Array:
        """Draws (count, n) of distributions (n,), in the order of others.

        Args:
            like: (count, n) draws of whatever distributions, whose ranks are taken.
            within: (count, 1) where each lies within the share of its rank, in [0, 1).
        """
        ranks = np.argsort(np.argsort(like, axis=0), axis=0)
        return self.quantile((ranks + within) / len(like))

    @np.errstate(all="ignore")
    def cdf(self, y: Any) -> Array:
        """P(Y <= y), broadcast against (...,)."""
        below, above = self._outside
        found: Array = np.clip((self._cdf(np.asarray(y)) - below) / (above - below), 0.0, 1.0)
        return found

    @np.errstate(all="ignore")
    def quantile(self, q: Any) -> Array:
        """Inverse of `cdf`, broadcast against (...,). q in [0, 1]."""
        below, above = self._outside
        q = below + np.asarray(q, np.float64) * (above - below)
        y: Array = np.asarray(self.open.quantile(q))
        if self.low is not None:
            share = (q - self._lost_below) / np.maximum(self._lower, _LEAST_MASS)
            near = self.low + self._width * np.clip(share, 0.0, 1.0) ** self.strip.power
            y = np.where(share < 1, near, y)
        if self.high is not None:
            share = (1 - self._lost_above - q) / np.maximum(self._upper, _LEAST_MASS)
            near = self.high - self._width * np.clip(share, 0.0, 1.0) ** self.strip.power
            y = np.where(share < 1, near, y)
        return np.clip(y, self.low, self.high)

    @np.errstate(all="ignore")
    def log_prob(self, y: Any) -> Array:
        """Log-density at y, broadcast against (...,); -inf outside the bounds."""
        y = np.asarray(y, np.float64)
        density: Array = np.asarray(self.open.log_prob(y))
        if self.low is not None:
            density = self._near(y - self.low, self._lower, density)
        if self.high is not None:
            density = self._near(self.high - y, self._upper, density)
        below, above = self._outside
        inside = True
        if self.least is not None:
            inside = inside & (y >= self.least)
        if self.most is not None:
            inside = inside & (y <= self.most)
        return np.where(inside, density - np.log(above - below), -np.inf)

    @property
    def mean(self) -> Array:
        """Expected value, (...,)."""
        return self._moments.mean

    @property
    def std(self) -> Array:
        """Standard deviation, (...,)."""
        deviation: Array = np.sqrt(self._moments.variance)
        return deviation

    @cached_property
    def _width(self) -> Array:
        """How wide the strips are, (...,)."""
        width: Array = self.strip.width * np.asarray(self.open.scale)
        if self.low is not None and self.high is not None:
            width = np.minimum(width, _LARGEST_SHARE * (self.high - self.low))
        return width

    @cached_property
    def _lost_below(self) -> Array:
        """What of the mass beyond the lower bound is cut off, (...,)."""
        return self._lost(0.0 * self._width if self.low is None else self.open.cdf(self.low))

    @cached_property
    def _lost_above(self) -> Array:
        """What of the mass beyond the upper bound is cut off, (...,)."""
        return self._lost(0.0 * self._width if self.high is None else 1 - self.open.cdf(self.high))

    def _lost(self, beyond: Array) -> Array:
        return np.asarray(beyond * self.strip.tail / (beyond + self.strip.tail))

    @cached_property
    def _lower(self) -> Array:
        """What lies in the strip at the lower bound, (...,)."""
        assert self.low is not None
        return np.asarray(self.open.cdf(self.low + self._width)) - self._lost_below

    @cached_property
    def _upper(self) -> Array:
        """What lies in the strip at the upper bound, (...,)."""
        assert self.high is not None
        return 1 - np.asarray(self.open.cdf(self.high - self._width)) - self._lost_above

    @cached_property
    def _outside(self) -> tuple[Any, Any]:
        """How much lies below and up to the end of what was cut off at either end, each (...,)."""
        below = self._lost_below if self.least is None else self._cdf(np.float64(self.least))
        above = 1 - self._lost_above if self.most is None else self._cdf(np.float64(self.most))
        return below, above

    def _cdf(self, y: Array) -> Array:
        """The distribution function as the network has it, but for the strips."""
        found: Array = np.asarray(self.open.cdf(y))
        if self.low is not None:
            share = np.clip((y - self.low) / self._width, 0.0, 1.0) ** (1 / self.strip.power)
            found = np.where(share < 1, self._lost_below + self._lower * share, found)
        if self.high is not None:
            share = np.clip((self.high - y) / self._width, 0.0, 1.0) ** (1 / self.strip.power)
            found = np.where(share < 1, 1 - self._lost_above - self._upper * share, found)
        return found

    def _near(self, distance: Array, mass: Array, density: Array) -> Array:
        """Log-densities, in the strip those of the strip; `distance` is that to the bound."""
        share = distance / self._width
        slope = (1 / self.strip.power - 1) * np.log(np.maximum(share, _LEAST_DISTANCE))
        near = np.log(mass) - np.log(self.strip.power * self._width) + slope
        return np.where(share < 0, -np.inf, np.where(share < 1, near, density))

    @cached_property
    @np.errstate(all="ignore")
    def _moments(self) -> _Part:
        parts = [self._between()]
        if self.low is not None:
            parts.append(self._in_strip(self.low, 1.0, self._lower))
        if self.high is not None:
            parts.append(self._in_strip(self.high, -1.0, self._upper))
        total = np.sum([part.mass for part in parts], axis=0)
        mean = np.sum([part.mass * part.mean for part in parts], axis=0) / total
        around = [part.mass * (part.variance + (part.mean - mean) ** 2) for part in parts]
        variance = np.sum(around, axis=0) / total
        # Where all has been cut off, what is left is the nearest value.
        nearest = clipped(clipped(self.open.location, self.low, self.high), self.least, self.most)
        return _Part(total, np.where(total > 0, mean, nearest), _or_nothing(total, variance))

    def _between(self) -> _Part:
        """What lies between the strips and is not cut off."""
        start: Any = None if self.low is None else self.low + self._width
        end: Any = None if self.high is None else self.high - self._width
        if self.least is not None:
            start = self.least if start is None else np.maximum(start, self.least)
        if self.most is not None:
            end = self.most if end is None else np.minimum(end, self.most)
        if start is not None and end is not None:
            end = np.maximum(end, start)
        known = self.open
        inside = BinnedDistribution(known.location, known.scale, known.log_masses, start, end)
        below = 0.0 if start is None else known.cdf(start)
        above = 1.0 if end is None else known.cdf(end)
        mass = np.asarray(above - below)
        return _Part(mass, *(_or_nothing(mass, moment) for moment in (inside.mean, inside.std**2)))

    def _in_strip(self, bound: float, inwards: float, mass: Array) -> _Part:
        """What lies in the strip at a bound and is not cut off."""
        ends = [
            np.clip(inwards * (cut - bound) / self._width, 0.0, 1.0)
            for cut in (
                -np.inf if self.least is None else self.least,
                np.inf if self.most is None else self.most,
            )
        ]
        near, far = (
            end ** (1 / self.strip.power) for end in (ends if inwards > 0 else reversed(ends))
        )
        left = far - near
        first, second = (
            _or_nothing(
                left,
                (far ** (power * self.strip.power + 1) - near ** (power * self.strip.power + 1))
                / ((power * self.strip.power + 1) * left),
            )
            for power in (1, 2)
        )
        mean = bound + inwards * self._width * first
        variance = self._width**2 * np.maximum(second - first**2, 0.0)
        return _Part(mass * left, mean, variance)


Marginal = BinnedDistribution | Bounded
"""A forecast of single steps in the metric's own unit, within its bounds."""


def _or_nothing(mass: Array, moment: Array) -> Array:
    """A moment (...,), 0 where there is no mass that it is of."""
    return np.where(mass > 0, moment, 0.0)
