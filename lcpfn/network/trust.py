"""How far what peers say may be trusted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# By how much a single peer is trusted less than many, and how fast that fades with their number;
# and for how long the news from peers under way lasts as the run goes on, and how it fades then.
_DOUBT, _DOUBT_UNDER_WAY, _DOUBT_FADES = 0.1, 0.5, 0.6
_NEWS_LASTS, _NEWS_FADES = 1.5, 1.7
# And by how much at the very end all are trusted less.
_LATE, _LATE_FROM = 0.6, 4


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
    news = (1 - share**_NEWS_LASTS) ** _NEWS_FADES
    found = np.maximum(known, news * under_way)
    return np.asarray(found * (1 - _LATE * share**_LATE_FROM))
