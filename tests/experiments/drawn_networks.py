"""Untrained networks to learn and to learn from."""

from __future__ import annotations

import torch

from lcpfn.network.config import NetworkConfig
from lcpfn.network.transformer import Network


def drawn_network(seed: int, shape: NetworkConfig) -> Network:
    """A network that says something of its own."""
    network = Network(shape).initialise(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        network.head.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(seed))
    return network.requires_grad_(False)
