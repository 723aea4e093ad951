import math

import numpy as np
import pytest

import lcpfn

VALUES = [0.2, 0.35, 0.42, 0.5, 0.51, 0.55, 0.56, 0.58]


@pytest.fixture(scope="module")
def post(reference: lcpfn.LCPFN) -> lcpfn.Extrapolation:
    return reference.extrapolate(VALUES, horizon=40)


def test_cdf_inverts_quantile_and_matches_prob_better(post: lcpfn.Extrapolation) -> None:
    median = post.median
    np.testing.assert_allclose(post.cdf(median), 0.5, atol=1e-9)
    assert post.prob_better(float(median[-1])) == pytest.approx(0.5, abs=1e-9)
    assert post.prob_better(float(median[4]), at=post.steps[4]) == pytest.approx(0.5, abs=1e-5)


def test_prob_better_follows_the_goal(reference: lcpfn.LCPFN) -> None:
    loss = reference.extrapolate([1 - value for value in VALUES], horizon=40, goal="minimize")
    assert loss.prob_better(0.9) > 0.99 and loss.prob_better(0.01) < 0.05


def test_prob_better_at_a_step_that_was_not_asked_before(reference: lcpfn.LCPFN) -> None:
    only_final = reference.extrapolate(VALUES, horizon=40, query=[40])
    everything = reference.extrapolate(VALUES, horizon=40)
    assert only_final.prob_better(0.6, at=20) == pytest.approx(
        everything.prob_better(0.6, at=20), abs=1e-5
    )


def test_at_horizon_is_the_last_of_all_steps(post: lcpfn.Extrapolation) -> None:
    final = post.at_horizon()
    assert final.steps.tolist() == [40] and final.horizon == 40
    assert final.quantile([0.1, 0.9]).shape == (2, 1)
    np.testing.assert_allclose(final.quantile([0.1, 0.9])[:, 0], post.quantile([0.1, 0.9])[:, -1])
    assert final.prob_better(0.6) == post.prob_better(0.6)


def test_trajectories_are_joint(post: lcpfn.Extrapolation) -> None:
    draws = post.sample(400, np.random.default_rng(0))
    assert draws.shape == (400, 32)
    levels = np.quantile(draws, [0.1, 0.5, 0.9], axis=0)
    spread = post.quantile(0.9) - post.quantile(0.1)
    np.testing.assert_allclose(levels[1], post.median, atol=0.25 * spread.max())
    # Neighbouring steps share the uncertain level: independent margins would not correlate.
    late = np.corrcoef(draws[:, 20:].T)
    assert late[np.triu_indices(12, 1)].mean() > 0.3


def test_a_seed_is_no_generator(post: lcpfn.Extrapolation) -> None:
    with pytest.raises(lcpfn.InputError, match=r"generator is 3, .*default_rng"):
        post.sample(2, generator=3)  # type: ignore[arg-type]


def test_trajectories_take_torch_and_numpy_generators(post: lcpfn.Extrapolation) -> None:
    torch = pytest.importorskip("torch")
    for make in (lambda: torch.Generator().manual_seed(3), lambda: np.random.default_rng(3)):
        np.testing.assert_array_equal(post.sample(2, make()), post.sample(2, make()))


def test_trajectories_of_a_long_run_share_cells(reference: lcpfn.LCPFN) -> None:
    long = reference.extrapolate(VALUES, steps=np.arange(1, 9) * 100, horizon=20_000)
    draws = long.sample(5, np.random.default_rng(0))
    assert draws.shape == (5, 192) and np.isfinite(draws).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda post: post.quantile(1.5), "q is 1.5, but must be one or several numbers"),
        (lambda post: post.quantile([0.1, float("nan")]), "q is .*nan"),
        (lambda post: post.prob_better(float("nan")), "than is nan"),
        (lambda post: post.prob_better("good"), "than is 'good', but must be a number"),
        (lambda post: post.prob_better(0.5, at=8), "query holds 8, but must come after"),
        (lambda post: post.prob_better(0.5, at=41), "query holds 41, but must not pass"),
        (lambda post: post.sample(0), "n is 0, but must be an integer of at least 1"),
        (lambda post: post.sample(1.5), "n is 1.5, but must be an integer of at least 1"),
        (lambda post: post.quantile("a"), "q is 'a', but must be one or several numbers"),
        (lambda post: post.cdf("x"), "y is 'x', but must be one or several numbers"),
        (lambda post: post.cdf(float("nan")), "y holds nan"),
        (lambda post: post.cdf([0.1, 0.2]), r"y has shape \(2,\), but must be a number or"),
    ],
)
def test_bad_questions_name_the_rule(post: lcpfn.Extrapolation, call: object, message: str) -> None:
    with pytest.raises(lcpfn.InputError, match=message):
        call(post)  # type: ignore[operator]


def test_repr_says_what_is_forecast(post: lcpfn.Extrapolation) -> None:
    assert repr(post).startswith("Extrapolation(8 records to step 8; at 40: median 0.")


def test_guessed_bounds_give_way_to_a_value_that_is_known_from_elsewhere() -> None:
    model, values = lcpfn.load(), [3.0, 2.3, 1.8, 1.3]
    told = {"horizon": 50, "goal": "minimize", "query": [20, 50]}
    post = model.extrapolate(values, **told)
    wider = post.allowing(-1.0)
    assert (post.bounds, wider.bounds) == ((0.0, None), (None, None))
    np.testing.assert_array_equal(
        wider.quantile([0.1, 0.9]),
        model.extrapolate(values, **told, bounds=None).quantile([0.1, 0.9]),
    )
    assert post.allowing(0.1) is post and post.allowing(-math.inf) is post
    stated = model.extrapolate(values, **told, bounds=(0, None))
    assert stated.allowing(-1.0) is stated


def test_a_score_stays_one_beside_a_far_better_one() -> None:
    post = lcpfn.load().extrapolate([0, 3, 1, 5, 4, 6], horizon=40, goal="maximize")
    assert post.bounds == (0.0, None)
    assert post.allowing(30.0) is post and post.allowing(30.5) is post
    search = lcpfn.Search("maximize", 40)
    search.end("best", "finished", value=30)
    search.set_records("run", enumerate([0, 3, 1, 5, 4, 6], 1))
    assert search.bounds("run") == (0.0, None)


def test_peers_are_heard_in_other_bounds_too() -> None:
    model = lcpfn.load()
    peers = [lcpfn.Peer([1, 2, 3, 4, 5], [3.1, 2.2, 1.6, 0.9, 0.5], stopped=False)]
    told = {"horizon": 5, "goal": "minimize", "peers": peers}
    wider = model.extrapolate([3.0, 2.3], **told).allowing(-1.0)
    asked = model.extrapolate([3.0, 2.3], **told, bounds=None)
    assert wider.alone.bounds == (None, None)
    assert wider.alone.prob_better(-1.0) == pytest.approx(asked.alone.prob_better(-1.0), abs=1e-9)
    assert wider.prob_better(0.5) != wider.alone.prob_better(0.5)
