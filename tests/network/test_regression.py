from __future__ import annotations

import numpy as np

from lcpfn.network.regression import Told, straight

NOISE = np.array([0.5])


def lines(places: np.ndarray, outcomes: np.ndarray, known: np.ndarray) -> Told:
    """What `straight` says of outcomes of one kind; nearness goes by the first place."""
    ridge = np.diag([0.3, *[1.0] * places.shape[-1]])[None]
    kind = outcomes[..., None, :] * known[..., None, :]
    near = places[..., 0][..., None, :]
    return straight(places, near, kind, kind, known[..., None, :], ridge, NOISE)


def everyone(count: int) -> np.ndarray:
    return np.ones(count, dtype=bool)


def test_nobody_near_says_nothing():
    none = lines(np.full((3, 2), 1e3), np.full(3, 2.0), np.zeros(3, dtype=bool))
    assert abs(none.mean[0]) < 1e-6
    assert 0.3 < none.variance[0] < 2.5
    assert none.agreement[0] == 0


def test_more_peers_that_agree_are_believed_more():
    one, many = (
        lines(np.zeros((count, 2)), np.full(count, 1.5), everyone(count)) for count in (1, 30)
    )
    assert 0 < one.mean[0] < many.mean[0] < 1.5
    assert many.mean[0] > 1.2
    assert many.variance[0] < one.variance[0]


def test_near_peers_count_more():
    places = np.array([[0.1, 0.0], [2.5, 0.0]])
    assert lines(places, np.array([1.0, -1.0]), everyone(2)).mean[0] > 0


def test_lines_are_followed_to_the_run():
    places = np.random.default_rng(0).normal(1.0, 0.5, (60, 2))
    outcomes = 1.0 + places @ [0.8, -0.5]
    assert abs(lines(places, outcomes, everyone(60)).mean[0] - 1.0) < 0.15


def test_a_ridge_keeps_a_place_from_telling():
    places = np.random.default_rng(0).normal(0.0, 1.0, (60, 2))
    outcomes = np.array([2.0 * places[:, 1]])
    ridge = np.diag([0.3, 1.0, 1e6])[None]
    asked = (outcomes, outcomes, np.ones((1, 60), dtype=bool))
    told = straight(places, 0 * outcomes, *asked, ridge, NOISE)
    assert told.agreement[0] > -0.1
    free = straight(places, 0 * outcomes, *asked, np.diag([0.3, 1.0, 1.0])[None], NOISE)
    assert free.agreement[0] < -1


def test_agreement_is_how_well_each_is_told_by_the_others():
    rng = np.random.default_rng(3)
    places, outcomes = rng.normal(size=(7, 2)), rng.normal(size=7)
    off = []
    for left_out in range(7):
        kept = np.arange(7) != left_out
        # Nearness to the run stays what it is, wherever the lines are asked.
        weights = np.exp(-0.5 * (places[kept, 0] / 1.5) ** 2)
        table = np.column_stack([np.ones(6), places[kept]])
        square = (table.T * weights) @ table + np.diag([0.3, 1.0, 1.0])
        told = np.linalg.solve(square, (table.T * weights) @ outcomes[kept])
        off.append(outcomes[left_out] - told @ [1.0, *places[left_out]])
    near = np.exp(-0.5 * (places[:, 0] / 1.5) ** 2)
    believed = 2.0 * NOISE[0]
    expected = np.log((believed + near @ np.square(off)) / (believed + near @ np.square(outcomes)))
    assert np.allclose(lines(places, outcomes, everyone(7)).agreement[0], expected)


def test_peers_that_differ_by_chance_do_not_agree():
    rng = np.random.default_rng(0)
    places = rng.normal(size=(40, 2))
    by_chance = lines(places, rng.normal(size=40), everyone(40)).agreement[0]
    alike = lines(places, 1.5 + 0.1 * rng.normal(size=40), everyone(40)).agreement[0]
    assert alike < -1 < -0.2 < by_chance


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
    together = lines(places, outcomes, known)
    for index in range(4):
        one = lines(places[index], outcomes[index], known[index])
        for part, alone in zip(together, one, strict=True):
            assert np.allclose(part[index], alone)
