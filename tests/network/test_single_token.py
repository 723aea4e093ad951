import pytest
import torch

from lcpfn.network.single_token import SingleToken
from lcpfn.network.transformer import Network, NetworkConfig
from lcpfn.priors import CurveBatch
from tests.network.test_transformer import assert_same


@pytest.mark.parametrize("frame", ["absolute", "relative"])
@torch.inference_mode()
def test_single_tokens_equal_the_network(prior_curves: CurveBatch, frame: str) -> None:
    generator = torch.Generator().manual_seed(0)
    config = NetworkConfig(
        width=32, layers=2, heads=2, bins=16, frame=frame, floor=frame == "relative"
    )  # type: ignore[arg-type]
    network = Network(config).initialise(generator)
    for parameter in network.parameters():
        parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    stepper = SingleToken(network)
    cache = stepper.cache(capacity=100)
    values = prior_curves.values[:1]
    fractions = prior_curves.fractions.expand_as(values).contiguous()
    limits = torch.tensor([[1.2, -0.1]])
    for length in range(1, 100):
        seen = fractions[:, :length], values[:, :length]
        streamed = stepper.extend(cache, seen[0].numpy(), seen[1].numpy(), limits=limits.numpy())()
        if length in (1, 2, 3, 50, 99):
            scratch, _ = network.extend(None, *seen, torch.ones(1, 1), limits)
            assert_same(streamed, scratch)


@torch.inference_mode()
def test_queries_are_remembered_with_their_learning_rates(prior_curves: CurveBatch) -> None:
    config = NetworkConfig(
        width=32, layers=2, heads=2, bins=16, frame="relative", schedule=True, floor=True
    )
    generator = torch.Generator().manual_seed(0)
    network = Network(config).initialise(generator)
    for parameter in network.parameters():
        parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    stepper = SingleToken(network)
    values = prior_curves.values[:1, :1]
    fractions = prior_curves.fractions[:1].expand_as(values)
    for query, rates in [(1.0, (1.0, 0.1)), (0.5, (1.0, 0.1)), (1.0, (0.2, 0.7)), (1.0, None)]:
        asked = torch.full((1, 1), query)
        known = None if rates is None else ((1.0, 0.01), rates)
        told = [None, None] if known is None else [torch.tensor([[pair]]) for pair in known]
        for _ in range(2):
            streamed = stepper.extend(
                stepper.cache(capacity=1),
                fractions.numpy(),
                values.numpy(),
                query,
                None,
                *(None if each is None else each.numpy() for each in told),
            )()
            assert_same(streamed, network.extend(None, fractions, values, asked, None, *told)[0])
