"""What a report says of the runs that are watched, before it is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from lcpfn.errors import InputError
from lcpfn.evaluation import LEAST_RECORDS, SHARES, Hindsight
from lcpfn.forecast.arguments import Array, Goal
from lcpfn.forecast.best import Of
from lcpfn.forecast.bounds import BoundsLike, bounds_that_hold
from lcpfn.forecast.extrapolation import Extrapolation
from lcpfn.forecast.model import LCPFN
from lcpfn.forecast.schedule import Schedule
from lcpfn.logs.name_bounds import settings_by_name
from lcpfn.search.early_stopping import EarlyStopping
from lcpfn.watching import Reading, Watch, WatchedRun

Fate = Literal["finished", "running", "stopped", "diverged"]

LEVELS = (0.06, 0.25, 0.50, 0.75, 0.94)
"""Quantiles of a fan: the ends of the intervals of 88 and 50 %, and the median between them."""

_FAN_STEPS = 40
_METRICS_NAMED = 3
# Looks of the rule at one run in hindsight; more would cost a long search minutes.
_LOOKS = 50


@dataclass(frozen=True)
class Fan:
    """The forecast of one run from some of its records.

    Args:
        share: of the run that had been observed, one of `lcpfn.evaluation.SHARES`; None for all
            that is there.
        steps: (m,) in the log's own numbering.
        quantiles: (5, m) at `LEVELS`.
    """

    share: float | None
    steps: Array
    quantiles: Array


@dataclass(frozen=True)
class ReportedRun:
    """One run.

    Args:
        watched: what `lcpfn watch` says of it.
        fate: what became of it.
        steps, values: (n,) its records, steps in the log's own numbering.
        worth: what these come to, the last of them or the best; NaN where that is none.
        last_step: of the full run in that numbering, None where unknown.
        fans: its forecast as it stands, and of a finished run those from shares of it.
        hindsight: of a finished run, how these had been.
        untrained: steps that were not trained; 0 of a finished one, NaN where unknown.
        length: how many steps a full run has, NaN where unknown.
        would_stop: of a finished run, after which step the rule would have stopped it, had the
            best of the others been known from the start; None where it would not.
    """

    watched: WatchedRun
    fate: Fate
    steps: Array
    values: Array
    worth: float
    last_step: float | None
    fans: tuple[Fan, ...]
    hindsight: tuple[Hindsight, ...]
    untrained: float
    length: float
    would_stop: float | None = None

    @property
    def name(self) -> str:
        """What to call it."""
        return self.watched.name


@dataclass(frozen=True)
class Accuracy:
    """How good forecasts of final values had been, from one share of each finished run.

    Args:
        share: of each run that had been observed.
        runs: how many there were.
        inside: how many of them ended within the interval of 88 %.
        error: mean distance of the median from the final value.
        last_error: the same of the last value observed.
        ratio: one over the other; NaN where the last value was always right.
        ratio_error: standard error of that over runs; NaN of fewer than three.
    """

    share: float
    runs: int
    inside: int
    error: float
    last_error: float
    ratio: float
    ratio_error: float


@dataclass(frozen=True)
class Report:
    """What is known of all runs.

    Args:
        runs: the most promising first.
        goal: which way the metric is better.
        model: name of the model.
        best: final value of the best run, as a person stated it; None where nobody did.
        problems: why some logs could not be read, by path.
        notices: what users must know of.
    """

    runs: tuple[ReportedRun, ...]
    goal: Goal
    model: str
    best: float | None
    problems: Mapping[str, str]
    notices: tuple[str, ...]

    @property
    def metrics(self) -> list[str]:
        """Names of the metric, as the logs have it."""
        return list(dict.fromkeys(run.watched.metric for run in self.runs))

    @property
    def metric(self) -> str:
        """What the metric is called, in words: where logs have several names, the first ones."""
        names = self.metrics
        more = len(names) - _METRICS_NAMED
        shown = ", ".join(names[:_METRICS_NAMED])
        return f"{shown} and {more} more" if more > 0 else shown

    def of_fate(self, *fates: Fate) -> list[ReportedRun]:
        """The runs of which this became."""
        return [run for run in self.runs if run.fate in fates]

    @property
    def leader(self) -> ReportedRun | None:
        """The finished run that ended best."""
        finished = [run for run in self.of_fate("finished") if math.isfinite(run.worth)]
        better = max if self.goal == "maximize" else min
        return better(finished, key=lambda run: run.worth) if finished else None

    @property
    def accuracy(self) -> list[Accuracy]:
        """How good forecasts had been, by share."""
        every = [made for run in self.runs for made in run.hindsight]
        groups = ([made for made in every if made.share == share] for share in SHARES)
        return [_accuracy(group) for group in groups if group]


@dataclass(frozen=True)
class Settings:
    """How a report is made.

    Args:
        best: final value of the best run so far, where it is none of those that are watched.
        ended: whether no run goes on any more, so that those short of their horizon were stopped.
        schedule: learning rate of all runs, as for `LCPFN.extrapolate`.
        of: what a run is worth, its last record or its best one.
        rule: by name, settings for the hindsight on the rule, as for `lcpfn.EarlyStopping`.
    """

    best: float | None = None
    ended: bool = False
    schedule: Schedule | None = None
    of: Of = "last"
    rule: Mapping[str, Any] = field(default_factory=dict)


def gather(watch: Watch, model: LCPFN, settings: Settings | None = None) -> Report:
    """Looks at all logs once, and says what is in them.

    Args:
        watch: what to look at.
        model: that forecasts.
        settings: how the report is made.

    Raises:
        InputError: no run could be read.
    """
    watched = watch.refresh()
    if not watched:
        raise InputError(_nothing(watch.problems))
    about = Settings() if settings is None else settings
    found = [(run, watch.reading(run)) for run in watched]
    gatherer = _Gatherer(model, watch.goal, about)
    finals = [gatherer.final(run, reading) for run, reading in found]
    runs = []
    for index, (run, reading) in enumerate(found):
        others = [*finals[:index], *finals[index + 1 :], about.best]
        runs.append(gatherer.run(run, reading, [end for end in others if end is not None]))
    notices = tuple(watch.notices())
    return Report(tuple(runs), watch.goal, model.name, about.best, dict(watch.problems), notices)


class _Gatherer:
    """Forecasts runs for a report."""

    def __init__(self, model: LCPFN, goal: Goal, settings: Settings) -> None:
        self._model, self._goal, self._settings = model, goal, settings
        self._better = max if goal == "maximize" else min

    def final(self, run: WatchedRun, reading: Reading) -> float | None:
        """What a finished run came to; None of any other, and of one without a last value."""
        if run.state != "finished":
            return None
        worth = self._worth(reading.log.values)
        return worth if math.isfinite(worth) else None

    def run(self, run: WatchedRun, reading: Reading, rivals: Sequence[float]) -> ReportedRun:
        """All that is said of one run, given what the others came to."""
        log, horizon, fate = reading.log, reading.horizon, self._fate(run)
        fans: list[Fan] = []
        hindsight: list[Hindsight] = []
        would_stop = None
        if horizon is not None and fate in ("running", "stopped"):
            fans = self._present(reading, horizon)
        elif horizon is not None and fate == "finished":
            for fan, made in self._past(reading, horizon):
                fans.append(fan)
                hindsight.append(made)
            if rivals:
                would_stop = self._would_stop(reading, horizon, self._better(rivals))
        known = horizon is not None
        return ReportedRun(
            run,
            fate,
            log.logged_steps,
            log.values,
            self._worth(log.values),
            float(log.own_steps(np.array([horizon]))[0]) if known else None,
            tuple(fans),
            tuple(hindsight),
            max(0.0, horizon - float(log.model_steps[-1])) if horizon is not None else math.nan,
            math.nan if horizon is None else horizon,
            would_stop,
        )

    def _worth(self, values: Array) -> float:
        """What values come to: the last of them, or the best; NaN where none is finite."""
        if self._settings.of == "last":
            return float(values[-1])
        finite = values[np.isfinite(values)].tolist()
        return float(self._better(finite)) if finite else math.nan

    def _fate(self, run: WatchedRun) -> Fate:
        if run.state in ("finished", "diverged"):
            return "finished" if run.state == "finished" else "diverged"
        short = not math.isnan(run.progress) and run.progress < 1
        return "stopped" if short and (self._settings.ended or run.state == "idle") else "running"

    def _present(self, reading: Reading, horizon: float) -> list[Fan]:
        """The forecast as it stands, where one can be made."""
        try:
            post = self._forecast(reading, len(reading.log.values), horizon)
        except InputError:
            return []
        return [_fan(None, reading, post)]

    def _past(self, reading: Reading, horizon: float) -> Iterator[tuple[Fan, Hindsight]]:
        """Forecasts from shares of a finished run, and how they had been."""
        values = reading.log.values
        final = self._worth(values)
        if len(values) < LEAST_RECORDS or not math.isfinite(final):
            return
        for share in SHARES:
            count = max(2, round(share * len(values)))
            present = values[:count][np.isfinite(values[:count])]
            if count >= len(values) or not len(present):
                continue
            try:
                post = self._forecast(reading, count, horizon)
            except InputError:
                continue
            fan = _fan(share, reading, post)
            low, median, high = (float(fan.quantiles[row, -1]) for row in (0, 2, 4))
            rank = float(post.cdf(final)[-1])
            told = self._worth(present)
            yield fan, Hindsight(share, count, told, low, median, high, final, rank)

    def _forecast(self, reading: Reading, count: int, horizon: float) -> Extrapolation:
        log, settings = reading.log, self._settings
        steps, values = log.model_steps[:count], log.values[:count]
        rates = self._model.told_rates(log.rates, settings.schedule)
        return self._model.extrapolate(
            values,
            steps,
            horizon,
            self._goal,
            reading.bounds if count == len(log.values) else self._known_then(reading, values),
            np.linspace(float(steps[-1]), horizon, _FAN_STEPS + 1)[1:],
            settings.schedule,
            None if rates is None else rates[:count],
            settings.of,
        )

    def _known_then(self, reading: Reading, values: Array) -> BoundsLike:
        """The bounds, when these values were all that there were."""
        seen = values[np.isfinite(values)].tolist()
        return bounds_that_hold(reading.known_bounds, seen, self._goal)

    def _would_stop(self, reading: Reading, horizon: float, best: float) -> float | None:
        """After which step the rule would have stopped a run, as the log numbers it."""
        log, about = reading.log, self._settings
        settings = settings_by_name(about.rule, log.metric, self._goal)
        told = {"schedule": about.schedule, "of": about.of, "model": self._model, **settings}
        rule = EarlyStopping(horizon, self._goal, best=best, **told)
        looks = np.unique(np.linspace(0, len(log.values) - 1, _LOOKS).round().astype(int))
        for index in looks.tolist():
            if rule.update(float(log.model_steps[index]), float(log.values[index])):
                return float(log.logged_steps[index])
        return None


def _fan(share: float | None, reading: Reading, post: Extrapolation) -> Fan:
    return Fan(share, reading.log.own_steps(post.steps), np.asarray(post.quantile(list(LEVELS))))


def _accuracy(group: Sequence[Hindsight]) -> Accuracy:
    """Over the runs of one share."""
    errors = np.array([abs(made.median - made.final) for made in group])
    lasts = np.array([abs(made.last_value - made.final) for made in group])
    mean, last = float(errors.mean()), float(lasts.mean())
    ratio = mean / last if last > 0 else math.nan
    spread = math.nan
    if last > 0 and len(group) > 2:
        spread = float((errors - ratio * lasts).std(ddof=1) / (math.sqrt(len(group)) * last))
    inside = sum(made.inside(0.88) for made in group)
    return Accuracy(group[0].share, len(group), inside, mean, last, ratio, spread)


def _nothing(problems: Mapping[str, str]) -> str:
    """Why there is nothing to report."""
    if not problems:
        return "there is no record yet in any log"
    first, *others = problems.values()
    more = f" (and {len(others)} more such)" if others else ""
    return f"no run could be read: {first}{more}"
