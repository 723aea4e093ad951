import math

import numpy as np
import pytest
import torch
from scipy import stats

from lcpfn.network.histogram import BinnedDistribution, bin_edges, starting_log_masses

BINS = 40


def one(seed: int, low: float | None = None, high: float | None = None) -> BinnedDistribution:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(BINS, generator=generator, dtype=torch.float64)
    log_masses = torch.log_softmax(torch.from_numpy(starting_log_masses(BINS)) + 1.5 * noise, -1)
    location = torch.randn((), generator=generator, dtype=torch.float64)
    scale = torch.exp(torch.randn((), generator=generator, dtype=torch.float64))
    return BinnedDistribution(location, scale, log_masses).truncate(low, high)


CASES = [(None, None), (0.3, None), (None, 0.1), (-0.5, 0.8), (40.0, 41.0), (None, -60.0)]


def density_integral(distribution: BinnedDistribution, power: int) -> float:
    """Integrates y^power times the density piece by piece, independently of the class's sums."""
    location, scale = float(distribution.location), float(distribution.scale)
    tail = scale * np.linspace(0, 400, 200)
    inner = location + scale * bin_edges(BINS)
    ends = np.concatenate([inner[0] - tail[:0:-1], inner, inner[-1] + tail[1:]])
    low = -math.inf if distribution.low is None else distribution.low
    high = math.inf if distribution.high is None else distribution.high
    ends = np.unique(np.clip(ends, low, high))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = np.diff(ends)[:, None] / 2
    y = ends[:-1, None] + half * (1 + nodes)
    density = torch.exp(distribution.log_prob(torch.as_tensor(y))).numpy()
    return float((half * weights * y**power * density).sum())


