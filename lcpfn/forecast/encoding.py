"""A curve as the network sees it: thinned, scaled, in float32; and what is asked about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lcpfn.forecast.arguments import Array
from lcpfn.forecast.axis import StepAxis
from lcpfn.forecast.best import Of
from lcpfn.forecast.bounded import Marginal
from lcpfn.forecast.curve import Curve
from lcpfn.forecast.headroom import Headroom
from lcpfn.forecast.scaling import LEAST_UNIT, MetricMap, to_metric
from lcpfn.forecast.schedule import LearningRates
from lcpfn.network.histogram import BinnedDistribution
from lcpfn.network.inputs import UNKNOWN, Observations, Questions


class Encoded(NamedTuple):
    """A curve as the network sees it.

    Args:
        observations: (1, k) in numpy, the records that remain after thinning; their limits are
            known, infinite where open.
        metric: the map to the network's units.
        axis: the step axis.
        schedule: learning rates of the whole run, None where unknown.
        draws_in: whether forecasts are drawn in, see `Headroom`.
        keeps_beyond: whether what they hold beyond a bound is kept, see `Bounded`.
    """

    observations: Observations
    metric: MetricMap
    axis: StepAxis
    schedule: LearningRates | None
    draws_in: bool = False
    keeps_beyond: bool = False

    @staticmethod
    def of(
        curve: Curve,
        metric: MetricMap,
        axis: StepAxis,
        draws_in: bool = False,
        keeps_beyond: bool = False,
    ) -> Encoded:
        """The encoding of a checked curve.

        Args:
            curve: to encode.
            metric: its map to the network's units.
            axis: its step axis, to as many cells as the network can tell apart.
            draws_in, keeps_beyond: how forecasts are read.
        """
        kept = axis.kept(curve.steps)
        observations = Observations(
            axis.fractions(curve.steps[kept]).astype(np.float32)[None],
            metric.to_unit(curve.values[kept]).astype(np.float32)[None],
            np.array([metric.limits(curve.bounds)], np.float32),
            _schedule(curve.schedule, curve.steps[kept]),
            None if curve.rates is None else _told(curve.rates[kept]),
        )
        return Encoded(observations, metric, axis, curve.schedule, draws_in, keeps_beyond)

    def same_view(self, before: Encoded) -> bool:
        """Whether values mean the same to the network as in an encoding of earlier records."""
        own, theirs = self._limits, before._limits
        return self.metric == before.metric and (own is theirs or np.array_equal(own, theirs))

    def with_record(self, curve: Curve, metric: MetricMap) -> Encoded | None:
        """The encoding of the curve with one more record; None where it does more than append.

        Args:
            curve: with the new record.
            metric: the map of that curve.
        """
        step, before = float(curve.steps[-1]), float(curve.steps[-2])
        known = self.observations
        if metric != self.metric or metric.limits(curve.bounds) != tuple(self._limits[0]):
            return None
        if curve.shift != self.axis.shift or self.axis.cell(step) == self.axis.cell(before):
            return None
        value = curve.values[-1] * metric.gain - metric.offset * metric.gain
        value = 0.0 if abs(value) < LEAST_UNIT else value
        schedule = _schedule(self.schedule, np.array([step]))
        rates = None if curve.rates is None else _told(curve.rates[-1:])
        if (rates is None) != (known.rates is None):
            return None
        observations = Observations(
            _appended(known.fractions, ((self.axis.fraction(step),),)),
            _appended(known.values, ((value,),)),
            known.limits,
            None if schedule is None else _appended(known.schedule, schedule),
            None if rates is None else _appended(known.rates, rates),
        )
        return self._replace(observations=observations)

    def drawn(self, step: float, values: Array) -> Observations:
        """Values (count,) that may follow at a step, as observations (count, 1)."""
        at = np.array([step])
        fraction = self.axis.fractions(at).astype(np.float32)[None]
        # Whatever the log says of learning rates, it does not say what they will be.
        rates = None if self.observations.rates is None else _told(np.full(1, np.nan))
        schedule = _schedule(self.schedule, at)
        one = Observations(fraction, fraction, schedule=schedule, rates=rates)
        unit = self.metric.to_unit(values).astype(np.float32)
        return replace(one.copies(len(values)), values=unit[:, None])

    def questions(self, steps: Array, last: float, of: Of = "last") -> Questions:
        """Questions (1, m) about steps (m,) after the last observed one."""
        fractions = self.axis.query_fractions(steps, last).astype(np.float32)[None]
        return Questions(fractions, _schedule(self.schedule, steps), _flags(fractions, of))

    def in_metric(
        self, unit: BinnedDistribution, curve: Curve, headroom: Headroom | None
    ) -> Marginal:
        """A forecast of the curve in model units, as one in the metric's own; see `to_metric`."""
        return to_metric(unit, self.metric, curve.bounds, headroom, self.keeps_beyond)

    def headroom(
        self,
        curve: Curve,
        extremes: tuple[Array, Array] | tuple[float, float],
        last: Array | float,
        asked: Array | float,
    ) -> Headroom | None:
        """How far the run may come beyond its best record; None where that is not asked.

        Args:
            curve: that is encoded.
            extremes: (...,) lowest and highest of the values that are known.
            last, asked: (...,) the last step that is known, and the one asked for.
        """
        if not self.draws_in:
            return None
        ends = [self.metric.to_unit(np.asarray(end)) for end in extremes]
        worst, best = ends if self.metric.gain > 0 else ends[::-1]
        seen, then = (self.axis.fractions(np.asarray(step)) for step in (last, asked))
        return Headroom.after(worst, best, seen, then, self.metric.limits(curve.bounds)[0])

    def headroom_after(
        self, curve: Curve, records: NDArray[Any], asked: Array | float
    ) -> Headroom | None:
        """As `headroom`, after the first `records` (m,) of the curve's own."""
        if not self.draws_in:
            return None
        newest, values = records - 1, curve.values
        so_far = np.minimum.accumulate(values)[newest], np.maximum.accumulate(values)[newest]
        return self.headroom(curve, so_far, curve.steps[newest], asked)

    def headroom_to_horizon(self, curve: Curve) -> Headroom | None:
        """How far the run may come until its end."""
        return self.headroom(curve, curve.extremes, curve.steps[-1], curve.horizon)

    @property
    def _limits(self) -> NDArray[np.float32]:
        return np.asarray(self.observations.limits)

    def about_horizon(self, of: Of = "last") -> Questions:
        """The question (1, 1) about the horizon."""
        fractions = np.ones((1, 1), np.float32)
        schedule = _schedule(self.schedule, np.array([self.axis.horizon]))
        return Questions(fractions, schedule, _flags(fractions, of))


def _flags(fractions: NDArray[np.float32], of: Of) -> NDArray[np.float32] | None:
    """Which of the questions (1, m) mean the best value; None where none does."""
    return np.ones_like(fractions) if of == "best" else None


def _told(rates: Array) -> NDArray[np.float32]:
    """Learning rates at records (k,) as the network is told them, (1, k)."""
    return np.where(np.isnan(rates), UNKNOWN, rates).astype(np.float32)[None]


def _appended(known: Any, new: Any) -> NDArray[np.float32]:
    return np.concatenate((known, new), 1, dtype=np.float32)


def _schedule(schedule: LearningRates | None, steps: Array) -> NDArray[np.float32] | None:
    """Learning rates at steps (n,), (1, n, 2); None where unknown."""
    return None if schedule is None else schedule.at(steps)[None]
