"""The step axis: from a run's own steps to the fractions of the horizon that a model knows.

A model never sees steps, only step / horizon, so the unit of the steps cannot matter, and a
horizon of 200,000 is as good as one of 100. It was trained on curves of at most `resolution`
records. A denser log is thinned: the horizon is cut into that many equal cells, and the last
record of each cell is kept, so that what is kept has the noise of single records, and the newest
record is always among it.

A log that begins with a record at step 0, taken before training, is shifted by its first spacing:
a model knows that record as one interval after the start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lcpfn.forecast.arguments import Array

Steps = TypeVar("Steps", float, Array)

# Keeps step 7 of 100 in cell 7 in spite of rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class StepAxis:
    """The axis of one run.

    Args:
        horizon: last step of the full run.
        resolution: cells that a model can tell apart.
        shift: what is added to every step, see `Curve.shift`.
    """

    horizon: float
    resolution: int
    shift: float = 0.0

    def cells(self, steps: Array) -> NDArray[np.int64]:
        """The cell 1..resolution of each step, (n,)."""
        position = np.ceil(self._share(steps) * self.resolution - _ROUNDING)
        return np.minimum(np.maximum(position, 1), self.resolution).astype(np.int64)

    def cell(self, step: float) -> int:
        """The cell of one step."""
        position = math.ceil(self._share(step) * self.resolution - _ROUNDING)
        return min(max(position, 1), self.resolution)

    def kept(self, steps: Array) -> NDArray[np.int64]:
        """Indices of the records that remain after thinning: the last of each cell."""
        cells = self.cells(steps)
        last_of_cell = np.concatenate([cells[1:] > cells[:-1], [True]])
        return np.flatnonzero(last_of_cell)

    def fractions(self, steps: Array) -> Array:
        """Observed steps over the horizon, not below one cell, (n,)."""
        return np.maximum(self._share(steps), 1 / self.resolution)

    def fraction(self, step: float) -> float:
        """One observed step over the horizon, not below one cell."""
        return max(self._share(step), 1 / self.resolution)

    def query_fractions(self, steps: Array, last: float) -> Array:
        """Asked steps over the horizon, at least one cell after the last observed step."""
        nearest = self.fraction(last) + 1 / self.resolution
        return np.minimum(np.maximum(self._share(steps), nearest), 1.0)

    def _share(self, steps: Steps) -> Steps:
        """Steps over the horizon."""
        return (steps + self.shift) / (self.horizon + self.shift)
