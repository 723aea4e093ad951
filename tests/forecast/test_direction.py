"""Values that fall as a loss does, and are to be maximized."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lcpfn
from lcpfn.errors import GoalWarning
from lcpfn.forecast.direction import falls_like_a_loss

LOSSES = [2.3, 1.4, 1.1, 0.95, 0.9, 0.86]


@given(
    level=st.floats(0, 2), height=st.floats(4, 99), power=st.floats(0.5, 2), n=st.integers(5, 60)
)
def test_losses_fall(level: float, height: float, power: float, n: int) -> None:
    assert falls_like_a_loss(level + height * np.arange(1.0, n + 1) ** -power)


@given(values=st.lists(st.floats(0, 100), min_size=1, max_size=40))
def test_what_rises_does_not(values: list[float]) -> None:
    assert not falls_like_a_loss(np.sort(values))


@pytest.mark.parametrize(
    "values",
    [
        [0.5] * 9,
        [0.31, 0.52, 0.58, 0.1, 0.1, 0.1],
        [0.8, 0.79, 0.78, 0.75, 0.6, 0.1],
        [-100, -150, -170, -180],
        [2.3, 1.4, 1.1],
    ],
)
def test_what_breaks_down_does_not(values: list[float]) -> None:
    assert not falls_like_a_loss(np.array(values))


def test_a_goal_that_was_forgotten_is_warned_of_where_it_was() -> None:
    model = lcpfn.load()
    for ask in (
        lambda: model.extrapolate(LOSSES, horizon=20),
        lambda: model.extrapolate_batch([[0.3, 0.4], LOSSES], horizon=20),
        lambda: model.backtest(LOSSES, horizon=20),
    ):
        with pytest.warns(GoalWarning, match="goal='minimize'") as caught:
            ask()
        assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.extrapolate(LOSSES, horizon=20, goal="minimize")
        model.extrapolate([*LOSSES, -np.inf], horizon=20)
