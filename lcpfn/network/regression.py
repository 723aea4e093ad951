"""What the outcomes of peers say of a run by how near they are: a small regression, not fitted.

Ridge regression that counts near peers more (Cleveland 1979), asked of one peer as of 64; it
shrinks to what is expected without any.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_NEAR = 1.5
_SLOPE, _LEVEL = 1.0, 0.3
_BELIEVED = 2.0


def straight(places: Array, outcomes: Array, known: Array, noise: Array) -> Array:
    """What lines through the outcomes of near peers say of a run.

    Args:
        places: (..., n, k) of peers, less that of the run; nearness goes by the first.
        outcomes, known: (..., n, m) of several kinds, 0 where not known, and which are.
        noise: (m,) variance that outcomes of a kind are believed to have about the lines.

    Returns:
        (..., m, 2) means and variances.
    """
    near = np.exp(-0.5 * (places[..., 0] / _NEAR) ** 2)
    table = np.empty((*places.shape[:-1], places.shape[-1] + 1))
    table[..., 0] = 1.0
    table[..., 1:] = places
    first = known[..., 0]
    if (known == first[..., None]).all():
        # What is known of all kinds alike is solved for at once.
        return _lines(table, near * first, outcomes, noise)
    parts = [
        _lines(table, near * known[..., kind], outcomes[..., kind : kind + 1], noise[kind])
        for kind in range(len(noise))
    ]
    return np.concatenate(parts, axis=-2)


def _lines(table: Array, weights: Array, outcomes: Array, noise: Array) -> Array:
    """What lines say at zero, (..., m, 2) means and variances.

    Args:
        table: (..., n, 1 + k) of ones and the places.
        weights: (..., n).
        outcomes: (..., n, m) of several kinds.
        noise: (m,) or (), variance that outcomes are believed to have about the lines.
    """
    kinds = outcomes.shape[-1]
    weighted = np.swapaxes(weights[..., None] * table, -1, -2)
    square = weighted @ table
    square += _ridge(table.shape[-1])
    both = np.zeros((*square.shape[:-1], kinds + 1))
    both[..., :kinds] = weighted @ outcomes
    both[..., 0, kinds] = 1.0
    solved = np.linalg.solve(square, both)
    off = outcomes - table @ solved[..., :kinds]
    seen = (weights[..., None, :] @ (off * off))[..., 0, :]
    spread = (_BELIEVED * noise + seen) / (_BELIEVED + weights.sum(-1)[..., None])
    told = np.empty((*spread.shape, 2))
    told[..., 0] = solved[..., 0, :kinds]
    told[..., 1] = spread + noise * solved[..., 0, kinds:]
    return told


@lru_cache(maxsize=32)
def _ridge(count: int) -> Array:
    return np.diag([_LEVEL, *[_SLOPE] * (count - 1)])
