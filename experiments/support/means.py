"""Means with their standard errors, as every table has them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def mean_and_error(numbers: ArrayLike) -> tuple[float, float]:
    """Mean of numbers (n,) and its standard error, of fewer than two NaN."""
    values = np.asarray(numbers, dtype=np.float64)
    if len(values) < 2:
        return float(values.mean()), math.nan
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def with_error(numbers: ArrayLike, digits: int = 3) -> str:
    """The same for a table: 0.512 ± 0.021; of fewer than two numbers a dash."""
    if np.size(numbers) < 2:
        return "-"
    mean, error = mean_and_error(numbers)
    return f"{mean:.{digits}f} ± {error:.{digits}f}"
