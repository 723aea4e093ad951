from __future__ import annotations

import torch

from lcpfn.priors.searches import SearchDraws, SearchPrior, SearchPriorConfig


def draws(searches: int, runs: int, **keywords) -> SearchDraws:
    generator = torch.Generator().manual_seed(0)
    settings = torch.rand((searches, runs, 4), generator=generator)
    return SearchDraws(searches * runs, generator, SearchPriorConfig(**keywords), settings)


def test_searches_are_drawn_whole_and_again_with_the_same_seed():
    one = SearchPrior().sample(3, 6, torch.Generator().manual_seed(1))
    other = SearchPrior().sample(3, 6, torch.Generator().manual_seed(1))
    assert one.values.shape == one.fractions.shape
    assert one.values.shape[:2] == (3, 6)
    assert torch.equal(torch.nan_to_num(one.values), torch.nan_to_num(other.values))
    assert (one.fractions.diff(dim=-1) > 0).all()


def test_runs_diverge_in_their_worse_direction_and_for_good():
    config = SearchPriorConfig(unstable_rate=1.0)
    batch = SearchPrior(config).sample(30, 8, torch.Generator().manual_seed(0))
    infinite = torch.isinf(batch.values)
    assert infinite.any()
    worst = torch.where(batch.maximize, -torch.inf, torch.inf)[:, None, None]
    assert (batch.values == worst.expand_as(batch.values))[infinite].all()
    assert (infinite[..., 1:] >= infinite[..., :-1]).all()


def test_each_parameter_alone_is_distributed_as_before():
    uniform = draws(4000, 2).uniform(2.0, 4.0)
    assert abs(float(uniform.mean()) - 3) < 0.03
    assert abs(float(uniform.std()) - 2 / 12**0.5) < 0.02
    kinds = draws(4000, 2).kind((0.2, 0.5, 0.3))
    shares = torch.bincount(kinds[:, 0], minlength=3) / len(kinds)
    assert torch.allclose(shares, torch.tensor([0.2, 0.5, 0.3]), atol=0.03)
    assert abs(float(draws(4000, 2).happens(0.3).float().mean()) - 0.3) < 0.03


def test_runs_of_a_search_are_alike_and_noise_is_their_own():
    shared = draws(500, 4, shared_rate=(1.0, 1.0)).normal().view(500, 4)
    assert torch.allclose(shared, shared[:, :1].expand(-1, 4))
    own = draws(500, 4, shared_rate=(0.0, 0.0), own=(1.0, 1.0)).normal().view(500, 4)
    assert abs(float((own[:, 0] * own[:, 1]).mean())) < 0.15
    noise = draws(500, 4).normal(columns=20).view(500, 4, 20)
    assert abs(float((noise[:, 0] * noise[:, 1]).mean())) < 0.05


def test_hyperparameters_that_a_search_has_not_are_unknown():
    batch = SearchPrior().sample(20, 3, torch.Generator().manual_seed(2))
    known = ~torch.isnan(batch.settings)
    assert (known[..., 0]).all()
    assert (known[..., 1:] <= known[..., :-1]).all()
    assert not known.all()


def test_metrics_of_a_search_may_count_the_same_examples():
    config = SearchPriorConfig(counted_rate=1.0, counted=(50, 50))
    batch = SearchPrior(config).sample(20, 6, torch.Generator().manual_seed(3))
    counts = 50 * batch.values[batch.bounded]
    known = torch.isfinite(counts)
    assert batch.bounded.any()
    assert torch.allclose(counts[known], counts[known].round(), atol=1e-3)
