"""Whether a run's values fall as those of a loss do, where they are to be maximized."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from lcpfn.errors import GoalWarning
from lcpfn.forecast.arguments import Array
from lcpfn.forecast.curve import Curve

_LEAST_RECORDS = 4
# How many of the records fall, and by how much of the first value all of them do.
_MOST_FALL, _FAR = 0.75, 0.2


LIKE_A_LOSS = (
    "as those of a loss do, but goal is 'maximize': say goal='minimize' if lower is better"
)
"""What is said of values that fall so."""


def falls_like_a_loss(values: Array) -> bool:
    """Whether values (n,) fall fast, then slower, to well below the first, and are not negative.

    An accuracy that breaks down does not: it falls late, or at once. Fewer than four values say
    nothing.

    >>> falls_like_a_loss(np.array([2.3, 1.7, 1.4, 1.3, 1.25]))
    True
    >>> falls_like_a_loss(np.array([0.3, 0.5, 0.6, 0.62, 0.3]))
    False
    """
    if len(values) < _LEAST_RECORDS or values.min() < 0:
        return False
    first, middle, last = values[0], values[len(values) // 2], values[-1]
    falling = np.mean(np.diff(values) < 0) >= _MOST_FALL
    return bool(falling and last < (1 - _FAR) * first and first - middle > middle - last)


def doubt_goals(curves: Iterable[Curve], stacklevel: int) -> None:
    """Warns where a curve that is to be maximized falls as a loss does.

    Args:
        curves: as they were asked about; one of them is warned of.
        stacklevel: of whoever asked, as for `warnings.warn`, seen from the caller.
    """
    for curve in curves:
        asked = curve.goal == "maximize" and not curve.diverged
        if asked and doubt_goal(curve.values, stacklevel + 1):
            return


def doubt_goal(values: Array, stacklevel: int) -> bool:
    """Warns where values (n,) that are to be maximized fall as those of a loss do.

    Args:
        values: of one run.
        stacklevel: as for `doubt_goals`.

    Returns:
        whether it has warned.
    """
    doubted = falls_like_a_loss(values)
    if doubted:
        warnings.warn(f"the values fall {LIKE_A_LOSS}", GoalWarning, stacklevel=stacklevel + 1)
    return doubted
