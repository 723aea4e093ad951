from collections.abc import Iterator

import optuna
import pytest

import lcpfn
from experiments.replay import RecordedRuns
from experiments.replay_optuna import ours, pruners, through_optuna
from experiments.replay_search import Foreseen, forecast_all, through_search
from tests.recorded_curves import RECORDS, accuracies, losses


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


@pytest.mark.parametrize("runs", [losses(), accuracies()], ids=lambda runs: runs.name)
@pytest.mark.parametrize("workers", [1, 4, 12])
@pytest.mark.parametrize("settings", [{}, {"threshold": 0.2, "min_steps": 3, "patience": 2}])
def test_the_pruner_and_a_search_on_shared_forecasts_agree(
    runs: RecordedRuns, workers: int, settings: dict[str, float]
) -> None:
    real = through_optuna(ours(**settings))(runs, workers)
    shared = through_search(forecast_all(runs, lcpfn.load()), **settings)(runs, workers)
    assert shared.spent.tolist() == real.spent.tolist()
    assert shared.finished.tolist() == real.finished.tolist()
    assert shared.rounds == real.rounds
    assert 0 < real.finished.sum() < len(runs.curves)
    assert real.decisions == real.spent.sum() and real.milliseconds > 0


def test_the_pruner_goes_by_forecasts_that_were_made_before() -> None:
    runs = losses()
    known = Foreseen(forecast_all(runs, lcpfn.load()))
    own, shared = (
        through_optuna(make)(runs, 4)
        for make in (ours(threshold=0.1), ours(forecast=known, threshold=0.1))
    )
    assert own.spent.tolist() == shared.spent.tolist()


def test_a_told_learning_rate_reaches_both_replays() -> None:
    runs = losses()
    real = through_optuna(ours(schedule="cosine"))(runs, 1)
    told = forecast_all(runs, lcpfn.load(), "cosine")
    assert through_search(told)(runs, 1).spent.tolist() == real.spent.tolist()
    untold = forecast_all(runs, lcpfn.load())
    assert told[0][8].quantile(0.5)[-1] != untold[0][8].quantile(0.5)[-1]


ALL = pruners() | {"LCPFNPruner": ours()}


@pytest.mark.parametrize("name", list(ALL))
def test_every_pruner_replays_runs_of_which_one_diverges(name: str) -> None:
    replay = through_optuna(ALL[name])(losses(), 1)
    assert replay.finished[0] and replay.spent[0] == RECORDS
    assert (replay.spent[replay.finished] == RECORDS).all()
    assert replay.decisions == replay.spent.sum()


def test_divergence_stops_a_trial_at_once() -> None:
    replay = through_optuna(ours())(losses(), 1)
    assert replay.spent[4] <= 10 and not replay.finished[4]
