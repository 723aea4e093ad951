"""The pruner, with real Optuna: real studies, storages, threads and processes."""

from __future__ import annotations

import doctest
import importlib.util
import json
import logging
import math
import pickle
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage, RetryFailedTrialCallback
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

import lcpfn
import lcpfn.integrations.optuna as integration
from lcpfn import InputError, WeightsError
from lcpfn.integrations.optuna import CONTINUES, LCPFNPruner, resume_promising
from tests import postgresql_server

EPOCHS = 50
JOURNAL = "journal:"
LEVELS = (0.5, 0.3, 0.62, 0.9, 0.4, 0.55, 0.2, 0.7, 0.35, 0.45)


@pytest.fixture
def messages() -> Iterator[list[str]]:
    """What the pruner logs; pytest's own fixtures do not see past Optuna's handler."""
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("optuna.pruners.lcpfn")
    logger.addHandler(handler)
    yield logged
    logger.removeHandler(handler)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def accuracy(level: float, epoch: float) -> float:
    """A run that rises to `level`, its noise as of small validation sets."""
    return level * (1 - 0.88**epoch) + 0.004 * math.sin(12.9 * epoch + 40 * level)


def bold(max_steps: Any = EPOCHS, **settings: Any) -> LCPFNPruner:
    """A pruner that is as bold with a trial's first records as with its last ones."""
    return LCPFNPruner(max_steps, **{"early_caution": 0, **settings})


def new_study(
    pruner: LCPFNPruner | None = None, best: float | None = 0.9, **options: Any
) -> optuna.Study:
    """A study to maximize, with one finished run of 50 epochs unless `best` is None."""
    study = optuna.create_study(
        direction=options.pop("direction", "maximize"),
        pruner=pruner or bold(),
        **options,
    )
    if best is not None:
        study.add_trial(finished(best))
    return study


def finished(level: float, first: int = 1, **options: Any) -> optuna.trial.FrozenTrial:
    records = {epoch - 1 + first: accuracy(level, epoch) for epoch in range(1, EPOCHS + 1)}
    return create_trial(
        value=options.pop("value", records[max(records)]), intermediate_values=records, **options
    )


def report(study: optuna.Study, records: Mapping[int, float]) -> optuna.Trial:
    """A running trial that has reported these in their order."""
    trial = study.ask()
    for step, value in records.items():
        trial.report(value, step)
    return trial


def rising(level: float, epochs: int, first: int = 1) -> dict[int, float]:
    return {epoch - 1 + first: accuracy(level, epoch) for epoch in range(1, epochs + 1)}


def decision(trial: optuna.Trial) -> dict[str, Any]:
    return trial.study.trials[trial.number].user_attrs["lcpfn"]  # type: ignore[no-any-return]


def objective(sign: int) -> Callable[[optuna.Trial], float]:
    def run(trial: optuna.Trial) -> float:
        level = trial.suggest_float("level", 0, 1)
        for epoch in range(EPOCHS):
            value = accuracy(level, epoch + 1)
            value = value if sign > 0 else 1 - value
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned()
        return value

    return run


