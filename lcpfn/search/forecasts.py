"""Forecasts of the ends of many runs that go on side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from lcpfn.forecast.arguments import Array, Goal
from lcpfn.forecast.best import Of
from lcpfn.forecast.bounds import Bounds, BoundsLike
from lcpfn.forecast.extrapolation import Extrapolation
from lcpfn.forecast.model import LCPFN
from lcpfn.forecast.schedule import Schedule
from lcpfn.forecast.stream import Stream
from lcpfn.search.company import Companion, Company
from lcpfn.search.rule import FinalForecast
from lcpfn.search.run import Record
from lcpfn.weights import load

# Streams that are kept, under 1 MiB each.
_MOST_STREAMS = 256
# More new records than this are cheaper to forecast afresh than to feed into a stream.
_CATCH_UP = 2
_DRAWS = 256
_DRAWN_STEPS = 8


@dataclass(frozen=True)
class Question:
    """What is asked: how will this run end?

    Args:
        run: which run, by its key.
        records: (step, value) of what has been observed, steps positive and increasing.
        horizon: its last step.
        goal: "maximize" or "minimize".
        bounds: what the metric can never pass.
        schedule: learning rate over the run, None where unknown.
        of: whether the value of its last record or of its best one is asked.
        rates: learning rates at the records, NaN where unknown; None where all are.
        config: its hyperparameters, None where unknown.
    """

    run: Hashable
    records: list[Record]
    horizon: float
    goal: Goal
    bounds: BoundsLike
    schedule: Schedule | None
    of: Of = "last"
    rates: list[float] | None = None
    config: Mapping[str, Any] | None = None


Forecaster = Callable[[Question], FinalForecast]
"""Forecasts the ends of runs: a model, or forecasts that were made before."""


@runtime_checkable
class HearingForecaster(Protocol):
    """A forecaster that can also listen to the other runs of a search."""

    def heard(
        self, post: FinalForecast, companions: Sequence[Companion], question: Question
    ) -> FinalForecast:
        """A forecast corrected by what became of those of the other runs.

        Args:
            post: the forecast of the run alone.
            companions: the other runs, the latest last.
            question: that it answers.
        """
        ...


class ModelForecaster:
    """Forecasts by a model, with a stream for each run, so that a record costs one token.

    Args:
        model: bundled name or path, as for `lcpfn.load`, or a model. Weights are loaded at the
            first forecast; pickling leaves a named model and all streams out.
    """

    def __init__(self, model: str | Path | LCPFN | None = None) -> None:
        self._named = model
        self._loaded: LCPFN | None = None
        self._streams: dict[Hashable, _Followed] = {}
        self._company: Company | None = None

    def __call__(self, question: Question) -> FinalForecast:
        """The forecast of the run's end."""
        question = self._answerable(question)
        known = self._streams.pop(question.run, None)
        if known is not None and known.began_as(question):
            # What patience asks again about the past must not cost the stream its place.
            self._streams[question.run] = known
            return _final(self._stream(question).start(*_columns(question)), question.of)
        if known is None or not known.serves(question):
            known = _Followed(self._stream(question), question)
        post = known.follow(question)
        self._streams[question.run] = known
        while len(self._streams) > _MOST_STREAMS:
            del self._streams[next(iter(self._streams))]
        return _final(post, question.of)

    def heard(
        self, post: FinalForecast, companions: Sequence[Companion], question: Question
    ) -> FinalForecast:
        """A forecast corrected by what became of those of the other runs."""
        # What is drawn, as no network answers it, is not corrected either.
        if not companions or not isinstance(post, Extrapolation):
            return post
        if self._company is None:
            self._company = Company(self._model(), question.goal)
        told = question.bounds, question.schedule
        return self._company.heard(post, companions, question.config, *told)

    def warm_up(self, goal: Goal) -> None:
        """Loads the weights and makes a first forecast."""
        post = self._model().stream(goal=goal).start([0.1, 0.2])
        post.at_horizon().quantile(0.5)

    def forget(self, run: Hashable) -> None:
        """Drops what is kept of a run."""
        self._streams.pop(run, None)

    def _answerable(self, question: Question) -> Question:
        """The question without learning rates that the model cannot be told, or need not be."""
        if question.rates is None:
            return question
        told = self._model().told_rates(question.rates, question.schedule)
        return replace(question, rates=told)

    def _stream(self, question: Question) -> Stream:
        model = self._model()
        # What a model does not answer itself is drawn from what it does.
        of = question.of if model.network.config.best else "last"
        return model.stream(question.horizon, question.goal, question.bounds, question.schedule, of)

    def _model(self) -> LCPFN:
        if self._loaded is None:
            named = self._named
            self._loaded = named if isinstance(named, LCPFN) else load(named)
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self._named}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


