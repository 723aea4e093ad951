"""The best value up to a step: never worse than the best record, consistent in all its answers."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

import lcpfn
from lcpfn.forecast.best import BestSoFar
from lcpfn.forecast.model import LCPFN
from lcpfn.network.histogram import BinnedDistribution, starting_log_masses
from lcpfn.network.transformer import Network

LOSSES = [2.3, 1.4, 1.1, 0.9, 1.0, 1.2]


@lru_cache
def _model() -> LCPFN:
    """A model that is told rates and asked for the best value, with answers that differ."""
    trained = lcpfn.load()
    config = replace(trained.network.config, rates=True, best=True)
    network = Network(config).initialise(torch.Generator().manual_seed(0))
    network.take_over(Network.of(trained.network))
    told = 0.05 * torch.randn(
        network.embed_query.weight.shape[0], generator=torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        network.embed_query.weight[:, -1] += told
        network.embed_context.weight[:, -5:] += told[:, None]
    return LCPFN(network.engine(), {**trained.card, "network": config.as_dict()})


def _margin(location: float, scale: float = 0.1) -> BinnedDistribution:
    masses = starting_log_masses(64)
    return BinnedDistribution(np.float64(location), np.float64(scale), masses)


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
@pytest.mark.parametrize("location", [0.2, 0.5, 0.8])
def test_answers_agree_with_draws(goal: str, location: float) -> None:
    later = _margin(location)
    post = BestSoFar(later, 0.5, goal)  # type: ignore[arg-type]
    drawn = np.asarray(later.sample((200_000,), np.random.default_rng(0)))
    drawn = np.maximum(drawn, 0.5) if goal == "maximize" else np.minimum(drawn, 0.5)
    # The tails are exponential, so means of draws are not very exact.
    assert post.mean == pytest.approx(drawn.mean(), abs=2e-3)
    assert post.std == pytest.approx(drawn.std(), abs=5e-3)
    for y in (0.3, 0.45, 0.5, 0.55, 0.7):
        assert post.cdf(np.float64(y)) == pytest.approx((drawn <= y).mean(), abs=5e-3)
    for q in (0.05, 0.5, 0.95):
        assert post.quantile(np.float64(q)) == pytest.approx(np.quantile(drawn, q), abs=5e-3)


def test_density_and_the_record_itself_add_up_to_one() -> None:
    post = BestSoFar(_margin(0.45), 0.5, "maximize")
    grid = np.linspace(0.5 + 1e-9, 4.0, 400_001)
    inside = np.exp(post.log_prob(grid)).sum() * (grid[1] - grid[0])
    assert inside + np.exp(post.log_prob(np.float64(0.5))) == pytest.approx(1, abs=1e-3)
    assert post.log_prob(np.float64(0.49)) == -np.inf


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_never_worse_than_the_best_record(goal: str) -> None:
    values = LOSSES if goal == "minimize" else [-loss for loss in LOSSES]
    best = min(values) if goal == "minimize" else max(values)
    sign = 1 if goal == "maximize" else -1
    post = _model().extrapolate(values, horizon=20, goal=goal, bounds=None, of="best")
    assert post.of == "best"
    assert (sign * (post.quantile([0.001, 0.5, 0.999]) - best) >= 0).all()
    assert (sign * (post.mean - best) >= 0).all()
    assert (sign * (post.sample(20, np.random.default_rng(0)) - best) >= 0).all()
    assert post.prob_better(best - sign * 0.01) == 1
    assert 0 < post.prob_better(best) < 1


def test_drawn_best_values_never_get_worse() -> None:
    post = _model().extrapolate(LOSSES, horizon=20, goal="minimize", of="best")
    assert (np.diff(post.sample(50, np.random.default_rng(0)), axis=1) <= 0).all()


def test_a_complete_run_has_its_best_record() -> None:
    post = _model().extrapolate(LOSSES, horizon=6, goal="minimize", of="best")
    assert post.median == pytest.approx([0.9])
    assert post.prob_better(1.0) == 1 and post.prob_better(0.89) == 0


def test_batch_backtest_and_stream_say_the_same() -> None:
    model = _model()
    stream = model.stream(horizon=20, goal="minimize", of="best")
    streamed = [stream.update(loss) for loss in LOSSES]
    backtest = model.backtest(LOSSES, horizon=20, goal="minimize", of="best")
    prefixes = [LOSSES[: count + 1] for count in range(len(LOSSES))]
    batch = model.extrapolate_batch(prefixes, horizon=20, goal="minimize", of="best")
    for count, posts in enumerate(zip(streamed, backtest, batch, strict=True)):
        single = model.extrapolate(prefixes[count], horizon=20, goal="minimize", of="best")
        for post in posts:
            at_end = post.quantile([0.1, 0.5, 0.9])[:, -1]
            assert at_end == pytest.approx(single.quantile([0.1, 0.5, 0.9])[:, -1], rel=1e-4)
            assert post.prob_better(0.8) == pytest.approx(single.prob_better(0.8), abs=1e-4)


def test_what_is_asked_changes_the_answer() -> None:
    last, best = (
        _model().extrapolate(LOSSES, horizon=20, goal="minimize", of=of) for of in ("last", "best")
    )
    assert last.quantile(0.9)[-1] > best.quantile(0.9)[-1]


def test_a_model_that_was_not_trained_for_it_says_so() -> None:
    with pytest.raises(lcpfn.InputError, match="of is 'best', but model 'reference'"):
        lcpfn.load("reference").extrapolate([0.5], of="best")
    with pytest.raises(lcpfn.InputError, match="of is 'worst', but must be"):
        _model().extrapolate([0.5], of="worst")
