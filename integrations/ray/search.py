"""What is known of a search, and what follows from it; knows nothing of Ray."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from lcpfn.forecast.arguments import Goal
from lcpfn.forecast.bounds import BoundsLike, bounds_that_hold, finite_extremes
from lcpfn.forecast.extrapolation import Extrapolation
from lcpfn.forecast.model import LCPFN
from lcpfn.forecast.schedule import shifted
from lcpfn.integrations.ray.settings import Settings
from lcpfn.peers import Peer, standings
from lcpfn.stopping import Decision, diverged
from lcpfn.weights import load

Action = Literal["continue", "stop", "pause", "finish"]
Fate = Literal["running", "finished", "stopped", "failed"]

PREFIX = "lcpfn/"
ACTION = f"{PREFIX}action"

_BAND = (0.06, 0.5, 0.94)


@dataclass(frozen=True)
class Verdict:
    """What happens to a trial after a result, and what that rests on.

    Args:
        action: "finish" where the trial has reached its last step.
        reason: a sentence for the log.
        prob_better: probability to beat the incumbent; NaN where there was no forecast.
        incumbent: the value to beat, or None.
        standing: share of the latest trials that were better at this step, or None.
        post: forecast of the last step, or None.
    """

    action: Action
    reason: str
    prob_better: float = math.nan
    incumbent: float | None = None
    post: Extrapolation | None = None
    standing: float | None = None

    def as_result(self) -> dict[str, Any]:
        """What is added to the trial's result; NaN where unknown."""
        low, median, high = (
            (math.nan,) * 3
            if self.post is None
            else (float(value) for value in self.post.quantile(_BAND)[:, -1])
        )
        values = {
            "action": self.action,
            "prob_better": self.prob_better,
            "median": median,
            "low": low,
            "high": high,
            "incumbent": math.nan if self.incumbent is None else self.incumbent,
            "standing": math.nan if self.standing is None else self.standing,
            "reason": self.reason,
        }
        return {f"{PREFIX}{key}": value for key, value in values.items()}


UNJUDGED = Verdict("continue", "the scheduler was not asked")


@dataclass
class Run:
    """A trial's curve: values by step, steps increasing."""

    records: dict[float, float] = field(default_factory=dict)
    fate: Fate = "running"

    def add(self, step: float, value: float) -> None:
        """Adds a record.

        One at an earlier step means that the trial went back there: what it had reported from
        that step on belongs to a run that was given up.
        """
        if self.records and step <= self.last_step:
            self.records = {known: v for known, v in self.records.items() if known < step}
        self.records[step] = value

    @property
    def last_step(self) -> float:
        """The step of the newest record, -infinity before the first."""
        return next(reversed(self.records), -math.inf)

    def final(self, goal: Goal) -> float | None:
        """The last usable value."""
        usable = [value for value in self.records.values() if diverged([value], goal) is None]
        return usable[-1] if usable else None


