"""Which run goes on next, and which configuration is worth a run.

A run that waits and a configuration not yet tried are weighed by the same question: how likely is
it to end better than the best that is as good as reached, by a margin that is drawn at random each
time (after ifBO, Rakotoarison et al. 2024)? Small margins go on with what is nearly best, large
ones look for what may be much better, elsewhere; the more has been spent, the smaller they may be.
Where several work side by side, many runs go on at a time, none gets more epochs than its share of
them, and the chance to beat a margin alone would put those first of which little is known: so half
of the workers go on with the runs that are believed to end best, without a pause. What runs will
reach is forecast; what configurations would reach is learned from those forecasts and their
uncertainty (`lcpfn.search.surrogate`).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lcpfn.forecast.arguments import Array, Goal
from lcpfn.network.blas import BlasThreads
from lcpfn.search.beginnings import far_from
from lcpfn.search.configurations import Config, encode
from lcpfn.search.contender import Contender
from lcpfn.search.spaces import Space
from lcpfn.search.surrogate import Evidence, Surrogate, fit

# Runs that are learned from: the most promising ones, and some of the others.
_PROMISING, _OTHERS = 180, 80
# Margins by which the best is to be beaten, in its distance to the middle run. Smaller ones are met
# by what is next to the best, and by luck: they pay once little else is left to be found, and for
# runs that wait. So where there are such, the smallest falls from the one to the other, as this
# share over the full runs that have been spent.
_LARGEST, _SMALLEST = 1.0, (0.1, 0.01)
_SHRINKS = 0.2
# Where others are at work: the share of workers that go on with the runs believed to end best, and
# the probability to beat the best by the smallest margin of all that a run needs for it.
_LEAD, _MAY = 0.5, 0.1
# Below the middle run a difference counts the less the further down it is, from about here on.
_SOFT = 0.5
# Where a run that diverged counts to end, below the middle one. One that failed may have done so
# for no reason of its own: it counts as a little worse than the middle one, give or take as much.
_DIVERGED, _FAILED = 10.0, 0.5
_LEAST_SPREAD = 1e-3
# Of a normal distribution, the distance of its middle to its 95 % quantile.
_BAND = 1.645


@dataclass(frozen=True)
class Proposal:
    """What a free worker should do next.

    Args:
        action: "start" a new run, or "resume" one that waits.
        reason: a sentence for the log.
        config: of the new run, one of the candidates; None where one is resumed.
        run: which one is resumed; None where one is started.
        probability: that it ends better than `to_beat`; NaN where nothing could be said yet.
        to_beat: what all choices were asked, the best that is as good as reached and a margin; None
            where nothing could be said yet.
        median: what its end is believed to be; NaN where nothing could be said yet.
    """

    action: Literal["start", "resume"]
    reason: str
    config: Config | None = None
    run: Hashable | None = None
    probability: float = math.nan
    to_beat: float | None = None
    median: float = math.nan


def propose(
    contenders: Sequence[Contender],
    candidates: Sequence[Config],
    goal: Goal,
    startup: int,
    generator: np.random.Generator,
    space: Space | None = None,
) -> Proposal | None:
    """What a free worker should do next.

    Args:
        contenders: all runs, those that others work on among them.
        candidates: configurations that could be started.
        goal: "maximize" or "minimize".
        startup: runs that begin far from one another before any is chosen.
        generator: source of randomness.
        space: that candidates were drawn from, as far as it is known.

    Returns:
        None where there is nothing to choose from: no run waits, and there are no candidates, or
        all of them were tried before.
    """
    waiting = [contender for contender in contenders if contender.waits]
    if not (candidates or waiting):
        return None
    view = _View.of(contenders, goal)
    begun = sum(not contender.failed for contender in contenders)
    if candidates and (view is None or begun < startup):
        tried = [each.config for each in contenders if each.config is not None]
        config = far_from(tried, candidates, generator, space)
        words = f"run {begun + 1} of {startup} that begin far from one another"
        return Proposal("start", words if begun < startup else _UNKNOWN, config)
    if view is None:
        return Proposal("resume", _UNKNOWN, run=waiting[0].run)
    with BlasThreads(1):
        return _weigh(view, contenders, candidates, generator, space)


def started(
    proposal: Proposal | None, candidates: Sequence[Config], generator: np.random.Generator
) -> Config:
    """The configuration to start, where one must be: of those tried before one is made again.

    Args:
        proposal: what `propose` answered.
        candidates: those that it chose from, at least one.
        generator: source of randomness.
    """
    if proposal is None or proposal.config is None:
        return candidates[int(generator.integers(len(candidates)))]
    return proposal.config


_UNKNOWN = "nothing is known of any run yet"


@dataclass(frozen=True)
class _View:
    """The scale on which ends are compared: 0 is the middle run, 1 the best that is likely.

    Args:
        sign: 1 to maximize, -1 to minimize.
        middle, unit: of the metric, higher is better.
        best: the best that is secured, on the scale.
    """

    sign: float
    middle: float
    unit: float
    best: float

    @staticmethod
    def of(contenders: Sequence[Contender], goal: Goal) -> _View | None:
        sign = 1.0 if goal == "maximize" else -1.0
        medians = [sign * each.median for each in contenders if math.isfinite(each.median)]
        secured = [sign * each.secured for each in contenders if each.secured is not None]
        if not medians:
            return None
        middle = float(np.median(medians))
        best = max(secured, default=max(medians))
        unit = max(max(best, *medians) - middle, 1e-9 * abs(middle), 1e-300)
        return _View(sign, middle, unit, float(_soft(np.float64((best - middle) / unit))))

    def place(self, values: Array) -> Array:
        """Values of the metric on the scale."""
        return _soft((self.sign * values - self.middle) / self.unit)

    def within(self, known: Sequence[Contender], means: Array) -> Array:
        """What the others say of ends, (n,), as far as the runs' own forecasts allow it."""
        bands = np.array([(each.low, each.high) for each in known], dtype=np.float64)
        low, high = self.place(bands).T
        limited: Array = np.fmax(low, np.fmin(high, means))
        return limited

    def value(self, place: float) -> float:
        """The value of the metric at a place on the scale."""
        bent = place if place >= 0 else -_SOFT * math.expm1(-place / _SOFT)
        return self.sign * (self.middle + self.unit * bent)

    def told(self, mean: float, chance: float, target: float, what: str) -> dict[str, Any]:
        """What a proposal says of its choice."""
        to_beat = self.value(target)
        return {
            "reason": f"P(beats {to_beat:g}) = {chance:.3g}, {what}",
            "probability": float(chance),
            "to_beat": to_beat,
            "median": self.value(float(mean)),
        }


