"""The samplers of the reference posterior against each other, formulas and the torch sampler."""

from __future__ import annotations

import dataclasses
import math
import sys

import numpy as np
import pytest
import torch
from scipy import stats

import lcpfn
from lcpfn import mcmc
from lcpfn.mcmc import (
    ConvergenceWarning,
    EnsembleSampler,
    ImportanceSampler,
    PriorBank,
    SamplingModel,
)
from lcpfn.mcmc.bank import systematic
from lcpfn.mcmc.diagnostics import diagnose
from lcpfn.mcmc.mixture import Mixture
from lcpfn.mcmc.target import (
    GRID,
    PARAMETER_PRIORS,
    Target,
    clean_curve,
    flatten,
    log_prior,
    supported,
)
from lcpfn.priors import FAMILIES, ReferencePrior
from lcpfn.priors.reference import REFERENCE_FAMILIES

QUICK = EnsembleSampler(walkers=60, steps=600, burn_in=200, thin=10)


@pytest.fixture(scope="module")
def bank() -> PriorBank:
    return PriorBank.draw(200_000, torch.Generator().manual_seed(11))


@pytest.fixture(scope="module")
def prior_parameters() -> np.ndarray:
    """Parameters (500, 13) of accepted prior curves."""
    generator = torch.Generator().manual_seed(12)
    drawn, _ = ReferencePrior().sample_clean(500, generator)
    noise = PARAMETER_PRIORS["noise"].sample((500,), generator).numpy()
    return flatten(drawn, noise)


@pytest.fixture(scope="module")
def easy() -> np.ndarray:
    """A saturating accuracy with noise of 0.05."""
    error = np.random.default_rng(3).normal(0, 0.05, 100)
    return 0.8 - 0.5 * np.exp(-0.1 * GRID) + error


@pytest.fixture(scope="module")
def target(easy: np.ndarray) -> Target:
    return Target(GRID[:15], easy[:15])


def test_curves_are_those_of_the_paper(prior_parameters: np.ndarray) -> None:
    """The formulas of section 3, written out once more, for every point and step."""
    ours = clean_curve(prior_parameters[:50], GRID)
    for row, curve in zip(prior_parameters[:50].tolist(), ours, strict=True):
        w1, a1, c1, alpha, w2, a2, c2, w3, a3, beta, k, delta, _ = row
        for t, value in zip(GRID.tolist(), curve.tolist(), strict=True):
            pow3 = c1 - a1 * t**-alpha
            ilog2 = c2 - a2 / math.log(t + 1)
            janoschek = a3 - (a3 - beta) * math.exp(-k * t**delta)
            assert value == pytest.approx(w1 * pow3 + w2 * ilog2 + w3 * janoschek, abs=1e-12)


def test_curves_equal_the_torch_sampler(prior_parameters: np.ndarray) -> None:
    drawn, clean = ReferencePrior().sample_clean(300, torch.Generator().manual_seed(1))
    ours = clean_curve(flatten(drawn, np.ones(300)), GRID)
    np.testing.assert_allclose(ours, clean.numpy(), atol=2e-5)
    assert supported(clean_curve(prior_parameters, GRID)).mean() > 0.99


def test_log_density_equals_the_priors_and_a_normal_likelihood(
    target: Target, prior_parameters: np.ndarray
) -> None:
    inside = prior_parameters[supported(clean_curve(prior_parameters, GRID))]
    expected = stats.norm.logpdf(
        target.values, clean_curve(inside, target.steps), inside[:, -1:]
    ).sum(1)
    for column, prior in zip(inside.T, PARAMETER_PRIORS.values(), strict=True):
        expected = expected + prior.log_prob(torch.tensor(column)).numpy()
    np.testing.assert_allclose(target.log_density(inside), expected, rtol=1e-9)


