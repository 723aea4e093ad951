import pytest
import torch

import lcpfn
from lcpfn.network.config import NetworkConfig
from lcpfn.network.transformer import Network
from lcpfn.priors import CurveBatch, ReferencePrior


@pytest.fixture(scope="session")
def reference() -> lcpfn.LCPFN:
    return lcpfn.load("reference")


@pytest.fixture(scope="session")
def prior_curves() -> CurveBatch:
    """2,000 curves that no training saw: their seed is used nowhere else."""
    return ReferencePrior().sample(2000, torch.Generator().manual_seed(987_654_321))


@pytest.fixture
def small_network() -> Network:
    """A small network with random weights, its head included."""
    generator = torch.Generator().manual_seed(0)
    network = Network(NetworkConfig(width=32, layers=2, heads=2, bins=16)).initialise(generator)
    with torch.no_grad():
        network.head.weight.normal_(0, 0.1, generator=generator)
        for block in network.blocks:
            for norm in (block.norm_attention, block.norm_feed):
                norm.weight.normal_(1, 0.2, generator=generator)
                norm.bias.normal_(0, 0.2, generator=generator)
    return network.eval()
