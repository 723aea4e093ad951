"""The posterior predictive of a sampler: a mixture of normals, one for every posterior draw."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
_BISECTIONS = 60
_REACH = 9.0
# Entries of a (draws, steps) table that are worked on at once.
_CHUNK = 2_000_000
_LEAST_INSIDE = 1e-12


@dataclass(frozen=True)
class Mixture:
    """A batch of mixtures of normals with the questions of a `BinnedDistribution`.

    Args:
        centres: (..., draws) noiseless values under every draw.
        scales: (..., draws) noise levels, positive.
        weights: (draws,) that sum to 1.
        low: no mass below this value; None where open.
        high: no mass above this value; None where open.
    """

    centres: Tensor
    scales: Tensor
    weights: Tensor
    low: float | None = None
    high: float | None = None

    def __getitem__(self, index: Any) -> Mixture:
        return replace(self, centres=self.centres[index], scales=self.scales[index])

    def expand(self, *shape: int) -> Mixture:
        """The mixture broadcast to another batch shape."""
        return replace(
            self,
            centres=self.centres.expand(*shape, -1),
            scales=self.scales.expand(*shape, -1),
        )

    def affine(self, offset: float, gain: float) -> Mixture:
        """The mixture of `offset + gain * y`, without bounds."""
        return Mixture(offset + gain * self.centres, abs(gain) * self.scales, self.weights)

    def truncate(self, low: float | None, high: float | None) -> Mixture:
        """Cuts off what lies outside [low, high] and renormalises; None leaves a side open."""
        return replace(self, low=low, high=high)

    def log_prob(self, y: Tensor) -> Tensor:
        """Log-density at y (...,): the logarithm of the draws' mean density."""
        y = torch.as_tensor(y).to(self.centres)
        standard = (y[..., None] - self.centres) / self.scales
        score = -0.5 * standard**2 - torch.log(self.scales) - _HALF_LOG_TWO_PI
        density = torch.logsumexp(score + torch.log(self.weights), -1)
        if self.low is None and self.high is None:
            return density
        below, above = self._outside()
        inside = (y >= _or(self.low, -math.inf)) & (y <= _or(self.high, math.inf))
        return torch.where(inside, density - torch.log(above - below), -math.inf)

    def cdf(self, y: Tensor) -> Tensor:
        """P(Y <= y), broadcast against (...,)."""
        y = torch.as_tensor(y).to(self.centres)
        if self.low is None and self.high is None:
            return self._open_cdf(y)
        below, above = self._outside()
        return ((self._open_cdf(y) - below) / (above - below)).clamp(0, 1)

    def quantile(self, q: Tensor) -> Tensor:
        """Inverse of `cdf` by bisection, broadcast against (...,)."""
        q = torch.as_tensor(q).to(self.centres)
        below, above = self._outside()
        wanted = below + q * (above - below)
        start = (self.centres - _REACH * self.scales).amin(-1)
        end = (self.centres + _REACH * self.scales).amax(-1)
        start = start.clamp(_or(self.low, -math.inf), _or(self.high, math.inf))
        end = end.clamp(_or(self.low, -math.inf), _or(self.high, math.inf))
        start, end = (side.expand(wanted.shape).clone() for side in (start, end))
        for _ in range(_BISECTIONS):
            middle = (start + end) / 2
            short = self._open_cdf(middle) < wanted
            start = torch.where(short, middle, start)
            end = torch.where(short, end, middle)
        return (start + end) / 2

    @property
    def mean(self) -> Tensor:
        """Expected value, (...,)."""
        return self._moments()[0]

    @property
    def std(self) -> Tensor:
        """Standard deviation, (...,)."""
        return self._moments()[1]

    def _open_cdf(self, y: Tensor) -> Tensor:
        # Row by row where y has more axes than the mixture: the table of all would be large.
        if y.ndim > self.centres.ndim - 1 and y.numel() * len(self.weights) > _CHUNK:
            return torch.stack([self._open_cdf(row) for row in y])
        standard = (y[..., None] - self.centres) / self.scales
        mass: Tensor = torch.special.ndtr(standard) @ self.weights
        return mass

    def _outside(self) -> tuple[Tensor, Tensor]:
        """The open distribution function at the bounds, at least a little apart."""
        shape = self.centres[..., 0]
        below = torch.zeros_like(shape)
        above = torch.ones_like(shape)
        if self.low is not None:
            below = self._open_cdf(torch.full_like(shape, self.low))
        if self.high is not None:
            above = self._open_cdf(torch.full_like(shape, self.high))
        return below, torch.maximum(above, below + _LEAST_INSIDE)

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation inside the bounds."""
        low = (_or(self.low, -math.inf) - self.centres) / self.scales
        high = (_or(self.high, math.inf) - self.centres) / self.scales
        inside = torch.special.ndtr(high) - torch.special.ndtr(low)
        at_low, at_high = _normal_density(low), _normal_density(high)
        first = at_low - at_high
        second = inside + _product(low, at_low) - _product(high, at_high)
        total = (inside @ self.weights).clamp_min(_LEAST_INSIDE)
        mean = ((self.centres * inside + self.scales * first) @ self.weights) / total
        offset = self.centres - mean[..., None]
        spread = offset**2 * inside + 2 * offset * self.scales * first + self.scales**2 * second
        return mean, torch.sqrt(((spread @ self.weights) / total).clamp_min(0))


def _normal_density(z: Tensor) -> Tensor:
    return torch.exp(-0.5 * z**2 - _HALF_LOG_TWO_PI)


def _product(z: Tensor, density: Tensor) -> Tensor:
    """Z * density, 0 where z is infinite."""
    return torch.where(torch.isinf(z), 0.0, z) * density


def _or(bound: float | None, otherwise: float) -> float:
    return otherwise if bound is None else bound
