"""Means with their standard errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.support.means import mean_and_error, with_error


def test_of_numbers() -> None:
    mean, error = mean_and_error([1, 2, 3, 6])
    assert (mean, error) == (3, pytest.approx(math.sqrt(14 / 3 / 4)))
    assert with_error(np.array([1, 2, 3, 6])) == "3.000 ± 1.080"


def test_of_too_few() -> None:
    mean, error = mean_and_error([2])
    assert mean == 2 and math.isnan(error)
    assert with_error([2]) == with_error([]) == "-"