def test_docstring_example() -> None:
    assert doctest.testmod(integration, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("jobs", [1, 4])
def test_saves_epochs_and_keeps_the_best(direction: str, jobs: int) -> None:
    study = new_study(bold(), None, direction=direction)
    for level in LEVELS:
        study.enqueue_trial({"level": level})
    study.optimize(objective(1 if direction == "maximize" else -1), len(LEVELS), n_jobs=jobs)
    assert study.best_trial.params == {"level": 0.9}
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    epochs = sum(len(trial.intermediate_values) for trial in study.trials)
    assert epochs < (0.6 if jobs == 1 else 0.8) * EPOCHS * len(LEVELS)
    for trial in study.get_trials(states=[TrialState.PRUNED]):
        assert trial.user_attrs["lcpfn"]["action"] == "stop"
        stored = trial.user_attrs["lcpfn"]
        records = len(trial.intermediate_values)
        limit = lcpfn.StoppingRule(early_caution=0).limit(
            records, stored["standing"], records / EPOCHS
        )
        assert stored["prob_better"] < limit
        assert stored["step"] == trial.last_step


def test_the_decision_is_the_models_and_is_stored() -> None:
    study = new_study()
    trial = report(study, rising(0.3, 8))
    assert trial.should_prune()
    stored = decision(trial)
    post = lcpfn.load().extrapolate(list(rising(0.3, 8).values()), horizon=EPOCHS)
    low, median, high = post.quantile([0.05, 0.5, 0.95])[:, -1]
    incumbent = accuracy(0.9, EPOCHS)
    assert stored["prob_better"] == pytest.approx(post.prob_better(incumbent), abs=1e-6)
    assert stored["median"] == pytest.approx(median)
    ends = pytest.approx(low, rel=1e-5), pytest.approx(high, rel=1e-5)
    assert (stored["low"], stored["high"]) == ends
    assert (stored["to_beat"], stored["horizon"], stored["step"]) == (incumbent, EPOCHS, 8)
    assert stored["action"] == "stop" and "P(final value beats" in stored["reason"]
    json.dumps(stored, allow_nan=False)


def test_following_a_run_decides_as_reading_it_at_once() -> None:
    study = new_study()
    followed = study.ask()
    for step, value in rising(0.85, 12).items():
        followed.report(value, step)
        followed.should_prune()
    at_once = report(study, rising(0.85, 12))
    at_once.should_prune()
    assert decision(followed)["prob_better"] == pytest.approx(
        decision(at_once)["prob_better"], abs=1e-4
    )


def test_asking_twice_gives_the_same() -> None:
    trial = report(new_study(), rising(0.3, 8))
    assert [trial.should_prune() for _ in range(3)] == [True] * 3


def test_steps_from_zero_and_from_one_decide_alike() -> None:
    decisions = []
    for first in (0, 1):
        study = new_study(best=None)
        study.add_trial(finished(0.9, first))
        trial = report(study, rising(0.8, 8, first))
        trial.should_prune()
        decisions.append(decision(trial))
    assert decisions[0]["prob_better"] == decisions[1]["prob_better"]
    assert [entry["step"] for entry in decisions] == [7, 8]


@pytest.mark.parametrize("first", [0, 1])
def test_max_steps_is_learned_from_finished_trials(first: int, messages: list[str]) -> None:
    study = new_study(bold(None), None)
    running = report(study, rising(0.3, 8, first))
    for _ in range(2):
        assert not running.should_prune()
        study.add_trial(finished(0.9, first))
    study.add_trial(create_trial(value=0.9))
    assert not running.should_prune(), "two may be short ones, and one tells no length"
    study.add_trial(finished(0.8, first))
    assert running.should_prune()
    assert decision(running)["horizon"] == EPOCHS
    assert sum(f"learned from finished runs that a full run has {EPOCHS}" in m for m in messages)
    beyond = report(study, rising(0.3, EPOCHS + 5, first))
    assert not beyond.should_prune()


def test_a_run_at_its_last_step_is_left_alone() -> None:
    for first in (0, 1):
        study = new_study(best=None)
        study.add_trial(finished(0.9, first))
        assert report(study, rising(0.3, EPOCHS - 1, first)).should_prune()
        assert not report(study, rising(0.3, EPOCHS, first)).should_prune()


def test_order_of_arrival_does_not_matter() -> None:
    study = new_study()
    records = rising(0.8, 10)
    ordered = report(study, records)
    ordered.should_prune()
    shuffled = study.ask()
    for step in (3, 1, 2, 7, 4, 10, 5, 6, 9, 8):
        shuffled.report(records[step], step)
        shuffled.should_prune()
    assert decision(shuffled)["prob_better"] == decision(ordered)["prob_better"]


def test_a_repeated_step_keeps_its_first_record() -> None:
    study = new_study()
    trial = report(study, rising(0.3, 8))
    assert trial.should_prune()
    before = decision(trial)
    with pytest.warns(UserWarning, match="already reported"):
        trial.report(0.99, 8)
    assert trial.should_prune()
    assert decision(trial) == before


def test_skipped_steps_stay_where_they_are() -> None:
    study = new_study()
    records = {step: accuracy(0.85, step) for step in (5, 10, 15, 20)}
    trial = report(study, records)
    trial.should_prune()
    post = lcpfn.load().extrapolate(list(records.values()), list(records), EPOCHS)
    assert decision(trial)["median"] == pytest.approx(post.median[-1])


@pytest.mark.parametrize(
    ("value", "words"),
    [(math.nan, "is nan"), (math.inf, "is inf"), (-1e200, "is -1e+200"), (-9e5, "far beyond")],
)
def test_diverged_trials_are_pruned_before_any_has_finished(value: float, words: str) -> None:
    study = new_study(bold(None), None)
    trial = report(study, {**rising(0.9, 4), 5: value})
    assert trial.should_prune()
    stored = decision(trial)
    assert words in stored["reason"] and stored["prob_better"] is None
    json.dumps(stored, allow_nan=False)


def test_nan_can_mean_missing() -> None:
    study = new_study(bold(nan="missing"))
    trial = report(study, rising(0.85, 8))
    trial.should_prune()
    before = decision(trial)["prob_better"]
    trial.report(math.nan, 9)
    assert not trial.should_prune()
    assert decision(trial)["prob_better"] == before
    assert report(study, {1: 0.2, 2: math.inf}).should_prune()
    assert not report(study, {1: math.nan, 2: math.nan}).should_prune()


def test_earlier_nan_is_missing() -> None:
    study = new_study()
    records = rising(0.85, 8)
    gap = report(study, {**records, 3: math.nan})
    gap.should_prune()
    values = [math.nan if step == 3 else value for step, value in records.items()]
    post = lcpfn.load().extrapolate(values, horizon=EPOCHS)
    assert decision(gap)["median"] == pytest.approx(post.median[-1])


def test_trials_that_report_nothing() -> None:
    study = new_study(best=None)
    assert not study.ask().should_prune()
    study.add_trial(create_trial(value=0.9))
    trial = report(study, rising(0.3, 8))
    assert trial.should_prune()
    assert decision(trial)["to_beat"] == 0.9


def test_the_incumbent_is_the_best_trials_last_record() -> None:
    study = new_study(best=None)
    study.add_trial(finished(0.7, value=0.99))
    study.add_trial(finished(0.8, value=0.5))
    study.add_trial(finished(0.95, state=TrialState.PRUNED))
    trial = report(study, rising(0.3, 8))
    assert trial.should_prune()
    assert decision(trial)["to_beat"] == accuracy(0.7, EPOCHS)
    ends_in_nan = {**rising(0.9, EPOCHS), EPOCHS: math.nan}
    study.add_trial(create_trial(value=0.995, intermediate_values=ends_in_nan))
    assert trial.should_prune()
    assert decision(trial)["to_beat"] == 0.995


@pytest.mark.parametrize("attributes", [{"constraints": [0.5, -1]}, {"constraints:size": 1.0}])
def test_infeasible_trials_are_no_incumbents(attributes: dict[str, Any]) -> None:
    study = new_study(best=None)
    study.add_trial(finished(0.9, system_attrs=attributes))
    trial = report(study, rising(0.3, 8))
    assert not trial.should_prune()
    study.add_trial(finished(0.7, system_attrs={"constraints": [0.0]}))
    assert trial.should_prune()
    assert decision(trial)["to_beat"] == accuracy(0.7, EPOCHS)


def test_min_steps_and_warmup_trials() -> None:
    study = new_study(bold(min_steps=6, warmup_trials=2))
    assert not report(study, rising(0.3, 8)).should_prune()
    study.add_trial(finished(0.4))
    assert report(study, rising(0.3, 8)).should_prune()
    assert not report(study, rising(0.3, 5)).should_prune()


def reward(level: float, steps: int) -> dict[int, float]:
    return {step: level * (1 - 0.95**step) for step in range(1, steps + 1)}


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED])
def test_bounds_are_not_guessed_against_what_other_trials_have_shown(state: TrialState) -> None:
    """The first values of a reward look like percent, but another trial has passed 100."""
    study = new_study(best=None)
    study.add_trial(create_trial(value=90.0, intermediate_values=reward(95, EPOCHS)))
    records = reward(480, EPOCHS)
    study.add_trial(create_trial(state=state, value=records[EPOCHS], intermediate_values=records))
    trial = report(study, reward(500, 4))
    assert max(reward(500, 4).values()) < 100
    assert not trial.should_prune()
    assert decision(trial)["prob_better"] > 0 and decision(trial)["high"] > 100


