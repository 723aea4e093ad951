import pytest
import torch

from lcpfn.network import Network, NetworkConfig
from lcpfn.priors import CurveBatch
from lcpfn.single_token import SingleToken
from tests.test_network import assert_same


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
