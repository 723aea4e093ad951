"""The scale-free frame: what it is invariant to, causal, and the same when streamed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lcpfn.errors import InputError
from lcpfn.network.absolute import AbsoluteView
from lcpfn.network.config import NetworkConfig
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.relative import RATE_FEATURES, rate_features
from lcpfn.network.transformer import Network
from lcpfn.priors import BroadPrior
from tests.network.comparison import answered

CONFIG = NetworkConfig(
    width=32, layers=2, heads=2, bins=24, unit_floor=3e-5, frame="relative", floor=True
)


@pytest.fixture(scope="module")
def network() -> Network:
    generator = torch.Generator().manual_seed(0)
    made = Network(CONFIG).initialise(generator)
    # The starting head forecasts the same for everyone; a random one lets differences through.
    torch.nn.init.normal_(made.head.weight, std=0.05, generator=generator)
    return made.eval()


@pytest.fixture(scope="module")
def curves() -> tuple[Tensor, Tensor, Tensor]:
    """Fractions (16, 20), values (16, 20) on a grid that float32 maps exactly, and limits."""
    batch = BroadPrior().sample(16, torch.Generator().manual_seed(1))
    while batch.values.shape[1] < 24:
        batch = BroadPrior().sample(16, torch.Generator().manual_seed(batch.values.shape[1]))
    values = torch.round(batch.values[:, :20] / batch.values[:, :20].abs().amax(1, True) * 2048)
    fractions = batch.fractions.expand_as(batch.values)[:, :20].contiguous()
    limits = torch.stack([values.amax(1) / 2048 + 1.0, values.amin(1) / 2048 - 0.5], -1)
    return fractions, values / 2048, limits


ASKED = Questions(torch.tensor([0.97, 1.0]).expand(16, -1))


@torch.no_grad()
def _forecast(
    network: Network, fractions: Tensor, values: Tensor, limits: Tensor | None = None
) -> Tensor:
    forecast = answered(network, Observations(fractions, values, limits), ASKED)
    return forecast.quantile(torch.tensor([0.06, 0.5, 0.94])[:, None, None])


@pytest.mark.parametrize("gain", [2.0**-20, 0.5, 1024.0])
@pytest.mark.parametrize("offset", [-7.0, 0.0, 3.0])
@pytest.mark.parametrize("known", [False, True])
def test_forecasts_move_with_gain_and_offset(
    network: Network,
    curves: tuple[Tensor, Tensor, Tensor],
    gain: float,
    offset: float,
    known: bool,
) -> None:
    fractions, values, limits = curves
    before = _forecast(network, fractions, values, limits if known else None)
    moved = (limits + offset) * gain if known else None
    after = _forecast(network, fractions, (values + offset) * gain, moved)
    torch.testing.assert_close(after, (before + offset) * gain, rtol=1e-4, atol=1e-5 * gain)


def test_unknown_limits_are_none(network: Network, curves: tuple[Tensor, Tensor, Tensor]) -> None:
    fractions, values, limits = curves
    endless = torch.tensor([math.inf, -math.inf]).expand(16, -1)
    unknown = _forecast(network, fractions, values, endless)
    torch.testing.assert_close(unknown, _forecast(network, fractions, values))
    for known in (0, 1):
        told = endless.clone()
        told[:, known] = limits[:, known]
        assert not torch.allclose(unknown, _forecast(network, fractions, values, told))


def test_features_are_causal(network: Network, curves: tuple[Tensor, Tensor, Tensor]) -> None:
    fractions, values, limits = curves
    observations = Observations(fractions, values, limits)
    full = network.view.observe(observations)
    for count in (1, 2, 3, 11):
        part = network.view.observe(observations.first(count))
        torch.testing.assert_close(part.tokens, full.tokens[:, :count], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(part.coordinates.unit, full.coordinates.unit[:, :count])


@pytest.mark.parametrize(
    "values",
    [
        [0.0],
        [0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 1.0],
        [0.0, 1e-30, 0.0],
        [0.0, 1.0, -1e6, 1.0, 1.0],
        [0.0, 1.0] * 40,
    ],
)
@torch.no_grad()
def test_odd_curves_have_finite_ordered_quantiles(network: Network, values: list[float]) -> None:
    observed = torch.tensor([values])
    fractions = (torch.arange(1, len(values) + 1) / 100)[None]
    best, worst = max(values), min(values)
    for limits in (None, torch.tensor([[best, worst]]), torch.tensor([[5.0, -math.inf]])):
        observations = Observations(fractions, observed, limits)
        context = network.view.observe(observations)
        assert torch.isfinite(context.tokens).all()
        assert (context.coordinates.unit > 0).all()
        forecast = answered(network, observations, Questions(torch.ones(1, 1)))
        quantiles = forecast.quantile(torch.linspace(0.01, 0.99, 50)[:, None, None])
        assert torch.isfinite(quantiles).all()
        assert (torch.diff(quantiles, dim=0) >= 0).all()


def test_one_wild_record_does_not_inflate_the_unit(network: Network) -> None:
    generator = torch.Generator().manual_seed(0)
    calm = 0.002 * torch.randn(1, 60, generator=generator)
    wild = calm.clone()
    wild[0, 0] = -2.0
    fractions = (torch.arange(1, 61) / 100)[None]
    unit, usual = (
        network.view.observe(Observations(fractions, values)).coordinates.unit[0, -1].item()
        for values in (wild, calm)
    )
    assert unit == pytest.approx(usual, rel=0.3)
    assert unit == pytest.approx(0.002, rel=0.5)


def test_the_absolute_frame_keeps_its_shapes() -> None:
    network = Network(NetworkConfig(width=32, layers=1, heads=2, bins=24))
    assert network.config.frame == "absolute"
    assert network.embed_context.weight.shape == (32, AbsoluteView.context_features)
    assert network.embed_query.weight.shape == (32, AbsoluteView.query_features)


def test_an_unknown_frame_is_refused() -> None:
    with pytest.raises(InputError, match="frame is 'sideways'"):
        NetworkConfig(frame="sideways")  # type: ignore[arg-type]


def test_rates_at_records_are_scale_free_causal_and_zero_where_unknown() -> None:
    fractions = torch.linspace(0.05, 1, 20)[None]
    rates = torch.cat([torch.linspace(0.1, 1, 5), torch.linspace(1, 0.01, 15)])[None]
    features = rate_features(fractions, rates)
    assert features.shape == (1, 20, RATE_FEATURES)
    assert torch.isfinite(features).all()
    assert torch.allclose(rate_features(fractions, 1e-4 * rates), features, atol=1e-5)
    assert torch.allclose(rate_features(fractions, rates, start=12), features[:, 12:], atol=1e-6)
    shorter = rate_features(fractions[:, :9], rates[:, :9])
    assert torch.allclose(shorter, features[:, :9], atol=1e-6)
    unknown = rates.clone()
    unknown[0, 3:6] = -1
    assert (rate_features(fractions, unknown)[0, 3:6] == 0).all()
    in_numpy = rate_features(fractions.numpy(), rates.numpy())
    assert torch.allclose(torch.from_numpy(in_numpy), features, atol=1e-5)


def test_a_network_grows_by_what_it_is_told_and_asked() -> None:
    generator = torch.Generator().manual_seed(0)
    shape = {"width": 16, "layers": 1, "heads": 2, "frame": "relative"}
    before = Network(NetworkConfig(**shape, schedule=True, floor=True)).initialise(generator)
    for parameter in before.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    config = NetworkConfig(**shape, schedule=True, floor=True, rates=True, best=True)
    after = Network(config).initialise(generator).take_over(before)
    fractions = torch.linspace(0.05, 0.5, 10).expand(3, -1)
    values = torch.rand(3, 10, generator=generator)
    rates = torch.rand(3, 10, generator=generator)
    told = Observations(fractions, values, rates=rates)
    asked = Questions(torch.ones(3, 1), best=torch.ones(3, 1))
    first = answered(before, Observations(fractions, values), Questions(torch.ones(3, 1)))
    second = answered(after, told, asked)
    assert torch.allclose(first.location, second.location, atol=1e-6)
    with pytest.raises(InputError, match="rates is False, but theirs is True"):
        Network(NetworkConfig(**shape, schedule=True, floor=True)).take_over(after)
