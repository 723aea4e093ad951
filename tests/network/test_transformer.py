import numpy as np
import torch

from lcpfn.network.histogram import BinnedDistribution
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.transformer import Network, NetworkConfig
from lcpfn.priors import CurveBatch


def assert_same(left: BinnedDistribution, right: BinnedDistribution) -> None:
    left, right = left.numpy(), right.numpy()
    np.testing.assert_allclose(left.location, right.location, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(left.scale, right.scale, atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(left.log_masses, right.log_masses, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_one_pass_over_prefixes_equals_each_prefix_alone(
    small_network: Network, prior_curves: CurveBatch
) -> None:
    values = prior_curves.values[:4]
    fractions = prior_curves.fractions.expand_as(values)
    prefixes = torch.tensor([[1, 2, 30, 99]]).expand(4, -1)
    queries = torch.tensor([[1.0, 0.5, 0.31, 1.0]]).expand(4, -1)
    observations = Observations(fractions, values)
    context = small_network.view.observe(observations)
    together = small_network(context, observations, prefixes, Questions(queries))
    for column in range(4):
        seen = int(prefixes[0, column])
        asked = Questions(queries[:, column : column + 1])
        alone, _ = small_network.extend(None, observations.first(seen), asked)
        assert_same(together[:, column], alone[:, 0])


@torch.inference_mode()
def test_cache_equals_from_scratch(small_network: Network, prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:4, :60]
    fractions = prior_curves.fractions[:60].expand_as(values)
    observations = Observations(fractions, values)
    asked = Questions(torch.tensor([[0.7, 1.0]]).expand(4, -1))
    scratch, _ = small_network.extend(None, observations, asked)
    _, cache = small_network.extend(None, observations.first(50), asked)
    grown, cache = small_network.extend(cache, observations, asked)
    assert cache.length == 60
    assert_same(grown, scratch)
    replaced, _ = small_network.extend(cache.first(33), observations, asked)
    assert_same(replaced, scratch)


@torch.inference_mode()
def test_padding_is_harmless(small_network: Network, prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:4, :30]
    fractions = prior_curves.fractions[:30].expand_as(values)
    prefixes, asked = torch.full((4, 1), 30), Questions(torch.ones(4, 1))
    plain, padded = (
        small_network(small_network.view.observe(given), given, prefixes, asked)
        for given in (
            Observations(fractions, values),
            Observations(
                torch.cat([fractions, torch.ones(4, 9)], 1),
                torch.cat([values, torch.zeros(4, 9)], 1),
            ),
        )
    )
    assert_same(padded, plain)


def test_written_out_attention_equals_the_fused_one(
    small_network: Network, prior_curves: CurveBatch
) -> None:
    values = prior_curves.values[:4]
    fractions = prior_curves.fractions.expand_as(values)
    prefixes, asked = torch.full((4, 1), 50), Questions(torch.ones(4, 1))
    observations = Observations(fractions, values)
    context = small_network.view.observe(observations)
    training = small_network(context, observations, prefixes, asked)
    with torch.inference_mode():
        fused = small_network(context, observations, prefixes, asked)
    assert_same(training, fused)


@torch.inference_mode()
def test_numpy_in_numpy_out(small_network: Network, prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:1, :30]
    fractions, queries = prior_curves.fractions[:30].expand_as(values), torch.ones(1, 1)
    in_torch, _ = small_network.extend(None, Observations(fractions, values), Questions(queries))
    in_numpy, _ = small_network.extend(
        None, Observations(fractions.numpy(), values.numpy()), Questions(queries.numpy())
    )
    assert isinstance(in_numpy.log_masses, np.ndarray)
    assert_same(in_numpy, in_torch)


def test_laid_out_weights_are_the_same_weights(
    small_network: Network, prior_curves: CurveBatch
) -> None:
    values = prior_curves.values[:4, :30]
    fractions, queries = prior_curves.fractions[:30].expand_as(values), torch.ones(4, 1)
    before, _ = small_network.extend(None, Observations(fractions, values), Questions(queries))
    laid_out = Network(small_network.config)
    laid_out.load_state_dict(small_network.state_dict())
    after, _ = laid_out.laid_out().extend(None, Observations(fractions, values), Questions(queries))
    assert_same(after, before)


def test_an_untrained_network_forecasts_widely(prior_curves: CurveBatch) -> None:
    network = Network(NetworkConfig(width=32, layers=2, heads=2)).initialise(
        torch.Generator().manual_seed(0)
    )
    values = prior_curves.values[:8, :20]
    fractions = prior_curves.fractions[:20].expand_as(values)
    forecast, _ = network.extend(None, Observations(fractions, values), Questions(torch.ones(8, 1)))
    torch.testing.assert_close(forecast.location[:, 0], values[:, -1])
    assert (forecast.scale > 0).all()
