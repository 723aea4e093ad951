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
from lcpfn.network.consensus import consensus, said_by_ends
from lcpfn.network.likeness import Unlikeness
from lcpfn.network.outcomes import COMPANY, EXPECTED, REGRESSIONS, company, put_expected
from lcpfn.network.peer_description import (
    END_IN_WIDTHS,
    PLACED_BY,
    PREPARED,
    described,
)
from lcpfn.network.placement import MIDDLE, PLACEMENT, Crowd, put_placement, regards
from lcpfn.network.run_facts import SIZES, Pairs
from lcpfn.network.scales import LARGEST, logs, units
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


class Gathered(NamedTuple):
    """Other runs side by side, and what is the same for every run that is compared with them.

    Args:
        peers: (..., n, len(PREPARED)) as `prepared` has them.
        known, ended: (..., n) of which it is known what became of them, and their end.
        finished: (...,) how many have ended.
        crowd: where they are.
        company: (..., len(COMPANY)) how their forecasts did.
        said: (..., 2) what their ends say, see `lcpfn.network.consensus`.
    """

    peers: Array
    known: NDArray[np.bool_]
    ended: NDArray[np.bool_]
    finished: Array
    crowd: Crowd
    company: Array
    said: Array


@np.errstate(all="ignore")
def gathered(peers: Array, present: NDArray[np.bool_] | None = None) -> Gathered:
    """Puts other runs side by side.

    Args:
        peers: (..., n, len(PREPARED)) as `prepared` has them.
        present: (..., n) which there are; None for all.
    """
    known = peers[..., PREPARED["became_known"]] > 0
    finished = peers[..., PREPARED["finished"]] > 0
    if present is not None:
        known, finished = known & present, finished & present
    crowd = Crowd.of(peers[..., PREPARED["regards"]], present)
    ended = known & finished
    return Gathered(
        peers,
        known,
        ended,
        finished.sum(-1),
        crowd,
        company(peers[..., PREPARED["votes"]], present, crowd.count),
        said_by_ends(peers[..., PREPARED["became_met"]], ended),
    )


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
def compared(share: Array, own: Array, others: Gathered, unlike: Unlikeness) -> Compared:
    """Describes a run and its peers.

    Args:
        share: (...,) of the run at hand that its newest record has seen.
        own: (..., FACTS) the run at hand at its last landmark, in the order of `RunFacts`.
        others: its peers at the same, or at the last that they have reached.
        unlike: how differently they are made.
    """
    own = own.clip(-LARGEST, LARGEST)
    peers, crowd = others.peers, others.crowd
    measures = units(own, crowd.places[..., MIDDLE], crowd.count)
    log_units = 0.5 * np.log(measures)
    told = _clean(described(share, own, peers, unlike.distances, measures, log_units))
    places = told[..., PLACED_BY]
    if unlike.moves is not None:
        places = np.concatenate([places, unlike.moves.astype(np.float32)], axis=-1)
    mine = np.empty((*crowd.count.shape, len(OWN)))
    _put_own(mine, own, measures, log_units, share, crowd.count)
    ours = regards(own, 2 * log_units[..., 0])
    put_placement(mine[..., OWN["placement"]], ours, crowd, measures[..., 0])
    mine[..., OWN["company"]] = others.company
    put_expected(
        mine[..., OWN["expected"]],
        places,
        peers[..., PREPARED["became_met"]],
        told[..., END_IN_WIDTHS],
        others.known,
        others.ended,
    )
    return Compared(
        told,
        _clean(mine),
        consensus(others.said, share),
        trust(share, others.finished, crowd.count),
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
