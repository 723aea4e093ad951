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

Array = NDArray[np.float64]

_MOST = 12.0
_LEAST_SIZE = 1e-290
_LEAST_RATIO = 1e-9
_LEAST_CHANCE = 1e-5
_LARGEST, _FAR_AWAY = 1e200, 1e250
# By how much a single peer is trusted less than many, and how fast that fades with their number;
# and how fast the news from peers under way fades as the run goes on.
_DOUBT, _DOUBT_UNDER_WAY, _DOUBT_FADES = 0.1, 0.5, 0.6
_NEWS_FADES = 1.3


class RunFacts(NamedTuple):
    """What is known of a run at a landmark; higher is better, NaN where unknown.

    Args:
        share: of the run that the newest record by the landmark had seen.
        first, quarter, half, value: the first record, and those a quarter as far, half as far and
            at the landmark.
        low, middle, high: quantiles of the forecast of the end that was made there; of the run at
            hand, of its newest.
        met: the probability, of a forecast made half as far, at which `value` came.
        reach: share of the run at which it is looked up what became of it, NaN where it has not
            gone on.
        became: what the run was worth there; of the run at hand, its newest record.
        became_low, became_middle, became_high: quantiles of the forecast of that from the landmark.
        became_met: the probability of that forecast at which `became` came.
    """

    share: float
    first: float
    quarter: float
    half: float
    value: float
    low: float
    middle: float
    high: float
    met: float
    reach: float
    became: float
    became_low: float
    became_middle: float
    became_high: float
    became_met: float


FACTS = len(RunFacts._fields)


def _columns(names: str) -> NDArray[np.intp]:
    return np.array([RunFacts._fields.index(name) for name in names.split()])


