"""Which run ends best."""

from __future__ import annotations

import numpy as np
import pytest

from lcpfn.search.chances import LEVELS, chances_to_end_best


def normal(mean: float, std: float) -> np.ndarray:
    from statistics import NormalDist

    return np.array([NormalDist(mean, std).inv_cdf(level) for level in LEVELS])


def test_they_add_up_to_one_and_follow_the_means() -> None:
    chances = chances_to_end_best([normal(m, 0.1) for m in (0.5, 0.6, 0.7)], "maximize")
    assert sum(chances) == pytest.approx(1)
    assert chances == sorted(chances)
    assert chances_to_end_best([normal(-m, 0.1) for m in (0.5, 0.6, 0.7)], "minimize") == (
        pytest.approx(chances)
    )


def test_two_of_a_kind_share() -> None:
    assert chances_to_end_best([normal(0, 1)] * 2, "minimize") == pytest.approx([0.5, 0.5])


def test_against_draws() -> None:
    ends = [(0.5, 0.1), (0.55, 0.02), (0.4, 0.3), (0.1, 0.01)]
    chances = chances_to_end_best([normal(*end) for end in ends], "maximize")
    draws = np.random.default_rng(0).normal(*np.array(ends).T, size=(100_000, 4))
    expected = np.bincount(draws.argmax(1), minlength=4) / len(draws)
    assert chances == pytest.approx(expected.tolist(), abs=0.02)


def test_the_best_of_those_that_have_ended_wins() -> None:
    assert chances_to_end_best([np.array([v]) for v in (0.3, 0.1, 0.2)], "minimize") == [0, 1, 0]
    assert chances_to_end_best([], "minimize") == []
