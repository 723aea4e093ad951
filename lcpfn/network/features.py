"""What every view of a curve is made of: causal, scale-aware features of each observation.

Every feature of observation i is computed from observations 1..i only, so one pass over a curve
serves every prefix at once and a streamed update touches one token. Values enter as distances
from the latest one in units of a running noise estimate, squashed by asinh: the network works
with numbers of order one and never has to resolve a change of 0.001 inside a value of 0.9. The
same coordinates (latest value, running averages, unit) turn its outputs back into values.

The functions take torch tensors (training) and numpy arrays (forecasts); see
`lcpfn.network.arrays`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from lcpfn.network.arrays import AnyArray, ArrayModule, array_module, rows_of

AVERAGE_HALF_LIVES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_STEP_FREQUENCIES = (0.5, 1.0, 2.0, 4.0)

AVERAGES = len(AVERAGE_HALF_LIVES)


@dataclass(frozen=True)
class Coordinates:
    """The coordinate system after each observation, in which forecasts are expressed.

    Args:
        last: (..., n) the observation itself.
        averages: (..., n, AVERAGES) exponential averages minus `last`, short to long half-life.
        unit: (..., n) running noise estimate, never zero.
    """

    last: AnyArray
    averages: AnyArray
    unit: AnyArray

    def last_only(self) -> Coordinates:
        """The coordinates after the last observation, (..., 1)."""
        return Coordinates(self.last[:, -1:], self.averages[:, -1:], self.unit[:, -1:])

    def first(self, observations: int) -> Coordinates:
        """The coordinates after each of the first `observations`."""
        return Coordinates(
            self.last[:, :observations],
            self.averages[:, :observations],
            self.unit[:, :observations],
        )

    def at(self, index: AnyArray) -> Coordinates:
        """The coordinates after observation `index` (curves, queries), counted from 0."""
        rows = rows_of(index)
        return Coordinates(
            self.last[rows, index], self.averages[rows, index], self.unit[rows, index]
        )


@dataclass(frozen=True)
class ContextFeatures:
    """Features (..., n, view.context_features) and the coordinates after each observation."""

    tokens: AnyArray
    coordinates: Coordinates


def increments(xp: ArrayModule, sequence: AnyArray) -> AnyArray:
    """Each entry of (curves, n) minus the one before it; zero for the first."""
    return sequence - xp.concat([sequence[:, :1], sequence[:, :-1]], axis=1)


def preceding(xp: ArrayModule, sequence: AnyArray) -> AnyArray:
    """The entry before each of (curves, n); zero before the first."""
    return xp.concat([0 * sequence[:, :1], sequence[:, :-1]], axis=1)


def channels(xp: ArrayModule, *parts: AnyArray) -> AnyArray:
    """Stacks arrays of one shape along a new last axis."""
    return xp.concat([part[..., None] for part in parts], axis=-1)


def at_least(xp: ArrayModule, least: float, x: AnyArray) -> AnyArray:
    """The larger of x and `least`."""
    return np.maximum(x, np.float32(least)) if isinstance(x, np.ndarray) else x.clamp_min(least)


def constant_of(numbers: tuple[float, ...], like: AnyArray) -> AnyArray:
    """A float32 vector of the kind of `like`."""
    return _vector(numbers, None if isinstance(like, np.ndarray) else like.device)


def counting(start: int, values: AnyArray) -> AnyArray:
    """Start + 1, ..., n for values (curves, n), as a float32 vector of their kind."""
    numbers = range(start + 1, values.shape[1] + 1)
    return _vector(numbers, None if isinstance(values, np.ndarray) else values.device)


@lru_cache(maxsize=1024)
def _vector(numbers: Sequence[float], device: Any) -> AnyArray:
    """In numpy for no device, else a tensor on it."""
    if device is None:
        return np.array(numbers, np.float32)
    import torch

    return torch.tensor(numbers, dtype=torch.float32, device=device)


def step_features(xp: ArrayModule, fraction: AnyArray) -> AnyArray:
    """Features of a step, given as its fraction of the horizon, (...) -> (..., 10)."""
    log = xp.log(fraction)
    angles = log[..., None] * constant_of(_STEP_FREQUENCIES, log)
    plain = channels(xp, 2 * fraction - 1, 0.5 * log + 1)
    return xp.concat([plain, xp.sin(angles), xp.cos(angles)], axis=-1)


def step_query_features(last_fraction: AnyArray, query_fraction: AnyArray) -> AnyArray:
    """Features of a query relative to the last observed step, (...) -> (..., 14)."""
    xp = array_module(query_fraction)
    ratio = xp.log(query_fraction / last_fraction)
    distance = query_fraction - last_fraction
    log_distance = 0.5 * xp.log(at_least(xp, 1e-6, distance)) + 1
    relative = channels(xp, ratio, xp.exp(-ratio), 2 * distance, log_distance)
    return xp.concat([step_features(xp, query_fraction), relative], axis=-1)


STEP_QUERY_FEATURES = 14
