import math

import numpy as np
import pytest

import lcpfn

LEVELS = [0.02, 0.5, 0.98]


@pytest.fixture(scope="module", params=lcpfn.available())
def model(request: pytest.FixtureRequest) -> lcpfn.LCPFN:
    return lcpfn.load(request.param)


@pytest.mark.parametrize(
    ("goal", "bounds", "horizon"),
    [
        ("maximize", None, 100),
        ("maximize", "auto", 100),
        ("minimize", "auto", 120),
        ("minimize", None, 700),
    ],
)
def test_streaming_equals_extrapolating_from_scratch(
    model: lcpfn.LCPFN, rising_curves: np.ndarray, goal: str, bounds: str | None, horizon: int
) -> None:
    values = rising_curves[5]
    if goal == "minimize":
        # Rises above its start: the scaling of an absolute model changes on the way.
        values = 2 - values + np.where(np.arange(100) == 60, 1.5, 0.0)
    stream = model.stream(horizon=horizon, goal=goal, bounds=bounds)  # type: ignore[arg-type]
    for count, value in enumerate(values, 1):
        post = stream.update(value)
        if count in (1, 2, 3, 10, 60, 61, 62, 99, 100):
            scratch = model.extrapolate(values[:count], horizon=horizon, goal=goal, bounds=bounds)  # type: ignore[arg-type]
            spread = np.ptp(values)
            np.testing.assert_allclose(
                post.quantile(LEVELS)[:, -1], scratch.quantile(LEVELS)[:, -1], atol=1e-4 * spread
            )
            assert post.prob_better(0.8) == pytest.approx(scratch.prob_better(0.8), abs=1e-4)


def test_other_steps_than_the_horizon_are_there_too(model: lcpfn.LCPFN) -> None:
    stream = model.stream(horizon=30)
    for value in (0.1, 0.3, 0.4):
        post = stream.update(value)
    scratch = model.extrapolate([0.1, 0.3, 0.4], horizon=30)
    np.testing.assert_allclose(post.median, scratch.median, atol=1e-6)


def test_steps_and_missing_records(model: lcpfn.LCPFN) -> None:
    stream = model.stream(horizon=1000)
    stream.update(0.2, step=10)
    before = stream.update(0.3, step=20)
    assert stream.update(math.nan, step=30) is before
    after = stream.update(0.35)
    assert after.observed_steps.tolist() == [10, 20, 31]


def test_a_refused_update_changes_nothing(model: lcpfn.LCPFN) -> None:
    stream = model.stream(horizon=5, bounds=(0, 1))
    with pytest.raises(lcpfn.InputError, match="all 1 values are NaN"):
        stream.update(math.nan)
    stream.update(0.4, step=2)
    for value, step, message in [
        ("high", 3, "value is 'high', but must be a number"),
        (0.5, "late", "step is 'late', but must be a number"),
        (0.5, 2, "step is 2, but must come after the last one, 2"),
        (math.inf, 3, "is inf"),
        (1.5, 3, "must lie within the stated bounds"),
        (0.5, 6, "horizon is 5, but must not lie before"),
    ]:
        with pytest.raises(lcpfn.InputError, match=message):
            stream.update(value, step=step)  # type: ignore[arg-type]
    assert stream.update(0.5).observed_steps.tolist() == [2, 3]


@pytest.mark.parametrize(
    "arguments", [{"horizon": -1}, {"goal": "up"}, {"bounds": (1, 1)}], ids=str
)
def test_bad_arguments_are_refused_at_once(
    model: lcpfn.LCPFN, arguments: dict[str, object]
) -> None:
    with pytest.raises(lcpfn.InputError):
        model.stream(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 7, 40])
def test_starting_with_earlier_records_equals_updating(
    model: lcpfn.LCPFN, rising_curves: np.ndarray, count: int
) -> None:
    values = rising_curves[3, :50]
    steps = np.arange(2.0, 102.0, 2)
    begun, updated = model.stream(horizon=120), model.stream(horizon=120)
    post = begun.start(values[:count], steps[:count])
    for value, step in zip(values[:count], steps[:count], strict=True):
        expected = updated.update(value, step)
    np.testing.assert_allclose(post.quantile(LEVELS), expected.quantile(LEVELS), rtol=1e-4)
    later, same = (stream.update(values[count]) for stream in (begun, updated))
    np.testing.assert_allclose(
        later.at_horizon().quantile(LEVELS), same.at_horizon().quantile(LEVELS), rtol=1e-4
    )
    assert later.observed_steps[-1] == steps[count - 1] + 1


def test_only_a_new_stream_starts(model: lcpfn.LCPFN) -> None:
    stream = model.stream(horizon=50)
    with pytest.raises(lcpfn.InputError, match="values is empty"):
        stream.start([])
    stream.start([0.4, math.nan, 0.5])
    assert stream.update(0.6).observed_steps.tolist() == [1, 3, 4]
    with pytest.raises(lcpfn.InputError, match="records up to step 4, but only a new one starts"):
        stream.start([0.1])


@pytest.mark.filterwarnings("ignore::lcpfn.errors.GoalWarning")
@pytest.mark.parametrize(("goal", "infinite"), [("minimize", math.inf), ("maximize", -math.inf)])
def test_a_run_that_recovers_is_forecast_as_if_the_record_were_missing(
    model: lcpfn.LCPFN, goal: str, infinite: float
) -> None:
    values = [0.7, 0.62, 0.55, infinite, math.nan, 0.51, 0.48]
    stream = model.stream(horizon=30, goal=goal)
    streamed = [stream.update(value) for value in values]
    tested = model.backtest(values, horizon=30, goal=goal)
    for count, (update, post) in enumerate(zip(streamed, tested, strict=True), 1):
        whole = model.extrapolate(values[:count], horizon=30, goal=goal)
        for other in (update, post):
            assert other.observed_values.tolist() == whole.observed_values.tolist()
            np.testing.assert_allclose(other.median[-1], whole.median[-1], rtol=1e-4)
    assert streamed[3].observed_values[-1] == streamed[4].observed_values[-1] == infinite
    missing = model.extrapolate([*values[:3], math.nan, *values[4:]], horizon=30, goal=goal)
    assert streamed[-1].median[-1] == pytest.approx(missing.median[-1], rel=1e-4)


def test_scores_are_told_from_percentages_record_by_record(model: lcpfn.LCPFN) -> None:
    values = [0.0, 3.0, 1.0, 5.0, 4.5, 6.0]
    stream = model.stream(horizon=20, goal="maximize")
    for records, value in enumerate(values, 1):
        post = stream.update(value)
        scratch = model.extrapolate(values[:records], horizon=20, goal="maximize")
        assert post.quantile(0.9)[-1] == pytest.approx(scratch.quantile(0.9)[-1], rel=1e-5)
        stated = (0.0, None) if 1 < records < 5 else (0.0, 1.0) if records == 1 else (0.0, 100.0)
        known = model.extrapolate(values[:records], horizon=20, goal="maximize", bounds=stated)
        assert scratch.quantile(0.99)[-1] == pytest.approx(known.quantile(0.99)[-1], rel=1e-5)
