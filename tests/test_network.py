import torch

from lcpfn.binned import BinnedDistribution
from lcpfn.network import Network, NetworkConfig
from lcpfn.priors import CurveBatch


def assert_same(left: BinnedDistribution, right: BinnedDistribution) -> None:
    torch.testing.assert_close(left.location, right.location, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(left.scale, right.scale, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(left.log_masses, right.log_masses, atol=1e-4, rtol=1e-4)


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


def test_an_untrained_network_forecasts_widely(prior_curves: CurveBatch) -> None:
    network = Network(NetworkConfig(width=32, layers=2, heads=2)).initialise(
        torch.Generator().manual_seed(0)
    )
    values = prior_curves.values[:8, :20]
    fractions = prior_curves.fractions[:20].expand_as(values)
    forecast, _ = network.extend(None, fractions, values, torch.ones(8, 1))
    torch.testing.assert_close(forecast.location[:, 0], values[:, -1])
    assert (forecast.scale > 0).all()