@pytest.mark.filterwarnings("ignore:.*set_metric_names is experimental")
@pytest.mark.parametrize("bounds", [None, "auto", (0, 1)])
@pytest.mark.parametrize("name", [None, "Average Score", "win_rate"])
def test_a_study_that_names_a_reward_has_no_ceiling(name: str | None, bounds: Any) -> None:
    settings = {} if bounds is None else {"bounds": bounds}
    study = new_study(bold(**settings), best=None)
    if name is not None:
        study.set_metric_names([name])
    study.add_trial(create_trial(value=0.1, intermediate_values={1: 0.1, EPOCHS: 0.1}))
    for trial in (report(study, {epoch: 0.1 * epoch for epoch in range(1, 9)}) for _ in range(2)):
        assert not trial.should_prune()
        is_open = name == "Average Score" and bounds != (0, 1)
        assert (decision(trial)["high"] > 1) is is_open
        # Reopened elsewhere, the study decides alike.
        study.pruner = pickle.loads(pickle.dumps(study.pruner))


def test_every_fifth_epoch_counted_from_zero() -> None:
    """No trial ever reports step 0 or step 30, but all that finish end at 29."""
    study = new_study(bold(30), best=None)
    fifth = {epoch: accuracy(0.9, epoch + 1) for epoch in range(4, 30, 5)}
    study.add_trial(create_trial(value=0.9, intermediate_values=fifth))
    poor = {epoch: accuracy(0.3, epoch + 1) for epoch in range(4, 30, 5)}
    assert not report(study, poor).should_prune()
    assert report(study, dict(list(poor.items())[:5])).should_prune()


def test_keep_top() -> None:
    study = new_study(bold(keep_top=3))
    study.add_trial(finished(0.85))
    assert not report(study, rising(0.1, 8)).should_prune()
    study.add_trial(finished(0.6))
    study.add_trial(finished(0.5))
    trial = report(study, rising(0.1, 8))
    assert trial.should_prune()
    assert decision(trial)["to_beat"] == accuracy(0.6, EPOCHS)


def test_patience_counts_records_not_calls() -> None:
    study = new_study(bold(min_steps=4, patience=3))
    trial = study.ask()
    answers = []
    for step, value in rising(0.2, 7).items():
        trial.report(value, step)
        answers.append([trial.should_prune() for _ in range(2)][1])
    assert answers == [False] * 5 + [True] * 2


def test_threshold_zero_prunes_only_divergence() -> None:
    study = new_study(bold(threshold=0.0))
    assert not report(study, rising(0.1, 30)).should_prune()