@dataclass(frozen=True)
class _Learned:
    """What all runs together say of each, and of the candidates.

    Args:
        known: (n,) the runs that something is known of, as far as they are looked at.
        means, spreads: (n,) of their ends, on the scale of `_View`.
        forecasts: (n,) the runs' own, on the same scale.
        of_runs: what the runs are believed to reach by.
        unheard: the best that is expected of runs which have reported nothing yet, -infinity
            without such.
        surrogate: what configurations would reach, those runs taken for done.
        asked: (m, d) the candidates.
        tried: (m,) whether they were tried before: a run that is made again hardly ends elsewhere.
    """

    known: list[Contender]
    means: Array
    spreads: Array
    forecasts: Evidence
    of_runs: Surrogate
    unheard: float
    surrogate: Surrogate
    asked: Array
    tried: NDArray[np.bool_]

    @staticmethod
    def of(
        view: _View,
        contenders: Sequence[Contender],
        candidates: Sequence[Config],
        space: Space | None,
    ) -> _Learned:
        known = _relevant(view, [each for each in contenders if _tells(each)])
        unheard = [each for each in contenders if not _tells(each) and each.config is not None]
        whole = [contender.config or {} for contender in (*known, *unheard)]
        # What no candidate says cannot tell candidates apart.
        names = {name for candidate in candidates for name in candidate}
        configs = [
            {name: each[name] for name in each if name in names} if candidates else each
            for each in whole
        ]
        settings = encode([*configs, *candidates], space)
        taught, others, asked = np.split(settings, [len(known), len(configs)])
        evidence = _evidence(view, known, taught)
        parameters = fit(evidence)
        surrogate = of_runs = Surrogate(evidence, parameters)
        says_less = configs != whole or names - {name for each in whole for name in each}
        if says_less and any(contender.waits for contender in known):
            # It does tell runs apart; what is believed of them must not hang on who is a candidate.
            alone = _evidence(view, known, encode(whole, space)[: len(known)])
            of_runs = Surrogate(alone, fit(alone))
        means, spreads = of_runs.runs()
        expected = -math.inf
        if unheard:
            believed = surrogate.at(others)[0]
            expected = float(believed.max())
            surrogate = Surrogate(evidence.with_believed(others, believed), parameters)
        made = {row.tobytes() for row in settings[: len(configs)]}
        tried = np.array([row.tobytes() in made for row in asked], dtype=np.bool_)
        return _Learned(known, means, spreads, evidence, of_runs, expected, surrogate, asked, tried)

    def rises(self, view: _View) -> Array:
        """How far the ends of runs may lie above `means`, (n,), as a standard deviation."""
        skew = _skew(view, self.known, self.forecasts)
        further: Array = np.hypot(self.spreads, self.of_runs.heard() * skew)
        return further


