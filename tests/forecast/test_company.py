from __future__ import annotations

import numpy as np
import pytest

import lcpfn
from lcpfn.errors import InputError
from lcpfn.forecast import tracks
from lcpfn.forecast.company import Roster, chosen_peers, columns, read_peers
from lcpfn.forecast.curve import read_curve
from lcpfn.forecast.landmarks import END, SHARES, landmark_of, records_by
from lcpfn.forecast.tracks import Track, learn

HORIZON = 40


def curve(level: float, rate: float = 3.0, seed: int = 0, late: float = 0.0) -> np.ndarray:
    """A rising curve; `late` is gained in the last fifth of the run."""
    share = np.arange(1, HORIZON + 1) / HORIZON
    noise = 0.004 * np.random.default_rng(seed).normal(size=HORIZON)
    return level * (1 - np.exp(-rate * share)) + late * np.clip(5 * share - 4, 0, 1) + noise


def peers(count: int = 6, late: float = 0.0, length: int = HORIZON) -> list[lcpfn.Peer]:
    rng = np.random.default_rng(3)
    found = []
    for number in range(count):
        values = curve(rng.uniform(0.5, 0.7), rng.uniform(2, 5), number + 1, late)
        config = {"rate": float(rng.uniform()), "kind": "ab"[number % 2]}
        found.append(
            lcpfn.Peer(range(1, length + 1), values[:length].tolist(), length < HORIZON, config)
        )
    return found


RUN = curve(0.6)[:8]
KEYWORDS = {"horizon": HORIZON, "bounds": None}


@pytest.fixture(scope="module")
def model() -> lcpfn.LCPFN:
    return lcpfn.load()


def test_without_peers_nothing_changes(model):
    alone, empty = model.extrapolate(RUN, **KEYWORDS), model.extrapolate(RUN, **KEYWORDS, peers=[])
    assert empty.alone is empty
    assert np.array_equal(alone.quantile([0.1, 0.9]), empty.quantile([0.1, 0.9]))


def test_alone_is_the_forecast_without_peers(model):
    alone = model.extrapolate(RUN, **KEYWORDS)
    post = model.extrapolate(RUN, **KEYWORDS, peers=peers())
    assert np.array_equal(post.alone.median, alone.median)
    assert post.alone.prob_better(0.6) == alone.prob_better(0.6)
    assert post.at_horizon().alone.median == alone.at_horizon().median
    assert not np.array_equal(post.median, alone.median)


def test_peers_that_gained_late_say_that_this_run_will(model):
    plain = model.extrapolate(RUN, **KEYWORDS, peers=peers(16))
    gained = model.extrapolate(RUN, **KEYWORDS, peers=peers(16, late=0.3))
    assert gained.median[-1] > plain.median[-1] + 0.05
    assert gained.median[-1] > gained.alone.median[-1]


def test_order_of_peers_does_not_matter(model):
    listed = peers()
    one = model.extrapolate(RUN, **KEYWORDS, peers=listed).quantile([0.05, 0.5, 0.95])
    other = model.extrapolate(RUN, **KEYWORDS, peers=listed[::-1]).quantile([0.05, 0.5, 0.95])
    assert np.allclose(one, other, rtol=1e-4)


def test_a_peer_counts_once(model):
    listed = peers()
    twice = [*listed, *(lcpfn.Peer(p.steps, p.values, p.stopped, p.config) for p in listed)]
    one = model.extrapolate(RUN, **KEYWORDS, peers=listed).quantile([0.05, 0.5, 0.95])
    other = model.extrapolate(RUN, **KEYWORDS, peers=twice).quantile([0.05, 0.5, 0.95])
    assert np.array_equal(one, other)


@pytest.mark.parametrize(("gain", "offset"), [(1000.0, 0.0), (0.02, 5.0), (-3.0, 1.0)])
def test_units_do_not_matter(model, gain, offset):
    def scaled(values):
        return offset + gain * np.asarray(values)

    listed = peers()
    moved = [lcpfn.Peer(p.steps, scaled(p.values).tolist(), p.stopped) for p in listed]
    goal = "maximize" if gain > 0 else "minimize"
    levels = np.array([0.05, 0.5, 0.95])
    one = model.extrapolate(RUN, **KEYWORDS, peers=listed).quantile(levels)
    other = model.extrapolate(scaled(RUN), **KEYWORDS, goal=goal, peers=moved)
    expected = scaled(one)
    found = other.quantile(levels if gain > 0 else 1 - levels)
    assert np.allclose(found, expected, rtol=0.02, atol=0.01 * abs(gain))


