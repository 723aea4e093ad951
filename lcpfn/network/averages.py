"""Running statistics over the records of a curve, for every prefix at once.

Written for numpy and torch alike: see `lcpfn.network.features`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch

_SHORTEST_TABLE = 128


@lru_cache(maxsize=32)
def _weights(length: int, half_lives: tuple[float, ...], skip: int, numpy: bool) -> Any:
    """(length, length * len(half_lives)): column (i, h) averages the entries skip..i."""
    order = torch.arange(length)
    lag = (order[None, :] - order[:, None])[..., None]
    decay = torch.exp2(-lag.double() / torch.tensor(half_lives, dtype=torch.float64))
    weights = torch.where((lag >= 0) & (order[:, None, None] >= skip), decay, 0.0)
    weights = weights / weights.sum(0, keepdim=True).clamp_min(1e-12)
    table = weights.flatten(1).float()
    return table.numpy() if numpy else table


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
    weights = _weights(table, half_lives, skip, isinstance(sequence, np.ndarray))
    if not isinstance(sequence, np.ndarray):
        weights = weights.to(sequence.device)
    count = len(half_lives)
    averages = sequence @ weights[:length, start * count : length * count]
    return averages.reshape(curves, length - start, count)


def running_range(sequence: Any, start: int = 0) -> tuple[Any, Any]:
    """Lowest and highest entry of (curves, n) so far, for every i >= start: (curves, n - start)."""
    if isinstance(sequence, np.ndarray):
        extremes: tuple[Any, Any] = (
            np.minimum.accumulate(sequence, axis=1),
            np.maximum.accumulate(sequence, axis=1),
        )
    else:
        extremes = torch.cummin(sequence, dim=1).values, torch.cummax(sequence, dim=1).values
    low, high = extremes
    return low[:, start:], high[:, start:]
