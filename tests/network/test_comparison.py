from __future__ import annotations

import warnings

import numpy as np
import pytest

from lcpfn.network.comparison import OWN, compared, gathered
from lcpfn.network.likeness import Unlikeness
from lcpfn.network.outcomes import EXPECTED
from lcpfn.network.peer_description import PEER, PREPARED, prepared
from lcpfn.network.run_facts import FACTS, RunFacts

LEVELS = [
    RunFacts._fields.index(name)
    for name in (
        *("first", "quarter", "half", "value", "low", "middle", "high"),
        *("became", "became_low", "became_middle", "became_high"),
    )
]


def runs(count: int, level: float = 0.0, seed: int = 0) -> np.ndarray:
    """Facts of runs (count, FACTS)."""
    rng = np.random.default_rng(seed)
    facts = np.empty((count, FACTS))
    for row in facts:
        first, quarter, half, value = level + np.sort(rng.uniform(0, 1, 4))
        low, middle, high = value + np.sort(rng.uniform(0, 1, 3))
        row[:] = RunFacts(
            *(0.2, first, quarter, half, value, low, middle, high, rng.uniform()),
            *(1.0, high - 0.1, low, middle, high, rng.uniform()),
        )
    return facts


def described(own: np.ndarray, peers: np.ndarray):
    count = len(peers)
    unlike = Unlikeness(np.full((count, 2), np.nan), None)
    share = np.array(0.2)
    return compared(share, own, gathered(prepared(peers), np.ones(count, dtype=bool)), unlike)


def test_shapes_are_as_said():
    own, *peers = runs(6)
    assert prepared(np.array(peers)).shape == (5, len(PREPARED))
    told = described(own, np.array(peers))
    assert told.peers.shape == (5, len(PEER))
    assert told.own.shape == (len(OWN),)


@pytest.mark.parametrize(("gain", "offset"), [(1e6, 0.0), (1e-6, 0.0), (3.0, 20.0)])
def test_units_do_not_matter(gain: float, offset: float):
    facts = runs(6)
    moved = facts.copy()
    moved[:, LEVELS] = offset + gain * facts[:, LEVELS]
    one, other = described(facts[0], facts[1:]), described(moved[0], moved[1:])
    assert np.allclose(one.peers, other.peers, atol=1e-5)
    assert np.allclose(one.own, other.own, atol=1e-5)


def test_the_order_of_peers_does_not_matter():
    own, *peers = runs(7)
    one, other = described(own, np.array(peers)), described(own, np.array(peers[::-1]))
    assert np.allclose(one.peers, other.peers[::-1])
    assert np.allclose(one.own, other.own, atol=1e-6)


def test_who_is_not_there_does_not_count():
    own, *peers = runs(7)
    prepared_peers = prepared(np.array(peers))
    present = np.array([True, True, False, True, False, True])
    rng = np.random.default_rng(0)
    far, moves = rng.uniform(size=(6, 2)), rng.normal(size=(6, 3))
    unlike = Unlikeness(far[None], moves[None])
    others = gathered(prepared_peers[None], present[None])
    some = compared(np.array([0.2]), own[None], others, unlike)
    unlike = Unlikeness(far[present], moves[present])
    fewer = compared(np.array(0.2), own, gathered(prepared_peers[present]), unlike)
    assert np.allclose(some.own[0], fewer.own, atol=1e-6)
    assert np.allclose(some.peers[0][present], fewer.peers, atol=1e-6)


def test_a_run_of_another_task_lies_off_its_peers():
    peers = runs(16)
    near, far = described(runs(1, seed=9)[0], peers), described(runs(1, 30.0, seed=9)[0], peers)
    assert np.abs(far.own).mean() > np.abs(near.own).mean() + 0.3


def test_what_is_not_known_leaves_numbers():
    own, *peers = runs(4)
    unknown = np.array(peers)
    unknown[:, RunFacts._fields.index("met") :] = np.nan
    told = described(own, unknown)
    assert np.isfinite(told.peers).all()
    assert np.isfinite(told.own).all()


def test_peers_that_did_better_than_forecast_let_expect_it_of_the_run():
    own, *peers = runs(17)
    worse, better = np.array(peers), np.array(peers)
    worse[:, RunFacts._fields.index("became_met")] = 0.05
    better[:, RunFacts._fields.index("became_met")] = 0.95
    low, high = (described(own, facts).own[OWN["expected"]] for facts in (worse, better))
    assert low[EXPECTED["mean"]] < -0.5
    assert high[EXPECTED["mean"]] > 0.5


def test_what_is_too_far_is_far():
    own, *peers = runs(4)
    peers = np.array(peers)
    peers[0, LEVELS] *= 1e299
    own[LEVELS] *= 1e-20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = described(own, peers)
    assert np.isfinite(told.peers).all()
    assert np.isfinite(told.own).all()
