"""A curve as the network sees it: thinned, scaled, in float32; and what is asked about it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lcpfn.forecast.arguments import Array
from lcpfn.forecast.axis import StepAxis
from lcpfn.forecast.curve import Curve
from lcpfn.forecast.scaling import LEAST_UNIT, MetricMap
from lcpfn.forecast.schedule import LearningRates


class Encoded(NamedTuple):
    """A curve as the network sees it.

    Args:
        fractions, values: (k,) in the network's units, of the records that remain after thinning.
        limits: (1, 2) the best and the worst value there can be, infinite where open.
        metric: the map to these units.
        axis: the step axis.
        schedule: (k, 2) learning rates at these records, None where unknown.
        rates: of the whole run, None where unknown.
    """

    fractions: NDArray[np.float32]
    values: NDArray[np.float32]
    limits: NDArray[np.float32]
    metric: MetricMap
    axis: StepAxis
    schedule: NDArray[np.float32] | None
    rates: LearningRates | None

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Fractions (1, k), values (1, k) and limits (1, 2) in torch."""
        return (
            torch.from_numpy(self.fractions[None]),
            torch.from_numpy(self.values[None]),
            torch.from_numpy(self.limits),
        )

    def observe(self, step: float) -> Tensor:
        """A step as an observed fraction of the horizon, (1,)."""
        return torch.as_tensor(self.axis.fractions(np.array([step])), dtype=torch.float32)

    def same_view(self, before: Encoded) -> bool:
        """Whether values mean the same to the network as in an encoding of earlier records."""
        return self.metric == before.metric and (
            self.limits is before.limits or np.array_equal(self.limits, before.limits)
        )

    def extended(self, curve: Curve, metric: MetricMap) -> Encoded | None:
        """The encoding of the curve with one more record; None where it does more than append.

        Args:
            curve: with the new record.
            metric: the map of that curve.
        """
        step, before = float(curve.steps[-1]), float(curve.steps[-2])
        limits = metric.limits(curve.bounds)
        if metric != self.metric or limits != tuple(self.limits[0]):
            return None
        if self.axis.cell(step) == self.axis.cell(before):
            return None
        fraction = max(step / self.axis.horizon, 1 / self.axis.resolution)
        value = curve.values[-1] * metric.gain - metric.offset * metric.gain
        value = 0.0 if abs(value) < LEAST_UNIT else value
        return Encoded(
            np.concatenate((self.fractions, (fraction,)), dtype=np.float32),
            np.concatenate((self.values, (value,)), dtype=np.float32),
            self.limits,
            metric,
            self.axis,
            (
                None
                if self.schedule is None or self.rates is None
                else np.concatenate([self.schedule, self.rates.at(np.array([step]))])
            ),
            self.rates,
        )

    def queries(self, steps: Array, last: float) -> Tensor:
        """Steps as asked fractions of the horizon, after the last observed step, (m,)."""
        return torch.as_tensor(self.axis.query_fractions(steps, last), dtype=torch.float32)

    @property
    def observed_schedule(self) -> NDArray[np.float32] | None:
        """Learning rates at the records, (1, k, 2), None where unknown."""
        return None if self.schedule is None else self.schedule[None]

    def query_schedule(self, steps: Array) -> NDArray[np.float32] | None:
        """Learning rates at asked steps, (1, m, 2), None where unknown."""
        return None if self.rates is None else self.rates.at(steps)[None]

    @property
    def horizon_schedule(self) -> NDArray[np.float32] | None:
        """Learning rates at the horizon, (1, 1, 2), None where unknown."""
        return self.query_schedule(np.array([self.axis.horizon]))