def test_steps_count_in_any_unit(model):
    listed = peers()
    in_thousands = [
        lcpfn.Peer([1000 * step for step in p.steps], p.values, p.stopped) for p in listed
    ]
    one = model.extrapolate(RUN, **KEYWORDS, peers=listed).at_horizon().median
    other = model.extrapolate(
        RUN,
        1000 * np.arange(1, len(RUN) + 1),
        horizon=1000 * HORIZON,
        bounds=None,
        peers=in_thousands,
    )
    assert np.allclose(one, other.at_horizon().median, rtol=1e-4)


def test_peers_may_have_another_length(model):
    listed = peers()
    longer = [
        lcpfn.Peer([2 * step for step in p.steps], p.values, p.stopped, None, 2 * HORIZON)
        for p in listed
    ]
    one = model.extrapolate(RUN, **KEYWORDS, peers=listed).at_horizon().median
    other = model.extrapolate(RUN, **KEYWORDS, peers=longer).at_horizon().median
    assert np.allclose(one, other, rtol=1e-4)


def test_unfinished_peers_are_heard(model):
    post = model.extrapolate(RUN, **KEYWORDS, peers=peers(16, length=len(RUN)))
    assert post.alone.at_horizon().median != post.at_horizon().median


def test_the_distribution_is_one(model):
    post = model.extrapolate(RUN, **KEYWORDS, peers=peers(), query=[9, 20, HORIZON])
    levels = np.array([0.001, 0.02, 0.3, 0.5, 0.9, 0.999])
    quantiles = post.quantile(levels)
    assert (np.diff(quantiles, axis=0) > 0).all()
    for level, row in zip(levels, quantiles, strict=True):
        assert np.allclose(post.cdf(row), level, atol=1e-9)
    wide = np.linspace(0.01, 1 - 0.01, 400)
    grid = post.quantile(wide)[:, -1]
    density = np.exp([post.log_prob(value)[-1] for value in grid])
    inside = np.sum((density[1:] + density[:-1]) / 2 * np.diff(grid))
    assert inside == pytest.approx(0.98, abs=0.02)
    dense = post.quantile((np.arange(20000) + 0.5) / 20000)
    assert np.allclose(post.mean, dense.mean(0), rtol=1e-3)
    assert np.allclose(post.std, dense.std(0), rtol=0.02)
    assert post.prob_better(grid[200]) == pytest.approx(1 - wide[200], abs=1e-5)


def test_the_next_step_is_corrected_less_than_the_end(model):
    post = model.extrapolate(RUN, **KEYWORDS, peers=peers(16, late=0.3))
    levels = np.linspace(0.05, 0.95, 19)
    moved = [
        np.abs(post.alone.cdf(quantile) - level)
        for level, quantile in zip(levels, post.quantile(levels), strict=True)
    ]
    first, last = np.mean(moved, axis=0)[[0, -1]]
    assert 0 < first < last


def test_joint_draws_are_corrected_as_the_marginals_are(model):
    post = model.extrapolate(RUN, **KEYWORDS, peers=peers(16, late=0.3), query=[12, HORIZON])
    drawn = post.sample(1500, np.random.default_rng(0))
    alone = post.alone.sample(1500, np.random.default_rng(0))
    # The same draws, each step moved: their order stays.
    for step in range(2):
        assert (np.diff(drawn[np.argsort(alone[:, step]), step]) >= 0).all()
    assert drawn[:, 1].mean() > alone[:, 1].mean()
    assert np.median(drawn[:, 1]) == pytest.approx(post.median[1], abs=0.5 * post.std[1])


def test_the_best_value_is_corrected_and_never_lost(model):
    post = model.extrapolate(RUN, **KEYWORDS, peers=peers(16, late=0.3), of="best")
    assert (post.quantile([0.001, 0.5])[:, -1] >= RUN.max()).all()
    assert post.median[-1] > post.alone.median[-1]
    assert np.isfinite(post.log_prob(post.median[-1])[-1])
    assert post.mean[-1] >= RUN.max()
    kept = np.exp(post.log_prob(RUN.max())[-1])
    assert kept == pytest.approx(float(post.cdf(RUN.max())[-1]), abs=1e-9)


