import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lcpfn

LEVELS = [0.02, 0.06, 0.25, 0.5, 0.75, 0.94, 0.98]
MODELS = lcpfn.available()


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> lcpfn.LCPFN:
    return lcpfn.load(request.param)


@pytest.fixture(scope="module")
def accuracy(rising_curves: np.ndarray) -> np.ndarray:
    return rising_curves[3]


def final(post: lcpfn.Extrapolation) -> np.ndarray:
    return post.quantile(LEVELS)[:, -1]


def test_default_forecast_covers_the_rest_of_the_run(
    model: lcpfn.LCPFN, accuracy: np.ndarray
) -> None:
    post = model.extrapolate(accuracy[:20])
    assert post.steps.tolist() == list(range(21, 101))
    for curve in (post.mean, post.median, post.std, post.cdf(0.5), post.log_prob(0.5)):
        assert curve.shape == (80,) and curve.dtype == np.float64 and np.isfinite(curve).all()
    assert post.quantile(LEVELS).shape == (7, 80) and post.quantile(0.5).shape == (80,)
    assert (np.diff(post.quantile(LEVELS), axis=0) >= 0).all()


@pytest.mark.parametrize("scale", [1e-3, 500.0, 1e6])
def test_units_of_the_step_axis_do_not_matter(
    model: lcpfn.LCPFN, accuracy: np.ndarray, scale: float
) -> None:
    steps = np.arange(1.0, 31)
    plain = model.extrapolate(accuracy[:30], steps=steps, horizon=100)
    scaled = model.extrapolate(accuracy[:30], steps=steps * scale, horizon=100 * scale)
    np.testing.assert_allclose(scaled.steps, plain.steps * scale)
    np.testing.assert_allclose(scaled.quantile(LEVELS), plain.quantile(LEVELS), atol=1e-5)


@pytest.mark.parametrize("bounds", [(None, None), (0.0, 1.0), (0.0, None), (-0.5, 2.0)], ids=str)
def test_minimizing_equals_maximizing_the_negative(
    model: lcpfn.LCPFN, accuracy: np.ndarray, bounds: tuple[float | None, float | None]
) -> None:
    loss = 1 - accuracy[:25]
    low, high = bounds
    mirrored = (None if high is None else -high, None if low is None else -low)
    falling = model.extrapolate(loss, goal="minimize", bounds=bounds)
    rising = model.extrapolate(-loss, goal="maximize", bounds=mirrored)
    np.testing.assert_allclose(final(falling), -final(rising)[::-1], atol=1e-6)
    np.testing.assert_allclose(falling.mean, -rising.mean, atol=1e-6)
    assert falling.prob_better(0.2) == pytest.approx(rising.prob_better(-0.2), abs=1e-6)


def test_batch_equals_single(model: lcpfn.LCPFN, rising_curves: np.ndarray) -> None:
    values = rising_curves
    lengths = [1, 2, 3, 10, 50, 99, 100, 7]
    curves = [values[index, :length] for index, length in enumerate(lengths)]
    together = model.extrapolate_batch(curves, bounds=None)
    for curve, post in zip(curves, together, strict=True):
        alone = model.extrapolate(curve, bounds=None)
        np.testing.assert_allclose(final(post), final(alone), atol=1e-4)
        assert post.prob_better(0.5) == pytest.approx(alone.prob_better(0.5), abs=1e-4)
        np.testing.assert_allclose(post.mean, alone.mean, atol=1e-4)


def test_batch_takes_steps_and_horizons_of_each_curve(model: lcpfn.LCPFN) -> None:
    curves, steps = [[0.2, 0.4], [0.3, 0.5, 0.6]], [[10, 20], [1, 2, 3]]
    together = model.extrapolate_batch(curves, steps=steps, horizon=[200, 7])
    for index, horizon in enumerate((200, 7)):
        alone = model.extrapolate(curves[index], steps=steps[index], horizon=horizon)
        np.testing.assert_allclose(final(together[index]), final(alone), atol=1e-4)


def test_batch_errors_name_the_curve(model: lcpfn.LCPFN) -> None:
    with pytest.raises(lcpfn.InputError, match=r"curve 1: values\[0\] is inf"):
        model.extrapolate_batch([[0.5], [math.inf]])
    with pytest.raises(lcpfn.InputError, match="horizon has 1 entries"):
        model.extrapolate_batch([[0.5], [0.6]], horizon=[10])
    assert model.extrapolate_batch([]) == []


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
@pytest.mark.parametrize("horizon", [100, 260])
def test_backtest_equals_extrapolating_every_prefix(
    model: lcpfn.LCPFN, accuracy: np.ndarray, goal: str, horizon: int
) -> None:
    values = accuracy if goal == "maximize" else 1 - accuracy
    posts = model.backtest(values, horizon=horizon, goal=goal)
    assert len(posts) == 100
    for count in (1, 2, 5, 40, 99, 100):
        alone = model.extrapolate(values[:count], horizon=horizon, goal=goal)
        np.testing.assert_allclose(final(posts[count - 1]), final(alone), atol=1e-4)
        assert posts[count - 1].steps.tolist() == [horizon]


