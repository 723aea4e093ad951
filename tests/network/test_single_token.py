import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.single_token import SingleToken
from lcpfn.network.transformer import Network, NetworkConfig
from lcpfn.priors import CurveBatch
from tests.network.test_transformer import assert_same


def in_numpy(given: Observations | Questions) -> Any:
    """The same in numpy arrays."""
    parts = {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    return type(given)(
        **{name: None if part is None else part.numpy() for name, part in parts.items()}
    )


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
    in_torch = Observations(fractions, values, limits)
    for length in range(1, 100):
        asked = Questions(np.ones((1, 1), np.float32))
        streamed = stepper.advance(cache, in_numpy(in_torch.first(length)), asked)()
        if length in (1, 2, 3, 50, 99):
            asked = Questions(torch.ones(1, 1))
            assert_same(streamed, network.extend(None, in_torch.first(length), asked)[0])


@torch.inference_mode()
def test_questions_are_remembered_with_all_that_belongs_to_them(prior_curves: CurveBatch) -> None:
    config = NetworkConfig(
        width=32, layers=2, heads=2, bins=16, frame="relative", schedule=True, floor=True, best=True
    )
    generator = torch.Generator().manual_seed(0)
    network = Network(config).initialise(generator)
    for parameter in network.parameters():
        parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    stepper = SingleToken(network)
    values = prior_curves.values[:1, :1]
    fractions = prior_curves.fractions[:1].expand_as(values)
    for query, rates, best in [
        (1.0, (1.0, 0.1), 0.0),
        (0.5, (1.0, 0.1), 0.0),
        (1.0, (0.2, 0.7), 0.0),
        (1.0, (0.2, 0.7), 1.0),
        (1.0, None, 1.0),
        (1.0, None, None),
    ]:
        known = None if rates is None else torch.tensor([[(1.0, 0.01)]])
        asked = Questions(
            torch.full((1, 1), query),
            None if rates is None else torch.tensor([[rates]]),
            None if best is None else torch.full((1, 1), best),
        )
        seen = Observations(fractions, values, schedule=known)
        for _ in range(2):
            streamed = stepper.advance(stepper.cache(capacity=1), in_numpy(seen), in_numpy(asked))()
            assert_same(streamed, network.extend(None, seen, asked)[0])
