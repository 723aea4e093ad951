"""Hyperparameters as numbers that can be compared: every one within 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from lcpfn.forecast.arguments import Array

Config = Mapping[str, Any]

_MIDDLE = 0.5


class Scales:
    """Where hyperparameters stand among those of other configurations.

    A number becomes the share of the others that are smaller, ties half, so it makes no difference
    whether it was drawn from an even scale or a logarithmic one. Anything else is a category and
    becomes a column for each of its values but the first. One that is missing from some
    configurations, as conditional ones are, has a column that says so.

    >>> scales = Scales([{"rate": 0.1}, {"rate": 0.01}, {"rate": 0.001, "depth": 3}])
    >>> scales.encode([{"rate": 0.01}, {"rate": 0.001, "depth": 3}]).round(3).tolist()
    [[0.5, 1.0], [0.167, 0.0]]

    Args:
        configs: what others are compared with.
    """

    def __init__(self, configs: Sequence[Config]) -> None:
        names = dict.fromkeys(name for config in configs for name in config)
        self._columns = [_Column(name, [config.get(name) for config in configs]) for name in names]

    def encode(self, configs: Sequence[Config]) -> Array:
        """Configurations as (n, columns), each within 0 and 1."""
        parts = [
            column.encode([config.get(column.name) for config in configs])
            for column in self._columns
        ]
        return np.concatenate([np.empty((len(configs), 0)), *parts], axis=1)


class _Column:
    """One hyperparameter.

    Args:
        name: its name.
        values: of the configurations to compare with, None where missing.
    """

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        self.name = name
        present = [value for value in values if value is not None]
        self._missing = 0 < len(present) < len(values)
        self._numbers = all(_is_number(value) for value in present)
        self._levels: list[Any] = []
        if self._numbers:
            known, counts = np.unique(np.array(present, dtype=np.float64), return_counts=True)
            self._known = known
            self._places = (np.cumsum(counts) - counts / 2) / max(1, len(present))
        else:
            self._levels = sorted({_key(value) for value in present})

    def encode(self, values: Sequence[Any]) -> Array:
        """(n, columns) of values, None where missing."""
        absent = np.array([value is None for value in values], dtype=np.float64)
        columns: list[Array] = [absent] if self._missing else []
        if self._numbers and len(self._known) > 1:
            usable = [float(value) if _is_number(value) else math.nan for value in values]
            places = np.interp(usable, self._known, self._places)
            columns.insert(0, np.where(np.isnan(places), _MIDDLE, places))
        keys = [_key(value) for value in values] if self._levels else []
        columns += [
            np.array([key == level for key in keys], dtype=np.float64) for level in self._levels[1:]
        ]
        return np.stack(columns, axis=1) if columns else np.empty((len(values), 0))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def _key(value: Any) -> str:
    # 1 and True are equal but not the same choice; lists cannot be looked up.
    return f"{type(value).__name__}:{value!r}"
