"""What a forecast holds beyond a bound of the metric lies next to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lcpfn
from lcpfn.forecast.best import BestSoFar
from lcpfn.forecast.bounded import Bounded, Strip
from lcpfn.forecast.distribution import Distribution
from lcpfn.network.histogram import BinnedDistribution, starting_log_masses

LEVELS = np.linspace(0.001, 0.999, 201)
ENDS = st.one_of(st.none(), st.floats(-3, 3))


def opened(location: float, scale: float) -> BinnedDistribution:
    return BinnedDistribution(np.float64(location), np.float64(scale), starting_log_masses(64))


def bounded(
    location: float, scale: float, low: float | None, high: float | None, *cuts: float | None
) -> Bounded:
    return Bounded(opened(location, scale), low, high, *cuts)


@pytest.mark.parametrize("bounds", [(0.0, None), (None, 1.0), (0.0, 1.0)])
@pytest.mark.parametrize("cuts", [(None, None), (0.3, None), (None, 0.999), (0.001, 0.6)])
@pytest.mark.parametrize("location", [-0.1, 0.02, 0.5, 0.97])
def test_answers_agree_with_each_other(bounds, cuts, location) -> None:
    distribution: Distribution = bounded(location, 0.1, *bounds).truncate(*cuts)
    assert isinstance(distribution, Distribution)
    quantiles = np.asarray(distribution.quantile(LEVELS))
    assert (np.diff(quantiles) >= 0).all()
    np.testing.assert_allclose(distribution.cdf(quantiles), LEVELS, atol=1e-6)
    even = np.asarray(distribution.quantile((np.arange(200_000) + 0.5) / 200_000))
    assert float(distribution.mean) == pytest.approx(even.mean(), abs=1e-4)
    assert float(distribution.std) == pytest.approx(even.std(), rel=5e-3, abs=1e-5)
    # The density is the slope of the distribution function, away from the edges of bins.
    near, step = even[5_000:-5_000:5_003], 1e-9
    slope = (distribution.cdf(near + step) - distribution.cdf(near - step)) / (2 * step)
    density = np.exp(np.asarray(distribution.log_prob(near)))
    apart = np.abs(slope - density) > 1e-3 * density + 1e-3
    assert apart.mean() < 0.05


@given(
    st.floats(-4, 4),
    st.floats(1e-6, 10),
    ENDS,
    ENDS,
    st.lists(st.floats(1e-9, 1 - 1e-9), min_size=2),
)
def test_nothing_lies_outside_and_quantiles_are_in_order(location, scale, one, other, levels):
    low, high = one, other
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high) + 0.1
    distribution = bounded(location, scale, low, high)
    quantiles = np.asarray(distribution.quantile(np.sort(levels)))
    assert (np.diff(quantiles) >= 0).all()
    if low is not None:
        assert (quantiles >= low).all() and float(distribution.cdf(low - 1e-3)) == 0
        assert float(distribution.log_prob(low - 1e-3)) == -np.inf
    if high is not None:
        assert (quantiles <= high).all() and float(distribution.cdf(high)) == 1
        assert float(distribution.log_prob(high + 1e-3)) == -np.inf
    assert np.isfinite(distribution.mean) and np.isfinite(distribution.std)


def test_between_the_strips_the_density_is_in_proportion_to_the_open_one() -> None:
    distribution, open_one = bounded(0.95, 0.05, 0.0, 1.0), opened(0.95, 0.05)
    at = np.linspace(0.1, 0.99, 50)
    higher = np.asarray(distribution.log_prob(at)) - open_one.log_prob(at)
    np.testing.assert_allclose(higher, higher[0], atol=1e-12)
    assert 0 < higher[0] < 0.1


def test_what_lies_beyond_a_bound_lies_next_to_it() -> None:
    distribution, open_one = bounded(0.95, 0.05, 0.0, 1.0), opened(0.95, 0.05)
    beyond = 1 - float(open_one.cdf(1.0))
    assert beyond > 0.1
    kept = beyond**2 / (beyond + distribution.strip.tail)
    assert 1 - float(distribution.cdf(0.995)) > kept
    assert float(distribution.quantile(1 - beyond / 2)) > 0.9995
    cut = open_one.truncate(0.0, 1.0)
    assert float(cut.quantile(1 - beyond / 2)) < 0.999


def test_a_tail_that_just_reaches_the_bound_is_cut_off() -> None:
    distribution, open_one = bounded(0.5, 0.12, 0.0, 1.0), opened(0.5, 0.12)
    beyond = 1 - float(open_one.cdf(1.0))
    assert 1e-4 < beyond < 0.01
    kept = 1 - float(distribution.cdf(0.999))
    assert kept < beyond / 3


def test_all_of_it_is_kept_where_a_strip_says_so() -> None:
    everything = Bounded(opened(0.95, 0.05), 0.0, 1.0, strip=Strip(tail=1e-12))
    at = np.linspace(0.1, 0.99, 50)
    np.testing.assert_allclose(everything.log_prob(at), opened(0.95, 0.05).log_prob(at), atol=1e-9)


def test_a_forecast_that_lies_beyond_as_a_whole_lies_next_to_the_bound() -> None:
    distribution = bounded(40.0, 0.1, 0.0, 1.0)
    assert 0.99 < float(distribution.mean) < 1 and float(distribution.std) < 0.01
    assert float(distribution.quantile(0.5)) > 0.99


def test_a_density_is_finite_at_the_bound_itself() -> None:
    distribution = bounded(0.95, 0.05, 0.0, 1.0)
    assert np.isfinite(distribution.log_prob(np.array([0.0, 1.0]))).all()
    assert float(distribution.log_prob(1.0)) > float(distribution.log_prob(0.999))


def test_a_mirror_image_is_forecast_alike() -> None:
    up, down = bounded(0.95, 0.05, None, 1.0), bounded(0.05, 0.05, 0.0, None)
    np.testing.assert_allclose(up.quantile(LEVELS), 1 - down.quantile(1 - LEVELS), atol=1e-9)
    assert float(up.mean) == pytest.approx(1 - float(down.mean), abs=1e-12)
    assert float(up.std) == pytest.approx(float(down.std), abs=1e-12)


def test_parts_and_copies() -> None:
    scales = np.array([0.1, 0.05, 0.2])
    masses = np.broadcast_to(starting_log_masses(64), (3, 64))
    each = Bounded(BinnedDistribution(np.array([0.4, 0.9, 1.2]), scales, masses), 0.0, 1.0)
    assert float(each[2].mean) == pytest.approx(float(each.mean[2]))
    several = each[1].expand(4)
    np.testing.assert_allclose(several.std, float(each.std[1]))
    np.testing.assert_allclose(several.quantile(0.3), float(each.quantile(0.3)[1]))


def test_the_best_value_is_never_worse_than_the_best_record() -> None:
    later = bounded(0.95, 0.05, 0.0, 1.0)
    best = BestSoFar(later, 0.97, "maximize")
    even = np.asarray(best.quantile((np.arange(100_000) + 0.5) / 100_000))
    assert even.min() == 0.97 and float(best.mean) == pytest.approx(even.mean(), abs=1e-4)
    assert float(best.std) == pytest.approx(even.std(), rel=1e-2)
    at_the_end = BestSoFar(later, 1.0, "maximize")
    assert float(at_the_end.mean) == 1.0 and float(at_the_end.prob_kept) == 1.0


def test_the_default_model_keeps_it_and_the_reference_cuts_it_off() -> None:
    values = [0.71, 0.86, 0.93, 0.96, 0.975, 0.984, 0.99]
    kept = lcpfn.load()
    assert kept.card["keeps_beyond"] and not lcpfn.load("reference").card.get("keeps_beyond")
    cut = lcpfn.LCPFN(kept.network, {**kept.card, "keeps_beyond": False})
    ends = [model.extrapolate(values, horizon=40).quantile(0.94)[-1] for model in (kept, cut)]
    assert 1 > ends[0] > ends[1] > 0.99
    # Where there is no bound nothing changes.
    free = [
        model.extrapolate(values, horizon=40, bounds=None).quantile(LEVELS) for model in (kept, cut)
    ]
    np.testing.assert_array_equal(*free)


def test_draws_of_a_loss_that_falls_by_decades_have_the_marginals_of_the_forecast() -> None:
    values = [10.0 ** -(record / 4) for record in range(1, 13)]
    post = lcpfn.load().extrapolate(values, horizon=60, goal="minimize")
    drawn = post.sample(400, generator=np.random.default_rng(1))
    for step in (0, 10, -1):
        for level in (0.06, 0.5, 0.94):
            share = (drawn[:, step] <= post.quantile(level)[step]).mean()
            assert share == pytest.approx(level, abs=0.01)
    assert drawn[:, -1].mean() == pytest.approx(post.mean[-1], rel=0.3)
    # A curve is one run: its steps go along with one another.
    scores = np.argsort(np.argsort(drawn[:, [20, 21]], axis=0), axis=0)
    assert np.corrcoef(scores.T)[0, 1] > 0.5


def test_draws_single_forecasts_and_backtests_agree() -> None:
    values = [0.9, 0.4, 0.15, 0.06, 0.02, 0.011, 0.005]
    model = lcpfn.load()
    post = model.extrapolate(values, horizon=20, goal="minimize")
    drawn = post.sample(4000, generator=np.random.default_rng(0))[:, 0]
    for level in (0.1, 0.5, 0.9):
        assert (drawn <= post.quantile(level)[0]).mean() == pytest.approx(level, abs=0.03)
    assert drawn.min() >= 0
    few = np.concatenate(
        [post.sample(1, generator=np.random.default_rng(seed))[:, 0] for seed in range(100)]
    )
    assert (few <= post.quantile(0.5)[0]).mean() == pytest.approx(0.5, abs=0.2)
    last = model.backtest(values, horizon=20, goal="minimize")[-1]
    np.testing.assert_allclose(
        last.at_horizon().quantile(LEVELS)[:, -1],
        post.quantile(LEVELS)[:, -1],
        rtol=1e-4,
        atol=1e-7,
    )
