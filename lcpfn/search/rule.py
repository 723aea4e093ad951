"""The stopping rule: is this run still worth its compute?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import (
    Array,
    Goal,
    read_count,
    read_goal,
    read_number,
    read_vector,
    shortened,
)
from lcpfn.forecast.bounds import Bounds
from lcpfn.search.evidence import evidence

_LEAST_PROGRESS = 1e-3
_ROUNDING = 1e-9


class FinalForecast(Protocol):
    """What the rule reads of a forecast; an `lcpfn.Extrapolation` is one."""

    @property
    def goal(self) -> Goal: ...

    @property
    def horizon(self) -> float: ...

    @property
    def bounds(self) -> Bounds: ...

    @property
    def observed_steps(self) -> Array: ...

    def allowing(self, value: float) -> FinalForecast:
        """The forecast, of bounds that hold a value which is known from elsewhere."""
        ...

    def prob_better(self, than: float) -> float:
        """P(the run's value at its end beats `than`)."""
        ...

    def quantile(self, q: Any) -> Array:
        """Quantiles of the forecast steps, (levels, m); the last column is the run's end."""
        ...


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

    - progress ^ `early_caution` where the standing is unknown, with progress the observed share of
      the run. A rule that is asked at every record has many chances to be wrong, most of them
      early; so `threshold` is the risk over the whole run.
    - `trust` where it is known, for the evidence is better, and `unproven` of that while the value
      to beat is only what another run under way will hardly fall short of; min(1, records /
      `full_trust`) of that, as forecasts from few records err, and for the best `leading` share of
      the runs (standing / `leading`)^(`sparing` (1 - progress) / progress) of that. So a run among
      the leaders is next to safe at first, and goes by its forecast once most of the curve is
      known.
      No run that is more likely than not to win is stopped, unless `threshold` itself is above one
      half.

    >>> import lcpfn
    >>> post = lcpfn.load().extrapolate([0.42, 0.44, 0.45, 0.45, 0.46, 0.46], horizon=10)
    >>> StoppingRule(threshold=0.05).decide(post, incumbent=0.93).stop
    True

    Records that lie within one fiftieth of the run count once, so that a run which logs more often
    is not decided on sooner; only a stated `min_steps` counts every one.

    Args:
        threshold: stop when the probability to beat the incumbent falls under this, or the multiple
            of it that progress and standing call for, in [0, 1). 0 stops nothing but diverged runs.
        min_steps: observed records before any decision, at least 1. None, the default:
            `usual_records`, and where the standing is known `usual_records` (1 - threshold)
            (1 - `haste` standing), rounded up, but no less than `least_records`: the further behind
            its peers a run is and the more is to be stopped, the sooner. With the defaults that is
            3 behind 36 % of them and 2 behind 79 %. A first record is often taken before training,
            and the next few mislead about slow starters: see docs/early_stopping.md.
        patience: decisions in a row that must agree to stop, at least 1.
        min_delta: by how much the incumbent must be beaten, in the metric's unit, at least 0.
        keep_top: protects runs that may end among this many best, at least 1: the incumbent is
            then the final value of the run at that rank; see `incumbent`.
        early_caution: power of the progress that scales `threshold` where the standing is unknown,
            at least 0. 0 is as bold with the first records as with the last.
        trust: what a known standing multiplies `threshold` by, above 0.
        unproven: share of that where no finished run has reached the value to beat, in [0, 1].
        full_trust: records from which on that holds in full, at least 1.
        leading: share of the best runs that are spared, in [0, 1].
        sparing: how much they are spared, at least 0: a power.
        usual_records: records before any decision where the standing is unknown, at least 1.
        least_records: records before any decision, whatever the standing, at least 1.
        haste: how much sooner the last of all is decided on than the first, in [0, 1].

    Raises:
        InputError: an argument breaks its rule.
    """

    threshold: float = 0.05
    min_steps: int | None = None
    patience: int = 1
    min_delta: float = 0.0
    keep_top: int = 1
    early_caution: float = 0.6
    trust: float = 1.8
    unproven: float = 0.75
    full_trust: int = 5
    leading: float = 0.1
    sparing: float = 1.5
    usual_records: int = 4
    least_records: int = 2
    haste: float = 0.6

    def __post_init__(self) -> None:
        if not 0 <= read_number("threshold", self.threshold) < 1:
            raise InputError(f"threshold is {self.threshold}, but must be at least 0 and below 1")
        if self.min_steps is not None:
            read_count("min_steps", self.min_steps)
        for name in ("patience", "keep_top", "full_trust", "usual_records", "least_records"):
            read_count(name, getattr(self, name))
        for name in ("min_delta", "early_caution", "trust", "sparing"):
            if not 0 <= read_number(name, getattr(self, name)) < math.inf:
                raise InputError(
                    f"{name} is {getattr(self, name)}, but must be finite and at least 0"
                )
        for name in ("unproven", "leading", "haste"):
            if not 0 <= read_number(name, getattr(self, name)) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}, but must lie within 0 and 1")

    def incumbent(self, finals: Sequence[float], goal: Goal) -> float | None:
        """The value to beat, given the final values of all finished runs, in any order.

        >>> StoppingRule(keep_top=2).incumbent([0.71, 0.93, 0.88], goal="maximize")
        0.88

        Returns:
            the best of them, or with `keep_top` the one at that rank; None while fewer than that
            have finished. A NaN does not count.

        Raises:
            InputError: `goal` is neither "maximize" nor "minimize", or a value no number.
        """
        numbers = read_vector("finals", finals).tolist()
        known = [final for final in numbers if not math.isnan(final)]
        ordered = sorted(known, reverse=read_goal(goal) == "maximize")
        return ordered[self.keep_top - 1] if len(ordered) >= self.keep_top else None

    def limit(
        self,
        records: int,
        standing: float | None = None,
        progress: float = 0.0,
        proven: bool = True,
    ) -> float:
        """The probability below which a run is stopped; 0 while it is too early to decide.

        >>> rule = StoppingRule(threshold=0.05, trust=2)
        >>> [rule.limit(4, None, 1.0), rule.limit(3, standing=0.5), rule.limit(12, standing=0.3)]
        [0.05, 0.06, 0.1]

        Args:
            records: observed so far.
            standing: share of the run's peers that were better at its step; None where unknown.
            progress: share of the run that has been observed.
            proven: whether a finished run has reached the value to beat.

        Raises:
            InputError: the records are no number of them, or the standing is no share.
        """
        _check_standing(standing)
        if self.too_early(read_count("records", records, 0), standing):
            return 0.0
        return self._limit(records, standing, progress, proven)

    def _limit(self, records: int, standing: float | None, progress: float, proven: bool) -> float:
        """The same once there is enough to decide on."""
        if standing is None:
            return float(self.threshold * min(1.0, progress) ** self.early_caution)
        spared = 1.0
        if standing < self.leading:
            ahead = (1 - progress) / max(progress, _LEAST_PROGRESS)
            spared = (standing / self.leading) ** (self.sparing * ahead)
        multiple = self.trust * self.threshold * min(1.0, records / self.full_trust)
        multiple *= 1.0 if proven else self.unproven
        return float(min(multiple, max(0.5, self.threshold)) * spared)

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
            return self.usual_records
        share = (1 - self.threshold) * (1 - self.haste * standing)
        return max(self.least_records, math.ceil(self.usual_records * share - _ROUNDING))

    def counted(self, steps: Array | Sequence[float], horizon: float) -> int:
        """How many records count: those within a fiftieth of the run once, unless `min_steps`.

        >>> StoppingRule().counted([0.1, 0.2, 0.3], horizon=50)
        1
        >>> StoppingRule(min_steps=2).counted([0.1, 0.2, 0.3], horizon=50)
        3

        Args:
            steps: (n,) of all records.
            horizon: last step of the run.

        Raises:
            InputError: the steps are no sequence of numbers.
        """
        known = read_vector("steps", steps)
        return len(known) if self.min_steps is not None else evidence(known, horizon)

    def waiting(
        self, records: int, standing: float | None = None, logged: int | None = None
    ) -> str | None:
        """In words, how many records are missing before a decision; None where there are enough.

        >>> StoppingRule(min_steps=6).waiting(2)
        'no decision before 6 records, there are 2'
        >>> StoppingRule().waiting(2, logged=9)
        'no decision before 4 records, there are 2 (9, but one counts in each fiftieth of the run)'

        Args:
            records: those that count, see `counted`.
            standing: see `decide`.
            logged: how many there are in all, where it is known.

        Raises:
            InputError: the records are no number of them, or the standing is no share.
        """
        _check_standing(standing)
        records = read_count("records", records, 0)
        if not self.too_early(records, standing):
            return None
        adapted = self.min_steps is None and standing is not None
        place = f" for a run behind {standing:.0%} of its peers" if adapted else ""
        crowded = logged is not None and logged > records
        dense = f" ({logged}, but one counts in each fiftieth of the run)" if crowded else ""
        return (
            f"no decision before {self.needed(standing)} records{place}, there are {records}{dense}"
        )

    def decide(
        self,
        post: FinalForecast,
        incumbent: float | None,
        earlier: Sequence[Decision] = (),
        standing: float | None = None,
        proven: bool = True,
    ) -> Decision:
        """Decides from the forecast, and from the standing where there is one; keeps no state.

        Args:
            post: forecast of the run.
            incumbent: the value to beat, such as the final one of the best finished run, or None
                before there is any: then nothing is stopped.
            earlier: this run's decisions so far, one a record, oldest first; needed for a patience
                above 1.
            standing: share of the run's peers that were better at its newest step, see
                `lcpfn.standing`; None where unknown.
            proven: whether a finished run has reached the incumbent.

        Raises:
            InputError: the incumbent is NaN or no number, the standing is no share, or there is no
                forecast or no such decisions.
        """
        _check_standing(standing)
        if not hasattr(post, "prob_better"):
            raise InputError(
                f"post is {shortened(post)}, but must be a forecast, such as extrapolate returns"
            )
        if not isinstance(earlier, Sequence) or not all(
            isinstance(past, Decision) for past in earlier
        ):
            raise InputError(
                f"earlier is {shortened(earlier)}, but must hold this run's decisions so far"
            )
        if incumbent is None:
            return Decision(False, math.nan, "no incumbent yet: nothing to compare with")
        incumbent = read_number("incumbent", incumbent)
        if math.isnan(incumbent):
            raise InputError("incumbent is nan, but must be a number, or None before there is one")
        # A guess at the metric's bounds is wrong where another run has passed them.
        post = post.allowing(incumbent)
        to_beat = incumbent + (self.min_delta if post.goal == "maximize" else -self.min_delta)
        probability = post.prob_better(to_beat)
        observed = len(post.observed_steps)
        chance = (
            f"P(final value beats {to_beat:g}) = {probability:.3g} "
            f"after {observed} record{'s' if observed != 1 else ''}"
        )
        progress = float(post.observed_steps[-1]) / post.horizon
        counted = self.counted(post.observed_steps, post.horizon)
        early = self.too_early(counted, standing)
        known = evidence(post.observed_steps, post.horizon)
        limit = 0.0 if early else self._limit(known, standing, progress, proven)
        place = "" if standing is None else f", behind {standing:.0%} of its peers"

        def decision(stop: bool, words: str) -> Decision:
            return Decision(stop, probability, f"{chance}{place}{words}", limit, standing)

        if progress >= 1:
            return decision(False, "; the run is complete")
        if _beyond(incumbent, post):
            return decision(
                False,
                f", as that lies beyond its bounds, {_words(post.bounds)}: state the metric's",
            )
        if early:
            return decision(False, f"; no decision before {self.needed(standing)} records")
        # A model whose forecast is not a number has nothing to say against the run.
        if not probability < limit:
            return decision(False, f"; not below {limit:.3g}{self._why_low(standing, limit)}")
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
        post: FinalForecast,
        incumbent: float | None,
        forecast: Callable[[int], FinalForecast],
        standing: Callable[[int], float | None] = lambda records: None,
        proven: bool = True,
    ) -> Decision:
        """Decides where earlier decisions were not kept: those that patience needs are made again.

        Args:
            post: forecast of the run.
            incumbent: as for `decide`; earlier decisions are judged by today's.
            forecast: gives the forecast from the run's first records, for a number of them.
            standing: gives the standing after the run's first records.
            proven: as for `decide`.
        """
        observed = len(post.observed_steps)
        decision = self.decide(post, incumbent, (), standing(observed), proven)
        if self.patience == 1 or not decision.prob_better < decision.limit:
            return decision
        begin = max(1, observed - self.patience + 1)
        earlier = [
            self.decide(forecast(count), incumbent, (), standing(count), proven)
            for count in range(begin, observed)
        ]
        return self.decide(post, incumbent, earlier, decision.standing, proven)

    def _why_low(self, standing: float | None, limit: float) -> str:
        if limit >= self.threshold:
            return ""
        if standing is None:
            return ", low for so early"
        return ", low for a leader" if standing < self.leading else ""


def _beyond(incumbent: float, post: FinalForecast) -> bool:
    """Whether the incumbent is better than stated bounds allow: then they are wrong."""
    low, high = post.bounds
    if post.goal == "maximize":
        return high is not None and incumbent > high
    return low is not None and incumbent < low


def _words(bounds: Bounds) -> str:
    low, high = ("open" if bound is None else f"{bound:g}" for bound in bounds)
    return f"{low} to {high}"


def _check_standing(standing: float | None) -> None:
    if standing is not None and not 0 <= read_number("standing", standing) <= 1:
        raise InputError(f"standing is {standing}, but must lie within 0 and 1, or be None")
