"""Logs that begin at step 0: the record taken before training."""

from __future__ import annotations

import numpy as np
import pytest

import lcpfn

LOSSES = [2.3, 1.4, 1.1, 0.9, 0.85]
NAMES = ["default", "reference"]


def _quantiles(post: lcpfn.Extrapolation) -> np.ndarray:
    return post.quantile([0.1, 0.5, 0.9])[:, -1]


@pytest.mark.parametrize("name", NAMES)
def test_a_log_from_zero_counts_as_one_interval_later(name: str) -> None:
    model = lcpfn.load(name)
    steps = 100.0 * np.arange(5)
    from_zero = model.extrapolate(LOSSES, steps=steps, horizon=2000, goal="minimize")
    later = model.extrapolate(LOSSES, steps=steps + 100, horizon=2100, goal="minimize")
    assert np.allclose(_quantiles(from_zero), _quantiles(later), rtol=1e-6)
    assert from_zero.steps[0] == 500 and from_zero.steps[-1] == 2000


@pytest.mark.parametrize("name", NAMES)
def test_batch_backtest_and_stream_say_the_same(name: str) -> None:
    model = lcpfn.load(name)
    steps = [0.0, 10.0, 20.0, 30.0, 40.0]
    stream = model.stream(horizon=100, goal="minimize")
    streamed = [stream.update(loss, step) for loss, step in zip(LOSSES, steps, strict=True)]
    backtest = model.backtest(LOSSES, steps=steps, horizon=100, goal="minimize")
    for count, posts in enumerate(zip(streamed, backtest, strict=True), 1):
        single = model.extrapolate(
            LOSSES[:count], steps=steps[:count], horizon=100, goal="minimize"
        )
        for post in posts:
            assert np.allclose(_quantiles(post), _quantiles(single), rtol=1e-4)


def test_a_record_before_training_alone_can_be_forecast() -> None:
    post = lcpfn.load().extrapolate([0.1], steps=[0], horizon=50)
    assert post.steps[0] == 1 and np.isfinite(_quantiles(post)).all()


def test_negative_steps_are_refused() -> None:
    with pytest.raises(lcpfn.InputError, match=r"steps\[0\] is -1, but must be finite and not neg"):
        lcpfn.load().extrapolate([0.1, 0.2], steps=[-1, 1], horizon=50)


def test_a_stream_goes_on_after_step_zero() -> None:
    stream = lcpfn.load().stream(horizon=50)
    stream.update(0.1, 0)
    with pytest.raises(lcpfn.InputError, match="must come after the last one, 0"):
        stream.update(0.2, 0)
    assert stream.update(0.2, 1).observed_steps.tolist() == [0, 1]
