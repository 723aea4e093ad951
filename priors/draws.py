"""Random parameters of a batch of curves, in the shapes that priors need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Range = tuple[float, float]
"""Ends of an interval; draws from it are log-uniform unless said otherwise."""


@dataclass(frozen=True)
class Draws:
    """Random parameters of shape (curves, 1), on the generator's device."""

    curves: int
    generator: torch.Generator | None

    @property
    def device(self) -> torch.device:
        return torch.device("cpu") if self.generator is None else self.generator.device

    def uniform(self, low: float = 0.0, high: float = 1.0, columns: int = 1) -> Tensor:
        shape = (self.curves, columns)
        unit = torch.rand(shape, generator=self.generator, device=self.device)
        return unit.mul_(high - low).add_(low)

    def normal(self, columns: int = 1) -> Tensor:
        return torch.randn((self.curves, columns), generator=self.generator, device=self.device)

    def log_uniform(self, interval: Range, columns: int = 1) -> Tensor:
        low, high = interval
        return torch.exp(self.uniform(math.log(low), math.log(high), columns))

    def happens(self, rate: float | Tensor) -> Tensor:
        """(curves, 1) True in a share `rate` of the curves."""
        return self.uniform() < rate

    def sometimes(self, rate: float | Tensor, size: Range) -> Tensor:
        """(curves, 1) log-uniform in a share `rate` of the curves, else zero."""
        return self.happens(rate) * self.log_uniform(size)

    def kind(self, weights: Sequence[float]) -> Tensor:
        """(curves, 1) random index, by weight."""
        table = torch.tensor(weights, dtype=torch.float32, device=self.device)
        return torch.multinomial(
            table.expand(self.curves, -1), 1, replacement=True, generator=self.generator
        )

    def one_of(self, options: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """(curves, n) of each curve one of several options, all (curves, n), by weight."""
        kind = self.kind(weights)
        return torch.stack(list(options))[kind[:, 0], torch.arange(self.curves, device=self.device)]

    def length(self, lengths: Sequence[int], weights: Sequence[float]) -> int:
        """One number of records for the whole batch, by weight."""
        table = torch.tensor(weights, device=self.device)
        return lengths[int(torch.multinomial(table, 1, generator=self.generator))]