def test_backtest_repeats_the_forecast_at_a_missing_record(model: lcpfn.LCPFN) -> None:
    posts = model.backtest([0.1, 0.3, math.nan, 0.5], horizon=10)
    assert len(posts) == 4 and posts[2] is posts[1]
    with pytest.raises(lcpfn.InputError, match="starts with 1 NaN"):
        model.backtest([math.nan, 0.3], horizon=10)


def test_missing_records_are_like_unlogged_ones(model: lcpfn.LCPFN) -> None:
    values = [0.1, math.nan, 0.3, math.nan, 0.35]
    with_gaps = model.extrapolate(values, horizon=20)
    sparse = model.extrapolate([0.1, 0.3, 0.35], steps=[1, 3, 5], horizon=20)
    np.testing.assert_array_equal(final(with_gaps), final(sparse))


def test_a_long_dense_log_is_a_normal_input(model: lcpfn.LCPFN) -> None:
    steps = np.arange(500.0, 60_001, 500)
    loss = 2 + 6 * (steps / 500) ** -0.5
    post = model.extrapolate(loss, steps=steps, horizon=200_000, goal="minimize")
    low, high = post.quantile([0.02, 0.98])[:, -1]
    assert 0 < low < high < loss[0]
    assert post.steps.tolist() == list(range(61_000, 200_001, 1000))


def test_a_finished_run_forecasts_what_happened(model: lcpfn.LCPFN) -> None:
    post = model.extrapolate([0.1, 0.4, 0.55], horizon=3)
    assert post.steps.tolist() == [3]
    np.testing.assert_allclose(final(post), 0.55, rtol=1e-6)
    assert post.prob_better(0.54) == 1 and post.prob_better(0.56) == 0
    assert post.prob_better(0.55) == 0, "a tie does not beat"
    assert post.prob_better(0.54, at=3) == 1
    assert (post.sample(3) == 0.55).all()


def test_bounds_hold(model: lcpfn.LCPFN) -> None:
    post = model.extrapolate([99.0, 99.7, 99.9], horizon=30)
    assert post.bounds == (0.0, 100.0)
    assert (post.quantile([0.0, 1.0]) >= 0).all() and (post.quantile([0.0, 1.0]) <= 100).all()
    assert (post.cdf(100.0) == 1).all() and (post.log_prob(100.1) == -math.inf).all()
    draws = post.sample(50, np.random.default_rng(0))
    assert draws.min() >= 0 and draws.max() <= 100


def test_a_higher_curve_is_forecast_higher(reference: lcpfn.LCPFN) -> None:
    """Not only self-consistent: the forecast follows the data."""
    steps = np.arange(1, 21)
    for top in (0.5, 0.7, 0.9):
        post = reference.extrapolate(top - 0.4 * steps**-0.7, horizon=100)
        low, high = post.quantile([0.01, 0.99])[:, -1]
        assert low < top - 0.4 * 100**-0.7 < high and high - low < 0.2


CURVES = st.lists(
    st.one_of(
        st.floats(-1e150, 1e150),
        st.floats(0, 1),
        st.sampled_from([0.0, 1.0, 1e-310, -1e30, 1e30, math.nan]),
    ),
    min_size=1,
    max_size=120,
)


@settings(max_examples=150)
@given(
    values=CURVES,
    goal=st.sampled_from(["maximize", "minimize"]),
    bounds=st.sampled_from(["auto", None]),
    stretch=st.floats(1, 1e6),
    name=st.sampled_from(MODELS),
)
def test_every_accepted_curve_has_finite_ordered_quantiles(
    values: list[float], goal: str, bounds: str | None, stretch: float, name: str
) -> None:
    horizon = len(values) * stretch
    try:
        post = _MODELS[name].extrapolate(values, horizon=horizon, goal=goal, bounds=bounds)  # type: ignore[arg-type]
    except lcpfn.LCPFNError:
        assert np.isnan(values).all()
        return
    quantiles = post.quantile(LEVELS)
    assert np.isfinite(quantiles).all() and (np.diff(quantiles, axis=0) >= 0).all()
    assert np.isfinite(post.mean).all() and np.isfinite(post.std).all()
    assert 0 <= post.prob_better(0.5) <= 1
    low, high = post.bounds
    assert low is None or (quantiles >= low).all()
    assert high is None or (quantiles <= high).all()


_MODELS = {name: lcpfn.load(name) for name in MODELS}
