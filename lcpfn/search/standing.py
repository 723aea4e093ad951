"""Where a run stands among the other runs of its search, at the same share of the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from lcpfn.forecast.arguments import Goal, read_goal
from lcpfn.forecast.peer import Peer, newest
from lcpfn.search.lengths import Lengths, same_share
from lcpfn.search.run import Run
from lcpfn.search.settings import SearchSettings

Standings = Callable[[int], float | None]
"""The standing of a run after so many of its usable records; None where too few can be compared."""

# The standing among fewer than this says next to nothing.
_FEWEST = 4


def standing(step: float, value: float, peers: Sequence[Peer], goal: Goal) -> float | None:
    """The share of peers that were better at this step: 0 for the run that leads, 1 for the last.

    Ties count half. A peer that had been stopped by then counts as worse, and so does a value that
    is no finite number: it is worse than any.

    >>> peers = [Peer([1, 2, 3], [0.1, 0.5, level], stopped=False) for level in (0.6, 0.7, 0.8)]
    >>> standing(3, 0.75, [*peers, Peer([1, 2], [0.1, 0.2], stopped=True)], "maximize")
    0.25

    Args:
        step, value: of the run's newest record.
        peers: the other runs.
        goal: "maximize" or "minimize".

    Returns:
        None where fewer than four can be compared with.

    Raises:
        InputError: `goal` is neither "maximize" nor "minimize".
    """
    read_goal(goal)
    others = [other for peer in peers if (other := peer.at(step)) is not None]
    return _share_better([(value, other) for other in others], goal)


def standings(
    run: Run,
    length: float,
    others: Callable[[], Iterable[Run]],
    lengths: Lengths,
    settings: SearchSettings,
    goal: Goal,
) -> Standings:
    """Where a run stood after each of its usable records, among runs of any length.

    Each is compared at the same share of its own length. A standing is found once, when it is first
    asked for.

    Args:
        run: its records.
        length: of the full run.
        others: gives the runs that it is compared with.
        lengths: of the runs of the search.
        settings: of the search.
        goal: "maximize" or "minimize".
    """
    shift = lengths.shift

    @cache
    def after(count: int) -> float | None:
        if not (count and settings.peers):
            return None
        at = run.usable[count - 1][0] + shift
        worth = newest(*run.worths, at - shift)
        if worth is None:
            return None
        pairs = []
        for peer in others():
            place, other = _met(peer, at, length, lengths, settings)
            own = worth if place == at else newest(*run.worths, place - shift)
            if other is not None and own is not None:
                pairs.append((own, other))
        return _share_better(pairs, goal)

    return after


def _met(
    peer: Run, place: float, length: float, lengths: Lengths, settings: SearchSettings
) -> tuple[float, float | None]:
    """Where in a run of some length it can be compared with a peer, and what that was worth.

    At the place asked for, or where the peer is a little behind, at its newest record. Worth NaN,
    worse than any, where it had been stopped; None where nobody can tell.
    """
    other, shift = lengths.of(peer), lengths.shift
    if other is None:
        return place, None
    there = same_share(place, length, other)
    steps, worths = peer.worths
    if peer.state == "finished" or (steps and there - shift <= steps[-1]):
        return place, newest(steps, worths, there - shift)
    if peer.state == "stopped":
        reach = settings.counts_on * (peer.last + shift)
        return place, math.nan if there <= reach else None
    if not steps or steps[-1] + shift < (1 - settings.lag) * there:
        return place, None
    return same_share(steps[-1] + shift, other, length), worths[-1]


def _share_better(pairs: Sequence[tuple[float, float]], goal: Goal) -> float | None:
    """The share of pairs whose second value is the better one, ties half; None of under four."""
    if len(pairs) < _FEWEST:
        return None
    sign = 1 if goal == "maximize" else -1
    ranks = [(_rank(own, sign), _rank(other, sign)) for own, other in pairs]
    better = sum(other > own for own, other in ranks)
    ties = sum(other == own for own, other in ranks)
    return (better + 0.5 * ties) / len(pairs)


def _rank(value: float, sign: int) -> float:
    return sign * value if math.isfinite(value) else -math.inf