def test_no_density_outside_the_support(target: Target, prior_parameters: np.ndarray) -> None:
    falling = prior_parameters.copy()
    names = list(PARAMETER_PRIORS)
    # The reflected slopes turn every rising curve into a falling one or leave [0, 1].
    for name in ("pow3_a", "ilog2_a"):
        falling[:, names.index(name)] *= -1
    falling[:, names.index("janoschek_weight")] = 0
    density = target.log_density(falling)
    bad = ~supported(clean_curve(falling, GRID))
    assert bad.sum() > 100 and np.isneginf(density[bad]).all()
    out_of_range = prior_parameters.copy()
    out_of_range[:, 0] = 1.01
    assert np.isneginf(log_prior(out_of_range)).all()


def test_coordinates_keep_curve_and_noise(target: Target, prior_parameters: np.ndarray) -> None:
    coordinates = target.to_coordinates(prior_parameters)
    back = target.to_parameters(coordinates, np.random.default_rng(0))
    np.testing.assert_allclose(
        clean_curve(back, GRID), clean_curve(prior_parameters, GRID), atol=1e-7
    )
    np.testing.assert_allclose(back[:, -1], prior_parameters[:, -1])
    # The weights that were drawn anew stay within the prior's support.
    assert np.isfinite(log_prior(back)).all()


@pytest.mark.parametrize("noise", [-25.0, -60.0, -400.0, -800.0])
def test_a_proposal_with_hardly_any_noise_costs_the_others_nothing(
    target: Target, prior_parameters: np.ndarray, noise: float
) -> None:
    coordinates = target.to_coordinates(prior_parameters[:20])
    alone = target.log_density_of_coordinates(coordinates)
    extreme = coordinates[:1].copy()
    # A power law that is nearly constant, so that the basis curves are nearly the same.
    extreme[0, 6:] = [-30.0, -30.0, -3.0, noise]
    together = target.log_density_of_coordinates(np.concatenate([extreme, coordinates]))
    np.testing.assert_array_equal(together[1:], alone)
    assert not np.isnan(together[0])


def test_the_density_of_coordinates_is_that_of_parameters_with_the_weights_integrated(
    target: Target, prior_parameters: np.ndarray
) -> None:
    """Against the density over parameters, mapped by a numerical Jacobian.

    Draw the weights w given the coordinates, with their known density q(w). Then, for any draw,
    density(coordinates) q(w) must equal density(parameters) |d parameters / d (coordinates, w)|
    up to one constant for all points.
    """
    inside = prior_parameters[supported(clean_curve(prior_parameters, GRID))][:40]
    names = list(PARAMETER_PRIORS)
    columns = [names.index(f"{family}_weight") for family in REFERENCE_FAMILIES]

    def extended(parameters: np.ndarray) -> np.ndarray:
        return np.column_stack([target.to_coordinates(parameters), parameters[:, columns]])

    here = extended(inside)
    jacobian = np.empty((len(inside), 13, 13))
    for column in range(13):
        size = 1e-6 * inside[:, column]
        up, down = inside.copy(), inside.copy()
        up[:, column] += size
        down[:, column] -= size
        jacobian[:, :, column] = (extended(up) - extended(down)) / (2 * size[:, None])
    volume = np.linalg.slogdet(jacobian)[1]
    coordinates = here[:, :10]
    # The least weights show in many draws of the weights given the coordinates.
    many = np.repeat(coordinates, 4000, axis=0)
    drawn = target.to_parameters(many, np.random.default_rng(0)).reshape(len(inside), 4000, 13)
    least = drawn[:, :, columns].min(1)
    log_q = (-2 * np.log(inside[:, columns]) - np.log(1 / least - 1)).sum(1)
    difference = (
        target.log_density_of_coordinates(coordinates)
        + log_q
        - (target.log_density(inside) - volume)
    )
    assert np.median(np.abs(difference - np.median(difference))) < 0.02
    assert np.ptp(difference) < 0.5


