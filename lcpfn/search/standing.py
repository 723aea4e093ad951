"""Where a run stands among the other runs of its search, at the same step."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lcpfn.forecast.arguments import Goal, read_goal
from lcpfn.forecast.peer import Peer

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
    return share_better([(value, other) for other in others], goal)


def share_better(pairs: Sequence[tuple[float, float]], goal: Goal) -> float | None:
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
