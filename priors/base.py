"""What a curve prior is: the small protocol that training asks for.

A prior of your own needs one method. For example, exponential decays to a random floor:

>>> import torch
>>> from lcpfn.priors import CurveBatch
>>> class ExponentialPrior:
...     def sample(self, count, generator=None):
...         fractions = torch.arange(1, 51) / 50
...         level = torch.rand(count, 1, generator=generator)
...         rate = 1 + 9 * torch.rand(count, 1, generator=generator)
...         clean = level + (1 - level) * torch.exp(-rate * fractions)
...         noise = torch.full((count, 1), 0.01)
...         values = clean + noise * torch.randn(clean.shape, generator=generator)
...         return CurveBatch(fractions, values, clean, noise)
>>> ExponentialPrior().sample(3, torch.Generator().manual_seed(0)).values.shape
torch.Size([3, 50])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True)
class CurveBatch:
    """Curves drawn from a prior. Higher is better; losses are drawn negated.

    Args:
        fractions: (steps,) or (curves, steps), increasing, in (0, 1]: step over horizon.
        values: (curves, steps), what a log would show.
        clean: (curves, steps), the centre of each value given everything else about the curve.
        noise: (curves, 1) or (curves, steps), standard deviation of the normal noise around
            `clean`. Training uses Normal(clean, noise) as a soft target, which has the same
            optimum as the noisy values and far less gradient variance.
        ceiling: (curves,) the best value the metric can take where a user would know it, inf
            elsewhere; None where no curve has one.
        floor: (curves,) the worst value it can take, as an accuracy's 0, -inf where unknown; None
            where no curve has one.
        schedule: (curves, steps, 2) learning rate relative to its peak, and share of the summed
            rate spent so far; None where a prior has none.
    """

    fractions: Tensor
    values: Tensor
    clean: Tensor
    noise: Tensor
    ceiling: Tensor | None = None
    schedule: Tensor | None = None
    floor: Tensor | None = None

    @property
    def limits(self) -> Tensor | None:
        """(curves, 2) best and worst value the metric can take, infinite where unknown."""
        if self.ceiling is None:
            return None
        unknown = torch.full_like(self.ceiling, -torch.inf)
        return torch.stack([self.ceiling, unknown if self.floor is None else self.floor], -1)


@runtime_checkable
class Prior(Protocol):
    """Anything that draws learning curves in batches."""

    def sample(self, count: int, generator: torch.Generator | None = None) -> CurveBatch:
        """Draws `count` curves on the generator's device (the CPU where there is none)."""
        ...
