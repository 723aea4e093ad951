"""Priors of single curve parameters: draw in batches, evaluate the log-density."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


def _device_of(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device


class ParameterPrior(Protocol):
    """A distribution of one scalar curve parameter."""

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Independent float32 draws of the given shape, on the generator's device."""
        ...

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, elementwise, -inf outside the support."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Uniform on [low, high]."""

    low: float
    high: float

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        unit = torch.rand(shape, generator=generator, device=_device_of(generator))
        return unit.mul_(self.high - self.low).add_(self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        inside = (value >= self.low) & (value <= self.high)
        density = torch.full_like(value, -math.log(self.high - self.low))
        return torch.where(inside, density, -math.inf)


@dataclass(frozen=True)
class LogNormal:
    """exp of a normal with the given mean and standard deviation of the logarithm."""

    mean: float
    std: float

    def sample(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        normal = torch.randn(shape, generator=generator, device=_device_of(generator))
        return normal.mul_(self.std).add_(self.mean).exp_()

    def log_prob(self, value: Tensor) -> Tensor:
        logarithm = torch.log(value.clamp_min(torch.finfo(value.dtype).tiny))
        standard = (logarithm - self.mean) / self.std
        density = -0.5 * standard**2 - logarithm - math.log(self.std * math.sqrt(2 * math.pi))
        return torch.where(value > 0, density, -math.inf)
