"""A forecast that follows a run record by record."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Goal, read_number
from lcpfn.forecast.best import Of, answered
from lcpfn.forecast.bounds import BoundsLike
from lcpfn.forecast.curve import Curve, read_curve
from lcpfn.forecast.distribution import Distribution
from lcpfn.forecast.encoding import Encoded
from lcpfn.forecast.extrapolation import Extrapolation, LazyForecast, Predictor
from lcpfn.forecast.schedule import LearningRates
from lcpfn.network.engine import Cache, Engine
from lcpfn.network.histogram import BinnedDistribution

_NOTHING = np.empty(0)


class StreamedModel(Predictor, Protocol):
    """What a stream asks of its model."""

    @property
    def network(self) -> Engine:
        """What computes forecasts."""
        ...

    def encode(self, curve: Curve, before: Encoded | None = None) -> Encoded:
        """A curve as the network sees it; see `LCPFN.encode`."""
        ...

    def remember(self, encoded: Encoded) -> Cache:
        """What the network remembers of a curve; see `LCPFN.remember`."""
        ...


class Stream:
    """One running run. Each update costs one token; see `LCPFN.stream`.

    The forecasts equal those of `LCPFN.extrapolate` on the same records. A stream belongs to one
    run and one thread.
    """

    def __init__(
        self,
        model: StreamedModel,
        horizon: float,
        goal: Goal,
        bounds: BoundsLike,
        schedule: LearningRates | None = None,
        of: Of = "last",
    ):
        self._model = model
        self._horizon = horizon
        self._goal = goal
        self._bounds = bounds
        self._schedule = schedule
        self._of = of
        self._curve: Curve | None = None
        self._last_step = 0.0
        self._cache: Cache | None = None
        self._encoded: Encoded | None = None
        self._post: Extrapolation | None = None

    def start(
        self,
        values: ArrayLike,
        steps: ArrayLike | None = None,
        rates: ArrayLike | None = None,
    ) -> Extrapolation:
        """Begins with records that were made before, in one go; returns the forecast.

        Args:
            values: (n,) as for `LCPFN.extrapolate`.
            steps: (n,) of these; None for 1..n.
            rates: (n,) learning rates at these, NaN where unknown; None where none is known.

        Raises:
            InputError: as `LCPFN.extrapolate`, or the stream has begun already.
        """
        if self._curve is not None:
            raise InputError(
                f"the stream has records up to step {self._last_step:g}, but only a new one starts"
            )
        settings = (self._horizon, self._goal, self._bounds, self._schedule)
        curve = read_curve(values, steps, *settings, rates)
        self._last_step = float(np.size(values) if steps is None else np.asarray(steps)[-1])
        self._curve = curve
        self._post = self._extrapolation(curve)
        return self._post

    def update(
        self, value: float | None, step: float | None = None, rate: float | None = None
    ) -> Extrapolation:
        """Adds a record and returns the forecast.

        The horizon is forecast at once, other steps when they are first asked for.

        Args:
            value: the metric; NaN or None where missing, which repeats the forecast before it, so
                there must be one.
            step: later than the record before, the first not negative; default one after it (1 for
                the first).
            rate: learning rate at the record, in any unit; None where unknown.

        Raises:
            InputError: as `LCPFN.extrapolate`; the stream stays as it was before the call.
        """
        value = math.nan if value is None else read_number("value", value)
        at = self._last_step + 1 if step is None else read_number("step", step)
        known = self._curve
        if known is not None and not at > self._last_step:
            raise InputError(
                f"step is {at:g}, but must come after the last one, {self._last_step:g}"
            )
        told = math.nan if rate is None else read_number("rate", rate)
        curve = None
        if known is not None and not told < 0:
            curve = known.with_record(value, at, told)
        if curve is None:
            curve = self._read(value, at, told)
        self._last_step = at
        if self._post is None or known is None or not math.isnan(value):
            if known is not None and known.diverged:
                self._encoded = None
            self._curve = curve
            self._post = self._extrapolation(curve)
        return self._post

    def _read(self, value: float, step: float, rate: float) -> Curve:
        """The curve with one more record, all of it checked."""
        known = self._curve
        steps = _NOTHING if known is None else known.steps
        values = _NOTHING if known is None else known.recorded
        rates = None if known is None else known.rates
        rates = np.full(len(steps), np.nan) if rates is None else rates
        settings = (self._horizon, self._goal, self._bounds, self._schedule)
        told = np.append(rates, rate)
        return read_curve(np.append(values, value), np.append(steps, step), *settings, told)

    def _extrapolation(self, curve: Curve) -> Extrapolation:
        return Extrapolation(curve, None, self._model, self._forecast(curve), self._of)

    def _forecast(self, curve: Curve) -> LazyForecast | None:
        if curve.finished:
            return None
        encoded = self._model.encode(curve, self._encoded)
        # The newest record may have replaced the one before it in its cell of the step axis; all
        # others are in the cache, unless the model now sees the whole curve differently.
        if self._cache is None or self._encoded is None or not encoded.same_view(self._encoded):
            self._cache = self._model.remember(encoded)
        self._encoded = encoded
        self._cache.length = encoded.observations.length - 1
        unit = self._model.network.advance(
            self._cache, encoded.observations, encoded.about_horizon(self._of)
        )
        return partial(_in_metric, unit, encoded, curve, self._of)


def _in_metric(
    unit: Callable[[], BinnedDistribution], encoded: Encoded, curve: Curve, of: Of
) -> Distribution:
    headroom = encoded.headroom_to_horizon(curve)
    return answered(encoded.in_metric(unit()[0, 0], curve, headroom), curve, of)
