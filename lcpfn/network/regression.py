"""What the outcomes of peers say of a run by how near they are: small regressions, not fitted.

Ridge regression that counts near peers more (Cleveland 1979), asked of one peer as of 64. It
shrinks to what is expected without any, and says how well it tells of each peer by the others
(Cook and Weisberg 1982 on residuals of what is left out).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_NEAR = 1.5
_BELIEVED = 2.0


class Told(NamedTuple):
    """What regressions say of a run.

    Args:
        mean, variance: (..., m) of the outcome of each kind.
        agreement: (..., m) logarithm of how far off peers are where each is told by the others,
            squared, over how far without any; negative where peers help each other.
    """

    mean: Array
    variance: Array
    agreement: Array


def straight(
    places: Array,
    near: Array,
    outcomes: Array,
    off_alone: Array,
    known: Array,
    ridge: Array,
    noise: Array,
) -> Told:
    """What lines through the outcomes of near peers say of a run.

    Args:
        places: (..., n, k) of peers, less that of the run.
        near: (..., m, n) of peers, less that of the run, by which nearness goes for each kind.
        outcomes: (..., m, n) of several kinds, 0 where not known.
        off_alone: (..., m, n) how far off peers are without any others.
        known: (..., m, n) which are known.
        ridge: (m, 1 + k, 1 + k) what is added to the products of constants and places.
        noise: (m,) variance that outcomes of a kind are believed to have about the lines.
    """
    weights = np.exp((-0.5 / _NEAR**2) * near * near) * known
    table = np.empty((*places.shape[:-1], places.shape[-1] + 1))
    table[..., 0] = 1.0
    table[..., 1:] = places
    table = table[..., None, :, :]
    weighted = weights[..., None] * table
    inverse = np.linalg.inv(np.swapaxes(weighted, -1, -2) @ table + ridge)
    lines = inverse @ (outcomes[..., None, :] @ weighted)[..., 0, :, None]
    # What is left out moves its own prediction by its leverage.
    leverage = ((table @ inverse) * weighted).sum(-1)
    off = (outcomes - (table @ lines)[..., 0]) / (1 - leverage)
    believed = _BELIEVED * noise
    seen = believed + (weights * off * off).sum(-1)
    spread = seen / (_BELIEVED + weights.sum(-1))
    alone = believed + (weights * off_alone * off_alone).sum(-1)
    return Told(lines[..., 0, 0], spread + noise * inverse[..., 0, 0], np.log(seen / alone))
