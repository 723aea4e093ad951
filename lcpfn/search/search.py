"""Many runs side by side: what each is worth among the others, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import NOT_NUMBERS, read_count, read_goal, read_number, shortened
from lcpfn.forecast.bounds import (
    BoundsLike,
    bounds_that_hold,
    guess_bounds,
    telling_values,
)
from lcpfn.forecast.curve import read_horizon
from lcpfn.forecast.schedule import check_schedule, shifted
from lcpfn.search.company import Companion
from lcpfn.search.configurations import read_config
from lcpfn.search.contender import Contender, broke_down
from lcpfn.search.divergence import usable
from lcpfn.search.forecasts import Forecaster, HearingForecaster, ModelForecaster, Question
from lcpfn.search.lengths import Length, Lengths
from lcpfn.search.notices import Notices
from lcpfn.search.outlook import Outlook
from lcpfn.search.proposals import Proposal, propose
from lcpfn.search.ranking import Ranking
from lcpfn.search.rule import Decision, FinalForecast
from lcpfn.search.run import Belief, Fate, Record, Run, read_rates
from lcpfn.search.settings import SearchSettings
from lcpfn.search.spaces import Space
from lcpfn.search.standing import Standings, standings
from lcpfn.search.verdict import Verdict
from lcpfn.weights import read_card

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lcpfn.forecast.model import LCPFN


_BAND = (0.05, 0.5, 0.95)
# Of the runs that were stopped so many are judged again.
_REMEMBERED = 50


class Search:
    """Many runs side by side: what each is worth among the others, and what to do next.

    A run is stopped when its final value will hardly beat the value to beat: the better of the
    best finished run's final value and of what the best *other* run under way will hardly fall
    short of (`SearchSettings.caution`). So decisions begin as soon as a few runs are under way.
    How much is asked follows the run's standing among the others at the same share of the run
    (`lcpfn.StoppingRule`).

    >>> import lcpfn
    >>> search = lcpfn.Search(goal="maximize", horizon=50)
    >>> for epoch in range(1, 13):
    ...     for run, level in {"a": 0.9, "b": 0.7, "c": 0.8, "d": 0.85, "e": 0.3}.items():
    ...         search.observe(run, epoch, level * (1 - 0.8**epoch))
    >>> search.judge("a").action, search.judge("e").action
    ('continue', 'stop')
    >>> search.outlook()[0].run
    'a'

    Runs are known by any hashable key. Their steps may count from 0 or from 1, and skip.

    Args:
        goal: "maximize" or "minimize".
        horizon: how many steps a full run has: a number; the name of the hyperparameter that holds
            it or a function of them, see `describe`; or None, which learns it from the longest
            runs once three have ended at about the same step. Where steps count from 0 it is one
            more than the last. Where runs differ in length, they are compared at the same share of
            their own.
        model: bundled name or path, as for `lcpfn.load`, or a model; None is the default model.
            Weights are loaded at the first forecast.
        forecast: what forecasts the ends of runs instead of a model, see `Question`.
        calls_horizon: what users know `horizon` by, for messages.
        settings: by keywords, see `lcpfn.SearchSettings` and `lcpfn.StoppingRule`.

    Raises:
        InputError: an argument breaks its rule.
        WeightsError: there is no such model.
    """

    def __init__(
        self,
        goal: str = "maximize",
        horizon: Length = None,
        *,
        model: str | Path | LCPFN | None = None,
        forecast: Forecaster | None = None,
        calls_horizon: str = "horizon",
        **settings: Any,
    ) -> None:
        self.goal = read_goal(goal)
        self.settings = SearchSettings.of_keywords(**settings)
        self._lengths = Lengths(horizon, calls_horizon)
        if forecast is None:
            # A wrong name is told now, not at the first forecast.
            named = model is None or isinstance(model, str | Path)
            if not named and not hasattr(model, "card"):
                raise InputError(
                    f"model is {model!r}, but must be a bundled name, a path or a loaded model"
                )
            card = read_card(model) if named else model.card  # type: ignore[arg-type, union-attr]
            stated = self._lengths.stated
            known = stated if isinstance(stated, int | float) else None
            check_schedule(self.settings.schedule, card, known)
        self._forecast = ModelForecaster(model) if forecast is None else forecast
        self._sign = 1 if self.goal == "maximize" else -1
        self._notices = Notices(calls_horizon)
        self._ranking = Ranking(self.goal)
        self._runs: dict[Hashable, Run] = {}
        self._under_way: dict[Hashable, Run] = {}
        self._ended: dict[Hashable, Run] = {}
        self._settled: dict[Hashable, Contender] = {}
        self._finished = 0
        self._telling: Sequence[float] = ()
        self._allowed: BoundsLike = self.settings.bounds

    def observe(self, run: Hashable, step: float, value: float, rate: float | None = None) -> None:
        """Adds a record to a run.

        A record at a step that was there before means that the run went back, to a checkpoint or
        to its start: it replaces what was reported from that step on.

        Args:
            run: the run's key; a new one begins.
            step: at least 0.
            value: NaN where missing, infinite where the run diverged.
            rate: learning rate at the record, in any unit; None where unknown. What a model can be
                told of it makes forecasts sharper; where `schedule` says it all, it is not needed.

        Raises:
            InputError: the step is negative or not finite, the rate negative, or one no number.
        """
        at, number = _read_step(step), read_number("value", value)
        told = {} if rate is None else read_rates({at: rate})
        known = self._begin(run)
        known.rates.update(told)
        back = known.add(at, number)
        self._heard(run, known, [number], back)

    def set_records(
        self,
        run: Hashable,
        records: Mapping[int, float] | Iterable[Record],
        rates: Mapping[float, float] | None = None,
    ) -> None:
        """Says what a run has reported so far, all of it, in any order.

        Args:
            run: the run's key; a new one begins.
            records: values by step, or (step, value) pairs.
            rates: learning rates by step, where they are known; see `observe`.

        Raises:
            InputError: a rate or step is negative or no number, or the records are no such pairs.
        """
        told = read_rates({} if rates is None else rates)
        pairs = records.items() if isinstance(records, Mapping) else records
        try:
            listed = [(float(step), float(value)) for step, value in pairs]
        except NOT_NUMBERS:
            raise InputError(
                f"records is {shortened(records)}, but must hold values by step, or (step, value) "
                "pairs, all of them numbers"
            ) from None
        for step, _ in listed:
            _read_step(step)
        known = self._begin(run)
        known.rates = told
        before = len(known.steps)
        back = known.replace(listed)
        self._heard(run, known, known.values[0 if back else before :], back)

    def describe(
        self, run: Hashable, config: Mapping[str, Any], horizon: float | None = None
    ) -> None:
        """Says with which hyperparameters a run is made.

        Args:
            run: the run's key; a new one begins.
            config: by name.
            horizon: how many steps this run has, where that is not in them.

        Raises:
            InputError: the configuration is no mapping, the horizon not positive, or the search's
                the name of a hyperparameter that is not among them.
        """
        read_config("the configuration", config)
        length = None if horizon is None else read_horizon(horizon)
        known = self._begin(run)
        known.config = config
        known.horizon = self._lengths.described(config) if length is None else length

    def open_bounds(self, run: Hashable) -> None:
        """Says that the metric of a run has no bounds, and no others' are guessed from its values.

        Args:
            run: the run's key; a new one begins.
        """
        self._begin(run).is_open = True

    def end(
        self, run: Hashable, fate: Fate, value: float | None = None, counts: bool = True
    ) -> None:
        """Says how a run ended.

        The final value of a finished run counts from now on. One whose newest record shows that it
        diverged has not finished but stopped, unless the objective gave it a value. A run that has
        ended goes on after all when a new record of it comes.

        Args:
            run: the run's key; a new one only with a value, which is then all that is known of it.
            fate: "finished", "stopped" (given up, by whomever) or "failed" (forgotten, but that its
                configuration is hardly chosen again).
            value: what the objective made of the run, by which finished ones are ranked; default
                its own final value. It stands in for that where there is none.
            counts: whether it can be the one to beat.

        Raises:
            InputError: there is no such run or fate, or the value is no number.
        """
        if fate not in get_args(Fate):
            raise InputError(f"fate is {fate!r}, but must be one of {', '.join(get_args(Fate))}")
        if value is None:
            self._known(run)
        value = None if value is None else read_number("value", value)
        known = self._begin(run)
        broken = known.trouble is not None
        known.state = "stopped" if fate == "finished" and broken and value is None else fate
        known.value, known.counts = value, counts
        del self._under_way[run]
        if isinstance(self._forecast, ModelForecaster):
            self._forecast.forget(run)
        if known.state == "failed":
            return
        self._ended[run] = known
        self._notices.ended(broken)
        if known.state == "finished":
            self._finish(run, known)

    def forget(self, run: Hashable) -> None:
        """Drops all that is known of a run, as if it had never been."""
        if _key(run) in self._runs:
            self.end(run, "failed")
            del self._runs[run]

    def pause(self, run: Hashable) -> None:
        """Says that a run waits; it goes on with its next record or with `resume`.

        Raises:
            InputError: there is no such run.
        """
        self._known(run)
        self._begin(run).state = "paused"

    def resume(self, run: Hashable) -> None:
        """Says that a run that waited goes on.

        Raises:
            InputError: there is no such run.
        """
        self._known(run)
        known = self._begin(run)
        if known.state == "paused":
            known.state, known.resumed, known.goes_on = "live", known.last, True

    def recall(self, run: Hashable, step: float, reach: float, stopped: bool) -> None:
        """What another process has found about a run under way, so that nothing is computed twice.

        Args:
            run: the run's key.
            step: of the newest record that it rests on; anything but the run's newest is passed
                over.
            reach: as in the verdict there.
            stopped: whether the verdict was to stop.

        Raises:
            InputError: there is no such run, or the reach is no number.
        """
        known, reach = self._known(run), read_number("reach", reach)
        belief = known.belief
        if step == known.last and (belief is None or belief.basis[0] != step):
            known.belief = Belief((step,), reach, stopped=stopped)

    def warm_up(self) -> None:
        """Loads the model and makes a first forecast, which is slower than those that follow.

        Raises:
            WeightsError: the weights are missing or broken.
        """
        if isinstance(self._forecast, ModelForecaster):
            self._forecast.warm_up(self.goal)

    @property
    def runs(self) -> Mapping[Hashable, Run]:
        """All runs by key."""
        return self._runs

    @property
    def shift(self) -> int:
        """What is added to steps: 1 where they count from 0, as no forecast has a step 0."""
        return self._lengths.shift

    @property
    def best(self) -> tuple[Hashable, float] | None:
        """The best finished run and its final value."""
        return self._ranking.best

    def complete(self, run: Hashable) -> bool:
        """Whether a run has reached its last step; never by a length that was only learned.

        Raises:
            InputError: there is no such run.
        """
        known = self._known(run)
        length = self._lengths.own(known)
        return length is not None and known.last + self.shift >= length

    def bounds(self, run: Hashable) -> BoundsLike:
        """What the metric can never pass, by all that runs have shown; None where open.

        Raises:
            InputError: there is no such run.
        """
        return self._bounds(self._known(run))

    def notices(self) -> list[str]:
        """What users must know of, each thing once."""
        return self._notices.take()

    def judge(self, run: Hashable, unbegun: int = 0) -> Verdict:
        """What should happen to a run after its newest record.

        Args:
            run: the run's key.
            unbegun: how many new runs wait for a place; counts where runs are paused.

        Raises:
            InputError: there is no such run.
        """
        known = self._known(run)
        if known.trouble is not None:
            return Verdict("stop", known.trouble, to_beat=self._to_beat(run)[0])
        length = self._lengths.of(known)
        if not known.usable:
            return Verdict("continue", "no usable record yet", horizon=length)
        if length is None:
            return Verdict("continue", self._lengths.unknown)
        at = known.usable[-1][0] + self.shift
        if at >= length:
            end = f"the run is complete: it has reached its last step, {at:g} of {length:g}"
            standing = self._places(run, known, length)(len(known.usable))
            return Verdict("continue", end, standing=standing, horizon=length)
        verdict = self._decide(run, known, length)
        if verdict.action == "stop" and self.goal == "maximize":
            self._notices.direction(run, [value for _, value in known.usable])
        if verdict.action == "continue" and self.settings.pause:
            return self._or_pause(run, known, verdict, unbegun)
        return verdict

    def forecast(self, run: Hashable) -> FinalForecast | None:
        """The forecast by which a run under way is judged; None where nothing can be said of it.

        Args:
            run: the run's key.

        Raises:
            InputError: there is no such run.
        """
        known = self._known(run)
        length = self._lengths.of(known)
        if known.ended or length is None or not known.usable or known.trouble is not None:
            return None
        hears = self.settings.hears == "always"
        return self._ask(run, known, self._records(known), length, hears)

    def outlook(self) -> list[Outlook]:
        """What is known of every run, the most promising first.

        Those that were stopped or failed come last, in the same order.
        """

        def place(outlook: Outlook) -> tuple[bool, float]:
            hope = -self._sign * outlook.hope
            return outlook.state in ("stopped", "failed"), math.inf if math.isnan(hope) else hope

        return sorted((self._look(run, known) for run, known in self._runs.items()), key=place)

    def promising(self) -> list[Hashable]:
        """Paused runs in the order in which they should go on."""
        paused = [run for run, known in self._under_way.items() if known.state == "paused"]
        return sorted(paused, key=self._despair)

    def propose(
        self,
        candidates: Sequence[Mapping[str, Any]] = (),
        generator: np.random.Generator | None = None,
        space: Space | None = None,
        startup: int | None = None,
    ) -> Proposal | None:
        """What a free worker should do next: start one of some configurations, or resume a run.

        The runs that wait, see `pause`, and the candidates are asked the same question: how likely
        is each to end better than the best that is as good as reached, by a margin that is drawn at
        random? That is the value of the best finished run, or what a run under way will hardly fall
        short of; with `of="best"` any record, too. A run under way is forecast; of candidates, what
        the forecasts of all runs say about their hyperparameters is learned. So runs should be
        described, and candidates be many, some of them random draws from the whole space. Runs that
        were described and have no record yet count as under way elsewhere: what is next to them is
        passed over until more is known. Where several are at work, half of them go on with the runs
        that are believed to end best, of those that may beat the best at all.

        >>> import lcpfn
        >>> search = lcpfn.Search(goal="maximize", horizon=50, startup=3)
        >>> for run, level in {"a": 0.9, "b": 0.7, "c": 0.8}.items():
        ...     search.describe(run, {"width": 100 * level})
        ...     for epoch in range(1, 6):
        ...         search.observe(run, epoch, level * (1 - 0.8**epoch))
        ...     search.pause(run)
        >>> proposal = search.propose([{"width": width} for width in (10, 50, 95)])
        >>> proposal.action, proposal.run
        ('resume', 'a')

        After three records of a new run, two where there are several workers, or two of one that
        was resumed, it is best asked again.

        Args:
            candidates: configurations that could be started, in any order; none only resumes.
            generator: source of randomness; None makes it from how much is known, so that the same
                search proposes the same.
            space: what candidates are drawn from, `lcpfn.search.spaces.Number` and `Choice` by
                name; None compares numbers by how they rank among all, which fits candidates that
                are random draws, and not ones of which many are alike.
            startup: runs that begin far from one another before any is chosen, at least 1; None
                takes that of the settings.

        Returns:
            None where there are neither runs that wait nor candidates that were not tried before.

        Raises:
            InputError: the candidates are no sequence of mappings; `startup` is no whole number, or
                below 1; the generator or the space is something else.
        """
        if isinstance(candidates, Mapping) or not isinstance(candidates, Sequence):
            raise InputError(f"candidates are {candidates!r}, but must be a list of configurations")
        for candidate in candidates:
            read_config("a candidate", candidate)
        if not (space is None or isinstance(space, Mapping)):
            raise InputError(
                f"space is {space!r}, but must hold what each hyperparameter is drawn from, by name"
            )
        if generator is None:
            records = sum(len(known.steps) for known in self._runs.values())
            generator = np.random.default_rng([len(self._runs), records])
        elif not isinstance(generator, np.random.Generator):
            raise InputError(
                f"generator is {generator!r}, but must be what numpy.random.default_rng makes"
            )
        first = self.settings.startup if startup is None else read_count("startup", startup)
        return propose(self._contenders(), candidates, self.goal, first, generator, space)

    def leading(self) -> list[Hashable]:
        """Runs by what their ends are believed to be, best first, whatever became of them.

        Those that failed or diverged, and those of which nothing is known, are left out.
        """
        known = [each for each in self._contenders() if math.isfinite(each.median)]
        known.sort(key=lambda each: -self._sign * each.median)
        return [each.run for each in known]

    def worth_resuming(self, margin: float = 4.0) -> list[Hashable]:
        """Runs that were stopped and would not be now, the most promising first.

        The run in whose favour one was stopped may have turned out worse since. Of those that were
        stopped the latest 50 are looked at.

        Args:
            margin: how clearly, at least 1: the probability that the run wins must be so many times
                the limit under which it would be stopped.

        Raises:
            InputError: the margin is below 1 or no number.
        """
        if not read_number("margin", margin) >= 1:
            raise InputError(f"margin is {margin}, but must be at least 1")
        stopped = (run for run, known in reversed(self._ended.items()) if known.state == "stopped")
        found: list[tuple[float, Hashable]] = []
        for run in islice(stopped, _REMEMBERED):
            verdict = self.judge(run)
            if verdict.action != "stop" and verdict.prob_better >= margin * verdict.limit:
                found.append((-verdict.prob_better, run))
        return [run for _, run in sorted(found, key=lambda each: each[0])]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws all runs and the forecasts of their ends; see `lcpfn.search.plotting`."""
        from lcpfn.search.plotting import plot_search

        return plot_search(self.outlook(), self.best, ax)

    def _known(self, run: Hashable) -> Run:
        """The run, of which something must have been said before."""
        known = self._runs.get(_key(run))
        if known is None:
            raise InputError(
                f"there is no run {run!r}: nothing was observed of it; `observe` and `describe` "
                "begin one"
            )
        return known

    def _begin(self, run: Hashable) -> Run:
        """The run, under way: a new one, or one that goes on after all."""
        known = self._runs.get(_key(run))
        self._settled.pop(run, None)
        if known is None:
            known = Run(self.goal, self.settings.of, self.settings.nan)
            self._runs[run] = self._under_way[run] = known
        elif known.ended:
            if known.state == "finished":
                self._finished -= 1
                self._lengths.withdraw(known)
                self._ranking.remove(run)
            self._ended.pop(run, None)
            known.state, known.value, known.belief = "live", None, None
            known.goes_on = True
            self._under_way[run] = known
        return known

    def _heard(self, run: Hashable, known: Run, new: Sequence[float], back: bool) -> None:
        """Takes account of new records."""
        if new:
            self.resume(run)
            back, known.goes_on = back and not known.goes_on, False
            if not known.is_open:
                self._widen(new)
        self._lengths.observe(known)
        if back:
            self._notices.step_back(run, known.last)
        length = self._lengths.own(known)
        if length is not None and known.last + self.shift > length:
            self._notices.contradiction(run, known.last, length, True)

    def _widen(self, values: Iterable[float]) -> None:
        """Takes account of values in what the metric can never pass."""
        telling = telling_values((*self._telling, *filter(usable, values)))
        if not telling or telling == self._telling:
            return
        self._telling, stated = telling, self.settings.bounds
        if isinstance(stated, str):
            self._allowed = guess_bounds(np.array(telling), self.goal)
        else:
            self._allowed = bounds_that_hold(stated, telling, self.goal)

    def _finish(self, run: Hashable, known: Run) -> None:
        """Takes account of a run that has reached its end."""
        self._finished += 1
        self._lengths.finish(known)
        own, spread = self._lengths.own(known), self._lengths.spread
        if own is not None and known.steps and known.last + self.shift < own:
            self._notices.contradiction(run, known.last, own, False)
        if spread is not None:
            learned = self._lengths.learned and own is None
            self._notices.lengths(learned, self._lengths.longest, spread)
        final = known.value if known.final is None else known.final
        value = final if known.value is None else known.value
        if final is None or value is None or not known.counts:
            return
        if usable(final) and usable(value):
            if known.final is None:
                self._widen([final])
            self._ranking.add(run, value, final)
            best, *others = self._ranking.top(4)
            self._notices.unit(best, others)

    def _decide(self, run: Hashable, known: Run, length: float) -> Verdict:
        """What the rule says, and the forecast that it says it by."""
        settings, rule = self.settings, self.settings.rule
        records = self._records(known)
        to_beat, proven = self._to_beat(run)
        places = self._places(run, known, length)
        standing = places(len(records))
        waiting = rule.waiting(self._counted(known, length), standing, len(records))
        if self._finished < settings.warmup_trials:
            waiting = f"{self._finished} of {settings.warmup_trials} runs have finished"
        told = Verdict("continue", waiting or "", math.nan, to_beat, standing=standing)
        told = replace(told, horizon=length)
        if waiting is not None and not self._can_be_relied_on(known, length):
            return told
        hears = settings.hears == "always"
        post = self._ask(run, known, records, length, hears)
        decision = Decision(False, math.nan, waiting or "", math.nan, standing)
        if waiting is None:
            decision = rule.decide_replayed(
                post,
                to_beat,
                lambda count: self._ask(run, known, records[:count], length, hears),
                places,
                proven,
            )
        belief = self._believe(known, post, length, decision.stop)
        return replace(
            told,
            action="stop" if decision.stop else "continue",
            reason=decision.reason,
            prob_better=decision.prob_better,
            limit=decision.limit,
            reach=belief.reach,
            low=belief.low,
            median=belief.median,
            high=belief.high,
        )

    def _or_pause(self, run: Hashable, known: Run, verdict: Verdict, unbegun: int) -> Verdict:
        """The verdict, or to pause where something that waits should go on instead."""
        settings = self.settings
        rested = known.last >= known.resumed + settings.slice * (verdict.horizon or 0.0)
        if len(known.usable) < settings.first_records or not rested:
            return verdict
        if unbegun:
            words = f"every run gets its first {settings.first_records} records first"
            return replace(verdict, action="pause", reason=f"{verdict.reason}; paused: {words}")
        own = self._despair(run)
        best = min((self._despair(other) for other in self._paused(run)), default=math.inf)
        if not best < own:
            return verdict
        words = f"{settings.hope:.0%} quantile {-self._sign * own:g}, of one that waits "
        words += f"{-self._sign * best:g}"
        return replace(verdict, action="pause", reason=f"{verdict.reason}; paused: {words}")

    def _paused(self, but: Hashable) -> Iterator[Hashable]:
        for run, known in self._under_way.items():
            if run != but and known.state == "paused":
                yield run

    def _to_beat(self, run: Hashable) -> tuple[float | None, bool]:
        """The better of the best final value and of what the best other run will surely reach.

        Returns:
            it, and whether it has been reached already.
        """
        rule = self.settings.rule
        finals = self._ranking.top(rule.keep_top)
        reaches = [
            reach
            for other, known in self._under_way.items()
            if other != run and (reach := self._reach(other, known)) is not None
        ]
        to_beat = rule.incumbent([*finals, *reaches], self.goal)
        return to_beat, to_beat == rule.incumbent(finals, self.goal)

    def _reach(self, run: Hashable, known: Run) -> float | None:
        """What a run under way will hardly fall short of; None where nothing may rely on it."""
        length = self._lengths.of(known)
        if known.trouble is not None or length is None or not self._can_be_relied_on(known, length):
            return None
        belief = self._belief(run, known)
        if belief is None or belief.stopped or math.isnan(belief.reach):
            return None
        return belief.reach

    def _can_be_relied_on(self, known: Run, length: float) -> bool:
        """Whether a run has records enough for others to be stopped in its favour."""
        return known.evidence(length, self.shift) >= self.settings.rival_records

    def _counted(self, known: Run, length: float) -> int:
        """The records of a run that count for the rule."""
        if self.settings.rule.min_steps is not None:
            return len(known.usable)
        return known.evidence(length, self.shift)

    def _belief(self, run: Hashable, known: Run) -> Belief | None:
        """What is believed of the end of a run; None where nothing can be."""
        if self._up_to_date(known):
            return known.belief
        length = self._lengths.of(known)
        if length is None or not known.usable:
            return None
        if known.usable[-1][0] + self.shift >= length:
            final = known.worths[1][-1]
            return Belief((known.last,), *(final,) * 5)
        hears = self.settings.hears == "always"
        post = self._ask(run, known, self._records(known), length, hears)
        return self._believe(known, post, length, False)

    def _believe(self, known: Run, post: FinalForecast, length: float, stopped: bool) -> Belief:
        known.belief = self._belief_of(known, post, length, stopped)
        return known.belief

    def _belief_of(self, known: Run, post: FinalForecast, length: float, stopped: bool) -> Belief:
        caution, hope = self.settings.caution, self.settings.hope
        levels = [caution, *_BAND, hope]
        if self.goal == "minimize":
            levels = [1 - level for level in levels]
        reach, low, median, high, hoped = (float(value) for value in post.quantile(levels)[:, -1])
        return Belief(self._basis(known, length), reach, low, median, high, hoped, stopped)

    def _basis(self, known: Run, length: float | None) -> tuple[Any, ...]:
        """What a belief rests on."""
        return known.last, len(known.steps), length, self._bounds(known)

    def _up_to_date(self, known: Run) -> bool:
        belief = known.belief
        if belief is None:
            return False
        if len(belief.basis) == 1:
            return bool(belief.basis[0] == known.last)
        return belief.basis == self._basis(known, self._lengths.of(known))

    def _despair(self, run: Hashable) -> float:
        """Lower for more promising runs."""
        known = self._runs[run]
        belief = self._belief(run, known)
        if belief is not None and math.isnan(belief.hope):
            # What another process has found says nothing about that.
            known.belief = None
            belief = self._belief(run, known)
        return math.inf if belief is None else -self._sign * belief.hope

    def _contenders(self) -> list[Contender]:
        found = []
        for run, known in self._runs.items():
            if known.state == "failed" and known.config is None:
                continue
            contender = self._settled.get(run)
            if contender is None:
                contender = self._contender(run, known)
                if known.ended:
                    self._settled[run] = contender
            found.append(contender)
        return found

    def _contender(self, run: Hashable, known: Run) -> Contender:
        length = self._lengths.of(known)
        progress = 0.0
        if length is not None and known.steps:
            progress = (known.last + self.shift) / length
        silent = known.state == "failed" or broke_down(known)
        belief = None if silent else self._believed_end(run, known)
        return Contender.of(run, known, belief, progress)

    def _believed_end(self, run: Hashable, known: Run) -> Belief | None:
        """What is believed of the end of a run; what of one that has ended is settled."""
        if known.state == "finished":
            final = known.value if known.final is None else known.final
            return None if final is None else Belief((), *(final,) * 5)
        belief = known.belief
        if belief is not None and math.isnan(belief.median):
            # What another process has found says nothing about that.
            belief = known.belief = None
        return belief if known.ended and belief is not None else self._belief(run, known)

    def _look(self, run: Hashable, known: Run) -> Outlook:
        belief = known.belief
        if known.state == "finished":
            final = known.value if known.final is None else known.final
            belief = Belief((), *(math.nan if final is None else final,) * 5)
        elif not known.ended:
            self._despair(run)
            belief = self._listened(run, known, self._belief(run, known))
        belief = belief or Belief((), math.nan)
        return Outlook(
            run,
            known.state,
            known.steps,
            known.values,
            self._lengths.of(known),
            belief.low,
            belief.median,
            belief.high,
            belief.hope,
        )

    def _listened(self, run: Hashable, known: Run, belief: Belief | None) -> Belief | None:
        """What is believed of the end of a run under way, told what became of the others."""
        length = self._lengths.of(known)
        if belief is None or length is None or self.settings.hears != "outlook":
            return belief
        post = self._ask(run, known, self._records(known), length, hears=True)
        return self._belief_of(known, post, length, belief.stopped)

    def _companions(self, run: Hashable) -> list[Companion]:
        """The other runs that something can be learned from, the latest last."""
        shift = self.shift
        return [
            Companion(other, known.usable, shift, length, known.config)
            for other, known in (*self._ended.items(), *self._under_way.items())
            if other != run and known.usable and (length := self._lengths.of(known)) is not None
        ]

    def _records(self, known: Run) -> list[Record]:
        """What a forecast is made of; it knows no step 0."""
        shift = self.shift
        return [(step + shift, value) for step, value in known.usable]

    def _places(self, run: Hashable, known: Run, length: float) -> Standings:
        """Where a run stands after its first records, by their number."""

        def others() -> Iterator[Run]:
            latest = islice(reversed(self._ended.values()), self.settings.peers)
            yield from (peer for peer in latest if peer is not known)
            yield from (peer for other, peer in self._under_way.items() if other != run)

        return standings(known, length, others, self._lengths, self.settings, self.goal)

    def _bounds(self, known: Run) -> BoundsLike:
        """The bounds, unless records show that they are wrong."""
        if known.is_open:
            return None, None
        if self._allowed is not None or self.settings.bounds is None:
            return self._allowed
        # Some run has passed those that were stated: only that one is forecast without.
        return bounds_that_hold(
            self.settings.bounds, [value for _, value in known.usable], self.goal
        )

    def _ask(
        self,
        run: Hashable,
        known: Run,
        records: list[Record],
        length: float,
        hears: bool = False,
    ) -> FinalForecast:
        bounds = self._bounds(known)
        if bounds is None and self.settings.bounds is not None:
            self._notices.passed_bounds(run, str(self.settings.bounds))
        schedule = shifted(self.settings.schedule, self.shift)
        told = bounds, schedule, self.settings.of, known.rates_at(len(records)), known.config
        question = Question(run, records, length, self.goal, *told)
        post = self._forecast(question)
        if hears and isinstance(self._forecast, HearingForecaster):
            return self._forecast.heard(post, self._companions(run), question)
        return post


def _key(run: Hashable) -> Hashable:
    """Checks that a run can be known by it."""
    try:
        hash(run)
    except TypeError:
        raise InputError(
            f"run is {run!r}, but must be hashable, as numbers, names and tuples of them are"
        ) from None
    return run


def _read_step(step: object) -> float:
    """Checks the step of a record."""
    at = read_number("step", step)
    if not (at >= 0 and math.isfinite(at)):
        raise InputError(f"step is {at:g}, but must be at least 0 and finite")
    return at
