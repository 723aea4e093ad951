"""The sampler, with real Optuna."""

from __future__ import annotations

import logging
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from lcpfn.errors import InputError
from lcpfn.integrations.optuna import LCPFNPruner, LCPFNSampler

EPOCHS = 12

Objective = Callable[[Trial], float]


@pytest.fixture(autouse=True)
def quiet() -> Any:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def level(rate: float, layers: int = 3) -> float:
    """What trials reach: best at a rate of 1e-2 and three layers."""
    return 0.9 - 0.08 * (math.log10(rate) + 2) ** 2 - 0.05 * abs(layers - 3)


def train(trial: Trial, end: float, epochs: int = EPOCHS) -> float:
    accuracy = 0.0
    for epoch in range(1, epochs + 1):
        accuracy = end * (1 - 0.6**epoch) + 0.002 * math.sin(7 * epoch + 90 * end)
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return accuracy


def objective(trial: Trial) -> float:
    rate = trial.suggest_float("rate", 1e-5, 1.0, log=True)
    layers = trial.suggest_int("layers", 1, 6)
    return train(trial, level(rate, layers))


def new_study(sampler: LCPFNSampler, **arguments: Any) -> optuna.Study:
    pruner = LCPFNPruner(max_steps=EPOCHS)
    return optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner, **arguments)


def journal(folder: Path, name: str) -> JournalStorage:
    """A storage on a file, as another process would open it."""
    return JournalStorage(JournalFileBackend(str(folder / name)))


def distance(trial: Any) -> float:
    return abs(math.log10(trial.params["rate"]) + 2)


def test_learns_from_curves_that_were_pruned():
    study = new_study(LCPFNSampler(seed=0, startup=6))
    study.optimize(objective, n_trials=22)
    pruned = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert len(pruned) > 5
    # Some look elsewhere, but most are near the best.
    assert median(map(distance, study.trials[6:])) < 0.6 < median(map(distance, study.trials[:6]))
    assert study.best_value > 0.89


def test_proposes_where_all_trials_were_pruned_or_run():
    study = optuna.create_study(direction="minimize", sampler=LCPFNSampler(1, 4, EPOCHS))
    for number, rate in enumerate((1e-5, 1e-3, 1e-2, 1e-1, 1.0)):
        study.enqueue_trial({"rate": rate})
        trial = study.ask()
        trial.suggest_float("rate", 1e-5, 1.0, log=True)
        for epoch in range(1, 5):
            trial.report(1 - level(rate) * (1 - 0.6**epoch), epoch)
        if number < 4:
            study.tell(trial, state=TrialState.PRUNED)
    trial = study.ask()
    trial.suggest_float("rate", 1e-5, 1.0, log=True)
    assert distance(trial) < 1


def test_a_study_that_is_reopened_goes_on_as_it_would_have(tmp_path: Path):
    whole = new_study(
        LCPFNSampler(seed=3, startup=5), storage=journal(tmp_path, "whole"), study_name="study"
    )
    whole.optimize(objective, n_trials=10)
    new_study(
        LCPFNSampler(seed=3, startup=5), storage=journal(tmp_path, "cut"), study_name="study"
    ).optimize(objective, n_trials=7)
    reopened = optuna.load_study(
        study_name="study",
        storage=journal(tmp_path, "cut"),
        sampler=pickle.loads(pickle.dumps(LCPFNSampler(seed=3, startup=5))),
        pruner=LCPFNPruner(max_steps=EPOCHS),
    )
    reopened.optimize(objective, n_trials=3)
    assert [trial.params for trial in reopened.trials] == [trial.params for trial in whole.trials]


def test_processes_side_by_side_try_different_things(tmp_path: Path):
    # Each has a sampler of its own, and knows of the others by the storage alone.
    new_study(
        LCPFNSampler(seed=0, startup=5), storage=journal(tmp_path, "it"), study_name="study"
    ).optimize(objective, n_trials=6)
    rates = []
    for _ in range(3):
        sampler = LCPFNSampler(seed=0, startup=5, max_steps=EPOCHS)
        storage = journal(tmp_path, "it")
        study = optuna.load_study(study_name="study", storage=storage, sampler=sampler)
        trial = study.ask()
        rates.append(trial.suggest_float("rate", 1e-5, 1.0, log=True))
        trial.suggest_int("layers", 1, 6)
    assert len(set(rates)) == 3


def test_threads_share_a_sampler():
    study = new_study(LCPFNSampler(seed=0, startup=4))
    study.optimize(objective, n_trials=10, n_jobs=2)
    assert len(study.trials) == 10
    assert not any(trial.state == TrialState.FAIL for trial in study.trials)


def test_studies_of_one_sampler_have_a_space_each():
    sampler = LCPFNSampler(seed=0, startup=2)

    def other(trial: Trial) -> float:
        return train(trial, level(trial.suggest_float("speed", 1e-5, 1.0, log=True)))

    new_study(sampler).optimize(objective, n_trials=4)
    study = new_study(sampler)
    study.optimize(other, n_trials=4)
    alone = new_study(LCPFNSampler(seed=0, startup=2))
    alone.optimize(other, n_trials=4)
    assert [trial.params for trial in study.trials] == [trial.params for trial in alone.trials]


