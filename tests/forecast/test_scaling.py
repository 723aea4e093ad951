from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lcpfn.forecast.bounds import Bounds, BoundsLike
from lcpfn.forecast.curve import read_curve
from lcpfn.forecast.scaling import MAPS, MetricMap, same_map_throughout
from lcpfn.network.views import Frame


def mapped(
    values: list[float], goal: str, bounds: Bounds | str, frame: Frame = "absolute"
) -> tuple[MetricMap, np.ndarray]:
    curve = read_curve(values, None, 100, goal, bounds)  # type: ignore[arg-type]
    metric = MAPS[frame](curve)
    return metric, metric.to_unit(curve.values)


def test_values_in_the_prior_s_unit_are_taken_as_they_are() -> None:
    for bounds in ((None, None), (0.0, 1.0), "auto"):
        assert mapped([0.2, 0.7], "maximize", bounds)[0] == MetricMap(0.0, 1.0)


def test_percent_becomes_the_unit_interval() -> None:
    np.testing.assert_allclose(mapped([20.0, 70.0], "maximize", "auto")[1], [0.2, 0.7])


def test_a_loss_rises_towards_one() -> None:
    metric, unit = mapped([2.0, 1.0, 0.5], "minimize", "auto")
    np.testing.assert_allclose(unit, [0.2, 0.6, 0.8])
    assert metric.limits((0.0, None)) == (pytest.approx(1.0), -math.inf)


@pytest.mark.parametrize("frame", ["absolute", "relative"])
@pytest.mark.parametrize("bounds", [(None, None), (0.0, None), (None, 9.0), (-1.0, 9.0)], ids=str)
def test_minimizing_mirrors_maximizing(frame: Frame, bounds: Bounds) -> None:
    values = [3.0, 1.5, 1.0]
    low, high = bounds
    mirrored = (None if high is None else -high, None if low is None else -low)
    _, falling = mapped(values, "minimize", bounds, frame)
    _, rising = mapped([-value for value in values], "maximize", mirrored, frame)
    np.testing.assert_allclose(falling, rising, rtol=1e-12)


def test_relative_units_are_a_power_of_two_around_the_first_value() -> None:
    metric, unit = mapped([5.0, 3.0, 2.0], "minimize", "auto", "relative")
    assert metric == MetricMap(5.0, -0.125)
    assert unit.tolist() == [0.0, 0.25, 0.375]
    assert metric.limits((0.0, None)) == (0.625, -math.inf)
    assert metric.limits((None, 9.0)) == (math.inf, -0.5)


@pytest.mark.parametrize("frame", ["absolute", "relative"])
@pytest.mark.parametrize(
    "values", [[0.0], [7.0, 7.0], [1e-320, 2e-320], [1e149, -1e149], [-5.0]], ids=str
)
def test_units_stay_of_order_one(frame: Frame, values: list[float]) -> None:
    metric, unit = mapped(values, "maximize", "auto", frame)
    assert np.isfinite(unit).all() and np.isfinite(1 / metric.gain)
    assert (np.abs(unit) <= 2).all()


@example(values=[2.0, 1.0, 0.0], goal="minimize", bounds=None, frame="absolute")
@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12),
    goal=st.sampled_from(["minimize", "maximize"]),
    bounds=st.sampled_from(["auto", None, (None, 1e4), (-1e4, 1e4)]),
    frame=st.sampled_from(["absolute", "relative"]),
)
def test_first_and_last_prefix_tell_whether_all_share_a_map(
    values: list[float], goal: str, bounds: BoundsLike, frame: Frame
) -> None:
    curve = read_curve(values, None, 100, goal, bounds)
    prefixes = [curve.first(records) for records in range(1, len(values) + 1)]
    assert [prefix.values.tolist() for prefix in prefixes] == [
        values[: count + 1] for count in range(len(values))
    ]
    if prefixes[0].bounds == curve.bounds and same_map_throughout(curve, MAPS[frame]):
        assert {MAPS[frame](prefix) for prefix in prefixes} == {MAPS[frame](curve)}
