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
from lcpfn.network.likeness import Unlikeness
from lcpfn.network.outcomes import (
    COMPANY,
    EXPECTED,
    REGRESSIONS,
    VOTES,
    put_company,
    put_expected,
    votes,
)
from lcpfn.network.placement import MIDDLE, PLACEMENT, REGARDS, put_placement, regards
from lcpfn.network.run_facts import Pairs, fact, facts
from lcpfn.network.scales import LARGEST, logs, scores, units
from lcpfn.network.trust import trust

Array = NDArray[np.float64]

_MOST = 12.0

# What a peer is by itself, or less the same of the run at hand: in units of the width of the run's
# forecast, of the spread of the forecasts of all runs, and of how far the run has come.
_IN_WIDTHS = """
middle own.middle
value own.value
first own.first
half own.half
middle value
became own.middle
became value
became became_middle
"""
_IN_SPREADS = """
middle own.middle
value own.value
half own.half
quarter own.quarter
first own.first
value half
half quarter
middle value
became value
became became_middle
"""
_IN_STRIDES = """
value own.value
first own.first
half own.half
value first
value half
became value
"""
_LINES = [line.split() for line in (_IN_WIDTHS + _IN_SPREADS + _IN_STRIDES).split("\n") if line]
_LEFT = facts(" ".join(left for left, _ in _LINES))
_FROM_OWN = np.array([right.startswith("own.") for _, right in _LINES])
_RIGHT = facts(" ".join(right.removeprefix("own.") for _, right in _LINES))
_UNIT = np.repeat(
    [0, 1, 2], [len(part.split("\n")) - 2 for part in (_IN_WIDTHS, _IN_SPREADS, _IN_STRIDES)]
)
_SIZES = Pairs.of("""
high low
high middle
middle low
became_high became_low
""")
_MOVES = Pairs.of("""
became value
value half
half quarter
value first
middle became
""")
_MET = facts("met became_met")

_BY_ITSELF = {
    "differences": len(_LINES),
    "met": 1,
    "became_met": 1,
    "log_width": 1,
    "skew": 1,
    "became_log_width": 1,
    "log_share": 1,
    "reach": 1,
    "finished": 1,
    "lean": 1,
    "met_known": 1,
    "became_known": 1,
}
PREPARED = Columns({**_BY_ITSELF, "regards": len(REGARDS), "votes": len(VOTES)})
"""What is made of the facts of a peer once."""
PEER = Columns(
    {
        **_BY_ITSELF,
        "alike_known": 1,
        "own_share": 1,
        "own_log_share": 1,
        "spread": 1,
        "unlike": 2,
    }
)
"""What describes a peer."""
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
        "met": 1,
        "met_known": 1,
        "placement": len(PLACEMENT),
        "company": len(COMPANY),
        "expected": len(REGRESSIONS) * len(EXPECTED),
    }
)
"""What describes the run at hand."""
MIDDLES = PREPARED["regards"].start + MIDDLE
"""The column of what is prepared that has the median of the forecast."""
_BEFORE_KNOWN = PREPARED.through("became_known")
# Where runs are for regressions: by these of the differences in widths, and by the width itself.
_PLACED_BY = np.array(
    [
        *(_LINES.index([name, f"own.{name}"]) for name in ("middle", "value", "half")),
        PEER["log_width"],
    ]
)
_END_IN_WIDTHS = _LINES.index(["became", "own.middle"])


class Compared(NamedTuple):
    """What the network sees, float32.

    Args:
        peers: (..., n, len(PEER)).
        own: (..., len(OWN)).
        trust: (...,) how far the answer may be trusted, see `lcpfn.network.trust`.
    """

    peers: NDArray[np.float32]
    own: NDArray[np.float32]
    trust: Array


def worths(peers: Array) -> Array:
    """How well peers do, (..., n): their ends, or the medians of the forecasts of these.

    Args:
        peers: (..., n, len(PREPARED)) as `prepared` has them.
    """
    finished = peers[..., PREPARED["finished"]] > 0
    return np.where(finished, peers[..., _END_IN_WIDTHS], peers[..., MIDDLES])


# Runs of another metric may be further away than numbers go; what is too far counts as far.
@np.errstate(all="ignore")
def prepared(known: Array) -> Array:
    """What of a peer does not depend on the run at hand.

    Args:
        known: (..., FACTS) in the order of `RunFacts`.

    Returns:
        (..., len(PREPARED)).
    """
    known = known.clip(-LARGEST, LARGEST)
    sizes = logs(_SIZES.differences(known))
    is_met = ~np.isnan(known[..., _MET])
    met = np.where(is_met, scores(known[..., _MET]), 0.0)
    reach = known[..., fact("reach")]
    table = np.empty((*known.shape[:-1], len(PREPARED)))
    right = np.where(_FROM_OWN, 0.0, known[..., _RIGHT])
    table[..., PREPARED["differences"]] = known[..., _LEFT] - right
    single = {
        "met": met[..., 0],
        "became_met": met[..., 1],
        "log_width": 0.5 * sizes[..., 0],
        "skew": 0.5 * (sizes[..., 1] - sizes[..., 2]),
        "became_log_width": 0.5 * sizes[..., 3],
        "log_share": np.log(known[..., fact("share")]),
        "reach": reach,
        "finished": reach >= 1,
        "lean": 2 * known[..., fact("became_met")] - 1,
        "met_known": is_met[..., 0],
        "became_known": is_met[..., 1],
    }
    for name, column in single.items():
        table[..., PREPARED[name]] = column
    table[..., PREPARED["regards"]] = regards(known, sizes[..., 0])
    table[..., PREPARED["votes"]] = votes(is_met, met, reach)
    return table