class _Followed:
    """A run's stream and what it has been fed."""

    def __init__(self, stream: Stream, question: Question) -> None:
        self._stream = stream
        self._question = question
        self._records: list[Record] = []
        self._rates: list[float] | None = None
        self._post: Extrapolation | None = None

    def serves(self, question: Question) -> bool:
        """Whether the stream serves a question, with few new records."""
        known, mine = len(self._records), self._question
        return (
            (mine.horizon, mine.bounds) == (question.horizon, question.bounds)
            and 0 <= len(question.records) - known <= _CATCH_UP
            and self._records == question.records[:known]
            and _same(self._rates, question.rates, known)
        )

    def began_as(self, question: Question) -> bool:
        """Whether the stream is further than a question about the same run."""
        count = len(question.records)
        return count < len(self._records) and self._records[:count] == question.records

    def follow(self, question: Question) -> Extrapolation:
        records, rates = question.records, question.rates
        if self._post is None:
            self._post = self._stream.start(*_columns(question))
        else:
            for index in range(len(self._records), len(records)):
                step, value = records[index]
                rate = None if rates is None else rates[index]
                self._post = self._stream.update(value, step, rate)
        self._records, self._rates = records, rates
        return self._post


Columns = tuple[list[float], list[float], list[float] | None]


def _columns(question: Question) -> Columns:
    """Values, steps and learning rates."""
    values = [value for _, value in question.records]
    return values, [step for step, _ in question.records], question.rates


def _same(known: list[float] | None, asked: list[float] | None, count: int) -> bool:
    """Whether the first learning rates are those that a stream was told."""
    if known is None or asked is None:
        return known is asked or count == 0
    return bool(np.array_equal(known[:count], asked[:count], equal_nan=True))


def _final(post: Extrapolation, of: Of) -> FinalForecast:
    return post.at_horizon() if post.of == of else BestForecast(post)


class BestForecast:
    """The best value of a run by its end, from joint draws of the rest of its curve.

    For models that were not trained to answer `of="best"`. The draws see eight of the steps to
    come, spread evenly, and are the same for the same records.

    Args:
        post: forecast of the run.
    """

    def __init__(self, post: Extrapolation) -> None:
        self._post = post
        last = float(post.observed_steps[-1])
        better = np.max if post.goal == "maximize" else np.min
        best = np.full(_DRAWS, better(post.observed_values))
        if last < post.horizon:
            shares = (np.arange(_DRAWN_STEPS) + 1) / _DRAWN_STEPS
            asked = post.at_steps(last + (post.horizon - last) * shares)
            drawn = better(asked.sample(_DRAWS, np.random.default_rng(0)), axis=1)
            best = np.maximum(best, drawn) if post.goal == "maximize" else np.minimum(best, drawn)
        self._draws: Array = np.sort(best)

    @property
    def goal(self) -> Goal:
        return self._post.goal

    @property
    def horizon(self) -> float:
        return self._post.horizon

    @property
    def bounds(self) -> Bounds:
        return self._post.bounds

    @property
    def observed_steps(self) -> Array:
        return self._post.observed_steps

    def allowing(self, value: float) -> BestForecast:
        """The forecast, of bounds that hold a value."""
        post = self._post.allowing(value)
        return self if post is self._post else BestForecast(post)

    def prob_better(self, than: float) -> float:
        """P(the best value by the end beats `than`)."""
        if math.isnan(than):
            return math.nan
        beats = self._draws > than if self.goal == "maximize" else self._draws < than
        return float(beats.mean())

    def quantile(self, q: Any) -> Array:
        """Quantiles of the best value by the end, (levels, 1)."""
        return np.asarray(np.quantile(self._draws, np.atleast_1d(q)))[:, None]