def _pairs(text: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Columns to subtract from each other, by lines of two names."""
    lines = [line.split() for line in text.strip().splitlines()]
    return _columns(" ".join(a for a, _ in lines)), _columns(" ".join(b for _, b in lines))


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
_LEFT = _columns(" ".join(left for left, _ in _LINES))
_FROM_OWN = np.array([right.startswith("own.") for _, right in _LINES])
_RIGHT = _columns(" ".join(right.removeprefix("own.") for _, right in _LINES))
_UNIT = np.repeat(
    [0, 1, 2], [len(part.split("\n")) - 2 for part in (_IN_WIDTHS, _IN_SPREADS, _IN_STRIDES)]
)
_SIZES = _pairs("""
high low
high middle
middle low
became_high became_low
""")
_OWN_MOVES = _pairs("""
became value
value half
half quarter
value first
middle became
""")
# In which the run at hand may lie off its peers: records, what they gained from one to another,
# and the width of the forecast.
_LEVELS = _columns("first quarter half value middle")
_GAINS = _pairs("""
half quarter
value half
value first
middle value
""")
_PLACES = len(_LEVELS) + len(_GAINS[0]) + 1
_NEAR = np.array([0, 3, 4])
_MET = _columns("met became_met")
_IS_LEVEL = np.arange(_PLACES) < _PLACES - 1
_LEAST_SPREAD, _LEAST_LOG_SPREAD = 0.03, 0.09

_DIFFERENCES = len(_LEFT)
_RATIOS = 3
# Parts of what is prepared of a run, see `prepared`.
_MOVES = slice(0, _DIFFERENCES)
_LOGS = slice(_DIFFERENCES, _DIFFERENCES + _RATIOS)
_PLACED = slice(_LOGS.stop, _LOGS.stop + _PLACES)
_SCORES = slice(_PLACED.stop, _PLACED.stop + 2)
_PLAIN = slice(_SCORES.stop, _SCORES.stop + 6)
_VOTES = slice(_PLAIN.stop, _PLAIN.stop + 9)
PREPARED = _VOTES.stop
"""Numbers that are made of the facts of a peer once."""
MIDDLE = _PLACED.start + 4
"""Which of them is the median of its forecast."""
FEATURES = _DIFFERENCES + 17
"""Numbers that describe a peer."""
# Parts of what describes the run at hand.
_MOVED = slice(0, 2 * len(_OWN_MOVES[0]) + 1)
_ITSELF = slice(_MOVED.stop, _MOVED.stop + 9)
_PLACE = slice(_ITSELF.stop, _ITSELF.stop + 2 * _PLACES + 4)
_COMPANY = slice(_PLACE.stop, _PLACE.stop + 11)
OWN_FEATURES = _COMPANY.stop
"""Numbers that describe the run at hand."""


class Compared(NamedTuple):
    """What the network sees, float32.

    Args:
        peers: (..., n, FEATURES).
        own: (..., OWN_FEATURES).
        trust: (...,) how far the answer may be trusted, see `trust`.
    """

    peers: NDArray[np.float32]
    own: NDArray[np.float32]
    trust: Array


# Runs of another metric may be further away than numbers go; what is too far counts as far.
@np.errstate(all="ignore")
def prepared(facts: Array) -> Array:
    """What of a peer does not depend on the run at hand.

    Args:
        facts: (..., FACTS) in the order of `RunFacts`.

    Returns:
        (..., PREPARED).
    """
    facts = facts.clip(-_LARGEST, _LARGEST)
    left, right = facts[..., _LEFT], np.where(_FROM_OWN, 0.0, facts[..., _RIGHT])
    sizes = _logs(facts[..., _SIZES[0]] - facts[..., _SIZES[1]])
    known = ~np.isnan(facts[..., _MET])
    scores = np.where(known, _scores(facts[..., _MET]), 0.0)
    reach = facts[..., RunFacts._fields.index("reach")]
    share = facts[..., RunFacts._fields.index("share")]
    skew, lean = 0.5 * (sizes[..., 1] - sizes[..., 2]), 2 * facts[..., _MET[1]] - 1
    logs = np.stack([0.5 * sizes[..., 0], 0.5 * sizes[..., 3], np.log(share)], axis=-1)
    plain = np.stack([skew, reach, reach >= 1, lean], axis=-1)
    placed = [facts[..., _LEVELS], facts[..., _GAINS[0]] - facts[..., _GAINS[1]], sizes[..., :1]]
    late = scores[..., 1]
    reached = np.where(known[..., 1], reach, 0.0)
    votes = [known, scores, scores**2, np.stack([late < -1.1, late > 1.1, reached], axis=-1)]
    return np.concatenate([left - right, logs, *placed, scores, plain, known, *votes], axis=-1)


@np.errstate(all="ignore")
def compared(
    share: Array, own: Array, peers: Array, unlike: Array, present: NDArray[np.bool_]
) -> Compared:
    """Describes a run and its peers.

    Args:
        share: (...,) of the run at hand that its newest record has seen.
        own: (..., FACTS) the run at hand at its last landmark, in the order of `RunFacts`.
        peers: (..., n, PREPARED) its peers at the same, or at the last that they have reached, as
            `prepared` has them.
        unlike: (..., n, 2) how differently they are made, see `lcpfn.network.likeness`; NaN where
            unknown.
        present: (..., n) which peers there are.
    """
    own = own.clip(-_LARGEST, _LARGEST)
    count = present.sum(-1).astype(np.float64)
    units = _units(own, peers[..., MIDDLE], present, count)
    log_units = 0.5 * np.log(units)
    wide, spread = log_units[..., 0], log_units[..., 1]
    told = np.empty((*peers.shape[:-1], FEATURES))
    moves = peers[..., _MOVES] - np.where(_FROM_OWN, own[..., _RIGHT], 0.0)[..., None, :]
    moves /= units[..., None, _UNIT]
    np.arcsinh(moves, out=told[..., _MOVES])
    end = _DIFFERENCES
    log_share = np.log(own[..., 0])
    base = np.stack([wide, wide, log_share], axis=-1)[..., None, :]
    logs, plain = peers[..., _LOGS] - base, peers[..., _PLAIN]
    told[..., end : end + 2] = peers[..., _SCORES]
    told[..., end + 2] = logs[..., 0]
    told[..., end + 3] = plain[..., 0]
    told[..., end + 4 : end + 6] = logs[..., 1:]
    told[..., end + 6 : end + 11] = plain[..., 1:]
    told[..., end + 11] = ~np.isnan(unlike[..., 0])
    told[..., end + 12] = share[..., None]
    told[..., end + 13] = np.log(share)[..., None]
    told[..., end + 14] = 2 * (spread - wide)[..., None]
    told[..., end + 15 :] = unlike
    mine = np.empty((*count.shape, OWN_FEATURES))
    _put_moves(mine[..., _MOVED], own, units)
    _put_own(mine[..., _ITSELF], log_units, share, own, count)
    _put_place(mine[..., _PLACE], own, peers[..., _PLACED], units[..., 0], present, count)
    _put_company(mine[..., _COMPANY], peers[..., _VOTES], present, count)
    finished = (present & (plain[..., 2] > 0)).sum(-1)
    return Compared(_clean(told), _clean(mine), trust(share, finished, count))


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

    def enough(number: Array, doubt: Array) -> Array:
        return np.asarray((number > 0) * (1 - doubt * np.maximum(number, 1.0) ** -_DOUBT_FADES))

    known = enough(finished, _DOUBT + (1 - _DOUBT) * share)
    under_way = enough(count, np.full_like(share, _DOUBT_UNDER_WAY))
    return np.asarray(np.maximum(known, (1 - share) ** _NEWS_FADES * under_way))


def _units(own: Array, middles: Array, present: NDArray[np.bool_], count: Array) -> Array:
    """(..., 3) what differences are divided by."""
    first, value, low, level, high = (
        own[..., RunFacts._fields.index(name)]
        for name in ("first", "value", "low", "middle", "high")
    )
    wide = np.maximum(high - low, np.maximum(_LEAST_RATIO * np.abs(level), _LEAST_SIZE))
    stride = np.abs(value - first)
    middles = np.where(present, middles, _FAR_AWAY)
    middles = np.concatenate([level[..., None], middles], axis=-1)[..., None]
    spread = _median(np.abs(middles - _median(middles, count + 1)[..., None, :]), count + 1)
    found = np.empty((*count.shape, 3))
    found[..., 0] = wide
    found[..., 1] = np.maximum(spread[..., 0], 0.01 * wide)
    found[..., 2] = np.maximum(stride, 0.02 * wide)
    return found


def _clean(table: Array) -> NDArray[np.float32]:
    """What is not known is as if it were in the middle."""
    table[np.isnan(table)] = 0.0
    return np.asarray(table.clip(-_MOST, _MOST), dtype=np.float32)


def _scores(chance: Array) -> Array:
    """Probabilities on a scale without ends."""
    inside = np.clip(chance, _LEAST_CHANCE, 1 - _LEAST_CHANCE)
    return np.asarray(0.5 * np.log(inside / (1 - inside)))


def _logs(sizes: Array) -> Array:
    return np.asarray(np.log(np.maximum(sizes, _LEAST_SIZE)))


def _put_moves(out: Array, own: Array, units: Array) -> None:
    """What the run gained of late, and what is forecast to come, (..., 11)."""
    moves = (own[..., _OWN_MOVES[0]] - own[..., _OWN_MOVES[1]])[..., None, :] / units[..., None]
    table = np.arcsinh(moves)
    count = table.shape[-1]
    out[..., :count] = table[..., 0, :]
    out[..., count : 2 * count] = table[..., 1, :]
    out[..., -1] = table[..., 2, -1]


def _put_own(out: Array, log_units: Array, share: Array, own: Array, count: Array) -> None:
    """What the run is by itself, and how many peers it has, (..., 9)."""
    sizes = _logs(own[..., _SIZES[0][1:3]] - own[..., _SIZES[1][1:3]])
    score = _scores(own[..., _MET[0]])
    out[..., :2] = log_units[..., 1:] - log_units[..., :1]
    out[..., 2] = share
    out[..., 3] = np.log(share)
    out[..., 4] = 0.5 * (sizes[..., 0] - sizes[..., 1])
    out[..., 5] = 0.5 * np.log1p(count)
    out[..., 6] = 1 / np.maximum(count, 1.0)
    out[..., 7] = score
    out[..., 8] = ~np.isnan(score)


def _put_place(
    out: Array,
    own: Array,
    theirs: Array,
    wide: Array,
    present: NDArray[np.bool_],
    count: Array,
) -> None:
    """Where the run lies among its peers, in several regards, (..., 2 _PLACES + 4)."""
    ours = np.empty((*count.shape, _PLACES))
    ours[..., : len(_LEVELS)] = own[..., _LEVELS]
    ours[..., len(_LEVELS) : -1] = own[..., _GAINS[0]] - own[..., _GAINS[1]]
    ours[..., -1] = np.log(wide)
    wide = wide[..., None]
    # Who is not there is far above.
    theirs = np.where(present[..., None], theirs, _FAR_AWAY)
    centre = _median(theirs, count)
    spread = _median(np.abs(theirs - centre[..., None, :]), count)
    least = np.where(_IS_LEVEL, _LEAST_SPREAD * wide, _LEAST_LOG_SPREAD)
    out[..., :_PLACES] = np.arcsinh((ours - centre) / np.maximum(spread, least))
    off = ours[..., None, :] - theirs
    # Peers below count one, those alike a half.
    rank = (np.sign(off) * present[..., None]).sum(-2)
    out[..., _PLACES : 2 * _PLACES] = rank / np.maximum(count, 1.0)[..., None]
    apart = np.abs(off[..., _NEAR])
    nearest = np.empty((*count.shape, 4))
    nearest[..., :3] = apart.min(-2)
    nearest[..., 3] = apart.max(-1).min(-1)
    out[..., 2 * _PLACES :] = 0.5 * np.log(0.01 + np.minimum(nearest / wide, _FAR_AWAY))


def _put_company(out: Array, votes: Array, present: NDArray[np.bool_], count: Array) -> None:
    """How the forecasts of the peers did, on the whole, (..., 11)."""
    votes = (votes * present[..., None]).sum(-2)
    number = votes[..., :2]
    some = np.maximum(number, 1.0)
    mean = votes[..., 2:4] / some
    variance = np.maximum(votes[..., 4:6] / some - mean * mean, 0.0)
    out[..., :2] = mean
    out[..., 2:4] = np.sqrt(variance)
    out[..., 4:6] = mean / np.sqrt(0.3 + variance / some)
    out[..., 6:8] = number / np.maximum(count, 1.0)[..., None]
    out[..., 8:] = votes[..., 6:] / some[..., 1:]


def _median(values: Array, count: Array) -> Array:
    """The lower median (..., k) of the first of some values (..., n, k), in order of size."""
    ordered = np.sort(values, axis=-2)
    if values.ndim == 2:
        return np.asarray(ordered[max((int(count) - 1) // 2, 0)])
    index = np.maximum((count.astype(np.int64) - 1) // 2, 0)[..., None, None]
    index = np.broadcast_to(index, (*index.shape[:-1], values.shape[-1]))
    return np.asarray(np.take_along_axis(ordered, index, axis=-2)[..., 0, :])
