"""The stopping rule: is this run still worth its compute?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Goal, read_count, read_goal, read_number
from lcpfn.forecast.bounds import Bounds
from lcpfn.forecast.extrapolation import Extrapolation

# A record this many times the size of anything before it is no noise.
_EXPLOSION = 1e4
# Forecasts are made of values below this; see `lcpfn.forecast.curve.read_curve`.
_LARGEST = 1e150
# Chosen on replays of recorded searches; what they do on others is in docs/early_stopping.md.
_LEADING = 0.1
_SPARING = 1.5
_HASTE = 0.6
_FACTOR = 2.0
_EVEN_ODDS = 0.5
_ENOUGH_RECORDS = 10
_USUAL_RECORDS = 4
_LEAST_RECORDS = 2
_LEAST_PROGRESS = 1e-3
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Decision:
    """What a stopping rule says, and why.

    Args:
        stop: whether to stop the run.
        prob_better: probability that the final value beats the incumbent; NaN without one.
        reason: a sentence for the log.
        limit: the probability below which the run would be stopped; NaN where nothing was compared.
        standing: share of the run's peers that were better at its step; None where unknown.
    """

    stop: bool
    prob_better: float
    reason: str
    limit: float = math.nan
    standing: float | None = None


@dataclass(frozen=True)
class StoppingRule:
    """Stops a run whose final value will hardly beat the incumbent's.

    Two witnesses are heard: the forecast of the run, and its standing among the other runs of the
    search at the same step (`lcpfn.standing`). The forecast knows how such curves go on, but not
    that in this search those that stand still for long win; the standing knows the search, but not
    the curve. So the probability below which a run is stopped is a multiple of `threshold`:

    - 1 where the standing is unknown.
    - 2 where it is known, for the evidence is better: min(1, records / 10) of that, as forecasts
      from few records err, and for the best tenth (standing / 0.1)^(1.5 (1 - progress) / progress)
      of that, where progress is the observed share of the run. So a run among the leaders is next
      to safe at first, and goes by its forecast once most of the curve is known. No run that is
      more likely than not to win is stopped, unless `threshold` itself is above one half.

    >>> import lcpfn
    >>> post = lcpfn.load().extrapolate([0.42, 0.44, 0.45, 0.45, 0.46], horizon=50)
    >>> StoppingRule(threshold=0.05).decide(post, incumbent=0.93).stop
    True

    Args:
        threshold: stop when the probability to beat the incumbent falls under this, or the multiple
            of it that the standing calls for, in [0, 1). 0 stops nothing but diverged runs.
        min_steps: observed records before any decision, at least 1. None, the default: 4, and where
            the standing is known 4 (1 - threshold) (1 - 0.6 standing), rounded up, but no less
            than 2: the further behind its peers a run is and the more is to be stopped, the sooner.
            At a threshold of 0.05 that is 3 behind 36 % of them and 2 behind 79 %. A first record
            is often taken before training, and the next few mislead about slow starters: see
            docs/early_stopping.md.
        patience: decisions in a row that must agree to stop, at least 1.
        min_delta: by how much the incumbent must be beaten, in the metric's unit, at least 0.
        keep_top: protects runs that may end among this many best, at least 1: the incumbent is
            then the final value of the run at that rank; see `incumbent`.
    """

    threshold: float = 0.05
    min_steps: int | None = None
    patience: int = 1
    min_delta: float = 0.0
    keep_top: int = 1

    def __post_init__(self) -> None:
        if not 0 <= read_number("threshold", self.threshold) < 1:
            raise InputError(f"threshold is {self.threshold}, but must be at least 0 and below 1")
        if self.min_steps is not None:
            read_count("min_steps", self.min_steps)
        for name in ("patience", "keep_top"):
            read_count(name, getattr(self, name))
        if not 0 <= read_number("min_delta", self.min_delta) < math.inf:
            raise InputError(f"min_delta is {self.min_delta}, but must be finite and at least 0")

    def incumbent(self, finals: Sequence[float], goal: Goal) -> float | None:
        """The value to beat, given the final values of all finished runs, in any order.

        >>> StoppingRule(keep_top=2).incumbent([0.71, 0.93, 0.88], goal="maximize")
        0.88

        Returns:
            the best of them, or with `keep_top` the one at that rank; None while fewer than that
            have finished. A NaN does not count.

        Raises:
            InputError: `goal` is neither "maximize" nor "minimize".
        """
        known = [final for final in finals if not math.isnan(final)]
        ordered = sorted(known, reverse=read_goal(goal) == "maximize")
        return ordered[self.keep_top - 1] if len(ordered) >= self.keep_top else None

    def limit(self, records: int, standing: float | None = None, progress: float = 0.0) -> float:
        """The probability below which a run is stopped; 0 while it is too early to decide.

        >>> rule = StoppingRule(threshold=0.05)
        >>> [rule.limit(4), rule.limit(3, standing=0.5), rule.limit(12, standing=0.3)]
        [0.05, 0.03, 0.1]

        Args:
            records: observed so far.
            standing: share of the run's peers that were better at its step; None where unknown.
            progress: share of the run that has been observed.
        """
        if self.too_early(records, standing):
            return 0.0
        if standing is None:
            return self.threshold
        sparing = _SPARING * (1 - progress) / max(progress, _LEAST_PROGRESS)
        spared: float = min(1.0, standing / _LEADING) ** sparing
        multiple = _FACTOR * self.threshold * min(1.0, records / _ENOUGH_RECORDS)
        return min(multiple, max(_EVEN_ODDS, self.threshold)) * spared

    def too_early(self, records: int, standing: float | None = None) -> bool:
        """Whether so many records are too few to decide on, at this standing."""
        return records < self.needed(standing)

    def needed(self, standing: float | None = None) -> int:
        """How many records a decision needs, at this standing.

        >>> [StoppingRule().needed(standing) for standing in (None, 0.2, 0.5, 0.9)]
        [4, 4, 3, 2]
        """
        if self.min_steps is not None:
            return self.min_steps
        if standing is None:
            return _USUAL_RECORDS
        share = (1 - self.threshold) * (1 - _HASTE * standing)
        return max(_LEAST_RECORDS, math.ceil(_USUAL_RECORDS * share - _ROUNDING))

    def waiting(self, records: int, standing: float | None = None) -> str | None:
        """In words, how many records are missing before a decision; None where there are enough.

        >>> StoppingRule(min_steps=6).waiting(2)
        'no decision before 6 records, there are 2'
        """
        if not self.too_early(records, standing):
            return None
        adapted = self.min_steps is None and standing is not None
        place = f" for a run behind {standing:.0%} of its peers" if adapted else ""
        return f"no decision before {self.needed(standing)} records{place}, there are {records}"

    def decide(
        self,
        post: Extrapolation,
        incumbent: float | None,
        earlier: Sequence[Decision] = (),
        standing: float | None = None,
    ) -> Decision:
        """Decides from the forecast, and from the standing where there is one; keeps no state.

        Args:
            post: forecast of the run.
            incumbent: final value of the best finished run, or None before there is one: then
                nothing is stopped.
            earlier: this run's decisions so far, one a record, oldest first; needed for a patience
                above 1.
            standing: share of the run's peers that were better at its newest step, see
                `lcpfn.standing`; None where unknown.

        Raises:
            InputError: the incumbent is NaN or no number, or the standing is no share.
        """
        if standing is not None and not 0 <= read_number("standing", standing) <= 1:
            raise InputError(f"standing is {standing}, but must lie within 0 and 1, or be None")
        if incumbent is None:
            return Decision(False, math.nan, "no incumbent yet: nothing to compare with")
        incumbent = read_number("incumbent", incumbent)
        if math.isnan(incumbent):
            raise InputError("incumbent is nan, but must be a number, or None before there is one")
        to_beat = incumbent + (self.min_delta if post.goal == "maximize" else -self.min_delta)
        probability = post.prob_better(to_beat)
        observed = len(post.observed_values)
        chance = (
            f"P(final value beats {to_beat:g}) = {probability:.3g} "
            f"after {observed} record{'s' if observed != 1 else ''}"
        )
        progress = float(post.observed_steps[-1]) / post.horizon
        limit = self.limit(observed, standing, progress)
        place = "" if standing is None else f", behind {standing:.0%} of its peers"

        def decision(stop: bool, words: str) -> Decision:
            return Decision(stop, probability, f"{chance}{place}{words}", limit, standing)

        if post.curve.finished:
            return decision(False, "; the run is complete")
        if _beyond(incumbent, post):
            return decision(
                False,
                f", as that lies beyond its bounds, {_words(post.bounds)}: state the metric's",
            )
        if self.too_early(observed, standing):
            return decision(False, f"; no decision before {self.needed(standing)} records")
        # A model whose forecast is not a number has nothing to say against the run.
        if not probability < limit:
            spared = standing is not None and standing < _LEADING and limit < self.threshold
            why = ", low for a leader" if spared else ""
            return decision(False, f"; not below {limit:.3g}{why}")
        doubtful = 1
        for past in reversed(earlier):
            past_limit = self.threshold if math.isnan(past.limit) else past.limit
            if not past.prob_better < past_limit:
                break
            doubtful += 1
        if doubtful < self.patience:
            return decision(
                False, f"; below {limit:.3g} in {doubtful} of {self.patience} decisions in a row"
            )
        return decision(True, f"; below {limit:.3g}")

    def decide_replayed(
        self,
        post: Extrapolation,
        incumbent: float | None,
        forecast: Callable[[int], Extrapolation],
        standing: Callable[[int], float | None] = lambda records: None,
    ) -> Decision:
        """Decides where earlier decisions were not kept: those that patience needs are made again.

        Args:
            post: forecast of the run.
            incumbent: as for `decide`; earlier decisions are judged by today's.
            forecast: gives the forecast from the run's first records, for a number of them.
            standing: gives the standing after the run's first records.
        """
        observed = len(post.observed_values)
        decision = self.decide(post, incumbent, (), standing(observed))
        if self.patience == 1 or not decision.prob_better < decision.limit:
            return decision
        begin = max(1, observed - self.patience + 1)
        earlier = [
            self.decide(forecast(count), incumbent, (), standing(count))
            for count in range(begin, observed)
        ]
        return self.decide(post, incumbent, earlier, decision.standing)


def _beyond(incumbent: float, post: Extrapolation) -> bool:
    """Whether the incumbent is better than the forecast's bounds allow: then they are wrong."""
    low, high = post.bounds
    if post.goal == "maximize":
        return high is not None and incumbent > high
    return low is not None and incumbent < low


def _words(bounds: Bounds) -> str:
    low, high = ("open" if bound is None else f"{bound:g}" for bound in bounds)
    return f"{low} to {high}"


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
