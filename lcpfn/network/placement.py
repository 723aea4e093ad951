"""Where a run lies among its peers: one of another task is an outlier in something."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Crowd:
    """Runs among which another is placed.

    Args:
        places: (..., n, len(REGARDS)), see `regards`; far away of those who are not there.
        present: (..., n) which there are; None for all.
        count: (...,) how many.
        centre, spread: (..., len(REGARDS)) medians of the places, and of how far these lie off.
    """

    places: Array
    present: NDArray[np.bool_] | None
    count: Array
    centre: Array
    spread: Array

    @staticmethod
    def of(places: Array, present: NDArray[np.bool_] | None) -> Crowd:
        """Runs at places (..., n, len(REGARDS)), of which those count that are present."""
        if present is None:
            count = np.full(places.shape[:-2], float(places.shape[-2]))
        else:
            places = np.where(present[..., None], places, FAR_AWAY)
            count = present.sum(-1).astype(np.float64)
        centre = median(places, count)
        spread = median(np.abs(places - centre[..., None, :]), count)
        return Crowd(places, present, count, centre, spread)


def put_placement(out: Array, ours: Array, crowd: Crowd, wide: Array) -> None:
    """Writes where a run lies among its peers.

    Args:
        out: (..., len(PLACEMENT)) to write to.
        ours: (..., len(REGARDS)), see `regards`.
        crowd: its peers.
        wide: (...,) width of the run's forecast.
    """
    wide = wide[..., None]
    least = np.where(_IS_LEVEL, _LEAST_SPREAD * wide, _LEAST_LOG_SPREAD)
    spread = np.maximum(crowd.spread, least)
    out[..., PLACEMENT["places"]] = np.arcsinh((ours - crowd.centre) / spread)
    off = ours[..., None, :] - crowd.places
    # Peers below count one, those alike a half.
    below = np.sign(off)
    rank = (below if crowd.present is None else below * crowd.present[..., None]).sum(-2)
    out[..., PLACEMENT["ranks"]] = rank / np.maximum(crowd.count, 1.0)[..., None]
    apart = np.abs(off[..., _NEAR])
    nearest = np.empty((*crowd.count.shape, len(_NEAR) + 1))
    nearest[..., :-1] = apart.min(-2)
    nearest[..., -1] = apart.max(-1).min(-1)
    near = np.minimum(nearest / wide, FAR_AWAY)
    out[..., PLACEMENT["nearest"]] = 0.5 * np.log(_ALIKE + near)