class Search:
    """The curves of all trials, and the decisions that follow from them.

    Args:
        settings: what decisions go by.
        goal: which direction is better.

    Attributes:
        runs: by trial id.
        incumbent: the final value to beat; None before there is one.
    """

    def __init__(self, settings: Settings, goal: Goal) -> None:
        self.settings = settings
        self.goal: Goal = goal
        self.runs: dict[str, Run] = {}
        self.incumbent: float | None = None
        self._rule = settings.rule
        self._finals: dict[str, float] = {}
        self._medians: dict[str, float] = {}
        self._ended: dict[str, Peer] = {}
        self._from_zero = False
        self._extremes: Sequence[float] = ()
        self._loaded: LCPFN | None = None

    @property
    def shift(self) -> int:
        """What is added to steps: 1 where they start at 0, as no forecast has a step 0."""
        return int(self._from_zero)

    @property
    def best(self) -> tuple[str, float] | None:
        """The finished trial with the best final value, and that value."""
        if not self._finals:
            return None
        choose = max if self.goal == "maximize" else min
        return choose(self._finals.items(), key=lambda item: item[1])

    @property
    def outlooks(self) -> list[float]:
        """Final values of finished trials, and the latest medians forecast of the others."""
        return list({**self._medians, **self._finals}.values())

    def warm_up(self) -> None:
        """Loads the model and makes a first forecast, which is slower than those that follow.

        Raises:
            WeightsError: the weights are missing or broken.
        """
        start = float(self.settings.max_t) * np.array([0.1, 0.2])
        self._extrapolate([0.1, 0.2], start, "auto").quantile(_BAND)

    def run(self, trial_id: str) -> Run:
        """The trial's run, a new one where it has none."""
        return self.runs.setdefault(trial_id, Run())

    def observe(self, trial_id: str, step: float, value: float) -> None:
        """Adds a record to a trial's curve."""
        self._from_zero = self._from_zero or step == 0
        self.run(trial_id).add(step, value)

    def end(self, trial_id: str, fate: Fate) -> None:
        """Says how a trial ended, or with "running" that it goes on after all.

        The final value of a finished trial counts from now on. One that ends in NaN or another
        sign of divergence has not finished but "stopped".
        """
        run = self.run(trial_id)
        final = run.final(self.goal)
        if fate == "finished" and self._broken(list(run.records.items())) is not None:
            fate = "stopped"
        run.fate = fate
        self._finals.pop(trial_id, None)
        self._ended.pop(trial_id, None)
        if fate in ("finished", "stopped") and run.records:
            self._extremes = finite_extremes((*self._extremes, *run.records.values()))
            self._ended[trial_id] = Peer.of(run.records.items(), fate == "stopped")
        if fate == "finished" and final is not None:
            self._finals[trial_id] = final
        self.incumbent = self._rule.incumbent(list(self._finals.values()), self.goal)

    def count(self, fate: Fate) -> int:
        """How many trials have had that fate."""
        return sum(run.fate == fate for run in self.runs.values())

    def judge(self, trial_id: str) -> Verdict:
        """Whether the trial goes on after its newest record."""
        run = self.runs[trial_id]
        records = list(run.records.items())
        broken = self._broken(records)
        if broken is not None:
            return Verdict("stop", broken.reason, incumbent=self.incumbent)
        at = run.last_step + self.shift
        if at >= self.settings.max_t:
            end = f"the trial has reached its last step, {at:g} of {self.settings.max_t:g}"
            return Verdict("finish", end, incumbent=self.incumbent)
        usable = self._usable(records)
        standing_after = self._standings(usable)
        waiting = self._waiting(usable, standing_after)
        if waiting is not None:
            return Verdict("continue", waiting, incumbent=self.incumbent)
        post = self._forecast(usable)
        self._medians[trial_id] = float(post.median[-1])
        decision = self._rule.decide_replayed(
            post, self.incumbent, lambda count: self._forecast(usable[:count]), standing_after
        )
        action: Action = "stop" if decision.stop else "continue"
        return Verdict(
            action,
            decision.reason,
            decision.prob_better,
            self.incumbent,
            post,
            decision.standing,
        )

    def forecast(self, trial_id: str) -> Extrapolation | None:
        """The forecast of a trial's last step from all it has reported; None where it has not."""
        usable = self._usable(list(self.runs[trial_id].records.items()))
        if not usable or usable[-1][0] >= self.settings.max_t:
            return None
        return self._forecast(usable)

    def decide(self, trial_id: str, post: Extrapolation) -> Decision:
        """The decision on a trial by its newest forecast alone, without patience."""
        usable = self._usable(list(self.runs[trial_id].records.items()))
        standing_now = self._standings(usable)(len(usable))
        return replace(self._rule, patience=1).decide(post, self.incumbent, (), standing_now)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_loaded": None}

    def _broken(self, records: list[tuple[float, float]]) -> Decision | None:
        """A decision to stop where the newest record shows divergence."""
        ignored = self.settings.nan == "missing"
        values = [value for _, value in records if not (ignored and math.isnan(value))]
        return diverged(values, self.goal)

    def _usable(self, records: list[tuple[float, float]]) -> list[tuple[float, float]]:
        shift = self.shift
        return [
            (step + shift, value)
            for step, value in records
            if step + shift > 0 and diverged([value], self.goal) is None
        ]

    def _standings(self, records: list[tuple[float, float]]) -> Callable[[int], float | None]:
        """What gives the standing of a run after its first records, for a number of them."""
        latest = list(islice(reversed(self._ended.values()), self.settings.peers))
        return standings(records, latest, self.goal, self.shift)

    def _waiting(
        self,
        records: list[tuple[float, float]],
        standing_after: Callable[[int], float | None],
    ) -> str | None:
        """Why there is nothing to decide yet; None when there is."""
        finished = len(self._finals)
        if finished < self.settings.warmup_trials:
            return f"{finished} of {self.settings.warmup_trials} trials have finished"
        if self.incumbent is None:
            return f"{finished} of the {self._rule.keep_top} trials to keep have finished"
        return self._rule.waiting(len(records), standing_after(len(records)))

    def _forecast(self, records: list[tuple[float, float]]) -> Extrapolation:
        steps, values = zip(*records, strict=True)
        bounds = bounds_that_hold(self.settings.bounds, values, self.goal, self._extremes)
        return self._extrapolate(values, steps, bounds)

    def _extrapolate(
        self, values: ArrayLike, steps: ArrayLike, bounds: BoundsLike
    ) -> Extrapolation:
        if self._loaded is None:
            self._loaded = load(self.settings.model)
        horizon = float(self.settings.max_t)
        schedule = shifted(self.settings.schedule, self.shift)
        return self._loaded.extrapolate(
            values, steps, horizon, self.goal, bounds, [horizon], schedule
        )
