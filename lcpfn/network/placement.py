"""Where a run lies among its peers: one of another task is an outlier in something."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lcpfn.network.columns import Columns
from lcpfn.network.run_facts import Pairs, facts
from lcpfn.network.scales import FAR_AWAY, median

Array = NDArray[np.float64]

# In which the run at hand may lie off its peers: records, what they gained from one to another,
# and the width of the forecast.
_LEVELS = facts("first quarter half value middle")
_GAINS = Pairs.of("""
half quarter
value half
value first
middle value
""")
REGARDS = Columns({"levels": len(_LEVELS), "gains": len(_GAINS.left), "log_width": 1})
"""In what runs are placed among each other."""
MIDDLE = len(_LEVELS) - 1
"""Which of these is the median of the forecast."""
PLACEMENT = Columns({"places": len(REGARDS), "ranks": len(REGARDS), "nearest": 4})
"""What says where a run lies among others."""

# The nearest peer is looked up in the first record, the newest, the forecast, and all of these.
_NEAR = np.array([0, 3, 4])
_IS_LEVEL = np.arange(len(REGARDS)) != REGARDS["log_width"]
_LEAST_SPREAD, _LEAST_LOG_SPREAD = 0.03, 0.09
_ALIKE = 0.01


def regards(known: Array, log_width: Array) -> Array:
    """In what runs are placed, (..., len(REGARDS)).

    Args:
        known: (..., FACTS) of the runs.
        log_width: (...,) logarithm of the width of their forecasts.
    """
    return np.concatenate(
        [known[..., _LEVELS], _GAINS.differences(known), log_width[..., None]], axis=-1
    )


def put_placement(
    out: Array,
    ours: Array,
    theirs: Array,
    wide: Array,
    present: NDArray[np.bool_] | None,
    count: Array,
) -> None:
    """Writes where a run lies among its peers.

    Args:
        out: (..., len(PLACEMENT)) to write to.
        ours, theirs: (..., len(REGARDS)) and (..., n, len(REGARDS)), see `regards`; far away of
            those who are not there.
        wide: (...,) width of the run's forecast.
        present: (..., n) which peers there are; None for all.
        count: (...,) how many.
    """
    wide = wide[..., None]
    centre = median(theirs, count)
    spread = median(np.abs(theirs - centre[..., None, :]), count)
    least = np.where(_IS_LEVEL, _LEAST_SPREAD * wide, _LEAST_LOG_SPREAD)
    out[..., PLACEMENT["places"]] = np.arcsinh((ours - centre) / np.maximum(spread, least))
    off = ours[..., None, :] - theirs
    # Peers below count one, those alike a half.
    below = np.sign(off)
    rank = (below if present is None else below * present[..., None]).sum(-2)
    out[..., PLACEMENT["ranks"]] = rank / np.maximum(count, 1.0)[..., None]
    apart = np.abs(off[..., _NEAR])
    nearest = np.empty((*count.shape, len(_NEAR) + 1))
    nearest[..., :-1] = apart.min(-2)
    nearest[..., -1] = apart.max(-1).min(-1)
    near = np.minimum(nearest / wide, FAR_AWAY)
    out[..., PLACEMENT["nearest"]] = 0.5 * np.log(_ALIKE + near)
