import numpy as np
import pytest
import torch
from scipy import stats

from lcpfn.priors import Prior, ReferencePrior
from lcpfn.priors.reference import draw_parameters, reference_steps, supported


@pytest.fixture(scope="module")
def prior() -> ReferencePrior:
    return ReferencePrior()


def test_it_is_a_prior(prior: ReferencePrior) -> None:
    assert isinstance(prior, Prior)


@pytest.mark.parametrize("count", [1, 7, 3000])
def test_draws_as_many_curves_as_asked(prior: ReferencePrior, count: int) -> None:
    batch = prior.sample(count, torch.Generator().manual_seed(0))
    assert batch.values.shape == batch.clean.shape == (count, 100)
    assert batch.noise.shape == (count, 1)
    assert torch.equal(batch.fractions, reference_steps() / 100)


def test_every_noiseless_curve_is_in_the_support(prior: ReferencePrior) -> None:
    clean = prior.sample(5000, torch.Generator().manual_seed(1)).clean
    assert (clean >= 0).all() and (clean <= 1).all() and (clean[:, -1] > clean[:, 0]).all()


def test_early_rejection_changes_nothing(prior: ReferencePrior) -> None:
    """Accepting after a full evaluation of every candidate gives the same distribution."""
    candidates = draw_parameters(60_000, torch.Generator().manual_seed(2))
    everything = prior.clean_curve(candidates, reference_steps())
    plain = everything[supported(everything)]
    clean = prior.sample(len(plain), torch.Generator().manual_seed(3)).clean
    for step in (0, 9, 49, 99):
        assert stats.ks_2samp(plain[:, step].numpy(), clean[:, step].numpy()).pvalue > 1e-3
    rises = [(curves[:, -1] - curves[:, 0]).numpy() for curves in (plain, clean)]
    assert stats.ks_2samp(*rises).pvalue > 1e-3


def test_parameters_reproduce_their_curves(prior: ReferencePrior) -> None:
    parameters, clean = prior.sample_clean(500, torch.Generator().manual_seed(4))
    torch.testing.assert_close(prior.clean_curve(parameters, reference_steps()), clean)


def test_noise_is_normal_with_the_stated_deviation(prior: ReferencePrior) -> None:
    batch = prior.sample(2000, torch.Generator().manual_seed(5))
    standard = ((batch.values - batch.clean) / batch.noise).numpy()
    assert stats.kstest(standard[:, 30], "norm").pvalue > 1e-3
    assert stats.kstest(np.log(batch.noise[:, 0].numpy()), "norm", (-4, 1)).pvalue > 1e-3


def test_the_same_generator_gives_the_same_curves(prior: ReferencePrior) -> None:
    first = prior.sample(20, torch.Generator().manual_seed(6))
    again = prior.sample(20, torch.Generator().manual_seed(6))
    assert torch.equal(first.values, again.values)
