import math

import numpy as np
import pytest

import lcpfn
from lcpfn.errors import InputError, LCPFNError
from lcpfn.forecast.bounds import guess_bounds
from lcpfn.forecast.curve import read_curve, read_query

BAD_INPUT = [
    ({"values": []}, "values is empty"),
    ({"values": [math.nan, math.nan]}, "all 2 values are NaN"),
    ({"values": [0.1, math.inf]}, r"values\[1\] is inf, but to maximize only -inf is possible"),
    ({"values": [0.1, 1e200]}, r"values\[1\] is 1e\+200, but values must be below 1e\+150"),
    ({"values": "0.5"}, "but must have one dimension"),
    ({"values": ["a", "b"]}, r"values is \['a', 'b'\], but must be a sequence of numbers"),
    ({"values": [[0.1, 0.2]]}, r"shape \(1, 2\), but must have one dimension"),
    ({"steps": [1, 2]}, "steps has 2 entries, but must have one for each of 3 values"),
    ({"steps": [1, 3, 3]}, r"steps\[2\] is 3 after 3, but steps must strictly increase"),
    ({"steps": [3, 2, 1]}, r"steps\[1\] is 2 after 3"),
    ({"steps": [-1, 1, 2]}, r"steps\[0\] is -1, but must be finite and not negative"),
    ({"steps": [1, math.nan, 2]}, r"steps\[1\] is nan"),
    ({"horizon": 2}, "horizon is 2, but must not lie before the last step, 3"),
    ({"horizon": 0}, "horizon is 0, but must be positive"),
    ({"horizon": math.inf}, "horizon is inf"),
    ({"horizon": "long"}, "horizon is 'long'"),
    ({"goal": "max"}, "goal is 'max', but must be 'maximize' or 'minimize'"),
    ({"bounds": (0.2, 1)}, r"value at step 1 is 0\.1, but must lie within the stated bounds"),
    ({"bounds": (None, 0.2)}, r"value at step 3 is 0\.3, .* \(open, 0\.2\)"),
    ({"bounds": (1, 0)}, r"bounds is \(1, 0\), but low must be below high"),
    ({"bounds": "none"}, "bounds is 'none', but must be 'auto', None or a pair"),
    ({"bounds": (0, 1, 2)}, r"bounds is \(0, 1, 2\)"),
    ({"bounds": (0, "x")}, "bounds holds 'x'"),
    ({"bounds": (math.nan, 1)}, "bounds holds nan"),
]


@pytest.mark.parametrize(("change", "message"), BAD_INPUT)
def test_bad_input_names_the_value_and_the_rule(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "values": [0.1, 0.2, 0.3],
        "steps": None,
        "horizon": 10,
        "goal": "maximize",
        "bounds": "auto",
        **change,
    }
    with pytest.raises(InputError, match=message) as raised:
        read_curve(**arguments)  # type: ignore[arg-type]
    assert isinstance(raised.value, LCPFNError) and isinstance(raised.value, ValueError)


@pytest.mark.parametrize(("goal", "infinite"), [("minimize", math.inf), ("maximize", -math.inf)])
def test_a_diverged_record_lies_far_beyond_all_before_it(goal: str, infinite: float) -> None:
    observed = [0.5, 0.7, 0.6, infinite, infinite]
    curve = read_curve(observed, None, 10, goal, "auto")
    assert np.isfinite(curve.values).all() and curve.values[2] == 0.6
    spread = np.ptp(curve.values[:2])
    assert abs(curve.values[3] - 0.6) > 900 * spread
    assert abs(curve.values[4]) > 900 * abs(curve.values[3])
    assert curve.recorded.tolist() == observed
    # What is put there depends on the records before it only, so that streams agree.
    shorter = read_curve(observed[:4], None, 10, goal, "auto")
    assert curve.values[3] == shorter.values[3]
    assert curve.first(4).recorded.tolist() == observed[:4] == shorter.recorded.tolist()
    assert curve.first(3).recorded.tolist() == observed[:3]


@pytest.mark.parametrize(
    ("observed", "goal", "bounds"),
    [
        ([0.5, 0.7, 0.6, -math.inf], "maximize", (None, 0.7)),
        ([0.5, -0.7, -0.6, math.inf, math.inf], "minimize", (-0.7, None)),
        ([0.5, 0.7, math.inf], "minimize", (0.0, None)),
        ([-math.inf], "maximize", (None, None)),
    ],
)
def test_a_run_that_has_diverged_does_not_return(
    observed: list[float], goal: str, bounds: tuple[float | None, float | None]
) -> None:
    curve = read_curve(observed, None, 10, goal, "auto")
    assert curve.bounds == bounds
    assert curve.first(len(observed)).bounds == bounds
    finite = [value for value in observed if math.isfinite(value)]
    before = curve.first(len(finite)) if finite else curve
    assert not finite or before.bounds == read_curve(finite, None, 10, goal, "auto").bounds
    # A value to beat that lies beyond is one to be compared with.
    low, high = curve.allowing(5.0 if goal == "maximize" else -5.0).bounds
    assert (high is None or high >= 5) if goal == "maximize" else (low is None or low <= -5)


@pytest.mark.parametrize(("goal", "infinite"), [("minimize", math.inf), ("maximize", -math.inf)])
def test_a_record_that_the_run_recovered_from_is_missing(goal: str, infinite: float) -> None:
    curve = read_curve([infinite, 0.5, infinite, 0.7, math.nan, 0.6], None, 10, goal, "auto")
    assert curve.steps.tolist() == [2, 4, 6] and curve.recorded.tolist() == [0.5, 0.7, 0.6]
    assert curve.bounds == read_curve([0.5, 0.7, 0.6], None, 10, goal, "auto").bounds


