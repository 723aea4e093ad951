"""Turning prior curves into training examples: what is observed, and what is asked.

A logged run is rarely complete: epochs are missing, logging is sparse, a resumed run has lost its
beginning. Training shows the network all of these, and more short prefixes than long ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lcpfn.network.inputs import UNKNOWN, Observations, Questions
from lcpfn.priors import CurveBatch

# How often a batch observes all, half or a quarter of each curve's steps. Shorter sequences are
# cheaper and put the effort where forecasts are hardest. A few fixed lengths suit compilers.
_SHARES = (1.0, 0.5, 0.25)
_SHARE_WEIGHTS = (0.4, 0.3, 0.3)
_ASK_HORIZON = 0.25
# Half of the curves come without learning rates, and some with those at their records alone.
_HIDE_SCHEDULE = 0.5
_ONLY_RATES = 0.2
# How often the best value up to a step is asked for rather than the value at it.
_ASK_BEST = 0.2
# The best of several records is sharp; a density needs some width.
_BEST_NOISE = 0.1


@dataclass(frozen=True)
class Examples:
    """Observations of a batch of curves, questions about them, and the answers.

    Args:
        observations: (curves, n); learning rates are hidden where most logs lack them.
        prefixes: (curves, m) how many observations each question may know of.
        questions: (curves, m), each after its prefix's last step.
        clean: (curves, m) centre of the true answer.
        noise: (curves, m) its standard deviation.
        drawn: (curves, m) one noisy answer.
    """

    observations: Observations
    prefixes: Tensor
    questions: Questions
    clean: Tensor
    noise: Tensor
    drawn: Tensor


def draw_examples(batch: CurveBatch, queries: int, generator: torch.Generator) -> Examples:
    """Chooses which steps of each curve are observed, and asks `queries` questions about it."""
    curves, steps = batch.values.shape
    fractions = batch.fractions.expand(curves, steps)
    share = _choice(_SHARE_WEIGHTS, generator)
    observed, logged = _observed_positions(
        curves, steps, max(1, int(_SHARES[share] * (steps - 1))), generator
    )
    prefixes = _draw_prefixes(curves, queries, observed.shape[1], generator)
    last = observed.gather(1, prefixes - 1)
    asked = _draw_after(last, steps, generator)
    schedule = query_schedule = rates = None
    if batch.schedule is not None:
        # Most logs come without their learning rates; a forecast must be as good without.
        kind = _uniform((curves, 1, 1), generator)
        told = torch.where(kind < _HIDE_SCHEDULE + _ONLY_RATES, UNKNOWN, batch.schedule)
        rows = torch.arange(curves, device=told.device)[:, None]
        schedule, query_schedule = told[rows, observed], told[rows, asked]
        only_rates = (kind >= _HIDE_SCHEDULE) & (kind < _HIDE_SCHEDULE + _ONLY_RATES)
        at_records = batch.schedule[..., 0].gather(1, observed)
        rates = torch.where(only_rates[..., 0], at_records, UNKNOWN)
    clean = batch.clean.gather(1, asked)
    noise = batch.noise.expand(curves, steps).gather(1, asked)
    best = (_uniform(tuple(asked.shape), generator) < _ASK_BEST).to(clean.dtype)
    clean = torch.where(best > 0, _best_after(batch.values, logged, last, asked), clean)
    noise = torch.where(best > 0, _BEST_NOISE * noise, noise)
    errors = torch.randn(noise.shape, generator=generator, device=noise.device)
    observations = Observations(
        fractions.gather(1, observed),
        batch.values.gather(1, observed),
        batch.limits,
        schedule,
        rates,
    )
    questions = Questions(fractions.gather(1, asked), query_schedule, best)
    return Examples(observations, prefixes, questions, clean, noise, clean + noise * errors)


def _best_after(values: Tensor, logged: Tensor, last: Tensor, asked: Tensor) -> Tensor:
    """The best logged value after position `last` up to `asked`, each (curves, m)."""
    order = torch.arange(values.shape[1], device=values.device)
    counts = (order > last[..., None]) & (order <= asked[..., None])
    counts &= logged[:, None] | (order == asked[..., None])
    return torch.where(counts, values[:, None], -torch.inf).amax(-1)


def _choice(weights: tuple[float, ...], generator: torch.Generator) -> int:
    table = torch.tensor(weights, device=generator.device)
    return int(torch.multinomial(table, 1, generator=generator))


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _observed_positions(
    curves: int, steps: int, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(curves, count) increasing positions in 0..steps-2, and which of all steps are logged.

    The last step is always left to ask.
    """
    device = generator.device
    usable = steps - 1
    ramp = torch.arange(count, device=device).expand(curves, -1)
    every = torch.ones(curves, steps, dtype=torch.bool, device=device)
    if count == usable:
        return ramp, every
    spare = usable - count
    window = ramp + (_uniform((curves, 1), generator) * (spare + 1)).long()
    stride = max(1, usable // count)
    offset = (_uniform((curves, 1), generator) * stride).long()
    strided = (ramp * stride + offset).clamp(max=usable - 1)
    scattered = _uniform((curves, usable), generator).argsort(1)[:, :count].sort(1).values
    kind = _uniform((curves, 1), generator)
    chosen = torch.where(kind < 0.5, ramp, torch.where(kind < 0.65, window, scattered))
    # What is missing among the observed records is missing among the later ones, too.
    order = torch.arange(steps, device=device)
    here = torch.zeros_like(every).scatter(1, scattered, True)
    logged = torch.where(kind < 0.65, every, here)
    chosen = torch.where(kind > 0.85, strided, chosen)
    return chosen, torch.where(kind > 0.85, (order - offset) % stride == 0, logged)


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