def test_wrong_bounds_warn_and_do_not_end_the_search(messages: list[str]) -> None:
    study = new_study(bold(bounds=(0, 0.5)))
    assert not report(study, rising(0.95, 20)).should_prune()
    assert any("outside bounds=(0.0, 0.5)" in message for message in messages)


def test_decisions_are_logged_at_debug(messages: list[str]) -> None:
    trial = report(new_study(), rising(0.3, 8))
    trial.should_prune()
    assert messages == []
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    trial.should_prune()
    (message,) = messages
    assert message.startswith("Trial 1 at step 8: prune: P(final value beats")


def test_an_enqueued_trial_that_resumes_from_a_checkpoint() -> None:
    study = new_study()
    study.add_trial(create_trial(state=TrialState.WAITING, intermediate_values=rising(0.3, 6)))
    resumed = study.ask()
    resumed.report(accuracy(0.3, 7), 7)
    assert resumed.should_prune()
    late = report(study, {step: accuracy(0.3, step) for step in range(20, 26)})
    assert late.should_prune()


def test_storing_is_optional_and_a_refusal_does_no_harm() -> None:
    study = new_study(bold(store=False))
    trial = report(study, rising(0.3, 8))
    assert trial.should_prune()
    assert study.trials[trial.number].user_attrs == {}
    study.pruner = bold()
    study.tell(trial, state=TrialState.FAIL)
    assert study.pruner.prune(study, study.trials[trial.number])
    assert study.trials[trial.number].user_attrs == {}


def test_a_pickled_pruner_is_small_and_decides_the_same() -> None:
    pruner = bold()
    study = new_study(pruner)
    trial = report(study, rising(0.3, 8))
    assert trial.should_prune()
    before = decision(trial)
    content = pickle.dumps(pruner)
    assert len(content) < 2000
    study.pruner = pickle.loads(content)
    assert trial.should_prune()
    assert decision(trial) == before


def test_a_trial_that_leads_its_peers_is_kept_and_one_that_trails_goes_sooner() -> None:
    pruners = {peers: bold(peers=peers) for peers in (0, 50)}
    study = new_study(None, 0.9)
    for index in range(40):
        study.add_trial(
            create_trial(
                state=TrialState.PRUNED, intermediate_values=rising(0.4 + 0.005 * index, 6)
            )
        )
    standings = {}
    for name, level, last in (("leads", 0.62, 6), ("trails", 0.42, 3)):
        trial = report(study, rising(level, last))
        frozen = study.trials[trial.number]
        verdicts = {peers: pruner.prune(study, frozen) for peers, pruner in pruners.items()}
        assert verdicts == ({0: True, 50: False} if name == "leads" else {0: False, 50: True})
        standings[name] = decision(trial)["standing"]
        study.tell(trial, state=TrialState.FAIL)
    # The finished trial is ahead of all at every step.
    assert standings["leads"] == pytest.approx(1 / 41) and standings["trails"] > 0.42


def test_finished_trials_are_looked_at_once() -> None:
    looked_at: list[int] = []

    class Counting(list[optuna.trial.FrozenTrial]):
        def __getitem__(self, index: Any) -> Any:
            looked_at.append(index)
            return super().__getitem__(index)

    trials = [finished(0.5) for _ in range(100)]
    for number, trial in enumerate(trials):
        trial.number = number
    running = create_trial(state=TrialState.RUNNING, intermediate_values={1: 0.1})
    running.number = 100
    view = integration._View(lcpfn.Search("maximize", EPOCHS), EPOCHS)
    view.update(Counting([*trials, running]), running)
    assert set(looked_at) == set(range(101))
    looked_at.clear()
    late = finished(0.9)
    late.number = 101
    view.update(Counting([*trials, running, late]), running)
    assert set(looked_at) == {100, 101}
    assert view.search.best == (101, accuracy(0.9, EPOCHS))


def test_a_trial_is_read_from_the_start_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    whole = lcpfn.LCPFN.remember

    def counted(self: lcpfn.LCPFN, encoded: Any) -> Any:
        passes.append(encoded.observations.length)
        return whole(self, encoded)

    monkeypatch.setattr(lcpfn.LCPFN, "remember", counted)
    study = new_study()
    trial = study.ask()
    for epoch, value in rising(0.89, 12).items():
        trial.report(value, epoch)
        trial.should_prune()
    assert passes == [2] and decision(trial)["step"] == 12


def short_and_long(study: optuna.Study, epochs: int) -> optuna.trial.FrozenTrial:
    """A finished trial that was to run for so many epochs."""
    records = {step: accuracy(0.9, step * EPOCHS / epochs) for step in range(1, epochs + 1)}
    distribution = optuna.distributions.IntDistribution(1, 1000)
    return create_trial(
        value=records[epochs],
        intermediate_values=records,
        params={"epochs": epochs},
        distributions={"epochs": distribution},
    )


@pytest.mark.parametrize("max_steps", ["epochs", lambda trial: trial.params["epochs"]])
def test_trials_of_different_length(max_steps: Any) -> None:
    study = new_study(LCPFNPruner(max_steps), None)
    for epochs in (10, 10, 20, 50, 10):
        study.add_trial(short_and_long(study, epochs))
    study.enqueue_trial({"epochs": 200})
    trial = study.ask()
    epochs = trial.suggest_int("epochs", 1, 1000)
    for step in range(1, 41):
        trial.report(accuracy(0.95, step * EPOCHS / epochs), step)
        assert not trial.should_prune()
    assert decision(trial)["horizon"] == 200 and decision(trial)["standing"] == 0


