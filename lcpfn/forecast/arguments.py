"""What all arguments of a user are checked by: numbers, counts, goals and sequences.

Every message names the value and the rule it breaks.
"""

from __future__ import annotations

import operator
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lcpfn.errors import InputError

Goal = Literal["maximize", "minimize"]
Array = NDArray[np.float64]

LARGEST = 1e150
"""Values and bounds lie below this in size: beyond it a forecast's own tails could overflow."""
NOT_NUMBERS = (TypeError, ValueError, OverflowError, RuntimeError)
"""What the conversion of anything else raises: words, numbers too large, tensors with gradients."""


def read_number(name: str, number: Any) -> float:
    """Checks that a single argument is a number; NaN and infinities pass."""
    try:
        return float(number)
    except NOT_NUMBERS:
        raise InputError(f"{name} is {number!r}, but must be a number") from None


def read_count(name: str, value: Any, least: int = 1) -> int:
    """Checks an integer argument that must not lie below `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise InputError(f"{name} is {value!r}, but must be an integer of at least {least}")
    return number


def read_seed(seed: Any) -> int | None:
    """Checks a seed: a whole number of at least 0, or None, which is different each time."""
    return None if seed is None else read_count("seed", seed, 0)


def read_goal(goal: str) -> Goal:
    """Checks a goal."""
    if goal not in get_args(Goal):
        raise InputError(f"goal is {goal!r}, but must be 'maximize' or 'minimize'")
    return goal  # type: ignore[return-value]


def read_array(name: str, data: ArrayLike, rule: str) -> Array:
    """Checks that data are numbers, of any shape; `rule` says what they must be."""
    try:
        return np.asarray(data, dtype=np.float64)
    except NOT_NUMBERS:
        pass
    try:
        return _of_tensors(data)
    except NOT_NUMBERS:
        raise InputError(f"{name} is {shortened(data)}, but must be {rule}") from None


def _of_tensors(data: Any) -> Array:
    """Numbers in tensors that numpy does not read: with gradients, on a GPU, in bfloat16.

    Raises:
        TypeError: it is something else; or others of `NOT_NUMBERS`.
    """
    if hasattr(data, "detach"):
        return np.asarray(data.detach().cpu().double().numpy(), dtype=np.float64)
    if isinstance(data, list | tuple) and any(hasattr(each, "detach") for each in data):
        detached = (each.detach() if hasattr(each, "detach") else each for each in data)
        return np.array([float(each) for each in detached], dtype=np.float64)
    raise TypeError("no tensors")


def read_vector(name: str, data: ArrayLike) -> Array:
    """Checks that data are a sequence of numbers, (n,)."""
    vector = read_array(name, data, "a sequence of numbers")
    if vector.ndim != 1:
        raise InputError(f"{name} has shape {vector.shape}, but must have one dimension")
    return vector


def shortened(data: object) -> str:
    """Data as a message shows them, at most 60 characters."""
    text = repr(data)
    return text if len(text) <= 60 else f"{text[:57]}..."
