import threading
from typing import Any

import numpy as np
import pytest
import torch

import lcpfn
from lcpfn.errors import WeightsError
from lcpfn.network.blas import BlasThreads
from lcpfn.network.engine import Engine
from lcpfn.network.histogram import BinnedDistribution
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.transformer import Network
from lcpfn.priors import CurveBatch
from tests.network.comparison import answered, assert_same, in_numpy, random_network

# What a network answers must not depend on what computes it.
# Sums in single precision, which processors order differently.
SAME = 5e-5
HORIZON = Questions(np.ones((1, 1), np.float32))

FRAMES = {
    "absolute": {},
    "relative": {
        "frame": "relative",
        "schedule": True,
        "floor": True,
        "rates": True,
        "best": True,
        "unit_floor": 1e-3,
    },
}


@pytest.fixture(params=FRAMES)
def network(request: pytest.FixtureRequest) -> Network:
    return random_network(**FRAMES[request.param])


@pytest.fixture
def curves(prior_curves: CurveBatch) -> Observations:
    """Twelve whole curves in torch, with all that a network can be told."""
    values = prior_curves.values[:12]
    fractions = prior_curves.fractions.expand_as(values).contiguous()
    limits = torch.tensor([[1.2, -0.1]]).expand(12, -1).contiguous()
    limits[::3] = torch.tensor([torch.inf, -torch.inf])
    schedule = torch.stack([1 - 0.9 * fractions, fractions], -1)
    return Observations(fractions, values, limits, schedule, 1 - 0.5 * fractions)


def one(observations: Observations, row: int) -> Observations:
    """One curve of a batch."""
    part = slice(row, row + 1)
    return Observations(
        observations.fractions[part],
        observations.values[part],
        observations.limits[part],
        observations.schedule[part],
        observations.rates[part],
    )


def questions(*fractions: float, curves: int = 1, best: float = 0.0) -> Questions:
    asked = torch.tensor([fractions]).expand(curves, -1).contiguous()
    schedule = torch.stack([1 - 0.9 * asked, asked], -1)
    return Questions(asked, schedule, torch.full_like(asked, best))


def test_bundled_weights_answer_the_same(prior_curves: CurveBatch) -> None:
    for name in lcpfn.available():
        engine = lcpfn.load(name).network
        values = prior_curves.values[:20, :40]
        fractions = prior_curves.fractions[:40].expand_as(values).contiguous()
        seen, asked = Observations(fractions, values), Questions(torch.tensor([[0.5, 1.0]] * 20))
        ours = engine.extend(None, in_numpy(seen), in_numpy(asked))
        assert_same(ours, answered(Network.of(engine), seen, asked).double(), 10 * SAME)


def test_weights_come_back_as_they_were(network: Network) -> None:
    again = Network.of(network.engine()).state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in network.state_dict().items())


@pytest.mark.parametrize("count", [1, 2, 40])
def test_single_forecasts(network: Network, curves: Observations, count: int) -> None:
    seen = one(curves, 1).first(count)
    for asked in (
        questions(1.0),
        questions(*np.linspace(0.5, 1, 30).tolist()),
        questions(0.7, best=1.0),
    ):
        ours = network.engine().extend(None, in_numpy(seen), in_numpy(asked))
        assert ours.log_masses.dtype == np.float64
        assert_same(ours, answered(network, seen, asked), SAME)


def test_many_questions_about_many_curves(network: Network, curves: Observations) -> None:
    seen, asked = curves.first(30), questions(0.4, 0.9, 1.0, curves=12)
    ours = network.engine().extend(None, in_numpy(seen), in_numpy(asked))
    assert_same(ours, answered(network, seen, asked), SAME)


@pytest.mark.parametrize("threads", [1, 2])
def test_batches_of_any_lengths(network: Network, curves: Observations, threads: int) -> None:
    lengths = np.array([1, 99, 2, 7, 7, 99, 30, 31, 5, 64, 1, 50])
    alone = [one(curves, row).first(length) for row, length in enumerate(lengths.tolist())]
    padded = Observations.padded([in_numpy(seen) for seen in alone])
    asked = questions(1.0, curves=12)
    engine = Engine(network.config, network.engine().weights, threads)
    ours = engine.forecast_batch(padded, lengths, in_numpy(asked))
    for row, seen in enumerate(alone):
        assert_same(ours[row], answered(network, seen, questions(1.0))[0], SAME)


def test_every_prefix_at_once(network: Network, curves: Observations) -> None:
    whole, count = one(curves, 2).first(90), 60
    ours = network.engine().backtest(in_numpy(whole), in_numpy(questions(1.0)), count)()
    assert ours.location.shape == (1, count)
    for length in (1, 2, 3, 30, 60):
        theirs = answered(network, whole.first(length), questions(1.0))
        assert_same(ours[:, length - 1], theirs[:, 0], SAME)


