import numpy as np
import pytest

from experiments.replay import RecordedRuns
from experiments.replay_optuna import ours as our_pruner
from experiments.replay_optuna import through_optuna
from tests.recorded_curves import RECORDS, accuracies, losses

pytest.importorskip("ray.tune")

from experiments.replay_ray import ours, schedulers, through_ray

ALL = schedulers() | ours()


@pytest.mark.parametrize("name", list(ALL))
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("runs", [losses(), accuracies()], ids=lambda runs: runs.name)
def test_every_scheduler_replays_runs_of_which_one_diverges(
    name: str, workers: int, runs: RecordedRuns
) -> None:
    replay = through_ray(ALL[name])(runs, workers)
    assert (replay.spent[replay.finished] == RECORDS).all()
    assert not replay.finished.all() and replay.spent.min() > 0
    assert replay.decisions == replay.spent.sum() and replay.milliseconds > 0
    if "HyperBand" not in name:
        # Its first bracket stops after a few records in so short a search.
        assert replay.finished.any()


def test_asha_keeps_no_more_than_its_rungs_let_through() -> None:
    worst_last = losses()
    order = np.argsort(worst_last.finals)[::-1]
    runs = RecordedRuns("sorted", worst_last.curves[order], "minimize")
    replay = through_ray(schedulers()["Ray ASHA"])(runs, 1)
    assert replay.finished[0] and not replay.finished[-1]


@pytest.mark.parametrize("workers", [1, 4])
def test_our_scheduler_decides_as_our_pruner_does(workers: int) -> None:
    runs = losses()
    ray = through_ray(ours()["LCPFNScheduler"])(runs, workers)
    optuna = through_optuna(our_pruner())(runs, workers)
    assert ray.spent.tolist() == optuna.spent.tolist()


def test_with_pauses_every_trial_begins_before_any_goes_on() -> None:
    runs = losses()
    plain = through_ray(ours()["LCPFNScheduler"])(runs, 2)
    paused = through_ray(ours()["LCPFNScheduler, freeze"])(runs, 2)
    assert paused.spent.sum() <= plain.spent.sum()
    assert paused.finished[np.argmax(runs.finals)]
