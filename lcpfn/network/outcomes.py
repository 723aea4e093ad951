"""What became of the forecasts of peers, on the whole and near the run at hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcpfn.network.arrays import clipped
from lcpfn.network.columns import Columns
from lcpfn.network.regression import straight

Array = NDArray[Any]

VOTES = Columns({"known": 2, "scores": 2, "squares": 2, "ends": 3})
"""What each peer contributes: of its forecast from half as far, and of that from the landmark."""
COMPANY = Columns({"means": 2, "deviations": 2, "certainties": 2, "known": 2, "ends": 3})
"""How the forecasts of peers did on the whole."""
_FAR_OFF = 1.1
_VARIANCE = 0.3

EXPECTED = Columns({"precise_mean": 1, "precision": 1, "mean": 1, "log_variance": 1})
"""What a regression expects: the first two are natural parameters of its normal distribution, less
those of a variance of one."""
REGRESSIONS = ("score", "value")
"""Of what is expected of the run: the score of its end, and its end itself."""
_FARTHEST = 6.0
_LARGEST_SCORE, _LARGEST_VALUE = 3.0, 8.0
# A value off by the width of the forecast is a score of so much.
_VALUE_SCALE = 2.2
_NOISE = np.array([0.6, 0.4])
_LEAST_VARIANCE, _LARGEST_PARAMETER = 0.08, 12.0


def votes(known: NDArray[np.bool_], scores: Array, reach: Array) -> Array:
    """What peers contribute, (..., len(VOTES)).

    Args:
        known: (..., 2) whether it is known what became of the forecasts from half as far, and from
            the landmark.
        scores: (..., 2) of these, 0 where not known.
        reach: (...,) share of the run at which the second was looked up.
    """
    late = scores[..., 1]
    reached = np.where(known[..., 1], reach, 0.0)
    others = np.stack([late < -_FAR_OFF, late > _FAR_OFF, reached], axis=-1)
    return np.concatenate([known, scores, scores**2, others], axis=-1)


def company(votes: Array, present: NDArray[np.bool_] | None, count: Array) -> Array:
    """How the forecasts of peers did on the whole, (..., len(COMPANY)).

    Args:
        votes: (..., n, len(VOTES)) of the peers.
        present: (..., n) which peers there are; None for all.
        count: (...,) how many.
    """
    total = (votes if present is None else votes * present[..., None]).sum(-2)
    number = total[..., VOTES["known"]]
    some = np.maximum(number, 1.0)
    mean = total[..., VOTES["scores"]] / some
    variance = np.maximum(total[..., VOTES["squares"]] / some - mean * mean, 0.0)
    out = np.empty((*count.shape, len(COMPANY)))
    out[..., COMPANY["means"]] = mean
    out[..., COMPANY["deviations"]] = np.sqrt(variance)
    out[..., COMPANY["certainties"]] = mean / np.sqrt(_VARIANCE + variance / some)
    out[..., COMPANY["known"]] = number / np.maximum(count, 1.0)[..., None]
    out[..., COMPANY["ends"]] = total[..., VOTES["ends"]] / some[..., 1:]
    return out


def put_expected(
    out: Array,
    places: Array,
    scores: Array,
    values: Array,
    known: NDArray[np.bool_],
    finished: NDArray[np.bool_],
) -> None:
    """Writes what regressions over peers expect of the run.

    Args:
        out: (..., len(REGRESSIONS) * len(EXPECTED)) to write to.
        places: (..., n, k) how peers differ from the run; nearness goes by the first.
        scores: (..., n) at which what became of peers lay in their forecasts.
        values: (..., n) their ends less the median of the run's forecast, in widths of that, on a
            logarithmic scale.
        known: (..., n) of which peers there is a score.
        finished: (..., n) which of these have ended.
    """
    places = clipped(places, -_FARTHEST, _FARTHEST)
    outcomes = np.empty((*scores.shape, 2))
    outcomes[..., 0] = clipped(scores, -_LARGEST_SCORE, _LARGEST_SCORE)
    outcomes[..., 1] = clipped(_VALUE_SCALE * values, -_LARGEST_VALUE, _LARGEST_VALUE)
    which = np.empty((*scores.shape, 2))
    which[..., 0] = known
    which[..., 1] = finished
    outcomes *= which
    found = straight(places, outcomes, which, _NOISE)
    mean = found[..., 0]
    # Both natural parameters stay within what the network is shown.
    least = np.maximum(_LEAST_VARIANCE, np.abs(mean) / _LARGEST_PARAMETER)
    variance = np.maximum(found[..., 1], least)
    told = np.empty((*mean.shape, len(EXPECTED)))
    told[..., EXPECTED["precise_mean"]] = mean / variance
    told[..., EXPECTED["precision"]] = 1 / variance - 1
    told[..., EXPECTED["mean"]] = 2 * mean
    told[..., EXPECTED["log_variance"]] = np.log(variance)
    out[...] = told.reshape(out.shape)
