from __future__ import annotations

import numpy as np

from lcpfn.network.consensus import consensus, said_by_ends

LATE = np.array(0.8)


def said(scores: list[float], share: np.ndarray = LATE) -> tuple[float, float]:
    told = np.array(scores)
    ends = said_by_ends(told, np.ones(len(told), dtype=bool))
    mean, precision = consensus(ends, share).tolist()
    return mean, precision


def test_nobody_says_nothing():
    assert np.array_equal(said_by_ends(np.zeros(0), np.zeros(0, dtype=bool)), [0, 0])
    assert np.array_equal(said_by_ends(np.ones(3), np.zeros(3, dtype=bool)), [0, 0])
    assert said([1.0, 1.0], np.array(0.0)) == (0, 0)


def test_ends_that_lie_high_move_up_the_more_the_more_there_are():
    few, _ = said([1.0] * 2)
    many, _ = said([1.0] * 20)
    assert 0 < few < many
    assert said([-1.0] * 20)[0] == -many


def test_ends_that_scatter_widen_and_those_that_do_not_narrow():
    assert said([-1.8, 1.8] * 10)[1] < 0 < said([-0.2, 0.2] * 10)[1]
    assert said([-1.8, 1.8])[1] > said([-1.8, 1.8] * 10)[1]


def test_one_that_lies_far_off_is_no_more_than_far():
    assert said([9.0, 0.0, 0.0]) == said([2.0, 0.0, 0.0])


def test_the_later_it_is_the_more_it_counts():
    assert said([1.0], np.array(0.2))[0] < said([1.0])[0]


def test_runs_are_told_side_by_side_what_they_are_told_alone():
    rng = np.random.default_rng(0)
    scores, ended = rng.normal(size=(4, 6)), rng.random((4, 6)) < 0.6
    share = rng.random(4)
    together = consensus(said_by_ends(scores, ended), share)
    for row in range(4):
        ends = said_by_ends(scores[row][ended[row]], np.ones(ended[row].sum(), bool))
        alone = consensus(ends, share[row])
        assert np.allclose(together[row], alone, atol=1e-6)
