"""Forecasts of far more than a run has ever moved are drawn in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lcpfn
from lcpfn.forecast.headroom import Headroom
from lcpfn.network.histogram import BinnedDistribution, log_softmax, starting_log_masses

LEVELS = np.array([0.001, 0.02, 0.2, 0.5, 0.8, 0.98, 0.999])
TAKING_OFF = [0.05, 0.1, 0.07, 1.0, 50.0, 46.0, 1856.4, 1055.3, 4950.0, 1945.6, 4008.8, 4950.0]


def distributions(seed: int, count: int = 4) -> BinnedDistribution:
    generator = np.random.default_rng(seed)
    masses = starting_log_masses(64) + generator.normal(size=(count, 64))
    scale = np.exp(2 * generator.normal(size=count))
    return BinnedDistribution(generator.normal(size=count), scale, log_softmax(masses))


def headroom(best: float, room: float, ceiling: float = np.inf, count: int = 4) -> Headroom:
    whole = np.ones(count)
    return Headroom((best + room) * whole, room * whole, ceiling * whole)


def drawn_in(values: np.ndarray, best: float, room: float) -> np.ndarray:
    past = np.maximum((values - best - room) / room, 0.0)
    return np.where(past > 0, best + room + 3 * room * (np.cbrt(1 + past) - 1), values)


@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.floats(0.01, 10))
def test_what_lies_draws_in_stays_and_what_lies_beyond_comes_nearer(
    seed: int, best: float, room: float
) -> None:
    before = distributions(seed)
    after = headroom(best, room).applied(before)
    at = best + room * np.array([-30.0, -1.0, 0.0, 0.9])[:, None]
    # The bin that holds the end of what is free has one density on both sides of it.
    bins = np.exp(np.maximum(before.log_masses, after.log_masses)).max(-1)
    assert np.abs(after.cdf(at) - before.cdf(at)).max() <= bins.max() + 1e-9
    far = best + room * np.array([1.5, 4.0, 20.0])[:, None]
    assert (after.cdf(far) >= before.cdf(far) - bins.max() - 1e-9).all()
    quantiles = after.quantile(LEVELS[:, None])
    assert (np.diff(quantiles, axis=0) >= 0).all() and np.isfinite(quantiles).all()
    assert np.isfinite(after.mean).all() and (after.std > 0).all()


@pytest.mark.parametrize(("best", "room"), [(0.0, 1.0), (-2.0, 0.3), (1.0, 0.05)])
def test_quantiles_are_those_of_draws_that_are_drawn_in(best: float, room: float) -> None:
    before = distributions(3)
    after = headroom(best, room).applied(before)
    draws = drawn_in(before.sample((200_000,), np.random.default_rng(0)), best, room)
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    wanted = np.quantile(draws, levels, axis=0)
    width = wanted[-1] - wanted[0]
    assert np.abs(after.quantile(levels[:, None]) - wanted).max(0) == pytest.approx(
        np.zeros(4), abs=0.06 * width.max()
    )
    assert after.mean == pytest.approx(draws.mean(0), abs=0.05 * width.max())


def test_a_run_that_has_not_moved_has_no_headroom() -> None:
    before = distributions(1)
    assert headroom(0.0, 0.0).applied(before) is before


def test_what_can_never_be_is_cut_off_rather_than_drawn_in() -> None:
    before = distributions(2)
    after = headroom(0.0, 0.5, ceiling=2.0).applied(before)
    # By what is possible alone: the values up to 0.5 become likelier, each by the same factor.
    share = before.cdf(np.array([[-1.0], [0.2]])) / before.cdf(2.0)
    wide = np.exp(np.maximum(before.log_masses, after.log_masses)).max()
    assert after.cdf(np.array([[-1.0], [0.2]])) == pytest.approx(share, abs=wide)
    end = float(drawn_in(np.array([2.0]), 0.0, 0.5)[0])
    assert end < 2.0
    assert (after.cdf(end) > 1 - wide).all() and (after.cdf(end) > before.cdf(2.0) - 1e-9).all()


def test_headroom_grows_with_what_has_been_seen_and_with_what_is_to_come() -> None:
    seen = np.array([0.1, 0.1, 0.5, 0.9, 0.5])
    asked = np.array([1.0, 0.2, 1.0, 1.0, 0.505])
    found = Headroom.after(np.zeros(5), np.full(5, 2.0), seen, asked, np.inf)
    assert found.room == pytest.approx(2.0 * ((asked - seen) / seen + 0.5))
    assert found.free == pytest.approx(2.0 + found.room)


def with_headroom(model: lcpfn.LCPFN, within: bool) -> lcpfn.LCPFN:
    return lcpfn.LCPFN(model.network, {**model.card, "headroom": within})


def test_only_models_whose_card_says_so_draw_in_and_every_door_agrees() -> None:
    model = lcpfn.load()
    far, near = with_headroom(model, within=False), with_headroom(model, within=True)
    assert not lcpfn.load("reference").card.get("headroom")
    free, drawn = (each.extrapolate(TAKING_OFF, horizon=15) for each in (far, near))
    assert drawn.quantile(0.98)[-1] < 0.8 * free.quantile(0.98)[-1]
    assert drawn.quantile(0.3)[-1] == pytest.approx(free.quantile(0.3)[-1], rel=1e-3)
    stream = near.stream(horizon=15)
    for value in TAKING_OFF:
        streamed = stream.update(value)
    batched = near.extrapolate_batch([TAKING_OFF, [0.1, 0.2]], horizon=15)[0]
    tested = near.backtest(TAKING_OFF, horizon=15)[-1]
    alone = near.extrapolate(TAKING_OFF, horizon=15).at_horizon()
    for other in (streamed, batched, tested, alone):
        assert other.final.quantile(LEVELS) == pytest.approx(drawn.final.quantile(LEVELS), rel=1e-4)


def test_the_other_direction_and_other_units_are_drawn_in_alike() -> None:
    model = with_headroom(lcpfn.load(), within=True)
    up = model.extrapolate(TAKING_OFF, horizon=15, bounds=None).quantile(LEVELS)
    losses = [7.0 - 3.0 * value for value in TAKING_OFF]
    down = model.extrapolate(losses, horizon=15, goal="minimize", bounds=None)
    assert (7.0 - down.quantile(1 - LEVELS)) / 3.0 == pytest.approx(up, rel=1e-3, abs=1.0)


def test_joint_draws_are_drawn_in_too() -> None:
    model = with_headroom(lcpfn.load(), within=True)
    post = model.extrapolate(TAKING_OFF, horizon=15)
    drawn = post.sample(400, np.random.default_rng(0))
    assert np.quantile(drawn[:, 0], 0.9) == pytest.approx(post.quantile(0.9)[0], rel=0.25)


def test_a_stacked_headroom_is_that_of_each() -> None:
    each = [
        Headroom(np.asarray(1.0), np.asarray(0.5), np.asarray(np.inf)),
        Headroom(np.asarray(2.0), np.asarray(0.1), np.asarray(3.0)),
    ]
    both = distributions(5, 2)
    together = Headroom.stacked(each).applied(both)
    for row, one in enumerate(each):
        alone = one.applied(both[row])
        assert alone.quantile(LEVELS) == pytest.approx(together[row].quantile(LEVELS))
