"""The network in torch asked as its engine is asked, and answers compared."""

import dataclasses
from typing import Any

import numpy as np
import torch

from lcpfn.network.config import NetworkConfig
from lcpfn.network.histogram import BinnedDistribution
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.transformer import Network


def random_network(seed: int = 0, **shape: Any) -> Network:
    """A small network, all of whose weights are random."""
    generator = torch.Generator().manual_seed(seed)
    config = NetworkConfig(**{"width": 32, "layers": 2, "heads": 2, "bins": 16, **shape})
    network = Network(config).initialise(generator)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


@torch.inference_mode()
def answered(
    network: Network, observations: Observations, questions: Questions
) -> BinnedDistribution:
    """Questions (curves, m) after all observations, in torch."""
    prefixes = torch.full(questions.fractions.shape, observations.length)
    return network(network.view.observe(observations), observations, prefixes, questions)


def in_numpy(given: Observations | Questions) -> Any:
    """The same in numpy arrays."""
    parts = {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    return type(given)(
        **{name: None if part is None else part.numpy() for name, part in parts.items()}
    )


def assert_same(left: BinnedDistribution, right: BinnedDistribution, tolerance: float) -> None:
    left, right = left.numpy(), right.numpy()
    distance = (left.location - right.location) / right.scale
    np.testing.assert_allclose(distance, 0, atol=tolerance)
    np.testing.assert_allclose(left.scale, right.scale, rtol=tolerance)
    np.testing.assert_allclose(left.log_masses, right.log_masses, atol=tolerance)
