"""What the ends of all peers together say of a run, however near they are.

Where they lay in the forecasts of them is a sample from how forecasts of this search err. Early in
a run the second network knows better which of them matter. Late in it little is left to happen, and
hardly anything tells which: then it is too careful, and the plain mean and variance of all, shrunk
to forecasts that are right, say what is missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcpfn.network.arrays import clipped

Array = NDArray[Any]

# So many peers' worth is it believed that forecasts are right, whose scores have this variance; and
# no peer's score counts as more than this.
_BELIEVED, _VARIANCE, _LARGEST_SCORE = 8.0, 0.75, 2.0


def said_by_ends(scores: Array, ended: NDArray[np.bool_]) -> Array:
    """What a normal distribution of the scores of ends adds to those of forecasts that are right.

    A conjugate normal model in all but that it takes one value for its mean and its variance
    (Gelman et al. 2013, section 3.3). The constants were set on sources left out of training, see
    `experiments/peers.py`.

    Args:
        scores: (..., n) at which the ends of peers lay in their forecasts.
        ended: (..., n) of which peers there is one.

    Returns:
        (..., 2) differences of its natural parameters, mean over variance and one over variance.
    """
    scores = clipped(scores, -_LARGEST_SCORE, _LARGEST_SCORE) * ended
    count = _BELIEVED + ended.sum(-1)
    mean = scores.sum(-1) / count
    off = (scores - mean[..., None]) * ended
    variance = (_BELIEVED * _VARIANCE + (off * off).sum(-1)) / count
    return np.stack([mean / variance, 1 / variance - 1 / _VARIANCE], axis=-1)


def consensus(said: Array, share: Array) -> NDArray[np.float32]:
    """What ends say to the power of how much it is worth, (..., 2).

    Args:
        said: (..., 2) see `said_by_ends`.
        share: (...,) of the run that has been seen.
    """
    # What is worth much at the end is worth little before; and what is answered late is trusted
    # less and mixed with no correction, for which it makes up.
    worth = share**2 + share**6
    return np.asarray(worth[..., None] * said, dtype=np.float32)
