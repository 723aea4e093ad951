from __future__ import annotations

import numpy as np

from lcpfn.network.regression import straight

NOISE = np.array([0.5])


def lines(places: np.ndarray, outcomes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What `straight` says of outcomes of one kind."""
    found: np.ndarray = straight(places, outcomes[:, None], known[:, None], NOISE)[0]
    return found


def everyone(count: int) -> np.ndarray:
    return np.ones(count, dtype=bool)


def test_nobody_near_says_nothing():
    far = np.full((3, 2), 1e3)
    none = lines(far, np.full(3, 2.0), np.zeros(3, dtype=bool))
    assert abs(none[0]) < 1e-6
    assert 0.3 < none[1] < 2.5


def test_more_peers_that_agree_are_believed_more():
    one, many = (
        lines(np.zeros((count, 2)), np.full(count, 1.5), everyone(count)) for count in (1, 30)
    )
    assert 0 < one[0] < many[0] < 1.5
    assert many[0] > 1.2
    assert many[1] < one[1]


def test_near_peers_count_more():
    places = np.array([[0.1, 0.0], [2.5, 0.0]])
    outcomes = np.array([1.0, -1.0])
    assert lines(places, outcomes, everyone(2))[0] > 0


def test_lines_are_followed_to_the_run():
    places = np.random.default_rng(0).normal(1.0, 0.5, (60, 2))
    outcomes = 1.0 + places @ [0.8, -0.5]
    assert abs(lines(places, outcomes, everyone(60))[0] - 1.0) < 0.15


def test_who_is_not_known_does_not_count():
    rng = np.random.default_rng(1)
    places, outcomes = rng.normal(size=(9, 3)), rng.normal(size=9)
    known = np.arange(9) % 2 == 0
    some = lines(places, outcomes, known)
    fewer = lines(places[known], outcomes[known], everyone(known.sum()))
    assert np.allclose(some, fewer, atol=1e-6)


def test_a_batch_is_as_one_by_one():
    rng = np.random.default_rng(2)
    places, outcomes = rng.normal(size=(4, 7, 3)), rng.normal(size=(4, 7))
    known = rng.random((4, 7)) < 0.7
    together = straight(places, outcomes[..., None], known[..., None], NOISE)[:, 0]
    for index in range(4):
        assert np.allclose(together[index], lines(places[index], outcomes[index], known[index]))


def test_kinds_are_told_apart_whether_or_not_they_are_known_alike():
    rng = np.random.default_rng(3)
    places, outcomes = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
    noise = np.array([0.6, 0.4])
    all_known, some_known = np.ones((9, 2)), rng.random((9, 2)) < 0.6
    for known in (all_known, some_known):
        both = straight(places, outcomes * known, known, noise)
        each = [
            straight(places, (outcomes * known)[:, [kind]], known[:, [kind]], noise[[kind]])[0]
            for kind in (0, 1)
        ]
        assert np.allclose(both, each)