def test_mixture_answers_agree() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.rand(5, 40, generator=generator, dtype=torch.float64)
    scales = 0.05 + 0.1 * torch.rand(5, 40, generator=generator, dtype=torch.float64)
    weights = torch.softmax(torch.randn(40, generator=generator, dtype=torch.float64), 0)
    for mixture in (
        Mixture(centres, scales, weights),
        Mixture(centres, scales, weights).affine(2.0, -3.0),
        Mixture(centres, scales, weights).truncate(0.2, 0.9),
        Mixture(centres, scales, weights).truncate(0.1, None),
    ):
        q = torch.tensor([[0.03], [0.5], [0.96]], dtype=torch.float64)
        quantiles = mixture.quantile(q)
        torch.testing.assert_close(mixture.cdf(quantiles), q.expand(3, 5), atol=1e-9, rtol=0)
        grid = torch.linspace(-4, 4, 2001, dtype=torch.float64)
        density = torch.stack([mixture[i].log_prob(grid) for i in range(5)], 1).exp()
        width = grid[1] - grid[0]
        total = density.sum(0) * width
        torch.testing.assert_close(total, torch.ones(5).double(), atol=5e-3, rtol=0)
        mean = (density * grid[:, None]).sum(0) * width
        torch.testing.assert_close(mixture.mean, mean, atol=5e-3, rtol=0)
        second = (density * (grid[:, None] - mean) ** 2).sum(0) * width
        torch.testing.assert_close(mixture.std, second.sqrt(), atol=5e-3, rtol=0)


def test_systematic_resampling_is_proportional() -> None:
    weights = np.array([0.0, 1.0, 3.0, 0.0, 4.0])
    counts = np.bincount(systematic(weights, 800, np.random.default_rng(0)), minlength=5)
    assert counts.tolist() == [0, 100, 300, 0, 400]


def test_engines_agree_with_each_other_and_the_trained_model(
    bank: PriorBank, easy: np.ndarray, reference: lcpfn.LCPFN
) -> None:
    exact = SamplingModel(ImportanceSampler(), bank).extrapolate(
        easy[:15], bounds=None, generator=np.random.default_rng(0)
    )
    sampler = EnsembleSampler(steps=1300, burn_in=300, thin=10)
    chain = SamplingModel(sampler, bank).extrapolate(
        easy[:15], bounds=None, generator=np.random.default_rng(0)
    )
    learned = reference.extrapolate(easy[:15], bounds=None)
    assert exact.diagnostics is not None and exact.diagnostics.converged
    levels = [0.06, 0.25, 0.5, 0.75, 0.94]
    # The trained model approximates: on single curves it is off by more than the samplers are.
    for other, tolerance in ((chain, 0.06), (learned, 0.15)):
        difference = np.abs(other.quantile(levels) - exact.quantile(levels)) / exact.std
        assert difference.max() < 0.4 and difference.mean() < 0.2
        score = np.mean(other.log_prob(easy[15:]) - exact.log_prob(easy[15:]))
        assert abs(score) < tolerance


def test_any_question_can_be_asked_of_a_sampler(bank: PriorBank) -> None:
    model = SamplingModel(ImportanceSampler(draws=2000), bank)
    loss = [0.9, 0.7, 0.62, 0.55, 0.56]
    post = model.extrapolate(
        loss,
        steps=[500, 1000, 1500, 2000, 2500],
        horizon=20_000,
        goal="minimize",
        bounds=(0, 1),
        generator=np.random.default_rng(0),
    )
    assert isinstance(post, lcpfn.Extrapolation)
    low, middle, high = post.quantile([0.06, 0.5, 0.94])
    assert (low >= 0).all() and (low < middle).all() and (middle < high).all()
    assert post.median[-1] < 0.56
    below = post.prob_better(0.5)
    assert post.cdf(0.5)[-1] == pytest.approx(below)
    assert lcpfn.StoppingRule().decide(post, incumbent=0.001).stop
    draws = post.sample(500, torch.Generator().manual_seed(0))
    assert draws.shape == (500, len(post.steps)) and ((draws >= 0) & (draws <= 1)).all()
    share = (draws[:, -1] < 0.5).mean()
    assert abs(share - below) < 4 * np.sqrt(below * (1 - below) / 500) + 1e-3
    assert post.at_horizon().prob_better(0.5) == pytest.approx(below)


def test_plot_takes_a_sampled_forecast(bank: PriorBank) -> None:
    post = SamplingModel(ImportanceSampler(draws=500), bank).extrapolate(
        [0.3, 0.4], horizon=10, generator=np.random.default_rng(0)
    )
    assert post.plot().get_xlabel() == "step"