@pytest.mark.parametrize("observed", [[math.inf], [math.inf] * 60, [0.0, math.inf]])
def test_nothing_but_divergence_is_still_a_curve(observed: list[float]) -> None:
    values = read_curve(observed, None, 100, "minimize", "auto").values
    assert np.isfinite(values).all() and (np.diff(values) >= 0).all()


def test_missing_records_are_dropped_with_their_steps() -> None:
    curve = read_curve([math.nan, 0.2, math.nan, 0.4], None, 10, "maximize", "auto")
    assert curve.steps.tolist() == [2, 4] and curve.values.tolist() == [0.2, 0.4]


@pytest.mark.parametrize(
    ("values", "goal", "bounds"),
    [
        ([0.2, 1.0], "maximize", (0.0, 1.0)),
        ([0.2, 83.0], "maximize", (0.0, 100.0)),
        ([-0.1, 0.5], "maximize", (None, None)),
        ([3.0, 170.0], "maximize", (None, None)),
        # Scores, then percentages: with decimals, standing still, rounded.
        ([0.0, 5.0, 2.0], "maximize", (0.0, None)),
        ([4.0, 60.0], "maximize", (0.0, None)),
        ([0.0, 5.0, 2.5], "maximize", (0.0, 100.0)),
        ([1.0, 2.0, 2.5], "maximize", (0.0, 100.0)),
        ([2.0, 2.0, 2.0], "maximize", (0.0, 100.0)),
        ([10.0, 38.0], "maximize", (0.0, 100.0)),
        ([0.0, 1.0, 1.0], "maximize", (0.0, 1.0)),
        ([2.3, 0.1], "minimize", (0.0, None)),
        ([2.3, -0.1], "minimize", (None, None)),
    ],
)
def test_guessed_bounds(
    values: list[float], goal: str, bounds: tuple[float | None, float | None]
) -> None:
    assert guess_bounds(np.array(values), goal) == bounds  # type: ignore[arg-type]


def test_infinite_bounds_are_open() -> None:
    curve = read_curve([0.5], None, 10, "maximize", (-math.inf, math.inf))
    assert curve.bounds == (None, None) and not curve.guessed_bounds


def test_default_query_runs_on_in_the_usual_spacing() -> None:
    curve = read_curve([3, 2, 1], [500, 1000, 1500], 3200, "minimize", "auto")
    assert read_query(None, curve).tolist() == [2000, 2500, 3000, 3200]
    single = read_curve([3], None, 4, "minimize", "auto")
    assert read_query(None, single).tolist() == [2, 3, 4]


def test_default_query_asks_where_records_would_be() -> None:
    nan = math.nan
    for values in ([0.3, nan, 0.5, nan, 0.6, 0.7], [0.3, nan, 0.5, nan, nan, 0.6]):
        curve = read_curve(values, None, 9, "maximize", "auto")
        assert read_query(None, curve).tolist() == [7, 8, 9]
    late = read_curve([3, 2, 1], [1000, 2000, 4000], 6000, "minimize", "auto")
    assert read_query(None, late).tolist() == [5000, 6000]
    extra = read_curve([4, 3, 2, 1], [10, 20, 30, 31], 60, "minimize", "auto")
    assert read_query(None, extra).tolist() == [41, 51, 60]


def test_default_query_of_a_long_run_is_thinned() -> None:
    curve = read_curve([3, 2, 1], None, 1_000_000, "minimize", "auto")
    steps = read_query(None, curve)
    assert len(steps) == 200 and steps[-1] == 1_000_000
    assert steps[:2].tolist() == [5003, 10003]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ([], "query is empty"),
        ([3], "query holds 3, but must come after the last observed step, 3"),
        ([11], "query holds 11, but must not pass the horizon, 10"),
        ([5, 5], r"query\[1\] is 5 after 5, but query must strictly increase"),
        ([math.nan], "query holds nan"),
        (["x"], "query is .* but must be a sequence of numbers"),
    ],
)
def test_bad_queries(query: list[object], message: str) -> None:
    curve = read_curve([0.1, 0.2, 0.3], None, 10, "maximize", "auto")
    with pytest.raises(InputError, match=message):
        read_query(query, curve)  # type: ignore[arg-type]


def test_tensors_are_values() -> None:
    torch = pytest.importorskip("torch")
    numbers = [0.25, 0.5, 0.75]
    tensors = [
        torch.tensor(numbers, requires_grad=True),
        torch.tensor(numbers, dtype=torch.bfloat16),
        [torch.tensor(number, requires_grad=True) * 1 for number in numbers],
    ]
    for values in tensors:
        assert read_curve(values, None, 10, "maximize", "auto").values.tolist() == numbers


@pytest.mark.parametrize("odd", [math.inf, -math.inf])
@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_an_infinite_record_that_the_run_recovered_from_is_missing(odd: float, goal: str) -> None:
    model = lcpfn.load()
    told = model.extrapolate([21.5, odd, 24.1, 24.6], horizon=30, goal=goal, bounds=None)
    missing = model.extrapolate([21.5, math.nan, 24.1, 24.6], horizon=30, goal=goal, bounds=None)
    np.testing.assert_array_equal(told.median, missing.median)
