"""Hyperparameters as numbers that can be compared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lcpfn.search.configurations import encode
from lcpfn.search.spaces import Choice, Number


def test_logarithmic_numbers_are_as_far_apart_as_even_ones():
    powers = [{"rate": 10.0**-power, "width": power} for power in range(5)]
    encoded = encode(powers)
    assert encoded[:, 0].tolist() == encoded[::-1, 1].tolist()
    assert encoded.min() >= 0 and encoded.max() <= 1


def test_ties_lie_between_what_is_smaller_and_larger():
    configs = [{"layers": layers} for layers in (1, 2, 2, 3)]
    assert encode(configs)[:, 0].tolist() == [0.125, 0.5, 0.5, 0.875]


def test_any_two_categories_are_half_the_range_of_a_number_apart():
    configs = [{"kind": kind} for kind in ("a", "b", "c", "a")]
    encoded = encode(configs)
    apart = np.linalg.norm(encoded[:, None] - encoded, axis=2)
    assert apart[:3, :3] == pytest.approx(0.5 * (1 - np.eye(3)))
    assert apart[0, 3] == 0


def test_true_is_a_category_and_not_one():
    configs = [{"x": True}, {"x": 1}, {"x": False}]
    encoded = encode(configs)
    assert len({tuple(row) for row in encoded.tolist()}) == 3


def test_what_is_missing_has_a_column_that_says_so():
    configs = [{"a": 1.0}, {"a": 3.0}, {}, {"a": float("nan")}]
    encoded = encode(configs)
    assert encoded.shape == (4, 2)
    assert encoded.tolist() == [[0.25, 0.0], [0.75, 0.0], [0.5, 1.0], [0.5, 1.0]]
    assert np.isfinite(encoded).all()


def test_what_never_differs_is_left_out():
    configs = [{"a": 1, "b": "x", "c": 2.0}, {"a": 1, "b": "x", "c": 3.0}]
    assert encode(configs).shape == (2, 1)


def test_lists_and_none_may_be_choices():
    configs = [{"layers": [64, 64]}, {"layers": [32]}, {"layers": None}]
    assert len({tuple(row) for row in encode(configs).tolist()}) == 3


def test_nothing_known_is_no_column():
    assert encode([]).shape == (0, 0) and encode([{}, {}]).shape == (2, 0)


def test_numbers_stand_where_their_space_says_however_many_are_alike():
    rates = [1e-4, 1e-2, 1.001e-2, 1.002e-2, 1.0, math.nan]
    configs = [{"rate": rate, "width": 8 * (1 + number)} for number, rate in enumerate(rates)]
    encoded = encode(configs, {"rate": Number(1e-4, 1.0, log=True)})
    assert encoded[:5, 0] == pytest.approx([0, 0.5, 0.5, 0.5, 1], abs=1e-3)
    assert encoded[:, 1].tolist() == [0, 0, 0, 0, 0, 1]
    # What the space does not say is compared by rank.
    assert encoded[:, 2] == pytest.approx((np.arange(6) + 0.5) / 6)


def test_a_choice_of_numbers_is_compared_by_rank():
    encoded = encode([{"batch": batch} for batch in (8, 64, 512)], {"batch": Choice((8, 64, 512))})
    assert encoded[:, 0] == pytest.approx([1 / 6, 1 / 2, 5 / 6])