def test_a_trial_without_the_parameter_that_holds_its_length() -> None:
    study = new_study(bold("epochs"), None)
    trial = report(study, rising(0.3, 8))
    with pytest.raises(InputError, match="max_steps is 'epochs', but a run has no such hyperparam"):
        trial.should_prune()


def test_the_best_record_can_be_what_counts() -> None:
    declining = {step: 0.9 * (1 - 0.6**step) - 0.02 * max(0, step - 8) for step in range(1, 21)}
    for of, pruned in (("last", True), ("best", False)):
        study = new_study(bold(of=of), None)
        peak = {step: 0.8 * (1 - 0.6**step) for step in range(1, EPOCHS + 1)}
        for _ in range(5):
            study.add_trial(create_trial(value=max(peak.values()), intermediate_values=peak))
        assert report(study, declining).should_prune() == pruned


def test_what_must_be_known_is_said_once_at_default_verbosity(messages: list[str]) -> None:
    study = new_study(LCPFNPruner(20), None)
    for _ in range(2):
        for level in (0.3, 0.5):
            assert not report(study, rising(level, 30)).should_prune()
    (message,) = messages
    assert message.startswith("LCPFNPruner: run 0 has reported step 30, but max_steps is 20")


def test_running_trials_are_rivals_before_any_has_finished() -> None:
    study = new_study(LCPFNPruner(EPOCHS), None)
    trials = {level: study.ask() for level in (0.9, 0.85, 0.8, 0.75, 0.3)}
    for epoch in range(1, 13):
        for level, trial in trials.items():
            trial.report(accuracy(level, epoch), epoch)
            stop = trial.should_prune()
    assert stop and decision(trials[0.3])["to_beat"] == decision(trials[0.9])["reach"]
    assert not trials[0.9].should_prune()


def test_a_worker_reads_what_others_have_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    here = new_study(LCPFNPruner(EPOCHS), None, storage=url, study_name="search")
    there = optuna.load_study(study_name="search", storage=url, pruner=LCPFNPruner(EPOCHS))
    for epoch, level in [(epoch, 0.9) for epoch in range(1, 13)]:
        if epoch == 1:
            good, weak = here.ask(), there.ask()
        good.report(accuracy(level, epoch), epoch)
        good.should_prune()
        weak.report(accuracy(0.3, epoch), epoch)
        weak.should_prune()
    search = there.pruner._views[there].search  # type: ignore[attr-defined]
    assert search.runs[0].belief.basis == (12,), "not forecast there"
    assert decision(weak)["to_beat"] == decision(good)["reach"]


def read_from_database(study: optuna.Study) -> Callable[[], list[optuna.trial.FrozenTrial]]:
    """What a worker reads of the trials when it is asked about none of them."""
    view = integration._View(lcpfn.Search("maximize", EPOCHS), EPOCHS)
    outsider = create_trial(value=0.0)
    return lambda: view.read(study, outsider)


def test_reading_what_is_new_in_a_database_is_reading_all(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    there = new_study(LCPFNPruner(EPOCHS), None, storage=url, study_name="search")
    read = read_from_database(optuna.load_study(study_name="search", storage=url))

    def told(trials: list[optuna.trial.FrozenTrial]) -> str:
        # In words, as NaN is no equal of itself.
        return str(
            [
                [
                    *(one.number, one.state, one.params, one.user_attrs, one.values),
                    *sorted(one.intermediate_values.items()),
                ]
                for one in trials
            ]
        )

    def same() -> None:
        whole = optuna.load_study(study_name="search", storage=url).get_trials()
        assert told(read()) == told(whole)

    same()
    there.enqueue_trial({"level": 0.4})
    first, second = there.ask(), there.ask()
    same()
    first.suggest_float("level", 0.0, 1.0)
    second.suggest_float("level", 0.0, 1.0)
    for step, value in enumerate((0.1, math.nan, 0.3, math.inf, -math.inf, 0.2), start=1):
        first.report(value, step)
        second.report(value, 40 - 5 * step)
        second.should_prune()
        same()
    second.set_user_attr("lcpfn", {"trial": 1, "reach": None})
    second.report(0.5, 41)
    same()
    third = there.ask()
    there.tell(first, 0.7)
    same()
    third.report(0.2, 1)
    there.tell(second, state=TrialState.PRUNED)
    there.tell(third, state=TrialState.FAIL)
    same()


def test_trials_under_way_are_not_read_whole_at_each_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    there = new_study(LCPFNPruner(EPOCHS), None, storage=url, study_name="search")
    study = optuna.load_study(study_name="search", storage=url)
    read = read_from_database(study)
    whole: list[int] = []
    original = study.get_trials
    monkeypatch.setattr(study, "get_trials", lambda **how: (whole.append(0), original(**how))[1])
    trials = [there.ask(), there.ask()]
    for epoch in range(1, 10):
        for trial in trials:
            trial.report(accuracy(0.5, epoch), epoch)
            read()
    # At its first report a trial is read whole.
    assert len(whole) == 2
    there.tell(trials[0], 0.5)
    assert (read()[0].state, len(whole)) == (TrialState.COMPLETE, 3)
    read()
    assert len(whole) == 3


def test_an_attribute_is_replaced_where_a_running_trial_has_it(tmp_path: Path) -> None:
    from lcpfn.integrations.optuna_database import replace_attribute

    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}")
    backend = study._storage._backend  # type: ignore[attr-defined]
    trial = study.ask()

    def replaced(value: int) -> tuple[bool, Any]:
        done = replace_attribute(backend, trial._trial_id, "name", {"is": value})
        return done, study.trials[0].user_attrs.get("name")

    assert replaced(1) == (False, None)
    trial.set_user_attr("name", {"is": 2})
    assert replaced(3) == (True, {"is": 3})
    study.tell(trial, 0.5)
    assert replaced(4) == (False, {"is": 3})