def _weigh(
    view: _View,
    contenders: Sequence[Contender],
    candidates: Sequence[Config],
    generator: np.random.Generator,
    space: Space | None,
) -> Proposal | None:
    """The choice that is most likely to beat the best that is secured by a margin.

    None where no run waits and all candidates were tried before.
    """
    learned = _Learned.of(view, contenders, candidates, space)
    known, means, spreads = learned.known, learned.means, learned.spreads
    waits = np.array([contender.waits for contender in known])
    # What others work on is taken for done: it is to be improved on, not to be done again.
    busy = [contender.busy for contender in known]
    best = max([view.best, learned.unheard, *means[busy].tolist()])
    # For as little as will do late in a search nothing is begun, where nothing can go on.
    can_go_on = any(each.waits for each in contenders)
    smallest = _smallest(sum(each.progress for each in contenders) if can_go_on else 0.0)
    target = best + math.exp(generator.uniform(math.log(smallest), math.log(_LARGEST)))
    chances = np.where(waits, _beyond(means, spreads, target), -1.0)
    resumed = int(chances.argmax()) if waits.any() else None
    likeliest = chances.max(initial=-1.0)
    leading = _leading(view, learned, 1 + sum(each.busy for each in contenders))
    if leading is not None:
        what = f"believed to end best of {int(waits.sum())} runs that wait"
        told = view.told(means[leading], chances[leading], target, what)
        return Proposal("resume", run=known[leading].run, **told)
    if candidates:
        means_asked, spreads_asked = learned.surrogate.at(learned.asked)
        chances_asked = np.where(learned.tried, -1.0, _beyond(means_asked, spreads_asked, target))
        begun = int(chances_asked.argmax())
        if resumed is None and chances_asked[begun] < 0:
            return None
        if resumed is None or chances_asked[begun] > likeliest:
            words = f"the highest of {len(candidates)} configurations"
            told = view.told(means_asked[begun], chances_asked[begun], target, words)
            return Proposal("start", config=candidates[begun], **told)
    if resumed is None:
        waiting = next(contender for contender in contenders if contender.waits)
        return Proposal("resume", _UNKNOWN, run=waiting.run)
    what = f"the highest of {int(waits.sum())} runs that wait"
    told = view.told(means[resumed], chances[resumed], target, what)
    return Proposal("resume", run=known[resumed].run, **told)


