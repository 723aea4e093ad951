import math

import pytest
import torch
from scipy import stats

from lcpfn.priors import LogNormal, Uniform

PRIORS = {
    "uniform": (Uniform(-0.5, 2.0), stats.uniform(-0.5, 2.5)),
    "log_normal": (LogNormal(-2.0, 0.7), stats.lognorm(0.7, scale=math.exp(-2.0))),
}


@pytest.mark.parametrize("name", PRIORS)
def test_draws_follow_the_distribution(name: str) -> None:
    prior, exact = PRIORS[name]
    draws = prior.sample((4000, 1), torch.Generator().manual_seed(0))
    assert draws.shape == (4000, 1)
    assert stats.kstest(draws[:, 0].numpy(), exact.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", PRIORS)
def test_log_density_is_exact_and_minus_infinity_outside(name: str) -> None:
    prior, exact = PRIORS[name]
    points = torch.tensor([-1.0, 0.05, 0.2, 1.9, 2.4], dtype=torch.float64)
    expected = torch.as_tensor(exact.logpdf(points.numpy()))
    torch.testing.assert_close(prior.log_prob(points), expected)


def test_the_same_generator_gives_the_same_draws() -> None:
    first = LogNormal(0.0, 1.0).sample((5,), torch.Generator().manual_seed(4))
    again = LogNormal(0.0, 1.0).sample((5,), torch.Generator().manual_seed(4))
    assert torch.equal(first, again)
