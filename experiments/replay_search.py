"""Replays recorded runs through `lcpfn.Search`, on forecasts that are made once.

A forecast depends on a run's own records only, not on what it is compared with. So one `backtest`
of each run serves searches of any settings and any number of workers.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

import lcpfn
from experiments.replay import Action, Method, RecordedRuns, Replay, side_by_side
from lcpfn.forecast.arguments import Array, Goal
from lcpfn.forecast.bounds import Bounds, bounds_that_hold, telling_values
from lcpfn.forecast.schedule import NamedSchedule
from lcpfn.search.divergence import divergence, usable
from lcpfn.search.forecasts import Question
from lcpfn.search.rule import FinalForecast


class Remembered:
    """A forecast that computes what it is asked once."""

    def __init__(self, post: lcpfn.Extrapolation) -> None:
        self.forecast = self._post = post
        self._quantiles: dict[tuple[float, ...], Array] = {}
        self._chances: dict[float, float] = {}

    @property
    def goal(self) -> Goal:
        """As of the forecast."""
        return self._post.goal

    @property
    def horizon(self) -> float:
        """As of the forecast."""
        return self._post.horizon

    @property
    def bounds(self) -> Bounds:
        """As of the forecast."""
        return self._post.bounds

    @property
    def observed_steps(self) -> Array:
        """As of the forecast."""
        return self._post.observed_steps

    def allowing(self, value: float) -> Remembered:
        """Itself: its bounds hold the values of all runs."""
        return self

    def prob_better(self, than: float) -> float:
        """As of the forecast."""
        if than not in self._chances:
            self._chances[than] = self._post.prob_better(than)
        return self._chances[than]

    def quantile(self, q: Any) -> Array:
        """As of the forecast."""
        levels = tuple(np.atleast_1d(q).tolist())
        if levels not in self._quantiles:
            self._quantiles[levels] = self._post.quantile(levels)
        return self._quantiles[levels]


RunForecasts = Sequence[FinalForecast]
"""Of the end of one run, after each of its usable records."""


def forecast_all(
    runs: RecordedRuns, model: lcpfn.LCPFN, schedule: NamedSchedule | None = None
) -> list[RunForecasts]:
    """Forecasts the end of every run from each of its prefixes, told the learning rate or not.

    Bounds are guessed as in a search that has seen all runs. A run that diverges is forecast until
    then.
    """
    horizon = runs.curves.shape[1]
    seen = telling_values(filter(usable, runs.curves.ravel().tolist()))
    forecasts: list[RunForecasts] = []
    for curve in runs.curves:
        values = curve[: _until_divergence(runs, curve)]
        posts = (
            model.backtest(
                values,
                horizon=horizon,
                goal=runs.goal,
                bounds=bounds_that_hold("auto", values[:1].tolist(), runs.goal, seen),
                schedule=schedule,
            )
            if len(values)
            else []
        )
        forecasts.append([Remembered(post) for post in posts])
    return forecasts


def _until_divergence(runs: RecordedRuns, curve: Array) -> int:
    first = int(np.argmax(np.isfinite(curve)))
    for count in range(first + 1, len(curve) + 1):
        if divergence(curve[:count].tolist(), runs.goal) is not None:
            return count - 1
    return len(curve) if np.isfinite(curve[0]) else 0


class Foreseen:
    """Answers a search's questions with forecasts that were made before.

    Args:
        forecasts: of the runs, by number.
    """

    def __init__(self, forecasts: Sequence[RunForecasts]) -> None:
        self._forecasts = forecasts

    def __call__(self, question: Question) -> FinalForecast:
        """The forecast of a run from its first records."""
        return self._forecasts[_number(question.run)][len(question.records) - 1]


def _number(run: Hashable) -> int:
    """The number of a run, by which Ray knows it as a text."""
    assert isinstance(run, int | str)
    return int(run)


class SearchTrials:
    """Trials in the care of a search.

    Args:
        search: decides.
    """

    def __init__(self, search: lcpfn.Search) -> None:
        self.search = search

    def begin(self, trial: int) -> None:
        """A search hears of a run by its first record."""

    def report(self, trial: int, step: int, value: float, unbegun: int) -> Action:
        """Asks the search."""
        self.search.observe(trial, step, value)
        if self.search.complete(trial):
            return "continue"
        action = self.search.judge(trial, unbegun).action
        if action == "pause":
            self.search.pause(trial)
        return action

    def end(self, trial: int, finished: bool) -> None:
        """Tells the search."""
        self.search.end(trial, "finished" if finished else "stopped")

    def choose(self) -> int | None:
        """The most promising paused trial; the hopeless ones are stopped."""
        for run in self.search.promising():
            if self.search.judge(run).action == "stop":
                self.search.end(run, "stopped")
                continue
            self.search.resume(run)
            return _number(run)
        return None


def through_search(forecasts: Sequence[RunForecasts], **settings: Any) -> Method:
    """The method of a search with some settings, on forecasts in the order of the runs."""

    def method(runs: RecordedRuns, workers: int) -> Replay:
        horizon = runs.curves.shape[1]
        search = lcpfn.Search(runs.goal, horizon, forecast=Foreseen(forecasts), **settings)
        return side_by_side(runs, workers, SearchTrials(search))

    return method
