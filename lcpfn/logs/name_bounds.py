"""What a metric's name says of its bounds: rewards, scores of games and decibels have no ceiling.

Their first values often lie within those of an accuracy or a percentage, and a ceiling that is
guessed from these leaves a forecast nothing where such a run ends.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lcpfn.logs.names import MAXIMIZE, MINIMIZE, PHASES, goal_of, words

if TYPE_CHECKING:
    from lcpfn.forecast.bounds import BoundsLike

_OPEN_TEXT = """
rew ret eprew eprewmean elo psnr snr snri sdr sdri sisnr sisnri sisdr sisdri ssnr segsnr sharpe
sortino calmar profit profits pnl revenue elbo loglik likelihood loglikelihood cider
"""
_OPEN = frozenset(_OPEN_TEXT.split())
# Beside those that `goal_of` knows: a rate of rewards may be one of successes.
_SHARES = frozenset(("rate", "accuracies"))
# A bare score is one of a game, but an F-score or a silhouette score is none.
_SCORES = frozenset(("score", "scores"))
_BESIDE_SCORES_TEXT = """
mean avg average median value epoch metric metrics ep episode episodes episodic rollout total sum
cum cumulative running rolling moving smoothed last best max min high highest current final raw
per over of all game games player agent env
"""
_BESIDE_SCORES = frozenset((*_BESIDE_SCORES_TEXT.split(), *PHASES))
# The column of rewards in a monitor.csv of Stable-Baselines; an upper-case R is a recall.
_REWARD_OF_MONITOR = "r"


@functools.lru_cache(maxsize=4096)
def has_no_ceiling(name: str) -> bool:
    """Whether a name says that the metric can grow without end.

    The last word that says anything decides: `rewards/accuracies` is an accuracy. Names that say
    nothing, and those of which less is better, such as a negated reward, do not say so.

    >>> has_no_ceiling("rollout/ep_rew_mean"), has_no_ceiling("f1_score")
    (True, False)
    """
    if name == _REWARD_OF_MONITOR:
        return True
    if goal_of(name) == MINIMIZE:
        return False
    found = words(name)
    for word in reversed(found):
        if _is_open(word):
            return True
        if word in _SHARES or (word not in _SCORES and goal_of(word) is not None):
            return False
    others = [word for word in found if word not in _SCORES]
    return len(others) < len(found) and all(_may_stand_beside_score(word) for word in others)


def bounds_by_name(stated: BoundsLike, name: str | None, goal: str) -> BoundsLike:
    """The bounds to forecast a metric with.

    Args:
        stated: by the user; "auto" where nothing was.
        name: of the metric, None where unknown.
        goal: "maximize" or "minimize".

    Returns:
        None in the place of "auto" for a metric to maximise that has no ceiling by its name; else
        what was stated.
    """
    guesses = isinstance(stated, str) and stated == "auto"
    if guesses and goal == MAXIMIZE and name is not None and has_no_ceiling(name):
        return None
    return stated


def settings_by_name(settings: Mapping[str, Any], name: str | None, goal: str) -> dict[str, Any]:
    """Settings of a search, by keywords, with the `bounds` of a metric of this name."""
    return {**settings, "bounds": bounds_by_name(settings.get("bounds", "auto"), name, goal)}


def _is_open(word: str) -> bool:
    plain = word.rstrip("0123456789")
    return plain in _OPEN or "reward" in plain or plain.endswith(("return", "returns"))


def _may_stand_beside_score(word: str) -> bool:
    return word in _BESIDE_SCORES or word.isdigit()
