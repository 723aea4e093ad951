"""What describes a peer: what it is by itself, and beside the run at hand.

Every number is a ratio of differences, so units cannot matter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lcpfn.network.columns import Columns
from lcpfn.network.outcomes import VOTES, votes
from lcpfn.network.placement import MIDDLE, REGARDS, regards
from lcpfn.network.run_facts import SIZES, fact, facts
from lcpfn.network.scales import LARGEST, logs, scores

Array = NDArray[np.float64]

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
MIDDLES = PREPARED["regards"].start + MIDDLE
"""The column of what is prepared that has the median of the forecast."""
_BEFORE_KNOWN = PREPARED.through("became_known")
PLACED_BY = np.array(
    [
        *(_LINES.index([name, f"own.{name}"]) for name in ("middle", "value", "half")),
        PEER["log_width"],
    ]
)
"""Where peers are for regressions: how they differ in widths, and in the width itself."""
END_IN_WIDTHS = _LINES.index(["became", "own.middle"])
"""The column of what became of a peer less the median of the run's forecast."""


def worths(peers: Array) -> Array:
    """How well peers do, (..., n): their ends, or the medians of the forecasts of these.

    Args:
        peers: (..., n, len(PREPARED)) as `prepared` has them.
    """
    finished = peers[..., PREPARED["finished"]] > 0
    return np.where(finished, peers[..., END_IN_WIDTHS], peers[..., MIDDLES])


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
    sizes = logs(SIZES.differences(known))
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


def described(
    share: Array, own: Array, peers: Array, unlike: Array, measures: Array, log_units: Array
) -> Array:
    """Peers beside a run, (..., n, len(PEER)).

    Args:
        share: (...,) of the run that its newest record has seen.
        own: (..., FACTS) of the run.
        peers: (..., n, len(PREPARED)) as `prepared` has them.
        unlike: (..., n, 2) how differently they are made; NaN where unknown.
        measures, log_units: (..., 3) what differences are divided by, see
            `lcpfn.network.scales.units`, and half the logarithms of that.
    """
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
