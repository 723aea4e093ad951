from __future__ import annotations

import numpy as np
import pytest
import torch

from lcpfn.network.comparison import OWN
from lcpfn.network.correction import BINS, EDGES, WIDTHS, mirrored
from lcpfn.network.likeness import unlikeness
from lcpfn.network.peer_description import PEER
from lcpfn.network.peers import PeerConfig, PeerNetwork


def network(trained: bool = True) -> PeerNetwork:
    rng = np.random.default_rng(0)
    config = PeerConfig(width=16, layers=2, heads=2)
    weights = config.initialise(rng)
    if trained:
        weights["head"] = 0.3 * rng.normal(size=weights["head"].shape).astype(np.float32)
    return PeerNetwork(config, weights)


def told(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    peers = rng.normal(size=(*shape, len(PEER))).astype(np.float32)
    own = rng.normal(size=(*shape[:-1], len(OWN))).astype(np.float32)
    own[..., OWN["log_count"]] = 0.5 * np.log1p(shape[-1])
    own[..., OWN["one_in"]] = 1 / shape[-1]
    return peers, own


def test_bins_are_symmetric_and_fine_at_both_ends():
    assert np.allclose(EDGES, 1 - EDGES[::-1])
    assert (WIDTHS > 0).all()
    assert (EDGES < 0.05).sum() >= 8
    assert np.array_equal(mirrored(mirrored(WIDTHS)), WIDTHS)


def test_an_untrained_network_corrects_nothing():
    assert np.allclose(np.exp(network(trained=False)(*told(5))), WIDTHS, rtol=1e-5)


def test_masses_add_up_to_one():
    masses = np.exp(network()(*told(3, 5)))
    assert masses.shape == (3, BINS)
    assert np.allclose(masses.sum(-1), 1, atol=1e-5)


def test_order_of_peers_does_not_matter():
    peers, own = told(6)
    swapped = peers[[0, 4, 2, 5, 1, 3]]
    assert np.allclose(network()(peers, own), network()(swapped, own), atol=1e-4)


def test_what_is_not_there_is_not_heard():
    peers, own = told(2, 6)
    present = np.ones((2, 6), dtype=bool)
    present[:, 4:] = False
    heard = network()(peers, own, present)
    assert np.allclose(heard, network()(peers[:, :4], own), atol=1e-5)


def test_what_all_ends_say_is_heard_as_far_as_peers_are():
    centre = 0.5 * (EDGES[1:] + EDGES[:-1])
    untrained, asked = network(trained=False), told(5)

    def answer(mean: float, precision: float, odds: float = 0.0) -> np.ndarray:
        bias = untrained.weights["head_bias"].copy()
        bias[BINS] += odds
        heard = PeerNetwork(untrained.config, {**untrained.weights, "head_bias": bias})
        return np.exp(heard(*asked, consensus=np.array([mean, precision], np.float32)))

    assert answer(1, 0) @ centre > 0.6
    assert 0.5 < answer(1, 0, odds=-3) @ centre < answer(1, 0) @ centre
    assert answer(0, 3) @ centre == pytest.approx(0.5, abs=1e-4)
    assert answer(0, 3) @ (centre - 0.5) ** 2 < WIDTHS @ (centre - 0.5) ** 2 - 0.005


def test_peers_that_claim_to_know_more_than_they_can_are_heard_less():
    centre = 0.5 * (EDGES[1:] + EDGES[:-1])
    untrained, asked = network(trained=False), told(1)
    some, too_much = (
        np.exp(untrained(*asked, consensus=np.array([mean, 0.0], np.float32))) @ centre - 0.5
        for mean in (1.0, 6.0)
    )
    assert some > 0.05 > abs(too_much)


def test_peers_that_are_of_no_use_correct_nothing():
    own = network()
    doubtful = own.weights["head"].copy()
    doubtful[:, BINS] = 0
    bias = own.weights["head_bias"].copy()
    bias[BINS] = -30
    doubting = PeerNetwork(own.config, {**own.weights, "head": doubtful, "head_bias": bias})
    assert not np.allclose(np.exp(own(*told(5))), WIDTHS, rtol=0.01)
    assert np.allclose(np.exp(doubting(*told(5))), WIDTHS, rtol=1e-4)


def test_torch_and_numpy_agree():
    own = network()
    tensors = PeerNetwork(own.config, {k: torch.from_numpy(v) for k, v in own.weights.items()})
    parts = told(2, 6)
    found = tensors(*(torch.from_numpy(part) for part in parts)).numpy()
    assert np.allclose(own(*parts), found, atol=1e-4)


def test_runs_that_are_made_alike_are_near():
    own = [1.0, 10.0, np.nan]
    peers = [[1.0, 10.0, 5.0], [2.0, 1000.0, 5.0], [1e6, 1e9, 5.0], [np.nan] * 3]
    far = unlikeness(np.array([own, *peers]), np.arange(5.0)).distances
    assert far[0, 0] == 0
    assert far[0, 0] < far[1, 0] < far[2, 0]
    assert np.isnan(far[3]).all()


def test_scales_of_hyperparameters_do_not_matter():
    rng = np.random.default_rng(0)
    settings, worths = rng.uniform(size=(8, 3)), rng.uniform(size=8)
    plain, other = unlikeness(settings, worths), unlikeness(np.exp(settings), worths)
    assert np.allclose(plain.distances, other.distances)
    assert np.allclose(plain.moves, other.moves)


def test_moves_say_which_way_and_what_matters():
    rng = np.random.default_rng(0)
    settings = rng.uniform(size=(40, 2))
    moves = unlikeness(settings, settings[:, 0]).moves
    assert (np.sign(moves) == np.sign(settings[1:] - settings[0])).all()
    assert np.abs(moves[:, 0]).mean() > 2 * np.abs(moves[:, 1]).mean()


def test_words_differ_or_not():
    settings = np.array([[0.0], [0.0], [1.0], [7.0]])
    far = unlikeness(settings, np.zeros(4), np.array([True])).distances
    assert far[:, 0].tolist() == [0.0, 1.0, 1.0]
