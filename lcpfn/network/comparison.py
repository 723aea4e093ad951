"""How a run compares with the other runs of its search: what the second network is shown.

Of each run it is known how far it was at a landmark, what was forecast of it there, and what became
of it since. A peer is described by how it differs from the run at hand, and by the probabilities at
which values came in its own forecasts. The run at hand is described by where it lies among its
peers: a run of another task is an outlier in something. Every number is a ratio of differences, so
units cannot matter, and none knows the place of a peer, so order cannot.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lcpfn.network.columns import Columns
from lcpfn.network.consensus import consensus
from lcpfn.network.likeness import Unlikeness
from lcpfn.network.outcomes import COMPANY, EXPECTED, REGRESSIONS, put_company, put_expected
from lcpfn.network.peer_description import END_IN_WIDTHS, PLACED_BY, PREPARED, described
from lcpfn.network.placement import MIDDLE, PLACEMENT, put_placement, regards
from lcpfn.network.run_facts import SIZES, Pairs
from lcpfn.network.scales import FAR_AWAY, LARGEST, logs, units
from lcpfn.network.trust import trust

Array = NDArray[np.float64]

_MOST = 12.0

_MOVES = Pairs.of("""
became value
value half
half quarter
value first
middle became
""")
OWN = Columns(
    {
        "moves_in_widths": len(_MOVES.left),
        "moves_in_spreads": len(_MOVES.left),
        "outlook_in_strides": 1,
        "log_units": 2,
        "share": 1,
        "log_share": 1,
        "skew": 1,
        "log_count": 1,
        "one_in": 1,
        "placement": len(PLACEMENT),
        "company": len(COMPANY),
        "expected": len(REGRESSIONS) * len(EXPECTED),
    }
)
"""What describes the run at hand."""


class Compared(NamedTuple):
    """What the network sees, float32.

    Args:
        peers: (..., n, len(PEER)).
        own: (..., len(OWN)).
        consensus: (..., 2) what the ends of all peers say, see `lcpfn.network.consensus`.
        trust: (...,) how far the answer may be trusted, see `lcpfn.network.trust`.
    """

    peers: NDArray[np.float32]
    own: NDArray[np.float32]
    consensus: NDArray[np.float32]
    trust: Array


# Runs of another metric may be further away than numbers go; what is too far counts as far.
@np.errstate(all="ignore")
def compared(
    share: Array,
    own: Array,
    peers: Array,
    unlike: Unlikeness,
    present: NDArray[np.bool_] | None = None,
) -> Compared:
    """Describes a run and its peers.

    Args:
        share: (...,) of the run at hand that its newest record has seen.
        own: (..., FACTS) the run at hand at its last landmark, in the order of `RunFacts`.
        peers: (..., n, len(PREPARED)) its peers at the same, or at the last that they have reached,
            as `prepared` has them.
        unlike: how differently they are made.
        present: (..., n) which peers there are; None for all.
    """
    own = own.clip(-LARGEST, LARGEST)
    known = peers[..., PREPARED["became_known"]] > 0
    finished = peers[..., PREPARED["finished"]] > 0
    placed = peers[..., PREPARED["regards"]]
    count = np.full(share.shape, float(peers.shape[-2]))
    if present is not None:
        known, finished = known & present, finished & present
        placed = np.where(present[..., None], placed, FAR_AWAY)
        count = present.sum(-1).astype(np.float64)
    measures = units(own, placed[..., MIDDLE], count)
    log_units = 0.5 * np.log(measures)
    told = _clean(described(share, own, peers, unlike.distances, measures, log_units))
    places = told[..., PLACED_BY]
    if unlike.moves is not None:
        places = np.concatenate([places, unlike.moves.astype(np.float32)], axis=-1)
    mine = np.empty((*count.shape, len(OWN)))
    _put_own(mine, own, measures, log_units, share, count)
    put_placement(
        mine[..., OWN["placement"]],
        regards(own, np.log(measures[..., 0])),
        placed,
        measures[..., 0],
        present,
        count,
    )
    put_company(mine[..., OWN["company"]], peers[..., PREPARED["votes"]], present, count)
    scores, ended = peers[..., PREPARED["became_met"]], known & finished
    put_expected(mine[..., OWN["expected"]], places, scores, told[..., END_IN_WIDTHS], known, ended)
    return Compared(
        told,
        _clean(mine),
        consensus(scores, ended, share),
        trust(share, finished.sum(-1), count),
    )


def _put_own(
    out: Array, own: Array, measures: Array, log_units: Array, share: Array, count: Array
) -> None:
    """What the run is by itself, what it gained of late, and how many peers it has."""
    moves = np.arcsinh(_MOVES.differences(own)[..., None, :] / measures[..., None])
    out[..., OWN["moves_in_widths"]] = moves[..., 0, :]
    out[..., OWN["moves_in_spreads"]] = moves[..., 1, :]
    out[..., OWN["outlook_in_strides"]] = moves[..., 2, -1]
    sizes = logs(SIZES.differences(own))
    out[..., OWN["log_units"]] = log_units[..., 1:] - log_units[..., :1]
    out[..., OWN["share"]] = share
    out[..., OWN["log_share"]] = np.log(share)
    out[..., OWN["skew"]] = 0.5 * (sizes[..., 1] - sizes[..., 2])
    out[..., OWN["log_count"]] = 0.5 * np.log1p(count)
    out[..., OWN["one_in"]] = 1 / np.maximum(count, 1.0)


def _clean(table: Array) -> NDArray[np.float32]:
    """What is not known is as if it were in the middle."""
    table[np.isnan(table)] = 0.0
    return np.asarray(table.clip(-_MOST, _MOST), dtype=np.float32)
