"""The PyMC model against the direct density and the torch sampler, and the samplers that use it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

import lcpfn
from lcpfn.mcmc import NUTS, SMC, PriorBank, SamplingModel
from lcpfn.mcmc.pymc_model import build, unconstrained
from lcpfn.mcmc.target import GRID, PARAMETER_PRIORS, Target, clean_curve, flatten, supported
from lcpfn.priors import ReferencePrior

pymc = pytest.importorskip("pymc")
pytensor = pytest.importorskip("pytensor")


@pytest.fixture(scope="module")
def bank() -> PriorBank:
    return PriorBank.draw(50_000, torch.Generator().manual_seed(21))


@pytest.fixture(scope="module")
def known() -> tuple[np.ndarray, np.ndarray]:
    """A noiseless curve and its noisy records."""
    clean = 0.85 - 0.6 * np.exp(-0.12 * GRID)
    return clean, clean + np.random.default_rng(8).normal(0, 0.02, 100)


@pytest.fixture(scope="module")
def parameters() -> np.ndarray:
    """Accepted prior draws (40, 13), most of them far from any data."""
    generator = torch.Generator().manual_seed(22)
    drawn, _ = ReferencePrior().sample_clean(40, generator)
    return flatten(drawn, PARAMETER_PRIORS["noise"].sample((40,), generator).numpy())


@pytest.mark.parametrize("softness", [0.0, 0.02])
def test_log_density_equals_the_direct_one(
    softness: float, known: tuple[np.ndarray, np.ndarray], parameters: np.ndarray
) -> None:
    target = Target(GRID[:30], known[1][:30])
    model = build(target, softness)
    density = model.compile_logp(jacobian=False)
    found = [float(density(point)) for point in unconstrained(model, parameters)]
    np.testing.assert_allclose(found, target.log_density(parameters), rtol=1e-6)
    outside = parameters.copy()
    outside[:, list(PARAMETER_PRIORS).index("pow3_a")] *= -1
    outside = outside[~supported(clean_curve(outside, GRID))]
    assert len(outside) > 5
    for point, row in zip(unconstrained(model, outside), outside, strict=True):
        assert np.isneginf(target.log_density(row[None])[0])
        assert np.isfinite(density(point)) if softness else np.isneginf(density(point))


@pytest.mark.filterwarnings("ignore:The effect of Potentials:UserWarning")
def test_prior_predictive_draws_match_the_torch_sampler(bank: PriorBank) -> None:
    with build(Target(GRID[:1], np.array([0.5]))):
        trace = pymc.sample_prior_predictive(
            30_000, var_names=list(PARAMETER_PRIORS), random_seed=3
        )
    drawn = np.stack([trace.prior[name].values[0] for name in PARAMETER_PRIORS], -1)
    clean = clean_curve(drawn, GRID)
    kept = supported(clean)
    # About a fifth of the candidates are kept.
    assert 4000 < kept.sum() < 8000
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    for step in (0, 9, 99):
        ours = np.quantile(clean[kept, step], levels)
        theirs = np.quantile(bank.clean[:, step], levels)
        np.testing.assert_allclose(ours, theirs, atol=0.02)
    noise = np.quantile(np.log(drawn[kept, -1]), levels)
    np.testing.assert_allclose(noise, -4 + np.array([-1.645, -0.674, 0, 0.674, 1.645]), atol=0.1)


def recovers(post: lcpfn.Extrapolation, clean: np.ndarray, records: np.ndarray) -> None:
    low, high = post.quantile([0.005, 0.995])
    assert ((low < clean[40:]) & (clean[40:] < high)).all()
    assert np.abs(post.median - clean[40:]).max() < 0.04
    assert post.log_prob(records[40:]).mean() > 1.8
    assert post.posterior is not None
    used = post.posterior.parameters[post.posterior.weights > 0]
    assert supported(clean_curve(used, GRID)).all()
    assert 0.012 < np.median(used[:, -1]) < 0.03


@pytest.mark.filterwarnings("ignore::lcpfn.mcmc.ConvergenceWarning")
def test_a_short_nuts_chain_recovers_a_known_curve(
    bank: PriorBank, known: tuple[np.ndarray, np.ndarray]
) -> None:
    clean, records = known
    model = SamplingModel(NUTS(chains=2, tune=300, draws=300), bank)
    for observed in (40, 41):
        # The second run reuses the compiled model with more data.
        post = model.extrapolate(
            records[:observed],
            bounds=None,
            query=np.arange(observed + 1, 101),
            generator=np.random.default_rng(0),
        )
        assert post.diagnostics is not None and post.diagnostics.divergences is not None
        if observed == 40:
            recovers(post, clean, records)


@pytest.mark.filterwarnings("ignore::lcpfn.mcmc.ConvergenceWarning")
def test_smc_recovers_a_known_curve(bank: PriorBank, known: tuple[np.ndarray, np.ndarray]) -> None:
    clean, records = known
    post = SamplingModel(SMC(chains=2, draws=600), bank).extrapolate(
        records[:40], bounds=None, generator=np.random.default_rng(0)
    )
    recovers(post, clean, records)


@pytest.mark.filterwarnings("ignore::lcpfn.mcmc.ConvergenceWarning")
def test_pymcs_own_nuts_serves_without_nutpie(
    bank: PriorBank, known: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lcpfn.mcmc.nuts.find_spec", lambda name: None)
    model = SamplingModel(NUTS(chains=2, tune=12, draws=12, max_depth=3), bank)
    # So few draws are not worth a long compilation.
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        post = model.extrapolate(known[1][:10], bounds=None, generator=np.random.default_rng(0))
    assert 0.3 < post.median[-1] < 1.1


@pytest.mark.parametrize("sampler", [NUTS(), SMC()])
def test_a_missing_pymc_says_what_to_install(
    sampler: NUTS | SMC, bank: PriorBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pymc", None)
    with pytest.raises(lcpfn.MissingExtraError, match=r"pymc: pip install .*\[mcmc\]"):
        SamplingModel(sampler, bank).extrapolate([0.4, 0.5])