def test_an_observed_horizon_needs_no_sampling(bank: PriorBank) -> None:
    post = SamplingModel(QUICK, bank).extrapolate([0.3, 0.6, 0.7], horizon=3)
    assert post.diagnostics is None and post.prob_better(0.65) == 1.0
    assert post.median[-1] == pytest.approx(0.7)
    assert (post.sample(3) == 0.7).all()


def test_same_generator_same_forecast(bank: PriorBank, easy: np.ndarray) -> None:
    first, second = (
        QUICK.draw(Target(GRID[:8], easy[:8]), bank, np.random.default_rng(5)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.parameters, second.parameters)


def test_a_failed_chain_warns_and_says_so(bank: PriorBank, easy: np.ndarray) -> None:
    few = EnsembleSampler(walkers=20, steps=12, burn_in=0, thin=1)
    with pytest.warns(ConvergenceWarning, match=r"ensemble: .*should be at"):
        post = SamplingModel(few, bank).extrapolate(easy[:40], bounds=None)
    assert post.diagnostics is not None and not post.diagnostics.converged
    with pytest.warns(ConvergenceWarning, match="curves of the bank explain"):
        SamplingModel(ImportanceSampler(), bank.first(50)).extrapolate(easy[:40], bounds=None)


def test_r_hat_sees_chains_apart(target: Target, prior_parameters: np.ndarray) -> None:
    apart = np.repeat(prior_parameters[:4, None], 200, axis=1)
    apart = apart * (1 + 1e-3 * np.random.default_rng(0).random(apart.shape))
    verdict = diagnose("test", target, apart)
    assert verdict.r_hat is not None and verdict.r_hat > 1.5 and not verdict.converged
    together = prior_parameters[np.random.default_rng(1).integers(500, size=(4, 400))]
    assert diagnose("test", target, together).converged


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mcmc.load("gibbs"), "engine is 'gibbs', but must be one of ensemble, nuts"),
        (lambda: PriorBank.draw(0), "curves is 0, but must be at least 1"),
        (lambda: EnsembleSampler(walkers=10), "walkers is 10, but must be at least 20"),
        (lambda: EnsembleSampler(walkers=22), "walkers is 22, but must be a multiple of 4"),
        (lambda: EnsembleSampler(burn_in=2000), "burn_in is 2000, but must lie within 0 and 2000"),
        (lambda: EnsembleSampler(thin=1000), "thin is 1000, but must leave at least 4 draws"),
        (lambda: mcmc.NUTS(chains=1), "chains is 1, but must be at least 2"),
        (lambda: mcmc.SMC(draws=3), "draws is 3, but must be at least 50"),
    ],
)
def test_bad_settings_name_the_rule(call: object, message: str) -> None:
    with pytest.raises(lcpfn.InputError, match=message):
        call()  # type: ignore[operator]


def test_bad_curves_name_the_rule(bank: PriorBank) -> None:
    model = SamplingModel(QUICK, bank)
    with pytest.raises(lcpfn.InputError, match="values is empty"):
        model.extrapolate([])
    with pytest.raises(lcpfn.InputError, match="prior knows no learning rates"):
        model.extrapolate([0.5], schedule=lambda step: 0.1)


@pytest.mark.parametrize("missing", ["emcee", "arviz"])
def test_a_missing_package_says_what_to_install(
    missing: str, bank: PriorBank, easy: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    few = dataclasses.replace(QUICK, steps=20, burn_in=0, thin=1)
    with pytest.raises(lcpfn.MissingExtraError, match=rf"{missing}: pip install .*\[mcmc\]"):
        SamplingModel(few, bank).extrapolate(easy[:5])


def test_parameters_come_in_the_order_of_the_families() -> None:
    names = [
        f"{family}_{name}" for family in REFERENCE_FAMILIES
        for name in ("weight", *FAMILIES[family].parameters)
    ]  # fmt: skip
    assert list(PARAMETER_PRIORS) == [*names, "noise"]
