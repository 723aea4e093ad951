"""Learning rates at the records: checked, told to the network, and the same through every way."""

from __future__ import annotations

import numpy as np
import pytest

import lcpfn
from tests.forecast.test_best import LOSSES, _model

RATES = [1e-3, 9e-4, 7e-4, 5e-4, 2e-4, 1e-4]


def _final(post: lcpfn.Extrapolation) -> float:
    return float(post.quantile(0.3)[-1])


def test_rates_change_the_forecast_and_their_unit_does_not() -> None:
    model = _model()
    untold, told, scaled = (
        model.extrapolate(LOSSES, horizon=20, goal="minimize", rates=rates)
        for rates in (None, RATES, [1000 * rate for rate in RATES])
    )
    assert _final(told) != pytest.approx(_final(untold), rel=1e-6)
    assert _final(told) == pytest.approx(_final(scaled), rel=1e-5)


def test_unknown_rates_are_no_rates() -> None:
    model = _model()
    untold = model.extrapolate(LOSSES, horizon=20, goal="minimize")
    unknown = model.extrapolate(LOSSES, horizon=20, goal="minimize", rates=[np.nan] * 6)
    assert _final(untold) == _final(unknown)


def test_a_schedule_says_more_than_rates() -> None:
    model = _model()
    options = {"horizon": 20, "goal": "minimize", "schedule": "cosine"}
    alone = model.extrapolate(LOSSES, **options)
    both = model.extrapolate(LOSSES, rates=RATES, **options)
    assert _final(alone) == _final(both)


@pytest.mark.parametrize("rates", [RATES, [np.nan, np.nan, *RATES[2:]]])
def test_batch_backtest_and_stream_say_the_same(rates: list[float]) -> None:
    model = _model()
    stream = model.stream(horizon=20, goal="minimize")
    streamed = [
        stream.update(loss, rate=None if np.isnan(rate) else rate)
        for loss, rate in zip(LOSSES, rates, strict=True)
    ]
    backtest = model.backtest(LOSSES, horizon=20, goal="minimize", rates=rates)
    batch = model.extrapolate_batch(
        [LOSSES[: count + 1] for count in range(6)],
        horizon=20,
        goal="minimize",
        rates=[rates[: count + 1] for count in range(6)],
    )
    for count, posts in enumerate(zip(streamed, backtest, batch, strict=True), 1):
        single = model.extrapolate(LOSSES[:count], horizon=20, goal="minimize", rates=rates[:count])
        for post in posts:
            assert _final(post) == pytest.approx(_final(single), rel=1e-4)


def test_a_stream_may_start_with_rates() -> None:
    model = _model()
    begun = model.stream(horizon=20, goal="minimize")
    begun.start(LOSSES[:4], rates=RATES[:4])
    begun.update(LOSSES[4], rate=RATES[4])
    post = begun.update(LOSSES[5], rate=RATES[5])
    single = model.extrapolate(LOSSES, horizon=20, goal="minimize", rates=RATES)
    assert _final(post) == pytest.approx(_final(single), rel=1e-4)


def test_some_runs_of_a_batch_may_know_their_rates() -> None:
    model = _model()
    posts = model.extrapolate_batch(
        [LOSSES, LOSSES], horizon=20, goal="minimize", rates=[RATES, None]
    )
    for post, rates in zip(posts, (RATES, None), strict=True):
        single = model.extrapolate(LOSSES, horizon=20, goal="minimize", rates=rates)
        assert _final(post) == pytest.approx(_final(single), rel=1e-4)


def test_joint_draws_go_on_without_rates() -> None:
    post = _model().extrapolate(LOSSES, horizon=12, goal="minimize", rates=RATES)
    assert post.sample(3).shape == (3, 6)


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (RATES[:3], "rates has 3 entries, but must have one for each of 6 values"),
        ([*RATES[:5], -1.0], r"rates\[5\] is -1, but must be finite and not negative"),
        ([*RATES[:5], np.inf], r"rates\[5\] is inf, but must be finite"),
        (["a"] * 6, "rates"),
    ],
)
def test_wrong_rates_are_named(rates: list[float], message: str) -> None:
    with pytest.raises(lcpfn.InputError, match=message):
        _model().extrapolate(LOSSES, horizon=20, rates=rates)


def test_a_stream_keeps_its_records_where_a_rate_is_wrong() -> None:
    stream = _model().stream(horizon=20, goal="minimize")
    stream.update(2.0, rate=0.1)
    with pytest.raises(lcpfn.InputError, match=r"rates\[1\] is -3"):
        stream.update(1.5, rate=-3)
    assert len(stream.update(1.5, rate=0.1).observed_values) == 2


def test_a_model_that_was_not_trained_for_it_says_so() -> None:
    with pytest.raises(lcpfn.InputError, match="rates is given, but model 'reference'"):
        lcpfn.load("reference").extrapolate([0.5], rates=[0.1])
