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
    weights = np.swapaxes(near[..., None] * known, -1, -2)
    table = np.empty((*places.shape[:-1], places.shape[-1] + 1))
    table[..., 0] = 1.0
    table[..., 1:] = places
    weighted = weights[..., None] * table[..., None, :, :]
    square = np.swapaxes(weighted, -1, -2) @ table[..., None, :, :]
    square += _ridge(table.shape[-1])
    outcomes = np.swapaxes(outcomes, -1, -2)
    both = np.zeros((*square.shape[:-1], 2))
    both[..., 0] = (outcomes[..., None, :] @ weighted)[..., 0, :]
    both[..., 0, 1] = 1.0
    solved = np.linalg.solve(square, both)
    off = outcomes - (table[..., None, :, :] @ solved[..., :1])[..., 0]
    seen = (weights * off * off).sum(-1)
    spread = (_BELIEVED * noise + seen) / (_BELIEVED + weights.sum(-1))
    told = np.empty((*spread.shape, 2))
    told[..., 0] = solved[..., 0, 0]
    told[..., 1] = spread + noise * solved[..., 0, 1]
    return told


@lru_cache(maxsize=32)
def _ridge(count: int) -> Array:
    return np.diag([_LEVEL, *[_SLOPE] * (count - 1)])
