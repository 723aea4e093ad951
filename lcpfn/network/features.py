"""What the network sees of a curve: causal, scale-aware features of each observation.

Every feature of observation i is computed from observations 1..i only, so one pass over a curve
serves every prefix at once and a streamed update touches one token. Values enter as distances
from the latest one in units of a running noise estimate, squashed by asinh: the network works
with numbers of order one and never has to resolve a change of 0.001 inside a value of 0.9. The
same frame (latest value, running averages, unit) turns its outputs back into values.

The functions take torch tensors (training, batches) and numpy arrays (streams, single forecasts);
see `lcpfn.network.arrays`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from lcpfn.network.arrays import Array, ArrayModule, array_module
from lcpfn.network.averages import running_averages, running_range

AVERAGE_HALF_LIVES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
NOISE_HALF_LIVES = (4.0, 16.0, 64.0)
_STEP_FREQUENCIES = (0.5, 1.0, 2.0, 4.0)
_MAGNITUDE_FACTORS = (0.5, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0)
_MAGNITUDE_OFFSETS = (2.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0)
_LEVEL_FREQUENCIES = (math.pi, 2 * math.pi, 4 * math.pi, 8 * math.pi)

AVERAGES = len(AVERAGE_HALF_LIVES)


@dataclass(frozen=True)
class Frame:
    """The coordinate system after each observation, in which forecasts are expressed.

    Args:
        last: (..., n) the observation itself.
        averages: (..., n, AVERAGES) exponential averages minus `last`, short to long half-life.
        unit: (..., n) running noise estimate, never zero.
    """

    last: Array
    averages: Array
    unit: Array

    def last_only(self) -> Frame:
        """The frame after the last observation, (..., 1)."""
        return Frame(self.last[:, -1:], self.averages[:, -1:], self.unit[:, -1:])

    def first(self, observations: int) -> Frame:
        """The frame after each of the first `observations`."""
        return Frame(
            self.last[:, :observations],
            self.averages[:, :observations],
            self.unit[:, :observations],
        )

    def at(self, index: torch.Tensor) -> Frame:
        """The frame after observation `index` (curves, queries), counted from 0."""
        rows = torch.arange(index.shape[0], device=index.device)[:, None]
        return Frame(self.last[rows, index], self.averages[rows, index], self.unit[rows, index])


@dataclass(frozen=True)
class ContextFeatures:
    """Token features (..., n, CONTEXT_FEATURES) and the frame after each observation."""

    tokens: Array
    frame: Frame


def increments(xp: ArrayModule, sequence: Array) -> Array:
    """Each entry of (curves, n) minus the one before it; zero for the first."""
    return sequence - xp.concat([sequence[:, :1], sequence[:, :-1]], axis=1)


def preceding(xp: ArrayModule, sequence: Array) -> Array:
    """The entry before each of (curves, n); zero before the first."""
    return xp.concat([0 * sequence[:, :1], sequence[:, :-1]], axis=1)


def channels(xp: ArrayModule, *parts: Array) -> Array:
    """Stacks arrays of one shape along a new last axis."""
    return xp.concat([part[..., None] for part in parts], axis=-1)


def at_least(xp: ArrayModule, least: float, x: Array) -> Array:
    """The larger of x and `least`."""
    return np.maximum(x, np.float32(least)) if isinstance(x, np.ndarray) else x.clamp_min(least)


def constant_of(numbers: tuple[float, ...], like: Array) -> Array:
    """A float32 vector of the kind of `like`."""
    return _vector(numbers, None if isinstance(like, np.ndarray) else like.device)


def counting(start: int, values: Array) -> Array:
    """Start + 1, ..., n for values (curves, n), as a float32 vector of their kind."""
    numbers = range(start + 1, values.shape[1] + 1)
    return _vector(numbers, None if isinstance(values, np.ndarray) else values.device)


@lru_cache(maxsize=1024)
def _vector(numbers: Sequence[float], device: torch.device | None) -> Array:
    if device is None:
        return np.array(numbers, np.float32)
    return torch.tensor(numbers, dtype=torch.float32, device=device)


def step_features(xp: ArrayModule, fraction: Array) -> Array:
    """Features of a step, given as its fraction of the horizon, (...) -> (..., 10)."""
    log = xp.log(fraction)
    angles = log[..., None] * constant_of(_STEP_FREQUENCIES, log)
    plain = channels(xp, 2 * fraction - 1, 0.5 * log + 1)
    return xp.concat([plain, xp.sin(angles), xp.cos(angles)], axis=-1)


def _level_features(xp: ArrayModule, value: Array) -> Array:
    """Where a value lies in [0, 1], the support of the reference prior, (...) -> (..., 9)."""
    angles = value[..., None] * constant_of(_LEVEL_FREQUENCIES, value)
    return xp.concat([2 * value[..., None] - 1, xp.sin(angles), xp.cos(angles)], axis=-1)


def context_features(
    fractions: Array, values: Array, unit_floor: float, start: int = 0
) -> ContextFeatures:
    """Features of the observations of a batch of curves.

    Args:
        fractions: (curves, n) increasing, in (0, 1].
        values: (curves, n) in the prior's own unit.
        unit_floor: smallest noise that is resolved, in the prior's unit.
        start: leave out the first observations; the others still depend on them.

    Returns:
        tokens (curves, n - start, CONTEXT_FEATURES) and their frame.
    """
    xp = array_module(values)
    first = values[:, :1]
    centred = values - first
    change = increments(xp, centred)
    bend = increments(xp, change)
    now = centred[:, start:]
    count = counting(start, values) + 0 * now

    # A second difference of white noise has variance 6 sigma^2. A pseudo-observation keeps the
    # estimate sane while there are only one or two of them.
    bends = at_least(xp, 0.0, count - 2)[..., None]
    bend_variance = running_averages(bend**2 / 6, NOISE_HALF_LIVES, start, skip=2)
    pseudo_variance = (5 * unit_floor) ** 2
    noise = xp.sqrt((bend_variance * bends + pseudo_variance) / (bends + 1) + unit_floor**2)
    unit = noise[..., 1]

    low, high = running_range(centred, start)
    averages = running_averages(centred, AVERAGE_HALF_LIVES, start) - now[..., None]
    log_steps = xp.log(fractions)
    log_step_averages = running_averages(log_steps, AVERAGE_HALF_LIVES, start)
    before = fractions[:, start - 1 : -1] if start else preceding(xp, fractions)
    gap = fractions[:, start:] - before

    recent = channels(xp, change[:, start:], bend[:, start:], now, now - high, now - low)
    distances = xp.concat([averages, recent], axis=-1) / unit[..., None]
    spread = high - low
    magnitudes = channels(
        xp,
        at_least(xp, 1e-6, gap),
        count,
        unit,
        spread + unit_floor,
        1 + spread / unit,
        noise[..., 0] / unit,
        noise[..., 2] / unit,
    )
    factors, offsets = (
        constant_of(_MAGNITUDE_FACTORS, values),
        constant_of(_MAGNITUDE_OFFSETS, values),
    )
    magnitudes = xp.log(magnitudes) * factors + offsets
    levels = _level_features(xp, channels(xp, values[:, start:], first + 0 * now))
    tokens = xp.concat(
        [
            step_features(xp, fractions[:, start:]),
            log_step_averages - log_steps[:, start:, None],
            magnitudes,
            0.5 * xp.asinh(distances),
            xp.tanh(0.2 * distances),
            levels.reshape(*levels.shape[:2], -1),
        ],
        axis=-1,
    )
    return ContextFeatures(tokens, Frame(values[:, start:], averages, unit))


def query_features(last_fraction: Array, query_fraction: Array) -> Array:
    """Features of a query relative to the last observed step, (...) -> (..., QUERY_FEATURES)."""
    xp = array_module(query_fraction)
    ratio = xp.log(query_fraction / last_fraction)
    distance = query_fraction - last_fraction
    log_distance = 0.5 * xp.log(at_least(xp, 1e-6, distance)) + 1
    relative = channels(xp, ratio, xp.exp(-ratio), 2 * distance, log_distance)
    return xp.concat([step_features(xp, query_fraction), relative], axis=-1)


CONTEXT_FEATURES = 10 + AVERAGES + 7 + 2 * (AVERAGES + 5) + 2 * 9
QUERY_FEATURES = 14
