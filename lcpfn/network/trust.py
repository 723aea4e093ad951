"""How far what peers say may be trusted, and how far they are believed to be of the same task."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# By how much a single peer is trusted less than many, and how fast that fades with their number;
# and how fast the news from peers under way fades as the run goes on.
_DOUBT, _DOUBT_UNDER_WAY, _DOUBT_FADES = 0.1, 0.5, 0.6
_NEWS_FADES = 1.3
# Log-odds by which the first peer is believed to be of the same task before it is looked at.
_OPEN = 1.2


def trust(share: Array, finished: Array, count: Array) -> Array:
    """How far what peers say may be trusted, in [0, 1]: a power of the density that is answered.

    The network was trained on a few dozen tasks, and is surer of what it says about others than it
    may be: the more so the fewer peers there are and the more of the run has been seen, and that of
    peers that have not ended themselves. The constants were set on sources left out of training,
    see `experiments/peers.py`.

    Args:
        share: (...,) of the run that has been seen.
        finished, count: (...,) how many peers have ended, and how many there are.
    """
    doubt = _DOUBT + (1 - _DOUBT) * share
    known = (finished > 0) * (1 - doubt * np.maximum(finished, 1) ** -_DOUBT_FADES)
    under_way = (count > 0) * (1 - _DOUBT_UNDER_WAY * np.maximum(count, 1) ** -_DOUBT_FADES)
    return np.asarray(np.maximum(known, (1 - share) ** _NEWS_FADES * under_way))


def openness(share: Array, count: Array) -> NDArray[np.float32]:
    """Log-odds that peers are of any use, (...,), which are added to what the network answers.

    Nearly half of what it was trained on were peers of other tasks, and each error with those
    counted twice, so that it hardly hears a single peer early in a run, of which it cannot know.
    Most of those who pass one pass one of the same task.

    Args:
        share: (...,) of the run that has been seen.
        count: (...,) how many peers there are.
    """
    return np.asarray(_OPEN * (1 - share) / np.maximum(count, 1.0), dtype=np.float32)
