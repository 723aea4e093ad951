import numpy as np
import pytest
import torch

from lcpfn.priors import FAMILIES

STEPS = torch.arange(1, 101, dtype=torch.float64)
NUMPY_STEPS = STEPS.numpy()

# Domhan et al. 2015, table 1, written out once more in plain numpy.
FORMULAS = {
    "pow3": lambda t, a, c, alpha: c - a * t**-alpha,
    "pow4": lambda t, a, b, c, alpha: c - (a * t + b) ** -alpha,
    "log_power": lambda t, a, b, c: a / (1 + (t / np.exp(b)) ** c),
    "weibull": lambda t, alpha, beta, kappa, delta: (
        alpha - (alpha - beta) * np.exp(-((kappa * t) ** delta))
    ),
    "mmf": lambda t, alpha, beta, kappa, delta: alpha - (alpha - beta) / (1 + (kappa * t) ** delta),
    "janoschek": lambda t, a, beta, k, delta: a - (a - beta) * np.exp(-k * t**delta),
    "exp4": lambda t, a, b, c, alpha: c - np.exp(-a * t**alpha + b),
    "ilog2": lambda t, a, c: c - a / np.log(t + 1),
    "vap": lambda t, a, b, c: np.exp(a + b / t + c * np.log(t)),
    "loglog_linear": lambda t, a, b: np.log(a * np.log(t) + b),
    "dr_hill_zero_background": lambda t, theta, eta, log_kappa: (
        theta * t**eta / (np.exp(log_kappa) ** eta + t**eta)
    ),
}


def test_all_eleven_families_are_there() -> None:
    assert set(FAMILIES) == set(FORMULAS) and len(FAMILIES) == 11


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_batched_function_equals_the_formula(name: str) -> None:
    family = FAMILIES[name]
    drawn = family.sample_parameters(50, torch.Generator().manual_seed(1))
    parameters = {key: value.double() for key, value in drawn.items()}
    curves = family.function(STEPS, **parameters)
    assert curves.shape == (50, 100)
    with np.errstate(over="ignore"):
        expected = FORMULAS[name](NUMPY_STEPS, **{k: v.numpy() for k, v in parameters.items()})
    np.testing.assert_allclose(curves.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_draws_lie_in_the_support_of_their_log_density(name: str) -> None:
    family = FAMILIES[name]
    drawn = family.sample_parameters(200, torch.Generator().manual_seed(2))
    density = family.log_prob(drawn)
    assert density.shape == (200,) and torch.isfinite(density).all()


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_some_draws_rise_within_the_unit_interval(name: str) -> None:
    family = FAMILIES[name]
    curves = family.function(
        STEPS.float(), **family.sample_parameters(2000, torch.Generator().manual_seed(3))
    )
    usable = (curves >= 0).all(1) & (curves <= 1).all(1) & (curves[:, -1] >= curves[:, 0])
    assert usable.double().mean() > 0.05
