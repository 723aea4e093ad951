from __future__ import annotations

import numpy as np
import pytest
import torch

from lcpfn.network.comparison import OWN
from lcpfn.network.gate import (
    GATE,
    KINSHIP,
    USE,
    gated,
    initial_gate,
    overstated,
    seen_by_gate,
)

HELPFUL = np.array([[1.5], [1.5], [-2.0]], np.float32)
NATS = np.full((3, 1), 0.3, np.float32)


def own(share: float = 0.1, count: int = 8) -> np.ndarray:
    told = np.random.default_rng(1).normal(size=(3, len(OWN))).astype(np.float32)
    told[:, OWN["share"]] = share
    told[:, OWN["log_count"]] = 0.5 * np.log1p(count)
    told[:, OWN["one_in"]] = 1 / count
    return told


def answering(use: float, kinship: float) -> dict[str, np.ndarray]:
    """A gate that always answers the same."""
    gate = initial_gate(np.random.default_rng(0))
    gate["gate.out_bias"][[USE, KINSHIP]] = use, kinship
    return gate


def test_an_untrained_gate_changes_nothing():
    gate = initial_gate(np.random.default_rng(0))
    assert {name: weight.shape for name, weight in gate.items()} == GATE
    assert np.array_equal(gated(gate, own(), HELPFUL, NATS), HELPFUL)


def test_peers_of_another_task_close_it_and_none_opens_it():
    assert (gated(answering(0.0, -3.0), own(), HELPFUL, NATS) < HELPFUL - 2).all()
    assert np.array_equal(gated(answering(0.0, 3.0), own(), HELPFUL, NATS), HELPFUL)


def test_peers_of_use_open_it_unless_they_are_of_another_task():
    assert (gated(answering(2.0, 3.0), own(), HELPFUL, NATS) > HELPFUL + 1).all()
    assert (gated(answering(2.0, -5.0), own(), HELPFUL, NATS) < HELPFUL).all()


def test_a_single_peer_of_another_task_closes_it_more():
    stranger = answering(0.0, -3.0)
    assert (
        gated(stranger, own(count=1), HELPFUL, NATS) < gated(stranger, own(), HELPFUL, NATS) - 1
    ).all()


def test_peers_of_another_task_close_it_late_too():
    early, late = (gated(answering(0.0, -3.0), own(share), HELPFUL, NATS) for share in (0.1, 0.8))
    assert (early - HELPFUL < -4).all()
    assert (late - HELPFUL < -2).all()


def test_of_what_use_they_are_fades_as_the_run_goes_on():
    early, late, end = (
        gated(answering(2.0, 0.0), own(share), HELPFUL, NATS) for share in (0.1, 0.8, 1)
    )
    assert (early - HELPFUL > 10 * (late - HELPFUL)).all()
    assert np.array_equal(end, HELPFUL)


def test_more_than_so_few_can_know_closes_it():
    gate = initial_gate(np.random.default_rng(0))
    for count, believed, too_much in ((1, 0.5, 1.5), (16, 1.1, 2.5), (64, 1.3, 3.0)):
        assert np.array_equal(
            gated(gate, own(count=count), HELPFUL, NATS + believed - 0.3), HELPFUL
        )
        closed = gated(gate, own(count=count), HELPFUL, NATS + too_much)
        assert (closed < HELPFUL - 1).all()
    assert (overstated(own(count=1), NATS + 1) > overstated(own(count=16), NATS + 1)).all()


@pytest.mark.parametrize("far", [1e3, -1e3])
def test_what_lies_far_off_counts_as_far(far: float):
    gate = initial_gate(np.random.default_rng(0))
    gate["gate.out"] += 1
    told = own()
    told[:, 3] = far
    assert np.abs(gated(gate, told, HELPFUL, NATS)).max() < 1e3
    told[:, 3] = 100 * far
    once = gated(gate, told, HELPFUL, NATS)
    told[:, 3] = 1000 * far
    assert np.array_equal(gated(gate, told, HELPFUL, NATS), once)


def test_one_run_is_told_as_many_are_and_torch_agrees():
    gate = initial_gate(np.random.default_rng(0))
    gate["gate.out"] += np.random.default_rng(2).normal(size=GATE["gate.out"]).astype(np.float32)
    together = gated(gate, own(), HELPFUL, NATS)
    assert not np.allclose(together, HELPFUL, atol=0.01)
    assert np.allclose(gated(gate, own()[1], HELPFUL[1], NATS[1]), together[1], atol=1e-5)
    tensors = {name: torch.from_numpy(weight) for name, weight in gate.items()}
    found = gated(
        tensors, torch.from_numpy(own()), torch.from_numpy(HELPFUL), torch.from_numpy(NATS)
    )
    assert np.allclose(found.numpy(), together, atol=1e-5)
    assert seen_by_gate(own(), HELPFUL).shape == (3, len(OWN) + 1)