def _leading(view: _View, learned: _Learned, workers: int) -> int | None:
    """The waiting run that goes on because it is among those believed to end best.

    Of the runs that wait or are worked on, and that may beat the best at all, those are as many as
    half of the workers. What is believed of a run stays within the band of its own forecast.

    Args:
        view: the scale.
        learned: what is believed.
        workers: how many are at work, the free one among them.

    Returns:
        its place among the runs known; None for a single worker, and where all of those runs are
        worked on.
    """
    if workers < 2:
        return None
    may = _beyond(learned.means, learned.rises(view), view.best + _SMALLEST[1]) >= _MAY
    believed = view.within(learned.known, learned.means)
    active = [
        place
        for place in np.argsort(-believed, kind="stable").tolist()
        if may[place] and (learned.known[place].waits or learned.known[place].busy)
    ]
    best = active[: math.ceil(_LEAD * workers)]
    return next((place for place in best if learned.known[place].waits), None)


def _smallest(spent: float) -> float:
    """The smallest margin by which the best is to be beaten, on the scale of `_View`.

    Args:
        spent: on all runs together, in full runs; 0 where none waits.
    """
    at_first, at_last = _SMALLEST
    return max(at_last, min(at_first, _SHRINKS / max(spent, _SHRINKS)))


def _tells(contender: Contender) -> bool:
    return contender.diverged or contender.failed or math.isfinite(contender.median)


def _relevant(view: _View, known: list[Contender]) -> list[Contender]:
    """Of many runs, those that something is learned from, in their order."""
    if len(known) <= _PROMISING + _OTHERS:
        return known
    order = np.argsort([-view.sign * each.median for each in known], kind="stable")
    evenly = np.linspace(_PROMISING, len(known) - 1, _OTHERS).astype(np.int64)
    return [known[index] for index in sorted([*order[:_PROMISING], *order[evenly]])]


def _evidence(view: _View, known: Sequence[Contender], settings: Array) -> Evidence:
    diverged = np.array([contender.diverged for contender in known])
    low, median, high = (
        np.array([getattr(contender, name) for contender in known], dtype=np.float64)
        for name in ("low", "median", "high")
    )
    worst = view.value(float(_soft(np.float64(-_DIVERGED))))
    low, median, high = (
        view.place(np.where(diverged | np.isnan(values), worst, values))
        for values in (low, median, high)
    )
    # Forecasts are skewed: a run hardly falls below what it has shown, and may be far better. The
    # others pull each towards the middle one, which it resists by its spread on that side.
    spreads = np.where(median > 0, median - low, high - median) / _BAND
    failed = np.array([contender.failed for contender in known])
    median = np.where(failed, -_FAILED, median)
    spreads = np.where(failed, _FAILED, spreads)
    progress = np.array([min(1.0, max(contender.progress, 1e-6)) for contender in known])
    return Evidence(settings, median, np.maximum(spreads, _LEAST_SPREAD), progress)


def _skew(view: _View, known: Sequence[Contender], evidence: Evidence) -> Array:
    """How much further than it may fall a run may rise, (n,), as a standard deviation.

    A run that has gone some way hardly falls below what it has shown. By how far it may fall, a
    quarter of those that will beat the best are said to have no chance; but few rise as far as
    their own forecasts allow. So the geometric mean of the two is taken.
    """
    ends = np.array([(each.median, each.high) for each in known], dtype=np.float64)
    median, high = view.place(ends).T
    rises = np.nan_to_num(high - median) / _BAND
    spreads = evidence.spreads
    skew: Array = np.sqrt(np.maximum(spreads * rises - spreads**2, 0.0))
    return skew


def _beyond(means: Array, spreads: Array, target: float) -> Array:
    """P(beyond the target) of normal distributions, (n,)."""
    distance = (target - means) / (spreads * math.sqrt(2))
    return np.array([0.5 * math.erfc(each) for each in distance.tolist()])


def _soft(values: Array) -> Array:
    below = np.minimum(values, 0.0)
    bent: Array = np.where(values < 0, -_SOFT * np.log1p(-below / _SOFT), values)
    return bent
