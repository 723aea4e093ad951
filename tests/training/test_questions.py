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
