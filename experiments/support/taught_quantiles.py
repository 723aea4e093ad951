"""A teacher's forecast as some of its quantiles, each with a width, to learn from.

A histogram has no gradient inside a bin, so each is as wide as a part of the forecast's spread.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lcpfn.network.histogram import BinnedDistribution

_WIDTH = 0.15
_SPREAD = (0.16, 0.84)
_LEAST_WIDTH = 1e-6
_FURTHEST_LEVEL = 1e-4


def draw_levels(count: int, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Levels (count, *shape), one from each of `count` equal parts of 0 to 1."""
    levels = torch.rand((count, *shape), generator=generator)
    return (levels + torch.arange(count).view(-1, *(1,) * len(shape))) / count


def taught_quantiles(theirs: BinnedDistribution, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Quantiles of forecasts (curves, m) at levels (k, curves, m), and the width of each."""
    drawn = theirs.quantile(levels.clamp(_FURTHEST_LEVEL, 1 - _FURTHEST_LEVEL))
    low, high = (theirs.quantile(torch.full_like(levels[:1], level)) for level in _SPREAD)
    width = (_WIDTH * (high - low) / 2).clamp_min(_LEAST_WIDTH)
    return drawn, width.expand_as(drawn)