def test_a_finished_run_is_known(model):
    post = model.extrapolate(curve(0.6), **KEYWORDS, peers=peers())
    assert post.prob_better(0.0) == 1.0


def test_what_was_forecast_of_a_peer_is_kept(model, monkeypatch):
    listed = peers()
    first = model.extrapolate(RUN, **KEYWORDS, peers=listed).at_horizon().median
    asked = []
    monkeypatch.setattr(tracks, "forecast_after", lambda *_: asked.append(1) or [])
    assert model.extrapolate(RUN, **KEYWORDS, peers=listed).at_horizon().median == first
    learned = [one for one in asked if one]
    assert len(learned) <= 1


def test_peers_that_were_put_side_by_side_are_told_apart(model):
    one, other = peers(4), peers(4, late=0.1)
    sets = [one, other, one[:3], [*one, *other], one, other, one[1:]]
    fresh = [lcpfn.load().extrapolate(RUN, **KEYWORDS, peers=told).median for told in sets]
    again = [model.extrapolate(RUN, **KEYWORDS, peers=told).median for told in sets]
    assert all(np.allclose(*pair, rtol=1e-4) for pair in zip(fresh, again, strict=True))
    assert not np.array_equal(again[0], again[1])
    later = model.extrapolate(curve(0.6)[:20], **KEYWORDS, peers=one)
    assert not np.array_equal(later.median[-1], again[0][-1])


def test_no_other_model_takes_over_what_is_kept_of_a_peer(model):
    listed = peers()
    told = [
        lcpfn.LCPFN(model.network, model.card, model._peer_network).extrapolate(
            RUN, **KEYWORDS, peers=listed
        )
        for _ in range(4)
    ]
    assert len({float(post.at_horizon().median[0]) for post in told}) == 1
    # Models that are gone may share an id, but nothing that is kept.
    assert len({key[1] for key in listed[0].remembered}) == 4


def test_bounds_that_are_changed_in_place_are_read_again(model):
    listed, bounds = peers(), [0.0, 1.0]
    model.extrapolate(RUN, horizon=HORIZON, bounds=bounds, peers=listed).at_horizon()
    bounds[1] = 2.0
    model.extrapolate(RUN, horizon=HORIZON, bounds=bounds, peers=listed).at_horizon()
    assert len(listed[0].remembered) == 2


def test_peers_whose_metric_counts_other_examples_are_not_heard(model):
    def counted(values, examples: int) -> list[float]:
        return (np.round(np.asarray(values) * examples) / examples).tolist()

    def heard(examples: int) -> bool:
        others = [
            lcpfn.Peer(peer.steps, counted(peer.values, examples), peer.stopped) for peer in peers()
        ]
        post = model.extrapolate(counted(RUN, 285), **KEYWORDS, peers=others)
        return not np.array_equal(post.median, post.alone.median)

    assert heard(285)
    assert not heard(89)


def test_what_is_no_peer_is_named(model):
    with pytest.raises(InputError, match=r"peers\[0\] is \[0.1, 0.2\], but must be an lcpfn.Peer"):
        model.extrapolate(RUN, **KEYWORDS, peers=[[0.1, 0.2]])
    with pytest.raises(InputError, match="config is 3, but must be a mapping"):
        model.extrapolate(RUN, **KEYWORDS, peers=peers(), config=3)


def test_one_peer_comes_in_a_list(model):
    with pytest.raises(lcpfn.InputError, match="a list of one"):
        model.extrapolate(RUN, **KEYWORDS, peers=peers()[0])


def test_peers_that_say_nothing_change_nothing(model):
    empty = [lcpfn.Peer([], [], True), lcpfn.Peer([1.0], [np.nan], True)]
    post = model.extrapolate(RUN, **KEYWORDS, peers=empty)
    assert np.array_equal(post.median, post.alone.median)


