"""Curves as nobody would log them: ordered finite quantiles or a named error, never a warning.

Everything that numpy warns about by default raises here (underflow to zero is not among it), and
pytest turns all other warnings into errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lcpfn
from lcpfn import LCPFN, Extrapolation
from lcpfn.errors import LCPFNError

WAYS = ("extrapolate", "extrapolate_batch", "backtest", "stream")
PROBABILITIES = (0.0001, 0.02, 0.06, 0.5, 0.94, 0.98, 0.9999)


@pytest.fixture(scope="module", params=["default", "reference"])
def model(request: pytest.FixtureRequest) -> LCPFN:
    return lcpfn.load(request.param)


@pytest.fixture(autouse=True)
def strict_numpy() -> Iterator[None]:
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield


def forecasts(
    model: LCPFN, way: str, values: list[float], steps: list[float] | None, **options: Any
) -> list[Extrapolation]:
    """Forecasts in one of the four ways; of many, the first and the last."""
    if way == "extrapolate":
        return [model.extrapolate(values, steps, **options)]
    if way == "extrapolate_batch":
        options["horizon"] = [options["horizon"], 10]
        ordinary = [0.3, 0.4, 0.45]
        all_steps = None if steps is None else [steps, None]
        return model.extrapolate_batch([values, ordinary], all_steps, **options)
    if way == "backtest":
        posts = model.backtest(values, steps, **options)
        return [posts[0], posts[-1]]
    stream = model.stream(**options)
    at = [None] * len(values) if steps is None else steps
    posts = [stream.update(value, step) for value, step in zip(values, at, strict=True)]
    return posts[:1] + posts[-1:]


def check(post: Extrapolation) -> None:
    """Everything a forecast says is a number, in order and within the bounds."""
    quantiles = post.quantile(PROBABILITIES)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=0) >= 0).all()
    low, high = post.bounds
    assert low is None or (quantiles >= low).all()
    assert high is None or (quantiles <= high).all()
    assert (np.diff(post.steps) > 0).all()
    assert post.steps[-1] == post.horizon
    assert np.isfinite(post.mean).all()
    assert (np.isfinite(post.std) & (post.std >= 0)).all()
    below = post.cdf(post.median)
    assert ((below >= 0) & (below <= 1)).all()
    assert not np.isnan(post.log_prob(post.median)).any()
    assert 0 <= post.prob_better(float(post.observed_values[-1])) <= 1
    draws = post.at_horizon().sample(3, np.random.default_rng(0))
    assert np.isfinite(draws).all()
    assert "median" in repr(post)


def run(
    model: LCPFN,
    values: list[float],
    steps: list[float] | None = None,
    horizon: float = 100,
    goal: str = "minimize",
    bounds: Any = "auto",
    ways: tuple[str, ...] = WAYS,
) -> int:
    """Checks a curve in all ways; how many of them gave forecasts instead of a named error."""
    answered = 0
    for way in ways:
        try:
            posts = forecasts(model, way, values, steps, horizon=horizon, goal=goal, bounds=bounds)
        except LCPFNError:
            continue
        answered += 1
        for post in posts:
            check(post)
    return answered


def alternating(size: float, count: int = 12) -> list[float]:
    return [size * (-1) ** index for index in range(count)]


FALLING = [1 - 0.03 * index for index in range(12)]
VALUES: dict[str, list[float]] = {
    **{f"constant {value:g}": [value] * 8 for value in (0.0, -0.0, 0.5, -1.0, 1.0, 100.0)},
    **{f"constant {value:g}": [value] * 8 for value in (5e-324, 1e-310, 1e-300, 1e30, -1e150)},
    **{f"one value {value:g}": [value] for value in (0.0, 0.7, -3.0, 5e-324, 1e150, -1e-300)},
    **{f"alternating {size:g}": alternating(size) for size in (1e30, 1.0, 1e-30, 1e-310, 1e150)},
    "denormals": [index * 5e-324 for index in range(12, 0, -1)],
    "denormal after zeros": [0.0] * 6 + [1e-320],
    "huge after zeros": [0.0] * 6 + [1e150],
    "huge before tiny": [1e150, 1e-310] * 4,
    "float32's denormals after zero": [0.0, 1e-40, 2e-40, 1e-42],
    "float32's denormals by the side of huge": [0.0, 2e12, 1.6e57],
    "next to nothing above the bound, then huge": [1e-35, 1e10, 1.0],
    "one spike": [1.0, 0.9, 0.8, 1e140, 0.7, 0.6],
    "huge start": [1e140] + [1 + 1e-10 * index for index in range(8)],
    "last bit moves": [1.0] * 6 + [1 + 2.3e-16],
    "huge, last bits move": [1e30] * 6 + [1e30 * (1 + 1e-15)] + [1e30] * 3,
    "at a bound": [1.0, 0.5, 0.0, 0.0, 0.0],
    "next to a bound": [1 - 1e-12, 1 - 1e-15, 1.0],
    "NaN runs": [math.nan] * 3 + [1.0, 0.5] + [math.nan] * 4 + [0.4],
    "starts with a value, then NaN": [1.0, math.nan, math.nan, 0.5, math.nan],
    "nothing but NaN": [math.nan] * 4,
    "no record": [],
    "infinity": [1.0, 0.5, math.inf, 0.2],
    "minus infinity": [1.0, 0.5, -math.inf, 0.2],
    "ends in infinity": [1.0, 0.5, math.nan, math.inf, math.inf],
    "ends in minus infinity": [0.1, 0.5, math.nan, -math.inf, -math.inf],
    "nothing but infinity": [math.inf] * 3,
    "nothing but minus infinity": [-math.inf] * 3,
    "infinity after huge": [1e150, 1e150, math.inf, 1.0],
    "minus infinity after huge": [-1e150, -1e150, -math.inf, 1.0],
    "infinity after denormals": [5e-324, 5e-324, math.inf, 5e-324],
    "beyond what is allowed": [1.0, 1e300],
}


@pytest.mark.filterwarnings("ignore::lcpfn.errors.GoalWarning")
@pytest.mark.parametrize(("goal", "bounds"), [("maximize", None), ("minimize", "auto")])
@pytest.mark.parametrize("name", VALUES)
def test_wild_values(model: LCPFN, name: str, goal: str, bounds: Any):
    run(model, VALUES[name], goal=goal, bounds=bounds)


STEPS: dict[str, tuple[list[float], float]] = {
    "tiny": ([1e-300 * (index + 1) for index in range(12)], 1e-298),
    "denormal": ([5e-324 * (index + 1) for index in range(12)], 5e-324 * 25),
    "denormal of a huge horizon": ([5e-324 * (index + 1) for index in range(12)], 1e300),
    "huge": ([1e308 * (1 + index / 30) for index in range(12)], 1.79e308),
    "across all magnitudes": ([10.0 ** (50 * index - 300) for index in range(12)], 1e300),
    "last bits apart": ([1 + 4e-16 * index for index in range(12)], 2.0),
    "horizon is the last step": ([float(index + 1) for index in range(12)], 12.0),
    "horizon is the next number": ([float(index + 1) for index in range(12)], 12.000000000000002),
    "horizon far away": ([float(index + 1) for index in range(12)], 1.7e308),
    "all near the end": ([71_988 + index / 2 for index in range(12)], 72_000),
    "one early, the rest late": ([1.0, *(71_000.0 + index for index in range(11))], 72_000),
}


@pytest.mark.parametrize("name", STEPS)
def test_wild_steps(model: LCPFN, name: str):
    steps, horizon = STEPS[name]
    assert run(model, FALLING, steps, horizon) == len(WAYS)


@pytest.mark.parametrize("count", [1, 2, 500])
def test_late_first_record_of_a_long_run(model: LCPFN, count: int):
    steps = [2160 + 139.9 * index for index in range(count)]
    values = [3 + 2 * math.exp(-index / 80) + 0.01 * math.sin(7 * index) for index in range(count)]
    ways = WAYS if count < 500 else ("extrapolate", "extrapolate_batch", "stream")
    assert run(model, values, steps, 72_000, ways=ways) == len(ways)


@pytest.mark.parametrize("horizon", [10_000, 20_000])
def test_ten_thousand_records(model: LCPFN, horizon: float):
    noise = np.random.default_rng(0).normal(size=10_000)
    values = list(2 * np.exp(-np.arange(10_000) / 500) + 1e-3 * noise)
    assert run(model, values, horizon=horizon, ways=WAYS[:2]) == 2
    assert run(model, [1.0] * 10_000, horizon=horizon, ways=WAYS[:2]) == 2


BOUNDS = [
    (0.0, None),
    (None, 1.0),
    (0.0, 1.0),
    (-1e150, 1e150),
    (-1e308, 1e308),
    (0.3, 0.9),
    (0.5, 0.5000001),
    (5e-324, 1e-300),
]


@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_stated_bounds(model: LCPFN, bounds: Any):
    low = -1.0 if bounds[0] is None else bounds[0]
    high = 2.0 if bounds[1] is None else bounds[1]
    for values in ([low] * 4, [high] * 4, [low, high] * 3, [low / 2 + high / 2], [high, low]):
        for goal in ("maximize", "minimize"):
            run(model, values, goal=goal, bounds=bounds, ways=("extrapolate", "stream"))


numbers = st.one_of(
    st.floats(-1e150, 1e150),
    st.floats(0, 1),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 1.0, math.nan, 5e-324, 1e30, -1e30]),
)
gaps = st.one_of(st.floats(1e-6, 1e6), st.just(1.0), st.floats(5e-324, 1e300))
ends = st.one_of(st.none(), st.floats(-1e150, 1e150), st.sampled_from([0.0, 1.0]))


@pytest.mark.filterwarnings("ignore::lcpfn.errors.GoalWarning")
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_anything(model: LCPFN, data: st.DataObject):
    count = data.draw(st.integers(1, 12), "records")
    values = data.draw(st.lists(numbers, min_size=count, max_size=count), "values")
    spacing = data.draw(st.one_of(st.none(), st.lists(gaps, min_size=count, max_size=count)))
    # Sums of tiny and huge gaps may tie: then the rule on increasing steps is broken, by name.
    steps = None if spacing is None else [float(step) for step in np.cumsum(spacing)]
    last = count if steps is None else steps[-1]
    horizon = data.draw(st.one_of(st.just(last), st.floats(last, 1e308), st.just(2 * last)))
    bounds = data.draw(st.one_of(st.just("auto"), st.none(), st.tuples(ends, ends)), "bounds")
    goal = data.draw(st.sampled_from(["maximize", "minimize"]), "goal")
    way = data.draw(st.sampled_from(WAYS), "way")
    run(model, values, steps, horizon, goal, bounds, (way,))


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize(
    ("best", "goal", "bounds"),
    [(1.0, "maximize", "auto"), (100.0, "maximize", "auto"), (1.0, "maximize", (None, 1.0)),
     (0.0, "minimize", "auto"), (-2.0, "minimize", (-2.0, None))],
)  # fmt: skip
def test_a_run_that_has_had_nothing_but_the_best_value_is_not_given_up(
    model: LCPFN, count: int, best: float, goal: str, bounds: Any
):
    post = model.extrapolate([best] * count, horizon=50, goal=goal, bounds=bounds)
    whole = model.backtest([best] * count, horizon=50, goal=goal, bounds=bounds)[-1]
    np.testing.assert_allclose(whole.median, post.median[-1:], rtol=1e-3, atol=1e-6)
    room = 1.0 if best in (0.0, -2.0) else best
    # Records without any change say little, above all of a metric whose bound is far from zero.
    first, later = (0.6, 0.1) if best == -2.0 else (0.3, 0.05)
    assert abs(float(post.median[-1]) - best) < (first if count == 1 else later) * room
