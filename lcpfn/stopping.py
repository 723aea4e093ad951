"""The stopping rule: is this run still worth its compute?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lcpfn.curve import Goal, read_number
from lcpfn.errors import InputError
from lcpfn.extrapolation import Extrapolation

# A record this many times the size of anything before it is no noise.
_EXPLOSION = 1e4
# Forecasts are made of values below this; see `lcpfn.curve.read_curve`.
_LARGEST = 1e150


@dataclass(frozen=True)
class Decision:
    """What a stopping rule says, and why.

    Args:
        stop: whether to stop the run.
        prob_better: probability that the final value beats the incumbent; NaN without one.
        reason: a sentence for the log.
    """

    stop: bool
    prob_better: float
    reason: str


@dataclass(frozen=True)
class StoppingRule:
    """Stops a run whose final value will hardly beat the incumbent's.

    >>> import lcpfn
    >>> post = lcpfn.load().extrapolate([0.42, 0.44, 0.45, 0.45, 0.46], horizon=50)
    >>> StoppingRule(threshold=0.05).decide(post, incumbent=0.93).stop
    True

    Args:
        threshold: stop when the probability to beat the incumbent falls under this, in [0, 1).
            0.05 gives up one winner in twenty doubtful ones at most, if forecasts are calibrated.
        min_steps: observed records before any decision, at least 1. A first record is often taken
            before training, and the next few mislead about slow starters: replays of recorded
            searches lose several times as many winners with 2 as with the default 4
            (docs/early_stopping.md).
        patience: decisions in a row that must agree to stop, at least 1.
        min_delta: by how much the incumbent must be beaten, in the metric's unit, at least 0.
        keep_top: protects runs that may end among this many best, at least 1: the incumbent is
            then the final value of the run at that rank; see `incumbent`.
    """

    threshold: float = 0.05
    min_steps: int = 4
    patience: int = 1
    min_delta: float = 0.0
    keep_top: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise InputError(f"threshold is {self.threshold}, but must be at least 0 and below 1")
        for name in ("min_steps", "patience", "keep_top"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, but must be at least 1")
        if not (self.min_delta >= 0 and math.isfinite(self.min_delta)):
            raise InputError(f"min_delta is {self.min_delta}, but must be finite and at least 0")

    def incumbent(self, finals: Sequence[float], goal: Goal) -> float | None:
        """The value to beat, given the final values of all finished runs, in any order.

        >>> StoppingRule(keep_top=2).incumbent([0.71, 0.93, 0.88], goal="maximize")
        0.88

        Returns:
            the best of them, or with `keep_top` the one at that rank; None while fewer than that
            have finished.
        """
        if len(finals) < self.keep_top:
            return None
        return sorted(finals, reverse=goal == "maximize")[self.keep_top - 1]

    def decide(
        self,
        post: Extrapolation,
        incumbent: float | None,
        earlier: Sequence[Decision] = (),
    ) -> Decision:
        """Decides from the forecast alone; keeps no state.

        Args:
            post: forecast of the run.
            incumbent: final value of the best finished run, or None before there is one: then
                nothing is stopped.
            earlier: this run's decisions so far, one a record, oldest first; needed for a patience
                above 1. Those before `min_steps` do not count.

        Raises:
            InputError: the incumbent is NaN or no number.
        """
        if incumbent is None:
            return Decision(False, math.nan, "no incumbent yet: nothing to compare with")
        incumbent = read_number("incumbent", incumbent)
        if math.isnan(incumbent):
            raise InputError("incumbent is nan, but must be a number, or None before there is one")
        to_beat = incumbent + (self.min_delta if post.goal == "maximize" else -self.min_delta)
        probability = post.prob_better(to_beat)
        observed = len(post.observed_values)
        chance = (
            f"P(final value at step {post.horizon:g} beats {to_beat:g}) = {probability:.3g} "
            f"after {observed} record{'s' if observed != 1 else ''}"
        )
        if observed < self.min_steps:
            return Decision(
                False, probability, f"{chance}; no decision before {self.min_steps} records"
            )
        if probability >= self.threshold:
            return Decision(False, probability, f"{chance}, at or above {self.threshold:g}")
        counted = min(self.patience - 1, observed - self.min_steps, len(earlier))
        recent = [decision.prob_better for decision in earlier[len(earlier) - counted :]]
        doubtful = 1 + _trailing_below(recent, self.threshold)
        if doubtful < self.patience:
            return Decision(
                False,
                probability,
                f"{chance}, below {self.threshold:g} {doubtful} of {self.patience} times",
            )
        return Decision(True, probability, f"{chance}, below {self.threshold:g}")

    def decide_replayed(
        self,
        post: Extrapolation,
        incumbent: float | None,
        forecast: Callable[[int], Extrapolation],
    ) -> Decision:
        """Decides where earlier decisions were not kept: those that patience needs are made again.

        Args:
            post: forecast of the run.
            incumbent: as for `decide`; earlier decisions are judged by today's.
            forecast: gives the forecast from the run's first records, for a number of them.
        """
        decision = self.decide(post, incumbent)
        if self.patience == 1 or not decision.prob_better < self.threshold:
            return decision
        observed = len(post.observed_values)
        begin = max(self.min_steps, observed - self.patience + 1)
        earlier = [self.decide(forecast(count), incumbent) for count in range(begin, observed)]
        return self.decide(post, incumbent, earlier)


def diverged(values: Sequence[float], goal: Goal) -> Decision | None:
    """Stops a run whose newest record shows that training broke down; needs no forecast.

    That is a record which is NaN, infinite or beyond 1e150, or one that is worse than any before
    it by over 10,000 times the largest size among them.

    >>> diverged([2.3, 1.9, 88_000.0], goal="minimize").reason
    'the newest record is 88000, far beyond all before it: the run has diverged'

    Args:
        values: the run's records, oldest first.
        goal: "maximize" or "minimize".

    Returns:
        a decision to stop, or None when there is no such sign.
    """
    if not len(values):
        return None
    newest = float(values[-1])
    if not abs(newest) <= _LARGEST:
        return Decision(True, math.nan, f"the newest record is {newest:g}: the run has diverged")
    earlier = [float(value) for value in values[:-1] if abs(value) <= _LARGEST]
    if not earlier:
        return None
    sign = 1 if goal == "minimize" else -1
    excess = sign * newest - max(sign * value for value in earlier)
    size = max(abs(value) for value in earlier)
    if size > 0 and excess > _EXPLOSION * size:
        return Decision(
            True,
            math.nan,
            f"the newest record is {newest:g}, far beyond all before it: the run has diverged",
        )
    return None


def _trailing_below(probabilities: Sequence[float], threshold: float) -> int:
    count = 0
    for probability in reversed(probabilities):
        if not probability < threshold:
            break
        count += 1
    return count
