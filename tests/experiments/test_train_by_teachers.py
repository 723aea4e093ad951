"""A network that learns from others' forecasts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.train_by_teachers import Lesson, Outcomes, Teacher, teach
from lcpfn.network.config import NetworkConfig
from lcpfn.network.transformer import Network
from lcpfn.priors import AnnealedPrior, BroadConfig, BroadPrior
from lcpfn.training import TrainingConfig
from lcpfn.training.objective import Objective
from lcpfn.training.questions import draw_examples
from tests.experiments.drawn_networks import drawn_network

SMALL = NetworkConfig(width=16, layers=1, heads=2, bins=16)
PRIOR = BroadPrior(BroadConfig(lengths=(13,), length_weights=(1.0,)))


pytestmark = pytest.mark.usefixtures("one_thread")


def taught_by(*teachers: Network) -> Lesson:
    return Lesson(PRIOR, 16, [Teacher(network, 1.0) for network in teachers])


def config(steps: int) -> TrainingConfig:
    return TrainingConfig(
        curves=16 * steps, batch=16, queries=4, learning_rate=3e-3, seed=1, network=SMALL
    )


def divergence(lesson: Lesson, network: Network) -> float:
    many = replace(lesson, curves=256)
    with torch.no_grad():
        return float(many.divergence(network, 4, torch.Generator().manual_seed(9)))


def test_what_a_teacher_says_is_learned(tmp_path: Path) -> None:
    teacher, pupil = drawn_network(1, SMALL), drawn_network(2, SMALL).requires_grad_(True)
    lesson = taught_by(teacher)
    before = divergence(lesson, pupil)
    assert teach(pupil, [lesson], config(25), tmp_path) > 0
    assert divergence(lesson, pupil) < 0.7 * before


def test_nothing_is_to_be_learned_from_oneself() -> None:
    network = drawn_network(1, SMALL)
    assert divergence(taught_by(network), network) == pytest.approx(0, abs=1e-6)


def test_teachers_count_by_their_shares() -> None:
    network, other = drawn_network(1, SMALL), drawn_network(2, SMALL)
    alone = divergence(taught_by(other), network)
    lesson = Lesson(PRIOR, 16, [Teacher(network, 3.0), Teacher(other, 1.0)])
    assert divergence(lesson, network) == pytest.approx(alone / 4, rel=0.05)


def test_a_wider_teacher_widens_what_is_better_and_early_alone(tmp_path: Path) -> None:
    network = drawn_network(1, SMALL)
    pupil = drawn_network(1, SMALL).requires_grad_(True)
    lesson = Lesson(PRIOR, 16, [Teacher(network, 1.0, wider=1.0)])
    assert divergence(lesson, network) > 1e-3
    teach(pupil, [lesson], config(25), tmp_path)
    generator = torch.Generator().manual_seed(4)
    examples = draw_examples(PRIOR.sample(256, generator), 8, generator)
    with torch.no_grad():
        before, after = (
            each(
                each.view.observe(examples.observations),
                examples.observations,
                examples.prefixes,
                examples.questions,
            )
            for each in (network, pupil)
        )
    early = examples.observations.fractions.gather(1, examples.prefixes - 1) < 0.1

    def wider(low: float, high: float) -> torch.Tensor:
        levels = torch.tensor([low, high])[:, None, None].expand(2, *early.shape)
        theirs, ours = (each.quantile(levels) for each in (before, after))
        return (ours[1] - ours[0]) / (theirs[1] - theirs[0])

    above, below = wider(0.5, 0.9)[early].median(), wider(0.1, 0.5)[early].median()
    assert above > 1.15 and above > below + 0.1


def test_a_teacher_is_not_asked_what_it_never_heard_of() -> None:
    generator = torch.Generator().manual_seed(3)
    examples = draw_examples(AnnealedPrior().sample(64, generator), 8, generator)
    observations, best = examples.observations, examples.questions.best
    assert observations.rates is not None and observations.schedule is not None
    assert best is not None
    no_rates = (observations.rates < 0).all(1)
    silent = no_rates & (observations.schedule < 0).all(2).all(1)
    assert 0 < silent.sum() < no_rates.sum() < 64 and 0 < best.sum() < best.numel()
    shapes = {
        "all": replace(SMALL, frame="relative", schedule=True, rates=True, best=True),
        "no best": replace(SMALL, frame="relative", schedule=True, rates=True),
        "no rates": replace(SMALL, frame="relative", schedule=True, best=True),
        "neither": replace(SMALL, frame="relative", best=True),
    }
    asked = {
        name: Teacher(drawn_network(1, shape), 0.5).asked(examples)
        for name, shape in shapes.items()
    }
    assert (asked["all"] == 0.5).all()
    torch.testing.assert_close(asked["no best"], torch.where(best > 0, 0.0, 0.5))
    for name, heard in (("no rates", no_rates), ("neither", silent)):
        torch.testing.assert_close(
            asked[name], torch.where(heard, 0.5, 0.0)[:, None].expand_as(best)
        )


def test_outcomes_teach_what_training_on_draws_does(tmp_path: Path) -> None:
    lesson = Lesson(PRIOR, 16, [Outcomes(1.0)])
    pupil = drawn_network(2, SMALL).requires_grad_(True)
    before = divergence(lesson, pupil)
    generator = torch.Generator().manual_seed(9)
    examples = draw_examples(PRIOR.sample(256, generator), 4, generator)
    context = pupil.view.observe(examples.observations)
    with torch.no_grad():
        score = Objective(pupil, crps=0.0)(context, examples)
    assert before == pytest.approx(-float(score), rel=1e-5)
    teach(pupil, [lesson], config(25), tmp_path)
    assert divergence(lesson, pupil) < before - 0.1


def test_training_goes_on_where_it_was(tmp_path: Path) -> None:
    teacher = drawn_network(1, SMALL)
    lesson = taught_by(teacher)
    whole, halves = (drawn_network(2, SMALL).requires_grad_(True) for _ in range(2))
    teach(whole, [lesson], config(6), tmp_path / "whole")

    class KilledError(Exception):
        pass

    class Fragile:
        """Draws as the prior does, and breaks after a number of draws."""

        left = 3

        def sample(self, count: int, generator: torch.Generator | None = None):
            if not self.left:
                raise KilledError
            self.left -= 1
            return PRIOR.sample(count, generator)

    with pytest.raises(KilledError):
        teach(halves, [replace(lesson, prior=Fragile())], config(6), tmp_path, saved_every=0.0)
    again = drawn_network(2, SMALL).requires_grad_(True)
    teach(again, [lesson], config(6), tmp_path)
    for name, weight in whole.weights.items():
        np.testing.assert_array_equal(weight, again.weights[name])
