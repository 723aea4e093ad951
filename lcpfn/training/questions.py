"""Turning prior curves into training examples: what is observed, and what is asked.

A logged run is rarely complete: epochs are missing, logging is sparse, a resumed run has lost its
beginning. Training shows the network all of these, and more short prefixes than long ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lcpfn.network.relative import UNKNOWN
from lcpfn.priors import CurveBatch

# How often a batch observes all, half or a quarter of each curve's steps. Shorter sequences are
# cheaper and put the effort where forecasts are hardest. A few fixed lengths suit compilers.
_SHARES = (1.0, 0.5, 0.25)
_SHARE_WEIGHTS = (0.4, 0.3, 0.3)
_ASK_HORIZON = 0.25
_HIDE_SCHEDULE = 0.5


@dataclass(frozen=True)
class Examples:
    """Observations and questions of a batch of curves.

    Args:
        fractions: (curves, n) observed steps over the horizon.
        values: (curves, n) observed values.
        prefixes: (curves, m) how many observations each query may see.
        queries: (curves, m) asked steps over the horizon, after the prefix's last step.
        clean: (curves, m) centre of the true value at each query.
        noise: (curves, m) its standard deviation.
        drawn: (curves, m) one noisy value at each query.
        limits: (curves, 2) best and worst value the metric can take, infinite where unknown, or
            None.
        schedule: (curves, n, 2) learning rates at the observed steps, -1 where hidden, or None.
        query_schedule: (curves, m, 2) at the queries.
    """

    fractions: Tensor
    values: Tensor
    prefixes: Tensor
    queries: Tensor
    clean: Tensor
    noise: Tensor
    drawn: Tensor
    limits: Tensor | None = None
    schedule: Tensor | None = None
    query_schedule: Tensor | None = None


def draw_examples(batch: CurveBatch, queries: int, generator: torch.Generator) -> Examples:
    """Chooses which steps of each curve are observed, and asks `queries` questions about it."""
    curves, steps = batch.values.shape
    fractions = batch.fractions.expand(curves, steps)
    share = _choice(_SHARE_WEIGHTS, generator)
    observed = _observed_positions(
        curves, steps, max(1, int(_SHARES[share] * (steps - 1))), generator
    )
    prefixes = _draw_prefixes(curves, queries, observed.shape[1], generator)
    last = observed.gather(1, prefixes - 1)
    asked = _draw_after(last, steps, generator)
    schedule = query_schedule = None
    if batch.schedule is not None:
        # Most logs come without their learning rates; a forecast must be as good without.
        hidden = _uniform((curves, 1, 1), generator) < _HIDE_SCHEDULE
        told = torch.where(hidden, UNKNOWN, batch.schedule)
        rows = torch.arange(curves, device=told.device)[:, None]
        schedule, query_schedule = told[rows, observed], told[rows, asked]
    clean = batch.clean.gather(1, asked)
    noise = batch.noise.expand(curves, steps).gather(1, asked)
    errors = torch.randn(noise.shape, generator=generator, device=noise.device)
    return Examples(
        fractions.gather(1, observed),
        batch.values.gather(1, observed),
        prefixes,
        fractions.gather(1, asked),
        clean,
        noise,
        clean + noise * errors,
        batch.limits,
        schedule,
        query_schedule,
    )


def _choice(weights: tuple[float, ...], generator: torch.Generator) -> int:
    table = torch.tensor(weights, device=generator.device)
    return int(torch.multinomial(table, 1, generator=generator))


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _observed_positions(curves: int, steps: int, count: int, generator: torch.Generator) -> Tensor:
    """(curves, count) increasing positions in 0..steps-2; the last step is always left to ask."""
    device = generator.device
    usable = steps - 1
    ramp = torch.arange(count, device=device).expand(curves, -1)
    if count == usable:
        return ramp
    spare = usable - count
    window = ramp + (_uniform((curves, 1), generator) * (spare + 1)).long()
    stride = max(1, usable // count)
    strided = ramp * stride + (_uniform((curves, 1), generator) * stride).long()
    scattered = _uniform((curves, usable), generator).argsort(1)[:, :count].sort(1).values
    kind = _uniform((curves, 1), generator)
    chosen = torch.where(kind < 0.5, ramp, torch.where(kind < 0.65, window, scattered))
    return torch.where(kind > 0.85, strided.clamp(max=usable - 1), chosen)


def _draw_prefixes(curves: int, queries: int, longest: int, generator: torch.Generator) -> Tensor:
    """Prefix lengths in 1..longest: half of them uniform, half log-uniform."""
    shape = (curves, queries)
    uniform = _uniform(shape, generator) * longest
    log_uniform = torch.exp(_uniform(shape, generator) * math.log(longest + 1)) - 1
    mixed = torch.where(_uniform(shape, generator) < 0.5, uniform, log_uniform)
    return (mixed.long() + 1).clamp(max=longest)


def _draw_after(last: Tensor, steps: int, generator: torch.Generator) -> Tensor:
    """Positions after `last`, uniform over the rest, the final one more often."""
    shape = tuple(last.shape)
    later = last + 1 + (_uniform(shape, generator) * (steps - 1 - last)).long()
    final = _uniform(shape, generator) < _ASK_HORIZON
    return torch.where(final, steps - 1, later).clamp(max=steps - 1)