def pruned_for_a_rival(**where: Any) -> tuple[optuna.Study, optuna.Trial, optuna.Trial]:
    """A study, a trial that was pruned in favour of one under way, and that one."""
    pruner = LCPFNPruner(EPOCHS, caution=0.1)
    study = optuna.create_study(direction="maximize", pruner=pruner, **where)
    rival, weak = study.ask({"level": uniform()}), study.ask({"level": uniform()})
    for epoch in range(1, 13):
        rival.report(accuracy(0.9, epoch), epoch)
        weak.report(accuracy(0.5, epoch), epoch)
    assert weak.should_prune()
    study.tell(weak, state=TrialState.PRUNED)
    assert resume_promising(study) == []
    study.add_trial(finished(0.45))
    return study, weak, rival


def uniform() -> optuna.distributions.FloatDistribution:
    return optuna.distributions.FloatDistribution(0.0, 1.0)


@pytest.mark.parametrize("database", [False, True])
def test_a_trial_goes_on_when_the_one_that_it_was_pruned_for_fails(
    database: bool, tmp_path: Path
) -> None:
    where = {"storage": f"sqlite:///{tmp_path / 'study.db'}"} if database else {}
    study, weak, rival = pruned_for_a_rival(**where)
    study.tell(rival, state=TrialState.FAIL)
    assert resume_promising(study) == [weak.number]
    assert resume_promising(study) == []
    again = study.ask({"level": uniform()})
    assert again.params == weak.params
    assert again.user_attrs[CONTINUES] == weak.number
    # From a checkpoint: what came before is remembered, and it is one run, not two.
    again.report(accuracy(0.5, 13), 13)
    again.should_prune()
    runs = study.pruner._views[study].search.runs  # type: ignore[attr-defined]
    assert runs[again.number].steps == list(range(1, 14))
    assert weak.number not in runs
    reopened = LCPFNPruner(EPOCHS)
    assert reopened.prune(study, again._get_latest_trial()) is False
    assert reopened._views[study].search.runs[again.number].steps == list(range(1, 14))
    study.tell(again, 0.5)
    assert resume_promising(study) == []


def test_a_trial_that_goes_on_may_begin_anew() -> None:
    study, _, rival = pruned_for_a_rival()
    study.tell(rival, state=TrialState.FAIL)
    resume_promising(study)
    again = study.ask({"level": uniform()})
    for epoch in range(1, 4):
        again.report(accuracy(0.4, epoch), epoch)
    again.should_prune()
    run = study.pruner._views[study].search.runs[again.number]  # type: ignore[attr-defined]
    assert run.values == [accuracy(0.4, epoch) for epoch in range(1, 4)]


def test_a_study_resumes_what_is_worth_it_by_itself() -> None:
    study, weak, rival = pruned_for_a_rival()
    study.tell(rival, state=TrialState.FAIL)
    continued: list[Any] = []

    def objective(trial: optuna.Trial) -> float:
        continued.append(trial.user_attrs.get(CONTINUES))
        return trial.suggest_float("level", 0.0, 1.0) / 10

    study.optimize(objective, n_trials=3, callbacks=[resume_promising])
    assert continued == [None, weak.number, None]


def test_only_our_pruner_knows_what_is_worth_resuming() -> None:
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner())
    with pytest.raises(InputError, match="pruner is a MedianPruner, but must be an LCPFNPruner"):
        resume_promising(study)
    with pytest.raises(InputError, match=r"margin is 0.5, but must be at least 1"):
        resume_promising(new_study(), margin=0.5)


