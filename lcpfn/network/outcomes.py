"""What became of the forecasts of peers, on the whole and near the run at hand."""

from __future__ import annotations

from functools import lru_cache
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

EXPECTED = Columns(
    {"precise_mean": 1, "precision": 1, "mean": 1, "log_variance": 1, "agreement": 1}
)
"""What a regression expects: the first two are natural parameters of its normal distribution, less
those of a variance of one; and how well it tells of the peers themselves."""
REGRESSIONS = ("score", "value", "outlook")
"""Of what is expected of the run: the score of its end, its end itself, and what is forecast of it,
as of peers that were like it so far."""
_FARTHEST = 6.0
_MOST = np.array([3.0, 8.0, 8.0])
# A value off by the width of the forecast is a score of so much.
_VALUE_SCALE = 2.2
_NOISE = np.array([0.6, 0.4, 0.2])
_LEAST_VARIANCE, _LARGEST_PARAMETER = 0.08, 12.0
_SLOPE, _LEVEL, _NOTHING = 1.0, 0.3, 1e6
FORECAST, RECORD = 0, 1
"""The places of peers by what is forecast of them, and by their newest records."""
# By which nearness goes: by what is forecast, but where that is asked for.
_NEAR = np.array([FORECAST, FORECAST, RECORD])


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


def put_company(out: Array, votes: Array, present: NDArray[np.bool_] | None, count: Array) -> None:
    """Writes how the forecasts of peers did on the whole.

    Args:
        out: (..., len(COMPANY)) to write to.
        votes: (..., n, len(VOTES)) of the peers.
        present: (..., n) which peers there are; None for all.
        count: (...,) how many.
    """
    total = (votes if present is None else votes * present[..., None]).sum(-2)
    number = total[..., VOTES["known"]]
    some = np.maximum(number, 1.0)
    mean = total[..., VOTES["scores"]] / some
    variance = np.maximum(total[..., VOTES["squares"]] / some - mean * mean, 0.0)
    out[..., COMPANY["means"]] = mean
    out[..., COMPANY["deviations"]] = np.sqrt(variance)
    out[..., COMPANY["certainties"]] = mean / np.sqrt(_VARIANCE + variance / some)
    out[..., COMPANY["known"]] = number / np.maximum(count, 1.0)[..., None]
    out[..., COMPANY["ends"]] = total[..., VOTES["ends"]] / some[..., 1:]


def put_expected(
    out: Array,
    places: Array,
    scores: Array,
    ends: Array,
    off: Array,
    known: NDArray[np.bool_],
    finished: NDArray[np.bool_],
    present: NDArray[np.bool_] | None,
) -> None:
    """Writes what regressions over peers expect of the run.

    Args:
        out: (..., len(REGRESSIONS) * len(EXPECTED)) to write to.
        places: (..., n, k) how peers differ from the run.
        scores: (..., n) at which what became of peers lay in their forecasts.
        ends: (..., n) their ends less the median of the run's forecast, in widths of that, on a
            logarithmic scale.
        off: (..., n) these less the medians of their own forecasts.
        known: (..., n) of which peers there is a score.
        finished: (..., n) which of these have ended.
        present: (..., n) which peers there are; None for all.
    """
    places = clipped(places, -_FARTHEST, _FARTHEST)
    near = np.swapaxes(places[..., _NEAR], -1, -2)
    outcomes = np.empty(near.shape)
    outcomes[..., 0, :] = scores
    outcomes[..., 1, :] = _VALUE_SCALE * ends
    outcomes[..., 2, :] = _VALUE_SCALE * places[..., FORECAST]
    without = np.empty(near.shape)
    without[..., 0, :] = scores
    without[..., 1, :] = _VALUE_SCALE * off
    without[..., 2, :] = outcomes[..., 2, :]
    which = np.empty(near.shape)
    which[..., 0, :] = known
    which[..., 1, :] = finished
    which[..., 2, :] = True if present is None else present
    most = _MOST[:, None]
    outcomes = clipped(outcomes * which, -most, most)
    told = straight(
        places,
        near,
        outcomes,
        clipped(without * which, -most, most),
        which,
        _ridge(places.shape[-1]),
        _NOISE,
    )
    # Both natural parameters stay within what the network is shown.
    least = np.maximum(_LEAST_VARIANCE, np.abs(told.mean) / _LARGEST_PARAMETER)
    variance = np.maximum(told.variance, least)
    found = np.empty((*told.mean.shape, len(EXPECTED)))
    found[..., EXPECTED["precise_mean"]] = told.mean / variance
    found[..., EXPECTED["precision"]] = 1 / variance - 1
    found[..., EXPECTED["mean"]] = 2 * told.mean
    found[..., EXPECTED["log_variance"]] = np.log(variance)
    found[..., EXPECTED["agreement"]] = told.agreement
    out[...] = found.reshape(out.shape)


@lru_cache(maxsize=32)
def _ridge(count: int) -> Array:
    """(kinds, 1 + count, 1 + count) how much coefficients are shrunk; no forecast tells itself."""
    shrunk = np.array([_LEVEL, *[_SLOPE] * count])
    itself = shrunk.copy()
    itself[1 + FORECAST] = _NOTHING
    return np.stack([np.diag(shrunk), np.diag(shrunk), np.diag(itself)])
