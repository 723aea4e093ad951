from collections.abc import Iterator

import optuna
import pytest

import lcpfn
from experiments.replay import RecordedRuns
from experiments.replay_forecasts import forecast_all, through_forecasts
from experiments.replay_optuna import pruners, through_optuna
from lcpfn.integrations.optuna import LCPFNPruner
from tests.recorded_curves import RECORDS, accuracies, losses


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


@pytest.mark.parametrize("runs", [losses(), accuracies()], ids=lambda runs: runs.name)
@pytest.mark.parametrize("rule", [lcpfn.StoppingRule(), lcpfn.StoppingRule(0.2, 3, 2)])
def test_the_pruner_and_shared_forecasts_agree(
    runs: RecordedRuns, rule: lcpfn.StoppingRule
) -> None:
    make = {"threshold": rule.threshold, "min_steps": rule.min_steps, "patience": rule.patience}
    real = through_optuna(lambda records: LCPFNPruner(max_steps=records, **make))(runs)
    shared = through_forecasts(runs, forecast_all(runs, lcpfn.load()), rule)
    assert shared.spent.tolist() == real.spent.tolist()
    assert shared.finished.tolist() == real.finished.tolist()
    assert 1 < real.finished.sum() < len(runs.curves)
    assert real.decisions == real.spent.sum() and real.seconds > 0


def test_a_told_learning_rate_reaches_both_replays() -> None:
    runs, rule = losses(), lcpfn.StoppingRule()
    real = through_optuna(pruners(schedule="cosine")["LCPFNPruner"])(runs)
    told = forecast_all(runs, lcpfn.load(), "cosine")
    assert through_forecasts(runs, told, rule).spent.tolist() == real.spent.tolist()
    untold = forecast_all(runs, lcpfn.load())
    assert told[0].posts[8].median[-1] != untold[0].posts[8].median[-1]


@pytest.mark.parametrize("name", list(pruners()))
def test_every_pruner_replays_runs_of_which_one_diverges(name: str) -> None:
    replay = through_optuna(pruners()[name])(losses())
    assert replay.finished[0] and replay.spent[0] == RECORDS
    assert (replay.spent[replay.finished] == RECORDS).all()
    assert replay.decisions == replay.spent.sum()


def test_divergence_stops_a_trial_at_once() -> None:
    replay = through_optuna(pruners()["LCPFNPruner"])(losses())
    assert replay.spent[4] <= 10 and not replay.finished[4]
