import torch

from lcpfn.network.config import NetworkConfig
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.transformer import Network
from lcpfn.priors import CurveBatch
from tests.network.comparison import answered, assert_same

SAME = 1e-5


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
        alone = answered(small_network, observations.first(seen), asked)
        assert_same(together[:, column], alone[:, 0], SAME)


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
    assert_same(padded, plain, SAME)


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
    assert_same(training, fused, SAME)


def test_an_untrained_network_forecasts_widely(prior_curves: CurveBatch) -> None:
    network = Network(NetworkConfig(width=32, layers=2, heads=2)).initialise(
        torch.Generator().manual_seed(0)
    )
    values = prior_curves.values[:8, :20]
    fractions = prior_curves.fractions[:20].expand_as(values)
    forecast = answered(network, Observations(fractions, values), Questions(torch.ones(8, 1)))
    torch.testing.assert_close(forecast.location[:, 0], values[:, -1])
    assert (forecast.scale > 0).all()
