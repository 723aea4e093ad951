import numpy as np
import torch

from lcpfn.network.histogram import BinnedDistribution
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
    context = small_network.features(fractions, values)
    together = small_network(context, fractions, prefixes, queries)
    for column in range(4):
        seen = int(prefixes[0, column])
        alone, _ = small_network.extend(
            None, fractions[:, :seen], values[:, :seen], queries[:, column : column + 1]
        )
        assert_same(together[:, column], alone[:, 0])


@torch.inference_mode()
def test_cache_equals_from_scratch(small_network: Network, prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:4, :60]
    fractions = prior_curves.fractions[:60].expand_as(values)
    queries = torch.tensor([[0.7, 1.0]]).expand(4, -1)
    scratch, _ = small_network.extend(None, fractions, values, queries)
    _, cache = small_network.extend(None, fractions[:, :50], values[:, :50], queries)
    grown, cache = small_network.extend(cache, fractions, values, queries)
    assert cache.length == 60
    assert_same(grown, scratch)
    replaced, _ = small_network.extend(cache.first(33), fractions, values, queries)
    assert_same(replaced, scratch)


@torch.inference_mode()
def test_padding_is_harmless(small_network: Network, prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:4, :30]
    fractions = prior_curves.fractions[:30].expand_as(values)
    prefixes, queries = torch.full((4, 1), 30), torch.ones(4, 1)
    plain = small_network(small_network.features(fractions, values), fractions, prefixes, queries)
    padded_values = torch.cat([values, torch.zeros(4, 9)], 1)
    padded_fractions = torch.cat([fractions, torch.ones(4, 9)], 1)
    context = small_network.features(padded_fractions, padded_values)
    assert_same(small_network(context, padded_fractions, prefixes, queries), plain)


def test_written_out_attention_equals_the_fused_one(
    small_network: Network, prior_curves: CurveBatch
) -> None:
    values = prior_curves.values[:4]
    fractions = prior_curves.fractions.expand_as(values)
    prefixes, queries = torch.full((4, 1), 50), torch.ones(4, 1)
    context = small_network.features(fractions, values)
    training = small_network(context, fractions, prefixes, queries)
    with torch.inference_mode():
        fused = small_network(context, fractions, prefixes, queries)
    assert_same(training, fused)


@torch.inference_mode()
def test_numpy_in_numpy_out(small_network: Network, prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:1, :30]
    fractions, queries = prior_curves.fractions[:30].expand_as(values), torch.ones(1, 1)
    in_torch, _ = small_network.extend(None, fractions, values, queries)
    in_numpy, _ = small_network.extend(None, fractions.numpy(), values.numpy(), queries.numpy())
    assert isinstance(in_numpy.log_masses, np.ndarray)
    assert_same(in_numpy, in_torch)


def test_laid_out_weights_are_the_same_weights(
    small_network: Network, prior_curves: CurveBatch
) -> None:
    values = prior_curves.values[:4, :30]
    fractions, queries = prior_curves.fractions[:30].expand_as(values), torch.ones(4, 1)
    before, _ = small_network.extend(None, fractions, values, queries)
    laid_out = Network(small_network.config)
    laid_out.load_state_dict(small_network.state_dict())
    after, _ = laid_out.laid_out().extend(None, fractions, values, queries)
    assert_same(after, before)


def test_an_untrained_network_forecasts_widely(prior_curves: CurveBatch) -> None:
    network = Network(NetworkConfig(width=32, layers=2, heads=2)).initialise(
        torch.Generator().manual_seed(0)
    )
    values = prior_curves.values[:8, :20]
    fractions = prior_curves.fractions[:20].expand_as(values)
    forecast, _ = network.extend(None, fractions, values, torch.ones(8, 1))
    torch.testing.assert_close(forecast.location[:, 0], values[:, -1])
    assert (forecast.scale > 0).all()