def test_several_objectives() -> None:
    pruner = bold()
    study = optuna.create_study(directions=["maximize", "minimize"], pruner=pruner)
    trial = study.ask()
    with pytest.raises(NotImplementedError, match="multi-objective"):
        trial.should_prune()
    with pytest.raises(NotImplementedError, match="LCPFNPruner is not supported for multi-obj"):
        pruner.prune(study, study.trials[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_steps": 0}, "max_steps is 0, but must be a positive, finite number"),
        ({"max_steps": True}, "max_steps is True, but must be a positive, finite number"),
        ({"warmup_trials": -1}, "warmup_trials is -1, but must be an integer of at least 0"),
        ({"of": "first"}, "of is 'first', but must be 'last' or 'best'"),
        ({"caution": 0.7}, "caution is 0.7, but must be above 0 and at most 0.5"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"min_steps": 0}, "min_steps is 0"),
        ({"patience": 0}, "patience is 0"),
        ({"keep_top": 0}, "keep_top is 0"),
        ({"min_delta": -1.0}, "min_delta is -1.0"),
        ({"bounds": (1, 0)}, "low must be below high"),
        ({"bounds": "atuo"}, "bounds is 'atuo', but must be 'auto'"),
        (
            {"max_steps": 50, "schedule": ([0, 48], [1, 0])},
            "schedule ends at step 48, but must reach the end of the run, 49",
        ),
        ({"schedule": "cosin"}, "schedule is 'cosin', but must be None, 'constant', 'linear', 'c"),
        (
            {"schedule": "cosine", "model": "reference"},
            "'reference' was trained without learning rates",
        ),
        ({"nan": "ignore"}, "nan is 'ignore', but must be 'stop' or 'missing'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LCPFNPruner(**arguments)
    with pytest.raises(WeightsError, match="there is no model 'nonesuch'"):
        LCPFNPruner(model="nonesuch")
    with pytest.raises(TypeError, match="'goal' is no setting here: it is the direction of the st"):
        LCPFNPruner(goal="maximize")


def test_a_length_that_is_no_number() -> None:
    study = new_study(LCPFNPruner(lambda trial: None), best=None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="what max_steps returns is None, but must be a number"):
        report(study, rising(0.6, 8)).should_prune()


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("patience", [1, 2])
def test_decisions_follow_the_schedule(first: int, patience: int) -> None:
    def rate(epoch: float) -> float:
        return 1.0 + math.cos(math.pi * (epoch + 1 - first) / EPOCHS)

    pruner = bold(schedule=rate, patience=patience)
    study = new_study(pruner, best=None)
    study.add_trial(finished(0.9, first))
    trial = report(study, rising(0.6, 8, first))
    assert trial.should_prune()
    values = [accuracy(0.6, epoch) for epoch in range(1, 9)]
    told = lcpfn.load().extrapolate(values, horizon=EPOCHS, schedule="cosine")
    untold = lcpfn.load().extrapolate(values, horizon=EPOCHS)
    assert decision(trial)["median"] == pytest.approx(told.median[-1], rel=5e-4)
    assert decision(trial)["median"] != pytest.approx(untold.median[-1], rel=5e-4)


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna.exceptions", None)
    spec = importlib.util.spec_from_file_location("probe", integration.__file__)
    assert spec is not None and spec.loader is not None
    with pytest.raises(lcpfn.MissingExtraError, match=r"lcpfn-stopping\[optuna\]"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where an empty storage lies that several processes can use: a URL, or a journal's file."""
    kind = request.param
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'study.db'}"
        return
    if kind == "journal":
        yield f"{JOURNAL}{tmp_path / 'study.log'}"
        return
    if not postgresql_server.installed():
        pytest.skip("no PostgreSQL server is installed")
    with postgresql_server.server() as url:
        yield url


@pytest.mark.parametrize("database", ["sqlite", "postgresql", "journal"], indirect=True)
def test_a_study_reopened_goes_on_deciding_the_same(database: str) -> None:
    def storage() -> Any:
        if database.startswith(JOURNAL):
            return JournalStorage(JournalFileBackend(database.removeprefix(JOURNAL)))
        return database

    study = new_study(storage=storage(), study_name="search")
    trial = report(study, rising(0.85, 7))
    trial.should_prune()
    before = decision(trial)
    assert before["action"] == "continue"
    again = optuna.load_study(study_name="search", storage=storage(), pruner=bold())
    assert again.trials[trial.number].user_attrs["lcpfn"] == before
    assert not again.pruner.prune(again, again.trials[trial.number])
    after = again.trials[trial.number].user_attrs["lcpfn"]
    assert after["prob_better"] == pytest.approx(before["prob_better"], abs=1e-4)
    assert after["to_beat"] == before["to_beat"]


WORKER = """
    import sys, time, math, pathlib
    import optuna
    from lcpfn.integrations.optuna import LCPFNPruner

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    database, flag, role, *levels = sys.argv[1:]

    def objective(trial):
        level = trial.suggest_float("level", 0, 1)
        for epoch in range(20):
            value = level * (1 - 0.75**(epoch + 1))
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned()
            if role == "victim" and epoch == 3:
                pathlib.Path(flag).touch()
                time.sleep(600)
        return value

    pruner = LCPFNPruner(20, early_caution=0)
    study = optuna.load_study(study_name="search", storage=database, pruner=pruner)
    # Not enqueued: on SQLite, Optuna may give one waiting trial to two processes.
    for level in levels:
        study.sampler = optuna.samplers.PartialFixedSampler(
            {"level": float(level)}, optuna.samplers.RandomSampler()
        )
        study.optimize(objective, n_trials=1)
"""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_processes_on_one_database_one_of_them_killed(tmp_path: Path, database: str) -> None:
    running = tmp_path / "running"
    worker = tmp_path / "worker.py"
    worker.write_text(textwrap.dedent(WORKER))
    study = optuna.create_study(direction="maximize", storage=database, study_name="search")

    def start(role: str, *levels: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(worker), database, str(running), role, *levels]
        return subprocess.Popen(command)

    victim = start("victim", "0.55")
    others = []
    try:
        deadline = time.monotonic() + 600
        while not running.exists():
            assert victim.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        levels = ("0.5", "0.9", "0.2", "0.4", "0.3", "0.45", "0.35", "0.25", "0.1", "0.6")
        shares = [levels[index::7] for index in range(7)]
        others = [start("worker", *levels) for levels in shares]
        time.sleep(0.2)
        victim.kill()
        assert [process.wait(timeout=600) for process in others] == [0] * 7
    finally:
        for process in (victim, *others):
            process.kill()
            process.wait()
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.RUNNING) == 1
    assert set(states) <= {TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED}
    assert study.best_trial.params == {"level": 0.9}
    study.pruner = LCPFNPruner(20, early_caution=0)
    late = report(study, {epoch: 0.1 * (1 - 0.75 ** (epoch + 1)) for epoch in range(6)})
    assert late.should_prune()
    assert decision(late)["horizon"] == 20


JOURNAL_WORKER = """
    import sys
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from lcpfn.integrations.optuna import LCPFNPruner

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial):
        level = trial.suggest_float("level", 0, 1)
        for epoch in range(20):
            value = level * (1 - 0.6**(epoch + 1))
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned()
        return value

    study = optuna.load_study(
        study_name="search",
        storage=JournalStorage(JournalFileBackend(sys.argv[1])),
        pruner=LCPFNPruner(20, early_caution=0),
    )
    study.optimize(objective, n_trials=4)
"""


def test_processes_on_one_journal(tmp_path: Path) -> None:
    journal = tmp_path / "study.log"
    worker = tmp_path / "worker.py"
    worker.write_text(textwrap.dedent(JOURNAL_WORKER))
    study = optuna.create_study(
        direction="maximize",
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name="search",
    )
    study.add_trial(finished(0.95))
    for level in (0.2, 0.9, 0.3, 0.4, 0.1, 0.35, 0.25, 0.45):
        study.enqueue_trial({"level": level})
    workers = [subprocess.Popen([sys.executable, str(worker), str(journal)]) for _ in range(2)]
    try:
        assert [process.wait(timeout=600) for process in workers] == [0, 0]
    finally:
        for process in workers:
            process.kill()
            process.wait()
    trials = study.trials[1:]
    assert len(trials) == 8
    assert all(trial.state.is_finished() for trial in trials)
    weak = [trial for trial in trials if trial.params["level"] < 0.5]
    assert all(trial.state == TrialState.PRUNED for trial in weak)
    for trial in weak:
        stored = trial.user_attrs["lcpfn"]
        assert stored["action"] == "stop" and stored["step"] == trial.last_step
        assert stored["to_beat"] == accuracy(0.95, EPOCHS)


# Experimental by Optuna's word, and since 4.9 under another name.
@pytest.mark.filterwarnings(
    "ignore::optuna.exceptions.ExperimentalWarning",
    "ignore:.*has been deprecated:FutureWarning",
    "ignore:Heartbeat of storage is supposed to be used with Study.optimize",
)
@pytest.mark.parametrize("inherit", [False, True])
def test_a_trial_whose_worker_died_is_retried(inherit: bool, tmp_path: Path) -> None:
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{tmp_path / 'study.db'}",
        heartbeat_interval=1,
        grace_period=1,
        failed_trial_callback=RetryFailedTrialCallback(inherit_intermediate_values=inherit),
    )
    study = new_study(storage=storage)
    lost = report(study, rising(0.3, 3))
    lost.set_user_attr("lcpfn", {"trial": 1, "step": 3, "reach": 0.99, "action": "stop"})
    # What a worker does before it is killed: one sign of life, and no other.
    storage.record_heartbeat(lost._trial_id)
    time.sleep(2.5)
    optuna.storages.fail_stale_trials(study)
    assert study.trials[lost.number].state == TrialState.FAIL
    retried = study.ask()
    assert (
        RetryFailedTrialCallback.retried_trial_number(study.trials[retried.number]) == lost.number
    )
    assert study.trials[retried.number].user_attrs["lcpfn"]["trial"] == lost.number
    first = 4 if inherit else 1
    assert len(study.trials[retried.number].intermediate_values) == first - 1
    retried.report(accuracy(0.3, first), first)
    retried.should_prune()
    assert decision(retried)["trial"] == retried.number, "not the dead one's decision"
    for epoch in range(first + 1, 9):
        retried.report(accuracy(0.3, epoch), epoch)
    assert retried.should_prune()
    at_once = report(study, rising(0.3, 8))
    assert at_once.should_prune()
    assert decision(retried)["prob_better"] == pytest.approx(
        decision(at_once)["prob_better"], abs=1e-6
    )
