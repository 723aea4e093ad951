"""Several networks that learn in one step."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from experiments.support.network_stack import NetworkStack, forecasts
from experiments.train_by_teachers import Teacher
from experiments.train_sixths import Part, chunk_of
from lcpfn.network.config import NetworkConfig
from lcpfn.network.transformer import Network
from lcpfn.priors import AnnealedConfig, AnnealedPrior
from lcpfn.training.ascent import Ascent
from lcpfn.training.config import TrainingConfig
from lcpfn.training.objective import Objective
from lcpfn.training.questions import Examples, draw_examples
from tests.experiments.drawn_networks import drawn_network

SHAPE = NetworkConfig(
    width=16, layers=2, heads=2, bins=16, frame="relative", schedule=True, rates=True, best=True
)
PRIOR = AnnealedPrior(AnnealedConfig(lengths=(13,), length_weights=(1.0,)))
# It has not heard of the best value, nor of rates at the records.
OLDER = drawn_network(9, replace(SHAPE, rates=False, best=False))
CONFIG = TrainingConfig(batch=64, queries=4, learning_rate=1e-3, network=SHAPE)

Batch = dict[str, NDArray[np.generic]]


pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(
    outcome: float, older: float, sixth: int = -1, seed: int = 0, crossed: float = 0.0
) -> tuple[Examples, Batch]:
    """Questions, and the same as a batch for two networks, of which the second lacks sixth 0."""
    generator = torch.Generator().manual_seed(seed)
    examples = draw_examples(PRIOR.sample(64, generator), 4, generator)
    part = Part("drawn", PRIOR, 1.0, outcome, Teacher(OLDER, older), sixth=sixth, crossed=crossed)
    return examples, chunk_of(part, examples, SHAPE, [-2, 0], generator)


def stack_of(*networks: Network) -> NetworkStack:
    return NetworkStack(networks, drawn_network(9, SHAPE), CONFIG, torch.device("cpu"))


def test_stacked_networks_answer_as_each_does_alone() -> None:
    networks = [drawn_network(1, SHAPE), drawn_network(2, SHAPE)]
    examples, batch = drawn(1.0, 0.0)
    # Padding behind the records changes nothing.
    tokens = batch["tokens"]
    batch["tokens"] = np.concatenate([tokens, np.zeros_like(tokens[:, :3])], 1)
    stack = stack_of(*networks)
    tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
    together = forecasts({**stack.weights, "start": networks[0].start.float()}, SHAPE, tensors)
    context = networks[0].view.observe(examples.observations)
    for index, network in enumerate(networks):
        alone = network(context, examples.observations, examples.prefixes, examples.questions)
        torch.testing.assert_close(
            together.log_masses[index], alone.log_masses, atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(together.location[index], alone.location, atol=1e-3, rtol=1e-4)


def test_steps_lead_where_training_alone_leads() -> None:
    networks = [drawn_network(1, SHAPE), drawn_network(2, SHAPE)]
    examples, batch = drawn(1.0, 0.0)
    stack = stack_of(*networks)
    alone = copy.deepcopy(networks[1]).requires_grad_(True).train()
    ascent, objective = Ascent(alone, CONFIG), Objective(alone, 0.0)
    context = alone.view.observe(examples.observations)
    score = 0.0
    for _ in range(40):
        found = objective(context, examples)
        score = float(found.detach())
        ascent.step(found, 1e-3)
        stack.losses.zero_()
        stack.step(batch, 1e-3, half=False)
    started = -float(Objective(networks[1], 0.0)(context, examples).detach())
    assert -score < started - 0.2
    assert float(stack.losses[1]) == pytest.approx(-score, abs=0.05 * (started + score))


def test_a_network_is_not_moved_by_what_it_may_not_hear() -> None:
    networks = [drawn_network(1, SHAPE), drawn_network(2, SHAPE)]
    stack = stack_of(*networks)
    stack.step(drawn(1.0, 0.0, sixth=0)[1], 1e-3, half=False)
    first, second = stack.unstacked()
    assert not torch.equal(first.head.weight, networks[0].head.weight)
    assert torch.equal(second.head.bias, networks[1].head.bias)
    assert float(stack.losses[1]) == 0.0


def test_the_older_network_is_learned_where_it_teaches() -> None:
    stack = stack_of(drawn_network(1, SHAPE), drawn_network(2, SHAPE))
    _, batch = drawn(0.0, 1.0)
    stack.step(batch, 1e-3, half=False)
    before = stack.losses.clone()
    for _ in range(60):
        stack.losses.zero_()
        stack.step(batch, 1e-3, half=False)
    assert (stack.losses < 0.5 * before).all()
    # The teacher itself has nothing to learn.
    taught = NetworkStack(
        [drawn_network(9, SHAPE)], drawn_network(9, SHAPE), CONFIG, torch.device("cpu")
    )
    batch["heard"] = batch["heard"][:1]
    taught.step(batch, 1e-3, half=False)
    assert abs(float(taught.losses[0])) < 1e-4


def test_questions_about_the_best_value_are_not_the_older_networks() -> None:
    examples, batch = drawn(0.5, 0.5)
    assert examples.questions.best is not None
    asked = examples.questions.best.numpy() > 0
    assert (batch["taught"][asked] == 0).all()
    assert (batch["outcome"][asked] == 1).all()
    assert (batch["taught"][~asked] > 0).any()


def test_the_first_learns_runs_from_the_one_that_has_not_heard_them() -> None:
    networks = [drawn_network(1, SHAPE), drawn_network(2, SHAPE)]
    stack = stack_of(*networks)
    _, batch = drawn(1.0, 0.0, sixth=0, crossed=1.0)
    stack.step(batch, 1e-3, half=False)
    before = float(stack.losses[0])
    for _ in range(60):
        stack.losses.zero_()
        stack.step(batch, 1e-3, half=False)
    assert 0 < float(stack.losses[0]) < 0.5 * before
    assert torch.equal(stack.unstacked()[1].head.bias, networks[1].head.bias)
