import pytest
import torch

from lcpfn.priors import CurveBatch
from lcpfn.training.questions import draw_examples


@pytest.mark.parametrize("seed", range(12))
def test_questions_come_after_what_is_observed(prior_curves: CurveBatch, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    examples = draw_examples(prior_curves, 16, generator)
    fractions, asked = examples.observations.fractions, examples.questions.fractions
    curves, observed = examples.observations.values.shape
    assert curves == 2000 and observed in (99, 49, 24)
    assert (fractions.diff(dim=1) > 0).all()
    assert examples.prefixes.min() == 1 and examples.prefixes.max() <= observed
    last = fractions.gather(1, examples.prefixes - 1)
    assert (asked > last).all() and asked.max() == 1
    steps = (asked * 100).round().long() - 1
    assert examples.questions.best is not None
    plain = examples.questions.best == 0
    expected = prior_curves.clean.gather(1, steps)
    assert torch.equal(examples.clean[plain], expected[plain])


def test_values_belong_to_their_steps(prior_curves: CurveBatch) -> None:
    examples = draw_examples(prior_curves, 4, torch.Generator().manual_seed(3))
    steps = (examples.observations.fractions * 100).round().long() - 1
    assert torch.equal(examples.observations.values, prior_curves.values.gather(1, steps))


@pytest.mark.parametrize("seed", range(6))
def test_the_best_value_is_that_of_the_records_still_to_come(
    prior_curves: CurveBatch, seed: int
) -> None:
    examples = draw_examples(prior_curves, 16, torch.Generator().manual_seed(seed))
    fractions, asked = examples.observations.fractions, examples.questions.fractions
    best = examples.questions.best
    assert best is not None
    assert 0.15 < best.mean() < 0.25
    last = (fractions.gather(1, examples.prefixes - 1) * 100).round().long() - 1
    steps = (asked * 100).round().long() - 1
    for curve, question in best.nonzero()[:200].tolist():
        begin, end = int(last[curve, question]) + 1, int(steps[curve, question]) + 1
        later = prior_curves.values[curve, begin:end]
        # Of a thinned log only the records that it shows count, the asked one among them.
        assert prior_curves.values[curve, end - 1] <= examples.clean[curve, question] <= later.max()


def test_all_records_count_where_none_is_missing() -> None:
    values = torch.arange(40.0).flip(0).expand(64, -1)
    curves = CurveBatch(torch.arange(1, 41) / 40, values, values, torch.full((64, 1), 0.01))
    for seed in range(20):
        examples = draw_examples(curves, 8, torch.Generator().manual_seed(seed))
        if examples.observations.values.shape[1] < 39:
            continue
        assert examples.questions.best is not None
        asked = examples.questions.best == 1
        last = examples.observations.values.gather(1, examples.prefixes - 1)
        # A falling curve: the best of what comes is the very next record.
        assert torch.equal(examples.clean[asked], last[asked] - 1)


def test_learning_rates_are_told_whole_at_the_records_or_not_at_all() -> None:
    rate = torch.linspace(1, 0.1, 40)
    schedule = torch.stack([rate, torch.linspace(0.05, 1, 40)], -1).expand(400, -1, -1)
    values = torch.rand(400, 40, generator=torch.Generator().manual_seed(0))
    noise = torch.full((400, 1), 0.1)
    curves = CurveBatch(torch.arange(1, 41) / 40, values, values, noise, schedule=schedule)
    examples = draw_examples(curves, 4, torch.Generator().manual_seed(1))
    observations = examples.observations
    assert observations.schedule is not None and observations.rates is not None
    whole = (observations.schedule[..., 1] >= 0).all(1)
    at_records = (observations.rates >= 0).all(1)
    assert not (whole & at_records).any()
    assert abs(whole.float().mean() - 0.3) < 0.08
    assert abs(at_records.float().mean() - 0.2) < 0.08
    steps = (observations.fractions * 40).round().long() - 1
    assert torch.equal(observations.rates[at_records], rate[steps][at_records])
