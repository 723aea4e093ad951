"""A binned distribution in its own moving coordinates, with exponential tails.

A forecast is `y = location + scale * z`, where z has a histogram density on fixed bins, narrow
near zero and wide far out (evenly spaced in asinh), and an exponential density beyond the last
edge on either side. Everything about it is closed-form: density, distribution function, quantile,
mean, standard deviation and samples come from the same piecewise density and agree exactly.
Stated bounds cut the density off and renormalise it.

The first and the last of the `bins` masses belong to the tails.

Distributions are torch tensors (training) or numpy arrays (forecasts).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lcpfn.network.arrays import AnyArray, ArrayModule, array_module, clipped, constant_like
from lcpfn.network.randomness import Generator, uniform_draws

if TYPE_CHECKING:
    from torch import Tensor

_OUTER_EDGE = 12.0
_CENTRE_WIDTH = 1.2
TAIL_SCALE = 4.0
# Below this mass inside the bounds the truncated density would be lost to rounding.
_LEAST_INSIDE = 1e-9
# A bin of less mass is passed at once.
_LEAST_MASS = 1e-37
# A narrower distribution would underflow to a width of zero.
_LEAST_SCALE = 1e-290
_DOUBLE = 8


@lru_cache(maxsize=16)
def bin_edges(bins: int) -> NDArray[np.float64]:
    """The inner edges of z, (bins - 1,), symmetric around zero."""
    reach = math.asinh(_OUTER_EDGE / _CENTRE_WIDTH)
    even = np.linspace(-reach, reach, bins - 1)
    even = (even - even[::-1]) / 2
    return _CENTRE_WIDTH * np.sinh(even)


@lru_cache(maxsize=16)
def log_widths(bins: int) -> NDArray[np.float64]:
    """Log-width of every bin, (bins,); a tail counts with its exponential scale."""
    tail = [math.log(TAIL_SCALE)]
    return np.concatenate([tail, np.log(np.diff(bin_edges(bins))), tail])


@lru_cache(maxsize=16)
def starting_log_masses(bins: int) -> NDArray[np.float64]:
    """Log-masses (bins,) of a normal with some weight far out, where training starts."""
    edges = bin_edges(bins)
    normal = np.array([0.5 * math.erfc(-edge * math.sqrt(0.5)) for edge in edges.tolist()])
    masses = np.diff(0.9 * normal + 0.1 / (1 + np.exp(-edges)))
    masses = np.concatenate([[1e-5], masses, [1e-5]])
    log_masses: NDArray[np.float64] = np.log(masses / masses.sum())
    return log_masses


@dataclass(frozen=True)
class BinnedDistribution:
    """A batch of binned distributions.

    Args:
        location: (...,) where z = 0 lies.
        scale: (...,) unit of z, positive.
        log_masses: (..., bins) log-probability of every bin, tails first and last; normalised.
        low, high: no mass below and above these values, numbers or (...,); None where open.
    """

    location: AnyArray
    scale: AnyArray
    log_masses: AnyArray
    low: AnyArray | None = None
    high: AnyArray | None = None

    @property
    def bins(self) -> int:
        return int(self.log_masses.shape[-1])

    @property
    def edges(self) -> AnyArray:
        return constant_like(bin_edges(self.bins), self.log_masses)

    def __getitem__(self, index: Any) -> BinnedDistribution:
        return BinnedDistribution(
            self.location[index], self.scale[index], self.log_masses[index], self.low, self.high
        )

    def expand(self, *shape: int) -> BinnedDistribution:
        """The distribution broadcast to another batch shape."""
        many = array_module(self.log_masses).broadcast_to
        if shape == (1,) and self.log_masses.ndim == 1:
            many = _in_a_row
        expanded = BinnedDistribution(
            many(self.location, shape),
            many(self.scale, shape),
            many(self.log_masses, (*shape, self.bins)),
            self.low,
            self.high,
        )
        # What has been computed of one holds for its copies.
        known = vars(self)
        if "_masses" in known:
            vars(expanded)["_masses"] = many(self._masses, (*shape, self.bins))
        if "_outside" in known:
            vars(expanded)["_outside"] = tuple(many(at, shape) for at in self._outside)
        return expanded

    def double(self) -> BinnedDistribution:
        """The distribution in float64, renormalised where it was not."""
        if self.log_masses.itemsize == _DOUBLE:
            return self
        return BinnedDistribution(
            _double(self.location),
            _double(self.scale),
            log_softmax(_double(self.log_masses)),
            self.low,
            self.high,
        )

    def numpy(self) -> BinnedDistribution:
        """The same distribution in numpy arrays, without gradients."""
        if isinstance(self.log_masses, np.ndarray):
            return self
        return BinnedDistribution(
            self.location.detach().numpy(),
            self.scale.detach().numpy(),
            self.log_masses.detach().numpy(),
            self.low,
            self.high,
        )

    def affine(self, offset: float, gain: float) -> BinnedDistribution:
        """The distribution of `offset + gain * y`, bounds and all. A negative gain mirrors it."""
        low, high = self.low, self.high
        if gain < 0:
            low, high = high, low
        flip = array_module(self.log_masses).flip
        return BinnedDistribution(
            offset + gain * self.location,
            clipped(abs(gain) * self.scale, _LEAST_SCALE),
            self.log_masses if gain > 0 else flip(self.log_masses, axis=-1),
            None if low is None else offset + gain * low,
            None if high is None else offset + gain * high,
        )

    def truncate(self, low: float | None, high: float | None) -> BinnedDistribution:
        """Cuts off what lies outside [low, high] and renormalises; None leaves a side open.

        A forecast that has next to no mass inside (less than 1e-9) is first moved to the nearest
        bound, where what is left of it piles up.
        """
        if low is None and high is None:
            return self
        cut = BinnedDistribution(self.location, self.scale, self.log_masses, low, high)
        below, above = cut._outside
        lost = above - below < _LEAST_INSIDE
        if not lost.any():
            return cut
        nearest = clipped(self.location, low, high)
        location = array_module(self.log_masses).where(lost, nearest, self.location)
        return BinnedDistribution(location, self.scale, self.log_masses, low, high)

    @np.errstate(all="ignore")
    def mapped(
        self,
        location: AnyArray,
        scale: AnyArray,
        inverse: Callable[[AnyArray], AnyArray],
        highest: AnyArray,
    ) -> BinnedDistribution:
        """The distribution of an increasing function of y, with bins in other coordinates.

        For one in numpy without bounds. The probabilities of bins are exact, and even within each.

        Args:
            location, scale: (...,) of the new bins.
            inverse: gives which y the edges (..., bins - 1) of these come from.
            highest: (...,) what y holds beyond it is left out.
        """
        each = BinnedDistribution(
            self.location[..., None], self.scale[..., None], self.log_masses[..., None, :]
        )
        below = each.cdf(inverse(location[..., None] + scale[..., None] * self.edges))
        below = np.minimum(below / self.cdf(highest)[..., None], 1.0)
        ends = np.zeros_like(below[..., :1])
        found = np.diff(below, axis=-1, prepend=ends, append=ends + 1)
        return BinnedDistribution(location, scale, np.log(np.maximum(found, _LEAST_MASS)))

    @np.errstate(all="ignore")
    def log_prob(self, y: AnyArray) -> AnyArray:
        """Log-density at y, broadcast against (...,); -inf outside the bounds."""
        xp = array_module(self.log_masses)
        y = self._question(y)
        z = (y - self.location) / self.scale
        edges = self.edges
        bin_of = xp.searchsorted(edges, z)
        log_mass = _entry(xp.broadcast_to(self.log_masses, (*z.shape, self.bins)), bin_of)
        beyond = clipped(z - edges[-1], 0.0) + clipped(edges[0] - z, 0.0)
        log_width = constant_like(log_widths(self.bins), edges)[bin_of]
        density = log_mass - log_width - beyond / TAIL_SCALE - xp.log(self.scale)
        if self.low is None and self.high is None:
            return density
        below, above = self._outside
        inside = (y >= _or(self.low, -math.inf)) & (y <= _or(self.high, math.inf))
        return xp.where(inside, density - xp.log(above - below), -math.inf)

    @np.errstate(all="ignore")
    def cdf(self, y: AnyArray) -> AnyArray:
        """P(Y <= y), broadcast against (...,)."""
        open_cdf = self._open_cdf((self._question(y) - self.location) / self.scale)
        if self.low is None and self.high is None:
            return open_cdf
        below, above = self._outside
        return clipped((open_cdf - below) / (above - below), 0.0, 1.0)

    @np.errstate(all="ignore")
    def quantile(self, q: AnyArray) -> AnyArray:
        """Inverse of `cdf`, broadcast against (...,). q in [0, 1]."""
        xp = array_module(self.log_masses)
        below, above = self._outside
        q = below + self._question(q) * (above - below)
        masses, edges = self._masses, self.edges
        inner, left, right = masses[..., 1:-1], masses[..., 0], masses[..., -1]
        # Every bin counts as far as q fills it, the tails as far as q reaches into them.
        start = masses.cumsum(-1)[..., :-2]
        share = clipped((q[..., None] - start) / clipped(inner, _LEAST_MASS), 0.0, 1.0)
        z = edges[0] + (share * (edges[1:] - edges[:-1])).sum(-1)
        z = z + TAIL_SCALE * xp.log(clipped(q / clipped(left, _LEAST_MASS), 0.0, 1.0))
        z = z - TAIL_SCALE * xp.log(clipped((1 - q) / clipped(right, _LEAST_MASS), 0.0, 1.0))
        return clipped(self.location + self.scale * z, self.low, self.high)

    def sample(self, shape: tuple[int, ...] = (), generator: Generator | None = None) -> AnyArray:
        """Independent draws, (*shape, ...)."""
        return self.quantile(uniform_draws((*shape, *self.location.shape), generator))

    @property
    def mean(self) -> AnyArray:
        """Expected value, (...,)."""
        return self.location + self.scale * self._moments()[0]

    @property
    def std(self) -> AnyArray:
        """Standard deviation, (...,)."""
        return self.scale * self._moments()[1]

    def expected_log_prob(self, clean: Tensor, noise: Tensor, blur: float = 0.1) -> Tensor:
        """E[log_prob(Y)] for Y ~ Normal(clean, noise), the soft-target objective, (...,).

        For training, in torch.

        A histogram has no gradient inside a bin, so where the noise is far narrower than the
        forecast it is widened to `blur` times the scale; the optimum moves by less than 0.001
        nats. Bounds are ignored: training has none.
        """
        import torch

        edges = self.edges
        centre = (clean - self.location) / self.scale
        spread = torch.sqrt((noise / self.scale) ** 2 + blur**2)
        below = _normal_cdf((edges - centre[..., None]) / spread[..., None])
        masses = torch.cat([below[..., :1], torch.diff(below, dim=-1), 1 - below[..., -1:]], -1)
        score = (masses * (self.log_masses - constant_like(log_widths(self.bins), edges))).sum(-1)
        beyond = _expected_excess(centre - edges[-1], spread) + _expected_excess(
            edges[0] - centre, spread
        )
        expected: Tensor = score - beyond / TAIL_SCALE - torch.log(self.scale)
        return expected

    def crps(self, y: Tensor) -> Tensor:
        """Continuous ranked probability score of y, in the unit of y: smaller is better, (...,).

        For training, in torch.

        E|Y - y| - E|Y - Y'| / 2 for independent Y, Y' of this distribution (Gneiting and Raftery
        2007, equation 21), in closed form. Bounds are ignored: training has none.
        """
        import torch

        edges, masses = self.edges, self._masses
        z = ((y - self.location) / self.scale)[..., None]
        widths, inside = edges.diff(), z.clamp(edges[:-1], edges[1:])
        to_bins = ((inside - edges[:-1]) ** 2 + (edges[1:] - inside) ** 2) / (2 * widths)
        distance = (masses[..., 1:-1] * (to_bins + (z - inside).abs())).sum(-1)
        below = torch.cumsum(masses, -1)[..., :-1]
        start, end = below[..., :-1], below[..., 1:]
        overlap = (start + end) / 2 - (start**2 + start * end + end**2) / 3
        between = (overlap * widths).sum(-1)
        for mass, ahead in ((masses[..., 0], z - edges[0]), (masses[..., -1], edges[-1] - z)):
            distance = distance + mass * _distance_to_tail(ahead[..., 0])
            between = between + TAIL_SCALE * (mass - mass**2 / 2)
        score: Tensor = self.scale * (distance - between)
        return score

    def _question(self, y: AnyArray) -> AnyArray:
        """What is asked, in the kind and type of the distribution."""
        if isinstance(self.log_masses, np.ndarray):
            return np.asarray(y, self.log_masses.dtype)
        return array_module(self.log_masses).asarray(y).to(self.log_masses)

    @cached_property
    def _masses(self) -> AnyArray:
        masses = array_module(self.log_masses).exp(self.log_masses)
        return masses / masses.sum(-1)[..., None]

    def _open_cdf(self, z: AnyArray) -> AnyArray:
        """The distribution function without bounds at z, broadcast against (...,)."""
        xp = array_module(self.log_masses)
        masses, edges = self._masses, self.edges
        # Every bin counts as far as z fills it, the tails as far as z reaches into them.
        share = clipped((z[..., None] - edges[:-1]) / (edges[1:] - edges[:-1]), 0.0, 1.0)
        inner = (masses[..., 1:-1] * share).sum(-1)
        left = masses[..., 0] * xp.exp(clipped((z - edges[0]) / TAIL_SCALE, None, 0.0))
        right = masses[..., -1] * xp.expm1(clipped((edges[-1] - z) / TAIL_SCALE, None, 0.0))
        return clipped(left + inner - right, 0.0, 1.0)

    def _bounds_in_z(self) -> tuple[AnyArray, AnyArray]:
        low = (_or(self.low, -math.inf) - self.location) / self.scale
        high = (_or(self.high, math.inf) - self.location) / self.scale
        return low, high

    @cached_property
    def _outside(self) -> tuple[AnyArray, AnyArray]:
        """The open distribution function at the bounds, each (...,)."""
        with np.errstate(all="ignore"):
            low, high = self._bounds_in_z()
            below = 0 * self.scale if self.low is None else self._open_cdf(low)
            above = 0 * self.scale + 1 if self.high is None else self._open_cdf(high)
        return below, above

    @np.errstate(all="ignore")
    def _moments(self) -> tuple[AnyArray, AnyArray]:
        """Mean and standard deviation of z inside the bounds, each (...,)."""
        xp = array_module(self.log_masses)
        edges = self.edges
        low, high = self._bounds_in_z()
        low, high = low[..., None], high[..., None]
        masses = xp.exp(self.log_masses)
        start = xp.maximum(edges[:-1], low)
        end = xp.maximum(xp.minimum(edges[1:], high), start)
        inner = masses[..., 1:-1] * (end - start) / xp.diff(edges)
        left = _tail_moments(xp, edges[0] - clipped(high, None, edges[0]), edges[0] - low)
        right = _tail_moments(xp, clipped(low, edges[-1], None) - edges[-1], high - edges[-1])
        mass = xp.concat([masses[..., :1] * left[0], inner, masses[..., -1:] * right[0]], axis=-1)
        centre = xp.concat([edges[0] - left[1], (start + end) / 2, edges[-1] + right[1]], axis=-1)
        variance = xp.concat([left[2], (end - start) ** 2 / 12, right[2]], axis=-1)
        total = mass.sum(-1)
        mean = (mass * centre).sum(-1) / total
        second = (mass * (variance + (centre - mean[..., None]) ** 2)).sum(-1) / total
        return mean, xp.sqrt(second)


def log_softmax(x: AnyArray) -> AnyArray:
    """Log-probabilities in proportion to exp(x) along the last axis."""
    if not isinstance(x, np.ndarray):
        return x.log_softmax(-1)
    shifted = x - np.maximum.reduce(x, -1, keepdims=True)
    shifted -= np.log(np.add.reduce(np.exp(shifted), -1, keepdims=True))
    return shifted


def _double(x: AnyArray) -> AnyArray:
    return x.astype(np.float64) if isinstance(x, np.ndarray | np.generic) else x.double()


def _in_a_row(x: AnyArray, _: tuple[int, ...]) -> AnyArray:
    """A row of one, many times as fast as broadcasting."""
    return x[None]


def _entry(table: AnyArray, index: AnyArray) -> AnyArray:
    """The entry (...) of every row (..., n) at its own index (...)."""
    if isinstance(table, np.ndarray):
        return np.take_along_axis(table, index[..., None], -1)[..., 0]
    return table.gather(-1, index[..., None])[..., 0]


def _tail_moments(
    xp: ArrayModule, start: AnyArray, end: AnyArray
) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Mass, mean and variance of an exponential tail between `start` and `end` (maybe infinite)."""
    length = clipped((end - start) / TAIL_SCALE, 0.0)
    start = clipped(start, 0.0)
    mass = xp.exp(-start / TAIL_SCALE) * -xp.expm1(-length)
    # Moments of a unit exponential cut at `length`; the limits 0 and infinity are taken apart.
    safe = clipped(length, 1e-3, 700.0)
    ratio = safe / xp.expm1(safe)
    mean = 1 - ratio
    variance = 1 - ratio * (safe + ratio)
    short = length < 1e-3
    mean = xp.where(short, length / 2, mean)
    variance = xp.where(short, length**2 / 12, variance)
    return mass, start + TAIL_SCALE * mean, TAIL_SCALE**2 * variance


def _distance_to_tail(ahead: Tensor) -> Tensor:
    """Mean distance to an exponential tail that begins `ahead` behind; negative is within it."""
    import torch

    within = -ahead.clamp(max=0.0)
    from_within = within - TAIL_SCALE + 2 * TAIL_SCALE * torch.exp(-within / TAIL_SCALE)
    return torch.where(ahead >= 0, ahead + TAIL_SCALE, from_within)


def _normal_cdf(x: Tensor) -> Tensor:
    # erf is vectorised where ndtr is not; the far tail's relative error does not matter here.
    return 0.5 + 0.5 * (x * math.sqrt(0.5)).erf()


def _expected_excess(distance: Tensor, spread: Tensor) -> Tensor:
    """E[max(0, distance + spread * e)] for standard normal e."""
    ratio = distance / spread
    density = (-0.5 * ratio**2).exp() / math.sqrt(2 * math.pi)
    return distance * _normal_cdf(ratio) + spread * density


def _or(bound: AnyArray | None, otherwise: float) -> AnyArray:
    return otherwise if bound is None else bound