def test_single_tokens(network: Network, curves: Observations) -> None:
    engine = network.engine()
    cache = engine.cache(capacity=99)
    for length in range(1, 100):
        seen = one(curves, 4).first(length)
        streamed = engine.advance(cache, in_numpy(seen), in_numpy(questions(1.0)))()
        assert cache.length == length
        if length in (1, 2, 3, 50, 99):
            assert_same(streamed, answered(network, seen, questions(1.0)), SAME)


def test_a_cache_may_be_filled_in_any_portions(network: Network, curves: Observations) -> None:
    engine, asked = network.engine(), in_numpy(questions(0.7, 1.0))
    whole = in_numpy(one(curves, 5).first(60))
    scratch = engine.extend(None, whole, asked)
    cache = engine.cache(60)
    engine.remember(cache, whole.first(1))
    engine.remember(cache, whole.first(33))
    engine.extend(cache, whole.first(50), asked)
    assert cache.length == 50
    assert_same(engine.extend(cache, whole, asked), scratch, SAME)
    cache.length = 20
    assert_same(engine.extend(cache, whole, asked), scratch, SAME)


def test_copies_of_a_cache_go_on_by_themselves(network: Network, curves: Observations) -> None:
    engine, asked = network.engine(), in_numpy(questions(1.0))
    whole = in_numpy(one(curves, 7))
    cache = engine.cache(31)
    engine.remember(cache, whole.first(30))
    copies = whole.first(31).copies(3)
    moved = np.array(copies.values)
    moved[:, -1] += [0.0, 0.1, 0.2]
    grown = Observations(copies.fractions, moved, copies.limits, copies.schedule, copies.rates)
    together = engine.extend(cache.repeat(3), grown, asked.copies(3))
    for row in range(3):
        alone = Observations(
            whole.fractions[:, :31],
            moved[row : row + 1],
            whole.limits,
            whole.schedule[:, :31],
            whole.rates[:, :31],
        )
        assert_same(together[row], engine.extend(None, alone, asked)[0], SAME)


def test_questions_are_remembered_with_all_that_belongs_to_them(curves: Observations) -> None:
    network = random_network(**FRAMES["relative"])
    engine, seen = network.engine(), one(curves, 0).first(1)
    for query, rates, best in [
        (1.0, (1.0, 0.1), 0.0),
        (0.5, (1.0, 0.1), 0.0),
        (1.0, (0.2, 0.7), 0.0),
        (1.0, (0.2, 0.7), 1.0),
        (1.0, None, 1.0),
        (1.0, None, None),
    ]:
        asked = Questions(
            torch.full((1, 1), query),
            None if rates is None else torch.tensor([[rates]]),
            None if best is None else torch.full((1, 1), best),
        )
        for _ in range(2):
            streamed = engine.advance(engine.cache(capacity=1), in_numpy(seen), in_numpy(asked))()
            assert_same(streamed, answered(network, seen, asked), SAME)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm.bias": None}, r"missing or unknown: norm\.bias"),
        ({"surplus": np.zeros(3, np.float32)}, "missing or unknown: surplus"),
        ({"norm.bias": np.zeros(3, np.float32)}, r"shape \(3,\), but must be float32 .* \(32,\)"),
        ({"norm.bias": np.zeros(32)}, "norm.bias is float64"),
    ],
)
def test_weights_of_another_network_are_refused(
    small_network: Network, change: dict[str, Any], message: str
) -> None:
    weights = {**small_network.engine().weights, **change}
    weights = {name: weight for name, weight in weights.items() if weight is not None}
    with pytest.raises(WeightsError, match=message):
        Engine(small_network.config, weights)


def test_forecasts_are_the_same_in_all_threads(network: Network, curves: Observations) -> None:
    engine, asked = network.engine(), in_numpy(questions(1.0))
    seen = [in_numpy(one(curves, row).first(20)) for row in range(12)]
    expected = [engine.extend(None, each, asked) for each in seen]
    found: dict[int, BinnedDistribution] = {}

    def ask(rows: range) -> None:
        for row in rows:
            found[row] = engine.extend(None, seen[row], asked)

    threads = [threading.Thread(target=ask, args=(range(start, 12, 3),)) for start in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for row in range(12):
        np.testing.assert_array_equal(found[row].log_masses, expected[row].log_masses)


def test_the_host_gets_its_threads_back() -> None:
    controllers = pytest.importorskip("threadpoolctl")

    def threads() -> list[int]:
        return [
            library["num_threads"]
            for library in controllers.threadpool_info()
            if library["internal_api"] == "openblas" and "numpy" in library["filepath"]
        ]

    with controllers.threadpool_limits(2, user_api="blas"):
        before = threads()
        if not before:
            pytest.skip("numpy has no OpenBLAS here")
        with BlasThreads(1), BlasThreads(1):
            assert threads() == [1]
        lcpfn.load().extrapolate([0.1, 0.2], horizon=9).quantile(0.5)
        assert threads() == before == [2]