def test_as_many_trials_are_drawn_at_random_as_said(caplog: pytest.LogCaptureFixture):
    study = new_study(LCPFNSampler(seed=0, startup=4))
    optuna.logging.enable_propagation()
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    with caplog.at_level(logging.DEBUG, "optuna.samplers.lcpfn"):
        study.optimize(objective, n_trials=7)
    optuna.logging.disable_propagation()
    proposed = [text for text in caplog.messages if "highest of 400 configurations" in text]
    assert {text.partition(":")[0] for text in proposed} == {"Trial 4", "Trial 5", "Trial 6"}


def test_conditional_parameters_are_drawn_on_their_own():
    def conditional(trial: Trial) -> float:
        rate = trial.suggest_float("rate", 1e-5, 1.0, log=True)
        kind = trial.suggest_categorical("kind", ["sgd", "adam", None])
        if kind == "sgd":
            trial.suggest_float("momentum", 0.0, 0.99)
        trial.suggest_float("dropout", 0.0, 0.5, step=0.1)
        trial.suggest_int("width", 16, 512, log=True)
        trial.suggest_float("fixed", 1.0, 1.0)
        return train(trial, level(rate) - 0.1 * (kind != "adam"))

    study = new_study(LCPFNSampler(seed=3, startup=4))
    study.optimize(conditional, n_trials=16)
    assert all(trial.state != TrialState.FAIL for trial in study.trials)
    for trial in study.trials:
        assert ("momentum" in trial.params) == (trial.params["kind"] == "sgd")
    kinds = [trial.params["kind"] for trial in study.trials]
    assert kinds[4:].count("adam") >= 6


def test_a_space_that_changes_is_no_trouble():
    study = new_study(LCPFNSampler(seed=0, startup=2))

    def changing(trial: Trial) -> float:
        low = 1e-5 if trial.number < 5 else 1e-3
        return train(trial, level(trial.suggest_float("rate", low, 1.0, log=True)), 3)

    study.optimize(changing, n_trials=9)
    assert all(trial.params["rate"] >= 1e-3 for trial in study.trials[5:])


def test_trials_that_never_report_are_learned_from_by_their_values():
    study = optuna.create_study(sampler=LCPFNSampler(seed=0, startup=5))

    def silent(trial: Trial) -> float:
        return -level(trial.suggest_float("rate", 1e-5, 1.0, log=True))

    study.optimize(silent, n_trials=15)
    assert distance(study.best_trial) < 0.3


def test_trials_are_random_at_first_and_those_enqueued_come_first():
    study = new_study(LCPFNSampler(seed=0, startup=5))
    study.enqueue_trial({"rate": 0.5, "layers": 2})
    study.optimize(objective, n_trials=3)
    assert study.trials[0].params == {"rate": 0.5, "layers": 2}
    other = new_study(LCPFNSampler(seed=0, startup=50))
    other.enqueue_trial({"rate": 0.5, "layers": 2})
    other.optimize(objective, n_trials=3)
    assert study.trials[2].params == other.trials[2].params


def test_without_a_seed_every_study_differs():
    def first(study: optuna.Study) -> float:
        return float(study.ask().suggest_float("rate", 0.0, 1.0))

    assert first(new_study(LCPFNSampler())) != first(new_study(LCPFNSampler()))


def test_several_objectives_get_random_parameters_and_one_warning():
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("optuna.samplers.lcpfn")
    logger.addHandler(handler)
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=LCPFNSampler(seed=0, startup=1)
    )
    study.optimize(lambda trial: (trial.suggest_float("rate", 0, 1), 1.0), n_trials=4)
    logger.removeHandler(handler)
    assert sum("several objectives" in message for message in told) == 1
    assert len({trial.params["rate"] for trial in study.trials}) == 4


def test_the_length_of_a_trial_may_be_one_of_its_parameters():
    study = optuna.create_study(
        direction="maximize",
        sampler=LCPFNSampler(seed=0, startup=3),
        pruner=LCPFNPruner(max_steps="epochs"),
    )

    def own_length(trial: Trial) -> float:
        epochs = trial.suggest_int("epochs", 6, 12)
        return train(trial, level(trial.suggest_float("rate", 1e-5, 1.0, log=True)), epochs)

    study.optimize(own_length, n_trials=7)
    assert all(trial.state != TrialState.FAIL for trial in study.trials)


def test_a_space_that_has_been_tried_as_a_whole_is_tried_again():
    study = new_study(LCPFNSampler(seed=0, startup=2))

    def of_three(trial: Trial) -> float:
        return train(trial, trial.suggest_categorical("end", (0.5, 0.7, 0.9)))

    study.optimize(of_three, n_trials=9)
    assert {trial.params["end"] for trial in study.trials} == {0.5, 0.7, 0.9}


@pytest.mark.parametrize(
    "arguments", [{"startup": 0}, {"count": 0}, {"threshold": 2}, {"seed": -1}, {"seed": 1.5}]
)
def test_wrong_arguments_are_told_at_once(arguments: dict[str, Any]):
    with pytest.raises(InputError):
        LCPFNSampler(**arguments)
