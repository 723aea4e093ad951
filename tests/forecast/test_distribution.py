"""What `Extrapolation` asks of a distribution, of the network's and of the samplers' alike."""

import numpy as np
import pytest
import torch

from lcpfn.forecast.distribution import Distribution
from lcpfn.mcmc.mixture import Mixture
from lcpfn.network.histogram import BinnedDistribution, starting_log_masses


def binned() -> BinnedDistribution:
    location, scale = np.array([0.4, 0.6, 0.7]), np.array([0.1, 0.05, 0.2])
    masses = np.broadcast_to(starting_log_masses(64), (3, 64))
    return BinnedDistribution(location, scale, masses)


def mixture() -> Mixture:
    centres = torch.tensor([[0.3, 0.5], [0.6, 0.62], [0.6, 0.8]], dtype=torch.float64)
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    return Mixture(centres, torch.full_like(centres, 0.05), weights)


def area(height: np.ndarray, at: np.ndarray) -> np.ndarray:
    return ((height[1:] + height[:-1]) / 2 * np.diff(at, axis=0)).sum(0)


@pytest.mark.parametrize("made", [binned, mixture])
@pytest.mark.parametrize("bounds", [(None, None), (0.2, 0.8), (0.35, None)])
def test_answers_agree_with_each_other(made, bounds) -> None:
    distribution: Distribution = made().truncate(*bounds)
    assert isinstance(distribution, Distribution)
    levels = np.array([[0.06], [0.5], [0.94]])
    quantiles = np.asarray(distribution.quantile(levels))
    assert quantiles.shape == (3, 3) and quantiles.dtype == np.float64
    np.testing.assert_allclose(distribution.cdf(quantiles), levels + np.zeros((3, 3)), atol=1e-6)
    low, high = np.asarray(distribution.quantile(np.array([[0.0], [1.0]])))
    at = np.linspace(np.maximum(low, -3), np.minimum(high, 4), 20_001)
    density = np.exp(np.asarray(distribution.log_prob(at)))
    total = area(density, at)
    np.testing.assert_allclose(total, 1, atol=2e-3)
    mean = area(density * at, at)
    np.testing.assert_allclose(distribution.mean, mean, atol=5e-3)
    std = np.sqrt(area(density * (at - mean) ** 2, at))
    np.testing.assert_allclose(distribution.std, std, atol=2e-2)
    if bounds[0] is not None:
        assert (np.asarray(distribution.log_prob(np.full(3, bounds[0] - 0.01))) == -np.inf).all()


@pytest.mark.parametrize("made", [binned, mixture])
def test_parts_and_copies(made) -> None:
    distribution: Distribution = made().truncate(0.1, 0.9)
    one = distribution[1]
    assert float(one.cdf(0.6)) == pytest.approx(float(distribution.cdf(0.6)[1]))
    several = one.expand(4)
    assert np.asarray(several.mean).shape == (4,)
    np.testing.assert_allclose(several.mean, float(one.mean))