def test_a_peer_that_diverged_ended_worst(model):
    values = curve(0.6).tolist()
    broken = lcpfn.Peer(range(1, 21), [*values[:19], np.nan], stopped=True)
    run = read_curve(RUN, None, HORIZON, "maximize", None)
    (told,) = read_peers([broken], run, None, None, model.encode)
    assert told.track.values[END] < min(values)
    assert np.isfinite(model.extrapolate(RUN, **KEYWORDS, peers=[broken]).median).all()


def test_forecasts_at_landmarks_are_those_of_the_model(model):
    values = curve(0.6)
    full = read_curve(values, None, HORIZON, "maximize", None)
    track = Track.of(full, model.encode(full))
    landmark = landmark_of(0.2)
    assert SHARES[landmark] == pytest.approx(0.2)
    assert track.records[landmark] == 8
    learn(model.network, [(track, track.pairs(landmark))])
    post = model.extrapolate(values[:8], **KEYWORDS)
    answer = track.answers[landmark, END]
    assert np.allclose(answer[:3], post.quantile([0.1, 0.5, 0.9])[:, -1], rtol=1e-3)
    assert answer.met == pytest.approx(float(post.cdf(values[-1])[-1]), abs=1e-3)


def test_landmarks_grow_by_a_fourth_of_a_doubling():
    assert landmark_of(0.001) == -1
    assert landmark_of(1.0) == len(SHARES) - 1
    assert records_by(np.array([0.1, 0.2, 0.4]))[-1] == 3
    assert SHARES[landmark_of(0.4)] == pytest.approx(0.4)


def test_the_latest_and_the_most_alike_are_heard(model):
    run = read_curve(RUN, None, HORIZON, "maximize", None)
    listed = [
        lcpfn.Peer([1, 2], [0.1, 0.2 + 0.001 * number], True, {"rate": number})
        for number in range(10)
    ]
    told = read_peers(listed, run, None, None, model.encode)
    rates = [peer.config["rate"] for peer in chosen_peers(told, {"rate": 2}, most=4)]
    assert rates[-2:] == [8, 9]
    assert 2 in rates[:2]
    assert [peer.config["rate"] for peer in chosen_peers(told, None, most=3)] == [7, 8, 9]


def test_hyperparameters_may_be_of_any_kind():
    table, words = columns([{"a": 1, "b": "x", "c": True}, {"a": 2.5, "b": "y"}, None])
    assert words.tolist() == [False, True, False]
    assert np.isnan(table[2]).all()
    assert table[0, 1] != table[1, 1]


def test_hyperparameters_of_peers_are_read_once_for_all_runs(model):
    run = read_curve(RUN, None, HORIZON, "maximize", None)
    configs = [{"a": 1, "b": "x"}, {"a": 2.5, "b": 3}, {"b": None}, None]
    listed = [
        lcpfn.Peer([1, 2], [0.1, 0.2 + 0.001 * number], True, config)
        for number, config in enumerate(configs)
    ]
    told = read_peers(listed, run, None, None, model.encode)
    roster = Roster.of(model.network, told, landmark_of(0.1))
    for config in ({"a": 3, "b": "y"}, {"a": "word"}, {"b": 3, "c": 1}, {"a": None}):
        for _ in range(2):
            table, words = roster.beside(config)
            expected, which = columns([config, *configs])
            assert np.array_equal(table, expected, equal_nan=True)
            assert np.array_equal(words, which)


def test_curves_of_a_batch_hear_each_other(model):
    curves = [curve(0.5 + 0.02 * number, seed=number)[: 8 + number] for number in range(5)]
    configs = [{"rate": number} for number in range(5)]
    heard = model.extrapolate_batch(curves, **KEYWORDS, peers="batch", configs=configs)
    others = [
        lcpfn.Peer(range(1, len(values) + 1), values, True, config)
        for values, config in zip(curves[1:], configs[1:], strict=True)
    ]
    post = model.extrapolate(curves[0], **KEYWORDS, peers=others, config=configs[0])
    assert np.allclose(heard[0].at_horizon().median, post.at_horizon().median, rtol=1e-5)
    shared = model.extrapolate_batch(curves[:1], **KEYWORDS, peers=others, configs=configs[:1])
    assert np.allclose(shared[0].at_horizon().median, post.at_horizon().median, rtol=1e-5)
    with pytest.raises(InputError, match="peers is 'all', but must be"):
        model.extrapolate_batch(curves, **KEYWORDS, peers="all")
