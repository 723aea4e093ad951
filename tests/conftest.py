from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import lcpfn
from lcpfn.network.config import NetworkConfig

# The same examples each time, on however slow a machine: what fails was broken by a change.
# `pytest --hypothesis-profile=explore` tries others.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", settings.get_profile("explore"), derandomize=True)
settings.load_profile("suite")

# Some tests run where little is installed (`make bare`): what needs more is left out there.
_NEEDED = {
    "torch": ["best", "distribution", "rates", "schedule"],
    "matplotlib": ["plotting"],
}


def _is_missing(package: str) -> bool:
    try:
        return find_spec(package) is None
    except ModuleNotFoundError:
        return True


collect_ignore = [
    f"forecast/test_{name}.py"
    for package, names in _NEEDED.items()
    if _is_missing(package)
    for name in names
]
if _is_missing("optuna"):
    collect_ignore.append("search/test_scenarios.py")

if TYPE_CHECKING:
    from lcpfn.network.transformer import Network
    from lcpfn.priors import CurveBatch


@pytest.fixture(scope="session")
def reference() -> lcpfn.LCPFN:
    return lcpfn.load("reference")


@pytest.fixture(scope="session")
def prior_curves() -> CurveBatch:
    """2,000 curves that no training saw: their seed is used nowhere else."""
    torch = pytest.importorskip("torch")
    from lcpfn.priors import ReferencePrior

    return ReferencePrior().sample(2000, torch.Generator().manual_seed(987_654_321))


@pytest.fixture
def small_network() -> Network:
    """A small network with random weights, its head included."""
    torch = pytest.importorskip("torch")
    from lcpfn.network.transformer import Network

    generator = torch.Generator().manual_seed(0)
    network = Network(NetworkConfig(width=32, layers=2, heads=2, bins=16)).initialise(generator)
    with torch.no_grad():
        network.head.weight.normal_(0, 0.1, generator=generator)
        for block in network.blocks:
            for norm in (block.norm_attention, block.norm_feed):
                norm.weight.normal_(1, 0.2, generator=generator)
                norm.bias.normal_(0, 0.2, generator=generator)
    return network.eval()


@pytest.fixture(scope="session")
def rising_curves() -> np.ndarray:
    """(64, 100) accuracies with noise of their own."""
    generator = np.random.default_rng(11)
    end, height, rate, noise = generator.uniform(
        [[0.5], [0.2], [0.3], [0.001]], [[0.95], [0.5], [1.5], [0.02]], (64, 4, 1)
    ).transpose(1, 0, 2)
    clean = end - height * np.arange(1, 101) ** -rate
    return np.clip(clean + noise * generator.normal(size=clean.shape), 0.01, 0.99)
