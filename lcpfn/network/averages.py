"""Running statistics over the records of a curve, for every prefix at once.

Written for numpy and torch alike: see `lcpfn.network.features`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHORTEST_TABLE = 128


@lru_cache(maxsize=32)
def _weights(length: int, half_lives: tuple[float, ...], skip: int) -> NDArray[np.float32]:
    """(length, length * len(half_lives)): column (i, h) averages the entries skip..i."""
    order = np.arange(length)
    lag = (order[None, :] - order[:, None])[..., None]
    # Of entries to come the weight would be too large for a number; it is not used.
    decay = np.exp2(-np.maximum(lag, 0) / np.array(half_lives))
    weights = np.where((lag >= 0) & (order[:, None, None] >= skip), decay, 0.0)
    weights /= np.maximum(weights.sum(0, keepdims=True), 1e-12)
    return weights.reshape(length, -1).astype(np.float32)


@lru_cache(maxsize=32)
def _weights_on(device: Any, length: int, half_lives: tuple[float, ...], skip: int) -> Any:
    """The same table for tensors on a device."""
    import torch

    return torch.from_numpy(_weights(length, half_lives, skip)).to(device)


def running_averages(
    sequence: Any, half_lives: tuple[float, ...], start: int = 0, skip: int = 0
) -> Any:
    """Averages of the entries skip..i with weights 2^(-lag / half-life), for every i >= start.

    Bias-corrected: the weights sum to one from the first entry on; zero where there is none yet.

    Args:
        sequence: (curves, n).
        half_lives: in entries.
        start: leave out the averages after the first entries.
        skip: entries at the beginning that do not count.

    Returns:
        (curves, n - start, len(half_lives)).
    """
    curves, length = sequence.shape
    # The weights up to i do not depend on what follows, so one table of round size serves all
    # lengths below it, and a growing stream finds it ready.
    table = max(_SHORTEST_TABLE, 1 << (length - 1).bit_length())
    if isinstance(sequence, np.ndarray):
        weights: Any = _weights(table, half_lives, skip)
    else:
        weights = _weights_on(sequence.device, table, half_lives, skip)
    count = len(half_lives)
    averages = sequence @ weights[:length, start * count : length * count]
    return averages.reshape(curves, length - start, count)


def running_range(sequence: Any, start: int = 0) -> tuple[Any, Any]:
    """Lowest and highest entry of (curves, n) so far, for every i >= start: (curves, n - start)."""
    low: Any
    high: Any
    if isinstance(sequence, np.ndarray):
        low = np.minimum.accumulate(sequence, axis=1)
        high = np.maximum.accumulate(sequence, axis=1)
    else:
        low, high = sequence.cummin(dim=1).values, sequence.cummax(dim=1).values
    return low[:, start:], high[:, start:]