@pytest.mark.parametrize("bounds", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_density_integrates_to_one_and_to_the_moments(
    seed: int, bounds: tuple[float | None, float | None]
) -> None:
    distribution = one(seed, *bounds)
    mean, second = density_integral(distribution, 1), density_integral(distribution, 2)
    size = max(1.0, abs(mean))
    assert density_integral(distribution, 0) == pytest.approx(1, abs=1e-7)
    assert float(distribution.mean) == pytest.approx(mean, abs=1e-6 * size)
    variance = second - mean**2
    assert float(distribution.std) ** 2 == pytest.approx(variance, rel=1e-4, abs=1e-7 * size**2)


@pytest.mark.parametrize("bounds", CASES)
def test_cdf_is_the_integral_of_the_density_and_quantile_its_inverse(
    bounds: tuple[float | None, float | None],
) -> None:
    distribution = one(3, *bounds)
    q = torch.linspace(0.001, 0.999, 201, dtype=torch.float64)
    y = distribution.quantile(q)
    assert (y.diff() > 0).all()
    torch.testing.assert_close(distribution.cdf(y), q, atol=1e-7, rtol=0)
    middle = (y[1:] + y[:-1]) / 2
    near = 1e-4 * (y[-1] - y[0])
    slope = (distribution.cdf(middle + near) - distribution.cdf(middle - near)) / (2 * near)
    agree = torch.isclose(slope, torch.exp(distribution.log_prob(middle)), rtol=1e-3)
    # The density jumps at bin edges; a difference across one is not its derivative.
    assert agree.double().mean() > 0.9


def test_extreme_probabilities_reach_the_bounds_or_infinity() -> None:
    open_ends = one(0).quantile(torch.tensor([0.0, 1.0]))
    assert open_ends[0] == -math.inf and open_ends[1] == math.inf
    cut = one(0, -1.0, 1.0).quantile(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(cut, torch.tensor([-1.0, 1.0], dtype=torch.float64))


def test_samples_follow_the_cdf() -> None:
    distribution = one(5, -2.0, None)
    draws = distribution.sample((4000,), torch.Generator().manual_seed(0))
    uniform = distribution.cdf(draws).numpy()
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3


def test_nothing_outside_the_bounds() -> None:
    distribution = one(1, 0.0, 1.0)
    outside = torch.tensor([-1e-9, 1 + 1e-9], dtype=torch.float64)
    assert (distribution.log_prob(outside) == -math.inf).all()
    assert distribution.cdf(torch.tensor(0.0)) == 0 and distribution.cdf(torch.tensor(1.0)) == 1
    assert 0 < float(distribution.mean) < 1


def test_mass_far_outside_piles_up_at_the_bound() -> None:
    distribution = BinnedDistribution(
        torch.tensor(-50.0, dtype=torch.float64),
        torch.tensor(1e-3, dtype=torch.float64),
        torch.from_numpy(starting_log_masses(BINS)),
    ).truncate(0.0, 1.0)
    assert 0 <= float(distribution.quantile(torch.tensor(0.99))) < 0.05


@pytest.mark.parametrize("gain", [2.5, -0.4])
def test_affine_map_moves_everything(gain: float) -> None:
    distribution = one(2, -1.0, 2.0)
    moved = distribution.affine(7.0, gain)
    q = torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)
    expected = 7.0 + gain * distribution.quantile(q if gain > 0 else 1 - q)
    torch.testing.assert_close(moved.quantile(q), expected)
    torch.testing.assert_close(moved.mean, 7.0 + gain * distribution.mean)
    torch.testing.assert_close(moved.std, abs(gain) * distribution.std)
    y = distribution.quantile(torch.tensor(0.37, dtype=torch.float64))
    torch.testing.assert_close(
        moved.log_prob(7.0 + gain * y), distribution.log_prob(y) - math.log(abs(gain))
    )


@pytest.mark.parametrize("bounds", CASES)
def test_numpy_and_torch_give_the_same(bounds: tuple[float | None, float | None]) -> None:
    single = one(6).truncate(*bounds)
    for distribution in (single, single.expand(1), single.expand(3, 2)):
        in_numpy = distribution.affine(1.0, -2.0).numpy().affine(1.0, -2.0)
        in_torch = distribution.affine(1.0, -2.0).affine(1.0, -2.0)
        q = torch.tensor([0.0, 1e-7, 0.3, 0.9, 1.0], dtype=torch.float64)
        q = q.reshape(-1, *[1] * distribution.location.ndim)
        y = in_torch.quantile(q)
        for answer, expected in [
            (in_numpy.quantile(q.numpy()), y),
            (in_numpy.cdf(y.numpy()), in_torch.cdf(y)),
            (in_numpy.log_prob(y.numpy()), in_torch.log_prob(y)),
            (in_numpy.mean, in_torch.mean),
            (in_numpy.std, in_torch.std),
            (
                in_numpy.sample((5,), torch.Generator().manual_seed(0)),
                in_torch.sample((5,), torch.Generator().manual_seed(0)),
            ),
        ]:
            assert not isinstance(answer, torch.Tensor)
            np.testing.assert_allclose(answer, expected.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_soft_target_is_the_expected_density(noise: float) -> None:
    distribution = one(4)
    clean = float(distribution.quantile(torch.tensor(0.4)))
    spread = noise * float(distribution.scale)
    soft = distribution.expected_log_prob(torch.tensor(clean), torch.tensor(spread), blur=0.0)
    draws = clean + spread * np.random.default_rng(0).standard_normal(200_000)
    hard = distribution.log_prob(torch.as_tensor(draws)).numpy()
    assert float(soft) == pytest.approx(hard.mean(), abs=4 * hard.std() / math.sqrt(len(hard)))


@pytest.mark.parametrize("y", [-90.0, -9.0, 0.0, 1.3, 14.0, 200.0])
def test_crps_is_the_area_between_distribution_functions(y: float) -> None:
    distribution = one(3)
    grid = torch.linspace(-600, 900, 3_000_001, dtype=torch.float64)
    step = (grid >= y).double()
    area = float(torch.trapezoid((distribution.cdf(grid) - step) ** 2, grid))
    assert float(distribution.crps(torch.tensor(y))) == pytest.approx(area, rel=1e-3)
