"""Learning-rate schedules: read, tabulated, and known to a model that was trained with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import lcpfn
from lcpfn.errors import InputError
from lcpfn.forecast.model import LCPFN
from lcpfn.forecast.schedule import LearningRates, read_schedule, shifted
from lcpfn.network.config import NetworkConfig
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.transformer import Network
from lcpfn.priors import BroadPrior
from lcpfn.training.questions import draw_examples
from tests.network.comparison import answered

SHAPE = NetworkConfig(
    width=32, layers=2, heads=2, bins=24, unit_floor=3e-5, frame="relative", schedule=True
)
LOSSES = [2.3, 1.9, 1.7, 1.55, 1.5, 1.42]


def cosine(step: float) -> float:
    return 0.05 * (1 + math.cos(math.pi * step / 50))


@pytest.fixture(scope="module")
def model() -> LCPFN:
    """An untrained model that lets every input through to its forecasts."""
    generator = torch.Generator().manual_seed(0)
    network = Network(SHAPE).initialise(generator)
    torch.nn.init.normal_(network.head.weight, std=0.05, generator=generator)
    return LCPFN(network.engine(), {"name": "untrained", "resolution": 192})


def test_share_of_the_summed_rate_is_its_integral() -> None:
    rates = read_schedule(cosine, 50)
    assert rates is not None
    steps = np.array([5.0, 25.0, 49.0, 50.0])
    rate, spent = rates.at(steps).T
    np.testing.assert_allclose(rate, [cosine(step) / 0.1 for step in steps], atol=2e-3)
    exact = steps / 50 + np.sin(np.pi * steps / 50) / np.pi
    np.testing.assert_allclose(spent, exact, atol=1e-5)


def test_callable_and_table_agree_and_the_unit_drops_out() -> None:
    steps = np.linspace(0, 50, 400)
    table = read_schedule((steps, [1000 * cosine(step) for step in steps]), 50)
    called = read_schedule(cosine, 50)
    assert table is not None and called is not None
    at = np.arange(1.0, 51.0)
    np.testing.assert_allclose(table.at(at), called.at(at), atol=2e-3)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("constant", lambda step: 3.0),
        ("linear", lambda step: 1 - step / 50),
        ("cosine", cosine),
    ],
)
def test_names_stand_for_their_curves(name: str, rate: Any) -> None:
    named, called = read_schedule(name, 50), read_schedule(rate, 50)
    assert named is not None and called is not None
    np.testing.assert_allclose(named.spent, called.spent, atol=1e-9)
    np.testing.assert_allclose(named.rates, called.rates, atol=1e-4)


def test_a_shifted_schedule_follows_its_steps() -> None:
    at = np.arange(1.0, 51.0)
    steps = np.arange(50.0)
    own = [lambda step: math.exp(-step / 9), (steps, np.exp(-steps / 9))]
    for schedule in own:
        moved = read_schedule(shifted(schedule, 1), 50)
        expected = read_schedule(lambda step: math.exp(-max(step - 1, 0) / 9), 50)
        assert moved is not None and expected is not None
        np.testing.assert_allclose(moved.at(at), expected.at(at), atol=2e-3)
    assert shifted("cosine", 1) == "cosine" and shifted(None, 1) is None


def test_an_open_start_is_never_asked_at_zero() -> None:
    rates = read_schedule(lambda step: 1 / math.sqrt(step), 72_000)
    assert rates is not None
    assert rates.at(np.array([72_000.0]))[0, 1] == 1


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            0.1,
            "schedule is 0.1, but must be None, 'constant', 'linear', 'cosine', a callable of the "
            "step or a pair",
        ),
        ("cosin", "schedule is 'cosin', but must be None, 'constant', 'linear', 'cosine', a call"),
        (([1, 2], [0.1]), r"steps of shape \(2,\) and rates of shape \(1,\)"),
        (([1, 20], [0.1, 0.1]), "schedule ends at step 20, but must reach the end of the run, 50"),
        (([1, 1, 50], [0.1] * 3), "step 1 after 1, but steps must strictly increase"),
        (
            ([1, 50], [0.1, -0.1]),
            "gives -0.1 at step 50, but rates must be finite and not negative",
        ),
        (([1, 50], [0.1, math.nan]), "gives nan at step 50"),
        (([1, math.inf], [0.1, 0.1]), "has the step inf, but steps must be finite"),
        (lambda step: 0.0, "zero at every step, but some rate must be positive"),
        (lambda step: None, "gives None at step .*, but must give a number"),
    ],
)
def test_wrong_schedules_say_what_is_wrong(schedule: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_schedule(schedule, 50)


def test_a_model_without_schedules_refuses_one() -> None:
    with pytest.raises(InputError, match="'reference' was trained without learning rates"):
        lcpfn.load("reference").extrapolate([0.1, 0.2], horizon=50, schedule=cosine)


def test_every_door_sees_the_same_schedule(model: LCPFN) -> None:
    options: dict[str, Any] = {"horizon": 50, "goal": "minimize", "schedule": cosine}
    levels = [0.06, 0.5, 0.94]
    expected = model.extrapolate(LOSSES, **options).quantile(levels)[:, -1]
    without = model.extrapolate(LOSSES, horizon=50, goal="minimize").quantile(levels)[:, -1]
    assert not np.allclose(expected, without, rtol=1e-3)
    stream = model.stream(**options)
    for loss in LOSSES:
        streamed = stream.update(loss)
    (batched,) = model.extrapolate_batch([LOSSES], **options)
    for post in (streamed, batched, model.backtest(LOSSES, **options)[-1]):
        np.testing.assert_allclose(post.at_horizon().quantile(levels)[:, 0], expected, rtol=1e-4)


def test_a_stream_of_a_dense_log_follows_the_schedule(model: LCPFN) -> None:
    losses = 2 + np.exp(-np.arange(1, 61) / 20)
    options: dict[str, Any] = {"horizon": 2000, "goal": "minimize", "schedule": "cosine"}
    stream = model.stream(**options)
    for count, loss in enumerate(losses, 1):
        streamed = stream.update(loss).at_horizon().quantile([0.06, 0.5, 0.94])
        whole = model.extrapolate(losses[:count], query=[2000], **options)
        np.testing.assert_allclose(streamed, whole.quantile([0.06, 0.5, 0.94]), rtol=1e-4)


def test_joint_draws_follow_the_schedule(model: LCPFN) -> None:
    post = model.extrapolate(LOSSES, horizon=50, goal="minimize", query=[10, 50], schedule=cosine)
    draws = post.sample(4000, np.random.default_rng(0))
    middle = np.median(draws[:, 0])
    assert post.quantile(0.45)[0] < middle < post.quantile(0.55)[0]


def test_training_hides_half_of_the_schedules() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = BroadPrior().sample(2000, generator)
    examples = draw_examples(batch, 8, generator)
    assert batch.schedule is not None
    observations, questions = examples.observations, examples.questions
    assert observations.schedule is not None and questions.schedule is not None
    hidden = (observations.schedule < 0).all(2).all(1)
    assert observations.rates is not None
    nothing = hidden & (observations.rates < 0).all(1)
    assert 0.45 < nothing.float().mean() < 0.55
    assert torch.equal(hidden, (questions.schedule < 0).all(2).all(1))
    known = questions.schedule[~hidden]
    assert known.min() >= 0 and known.max() <= 1 + 1e-6
    # At the horizon the whole rate is spent.
    at_end = questions.fractions[~hidden] == 1
    torch.testing.assert_close(known[..., 1][at_end], torch.ones(int(at_end.sum())))


def test_a_network_may_start_from_one_that_knew_no_schedules() -> None:
    shape = {**SHAPE.as_dict(), "schedule": False}
    plain = Network(NetworkConfig(**shape)).initialise(torch.Generator().manual_seed(1))  # type: ignore[arg-type]
    torch.nn.init.normal_(plain.head.weight, std=0.05)
    told = Network(SHAPE).take_over(plain)
    fractions = torch.tensor([[0.1, 0.2, 0.3]])
    values = torch.tensor([[0.0, 1.0, 1.5]])
    rates = LearningRates(1.0, np.ones(4), np.linspace(0, 1, 5))
    schedule = torch.from_numpy(rates.at(fractions[0].double().numpy()))[None]
    seen = Observations(fractions, values, schedule=schedule)
    asked = Questions(torch.ones(1, 1), torch.from_numpy(rates.at(np.array([1.0])))[None])
    before = answered(plain, Observations(fractions, values), Questions(torch.ones(1, 1)))
    after = answered(told, seen, asked)
    torch.testing.assert_close(
        after.quantile(torch.tensor(0.5)), before.quantile(torch.tensor(0.5))
    )
    shown = Network(NetworkConfig(**{**SHAPE.as_dict(), "floor": True})).take_over(told)  # type: ignore[arg-type]
    bounded = Observations(fractions, values, torch.tensor([[2.0, -1.0]]), schedule)
    ignored = answered(shown, bounded, asked)
    heeded = answered(told, bounded, asked)
    torch.testing.assert_close(ignored.location, heeded.location)
    deeper = Network(NetworkConfig(**{**SHAPE.as_dict(), "layers": 4}))  # type: ignore[arg-type]
    deeper.initialise(torch.Generator().manual_seed(2)).take_over(told)
    begun = answered(deeper, seen, asked)
    torch.testing.assert_close(begun.location, after.location)
    for wrong in ({"width": 64}, {"floor": True}, {"layers": 1}):
        with pytest.raises(InputError, match="cannot start"):
            Network(NetworkConfig(**{**shape, **wrong})).take_over(told)  # type: ignore[arg-type]


def test_a_callable_is_asked_at_fractions_of_steps() -> None:
    table = [0.1, 0.05, 0.01]
    with pytest.raises(InputError, match=r"raises TypeError\(.*fractions of one among them"):
        read_schedule(lambda step: table[step], 3)  # type: ignore[call-overload]
    with pytest.raises(InputError, match="raises IndexError"):
        read_schedule(lambda step: table[int(step) + 2], 3)
