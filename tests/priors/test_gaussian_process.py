import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from experiments.gp_exact import compare, divergence
from lcpfn.network.histogram import BinnedDistribution, bin_edges
from lcpfn.network.transformer import Network
from lcpfn.priors import GaussianProcessPrior, Prior

PRIOR = GaussianProcessPrior()


def test_it_is_a_prior() -> None:
    assert isinstance(PRIOR, Prior)
    first, second = (PRIOR.sample(3, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first.values, second.values)
    assert first.values.dtype == torch.float32 and first.noise.shape == (3, 1)


def test_draws_have_the_stated_covariance() -> None:
    batch = PRIOR.sample(40_000, torch.Generator().manual_seed(2))
    covariance = np.cov(batch.clean[:, [0, 1, 9, 99]].numpy().T)
    logarithm = np.log([1, 2, 10, 100])
    expected = 0.04 * np.exp(-0.5 * (logarithm[:, None] - logarithm) ** 2)
    np.testing.assert_allclose(covariance, expected, atol=0.0015)
    np.testing.assert_allclose(batch.clean.mean(0).numpy(), 0.5, atol=0.01)
    assert (batch.values - batch.clean).std().item() == pytest.approx(0.05, rel=0.01)


@pytest.mark.parametrize("seen", [1, 10, 80])
def test_posterior_equals_that_of_scikit_learn(seen: int) -> None:
    values = PRIOR.sample(4, torch.Generator().manual_seed(3)).values[:, :seen]
    mean, std = PRIOR.posterior(values)
    logarithm = np.log(np.arange(1, 101))[:, None]
    for curve, ours in zip(values.double().numpy(), mean.numpy(), strict=True):
        process = GaussianProcessRegressor(
            ConstantKernel(0.04) * RBF(1.0), alpha=0.05**2, optimizer=None
        ).fit(logarithm[:seen], curve - 0.5)
        theirs, spread = process.predict(logarithm[seen:], return_std=True)
        np.testing.assert_allclose(ours, theirs + 0.5, atol=1e-6)
        np.testing.assert_allclose(std.numpy(), np.sqrt(spread**2 + 0.05**2), rtol=1e-6)


def test_divergence_of_a_fine_histogram_of_the_exact_forecast_is_next_to_nothing() -> None:
    edges = torch.as_tensor(bin_edges(512))
    inner = torch.diff(torch.special.ndtr(edges))
    tail = torch.special.ndtr(edges[:1])
    masses = torch.cat([tail, inner, tail]).clamp_min(1e-30)
    mean, std = torch.tensor([[0.4, 0.7]]).double(), torch.tensor([0.1, 0.02]).double()
    exact = BinnedDistribution(mean, std.expand(1, 2), torch.log(masses).expand(1, 2, -1))
    assert divergence(mean, std, exact).abs().max() < 2e-3
    # One standard deviation off costs half a nat.
    off = BinnedDistribution(mean + std, std.expand(1, 2), exact.log_masses)
    torch.testing.assert_close(
        divergence(mean, std, off), torch.full((1, 2), 0.5).double(), atol=0.03, rtol=0
    )


def test_table_has_a_line_for_each_cutoff(small_network: Network) -> None:
    batch = PRIOR.sample(4, torch.Generator().manual_seed(4))
    lines = compare(small_network, PRIOR, batch)
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 10", "| 20", "| 40", "| 80"]
