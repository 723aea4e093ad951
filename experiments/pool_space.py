"""The space of hyperparameters that a pool was drawn from, and the run nearest to a place in it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.pools import Pool
from lcpfn.forecast.arguments import Array
from lcpfn.search.spaces import Number


class PoolSpace:
    """For searches that propose any place: the nearest run that nobody has begun is the one meant.

    Args:
        pool: whose runs.

    Attributes:
        ranges: of each hyperparameter that differs between runs.
    """

    def __init__(self, pool: Pool) -> None:
        columns = dict(zip(pool.names, pool.settings.T, strict=True))
        self.ranges = {name: _range(column) for name, column in columns.items() if np.ptp(column)}
        self._places = np.stack(
            [
                [part.place(value) for value in columns[name].tolist()]
                for name, part in self.ranges.items()
            ],
            axis=1,
        )
        self._left = np.ones(len(pool.curves), dtype=bool)

    def take(self, config: Mapping[str, float]) -> int | None:
        """Begins the nearest run that is left; None where none is."""
        if not self._left.any():
            return None
        wanted = np.array([part.place(config[name]) for name, part in self.ranges.items()])
        distances: Array = ((self._places - wanted) ** 2).sum(1)
        run = int(np.where(self._left, distances, np.inf).argmin())
        self._left[run] = False
        return run


def _range(column: Array) -> Number:
    low, high = float(column.min()), float(column.max())
    # Logarithmic where the numbers look as if drawn from such a scale.
    return Number(low, high, bool(low > 0 and _skew(np.log(column)) < _skew(column)))


def _skew(values: Array) -> float:
    spread = values.std()
    return float(abs(((values - values.mean()) ** 3).mean()) / spread**3) if spread else 0.0