@np.errstate(all="ignore")
def compared(
    share: Array,
    own: Array,
    peers: Array,
    unlike: Unlikeness,
    present: NDArray[np.bool_],
) -> Compared:
    """Describes a run and its peers.

    Args:
        share: (...,) of the run at hand that its newest record has seen.
        own: (..., FACTS) the run at hand at its last landmark, in the order of `RunFacts`.
        peers: (..., n, len(PREPARED)) its peers at the same, or at the last that they have reached,
            as `prepared` has them.
        unlike: how differently they are made.
        present: (..., n) which peers there are.
    """
    own = own.clip(-LARGEST, LARGEST)
    count = present.sum(-1).astype(np.float64)
    measures = units(own, peers[..., MIDDLES], present, count)
    log_units = 0.5 * np.log(measures)
    told = _clean(_told(share, own, peers, unlike.distances, measures, log_units))
    places = told[..., _PLACED_BY]
    if unlike.moves is not None:
        places = np.concatenate([places, unlike.moves.astype(np.float32)], axis=-1)
    known = present & (peers[..., PREPARED["became_known"]] > 0)
    finished = present & (peers[..., PREPARED["finished"]] > 0)
    mine = np.empty((*count.shape, len(OWN)))
    _put_own(mine, own, measures, log_units, share, count)
    put_placement(
        mine[..., OWN["placement"]],
        regards(own, np.log(measures[..., 0])),
        peers[..., PREPARED["regards"]],
        measures[..., 0],
        present,
        count,
    )
    put_company(mine[..., OWN["company"]], peers[..., PREPARED["votes"]], present, count)
    put_expected(
        mine[..., OWN["expected"]],
        places,
        peers[..., PREPARED["became_met"]],
        told[..., _END_IN_WIDTHS],
        known,
        known & finished,
    )
    return Compared(told, _clean(mine), trust(share, finished.sum(-1), count))


def _told(
    share: Array, own: Array, peers: Array, unlike: Array, measures: Array, log_units: Array
) -> Array:
    """What describes the peers, (..., n, len(PEER))."""
    wide, spread = log_units[..., 0], log_units[..., 1]
    differences = PEER["differences"]
    # What peers are compared with.
    base = np.zeros((*share.shape, _BEFORE_KNOWN.stop))
    base[..., differences] = np.where(_FROM_OWN, own[..., _RIGHT], 0.0)
    base[..., PEER["log_width"]] = wide
    base[..., PEER["became_log_width"]] = wide
    base[..., PEER["log_share"]] = np.log(own[..., fact("share")])
    told = np.empty((*peers.shape[:-1], len(PEER)))
    told[..., _BEFORE_KNOWN] = peers[..., _BEFORE_KNOWN] - base[..., None, :]
    moves = told[..., differences]
    moves /= measures[..., None, _UNIT]
    np.arcsinh(moves, out=moves)
    told[..., PEER["alike_known"]] = ~np.isnan(unlike[..., 0])
    told[..., PEER["own_share"]] = share[..., None]
    told[..., PEER["own_log_share"]] = np.log(share)[..., None]
    told[..., PEER["spread"]] = 2 * (spread - wide)[..., None]
    told[..., PEER["unlike"]] = unlike
    return told


def _put_own(
    out: Array, own: Array, measures: Array, log_units: Array, share: Array, count: Array
) -> None:
    """What the run is by itself, what it gained of late, and how many peers it has."""
    moves = np.arcsinh(_MOVES.differences(own)[..., None, :] / measures[..., None])
    out[..., OWN["moves_in_widths"]] = moves[..., 0, :]
    out[..., OWN["moves_in_spreads"]] = moves[..., 1, :]
    out[..., OWN["outlook_in_strides"]] = moves[..., 2, -1]
    sizes = logs(_SIZES.differences(own))
    met = scores(own[..., fact("met")])
    out[..., OWN["log_units"]] = log_units[..., 1:] - log_units[..., :1]
    out[..., OWN["share"]] = share
    out[..., OWN["log_share"]] = np.log(share)
    out[..., OWN["skew"]] = 0.5 * (sizes[..., 1] - sizes[..., 2])
    out[..., OWN["log_count"]] = 0.5 * np.log1p(count)
    out[..., OWN["one_in"]] = 1 / np.maximum(count, 1.0)
    out[..., OWN["met"]] = met
    out[..., OWN["met_known"]] = ~np.isnan(met)


def _clean(table: Array) -> NDArray[np.float32]:
    """What is not known is as if it were in the middle."""
    table[np.isnan(table)] = 0.0
    return np.asarray(table.clip(-_MOST, _MOST), dtype=np.float32)
