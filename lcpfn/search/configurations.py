"""Hyperparameters as numbers that can be compared: every one within 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Array
from lcpfn.search.spaces import Choice, Number, Space

Config = Mapping[str, Any]

_MIDDLE = 0.5
# How far apart two categories are, of the range of a number. What one category has taught of the
# numbers mostly holds for the others: were they further apart, a search would stay in that which
# happened to be good first.
_APART = 0.5


def read_config(what: str, config: object) -> Config:
    """Checks that hyperparameters come by name; `what` they are, for messages."""
    if not isinstance(config, Mapping):
        raise InputError(
            f"{what} is {config!r}, but must be a mapping of hyperparameters by name, such as "
            "{'rate': 0.1}"
        )
    return config


def encode(configs: Sequence[Config], space: Space | None = None) -> Array:
    """Configurations as (n, columns), each within 0 and 1, by where they stand among each other.

    A number becomes its place in the space; where that does not say, the share of the others that
    are smaller, ties half, so it makes no difference whether it was drawn from an even scale or a
    logarithmic one. Anything else is a category and becomes a column for each of its values, so
    that any two of them are half the range of a number apart. One that is missing from some
    configurations, as conditional ones are, or None or NaN, has a column that says so. What never
    differs has none.

    >>> encode([{"rate": 0.1}, {"rate": 0.01}, {"rate": 0.001, "depth": 3}]).round(3).tolist()
    [[0.833, 1.0], [0.5, 1.0], [0.167, 0.0]]

    Args:
        configs: by name.
        space: that they were drawn from, as far as it is known.
    """
    names = dict.fromkeys(name for config in configs for name in config)
    columns = [
        column
        for name in names
        for column in _columns([config.get(name) for config in configs], (space or {}).get(name))
    ]
    return np.stack(columns, axis=1) if columns else np.empty((len(configs), 0))


def _columns(values: Sequence[Any], part: Number | Choice | None) -> list[Array]:
    """The columns of one hyperparameter, None where it is missing."""
    kinds: set[type] = set(map(type, values)) - {type(None)}
    if bool not in kinds and all(issubclass(kind, Real) for kind in kinds):
        numbers = np.array(values, dtype=np.float64)
        absent = np.isnan(numbers)
        columns = _places(numbers, ~absent, part if isinstance(part, Number) else None)
    else:
        # 1 and True are equal but not the same choice; lists cannot be looked up.
        keys = ["" if value is None else f"{type(value).__name__}:{value!r}" for value in values]
        absent = np.array([not key for key in keys])
        levels = sorted(set(keys) - {""})
        columns = [
            np.array([key == level for key in keys]) * (_APART / math.sqrt(2)) for level in levels
        ]
        columns = columns if len(levels) > 1 else []
    if absent.any() and not absent.all():
        columns.append(absent.astype(np.float64))
    return columns


def _places(numbers: Array, present: Array, part: Number | None) -> list[Array]:
    """The places of numbers in the space, or among those that are present; none if all the same."""
    known, which, counts = np.unique(numbers[present], return_inverse=True, return_counts=True)
    if len(known) < 2:
        return []
    places = np.full(len(numbers), _MIDDLE)
    if part is not None:
        known_places = np.array([part.place(number) for number in known.tolist()])
        places[present] = known_places[which]
        return [places]
    places[present] = ((np.cumsum(counts) - counts / 2) / counts.sum())[which]
    return [places]
