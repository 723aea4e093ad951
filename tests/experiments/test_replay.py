from pathlib import Path

import numpy as np
import pytest

from experiments.replay import (
    Action,
    RecordedRuns,
    Replay,
    no_stopping,
    oracle,
    outcome,
    read_runs,
    side_by_side,
)

LOSSES = RecordedRuns(
    "losses",
    np.array([[2.0, 1.0, 0.8], [2.0, 1.9, 1.8], [2.0, 0.9, 0.4], [2.0, np.nan, np.nan]]),
    "minimize",
)


def test_no_stopping_costs_everything_and_misses_nothing() -> None:
    result = outcome(LOSSES, no_stopping(LOSSES, 1))
    assert (result.epochs, result.regret, result.kept) == (1.0, 0.0, True)


def test_the_oracle_finishes_new_records_only() -> None:
    replay = oracle(LOSSES, 1)
    assert replay.finished.tolist() == [True, False, True, False]
    assert replay.spent.tolist() == [3, 1, 3, 1]
    result = outcome(LOSSES, replay)
    assert result.epochs == pytest.approx(8 / 12)
    assert (result.regret, result.kept) == (0.0, True)


def test_regret_is_in_units_of_median_minus_best() -> None:
    replay = Replay(np.array([3, 3, 1, 2]), np.array([True, True, False, False]))
    result = outcome(LOSSES, replay)
    # Best 0.4, median of the finite finals 0.8, and the incumbent has 0.8.
    assert result.regret == pytest.approx(1.0)
    assert not result.kept


def test_without_any_finished_run_regret_is_that_of_the_worst() -> None:
    replay = Replay(np.ones(4, dtype=np.int64), np.zeros(4, dtype=bool))
    assert outcome(LOSSES, replay).regret == pytest.approx((1.8 - 0.4) / (0.8 - 0.4))


def test_accuracies_are_better_when_higher() -> None:
    runs = RecordedRuns("accuracies", np.array([[10.0, 50.0], [10.0, 90.0]]), "maximize")
    assert oracle(runs, 1).finished.tolist() == [True, True]
    assert outcome(runs, Replay(np.array([2, 1]), np.array([True, False]))).regret == 2.0


def test_a_run_that_ends_without_a_number_is_the_worst() -> None:
    assert LOSSES.finals.tolist() == [-0.8, -1.8, -0.4, -np.inf]


def test_orders_are_permutations_that_depend_on_seed_and_set() -> None:
    runs = RecordedRuns("a", np.zeros((50, 2)), "minimize")
    first, second = runs.orders(2, seed=0)
    assert sorted(first) == list(range(50)) and first.tolist() != second.tolist()
    assert runs.orders(2, seed=0)[0].tolist() == first.tolist()
    assert runs.orders(2, seed=1)[0].tolist() != first.tolist()
    other = RecordedRuns("b", runs.curves, "minimize")
    assert other.orders(2, seed=0)[0].tolist() != first.tolist()


def test_reading_takes_the_first_known_metric_and_a_seeded_choice(tmp_path: Path) -> None:
    curves = np.arange(40.0).reshape(20, 2)
    np.savez(tmp_path / "a.npz", val_loss=curves, val_accuracy=-curves)
    np.savez(tmp_path / "b.npz", val_accuracy=curves)
    np.savez(tmp_path / "c.npz", something=curves)
    first, second = read_runs(tmp_path, per_set=5, seed=0)
    assert (first.name, first.goal, second.name, second.goal) == ("a", "minimize", "b", "maximize")
    assert first.curves.shape == (5, 2) and (first.curves >= 0).all()
    again = next(read_runs(tmp_path, per_set=5, seed=0))
    assert (again.curves == first.curves).all()
    (chosen, _) = read_runs(tmp_path, per_set=99, seed=0, metric="val_accuracy")
    assert chosen.goal == "maximize" and chosen.curves.shape == (20, 2)


def test_rounds_are_what_a_clock_would_show() -> None:
    one, two, four = (no_stopping(LOSSES, workers).rounds for workers in (1, 2, 4))
    assert (one, two, four) == (12, 6, 3)
    # A worker that is free begins the next trial: 3 + 1, and 1 + 3 records.
    assert oracle(LOSSES, 2).rounds == 4


def test_paused_trials_go_on_once_all_have_begun() -> None:
    class Alternating:
        """Pauses every trial after each record, and lets the oldest go on."""

        def __init__(self) -> None:
            self.paused: list[int] = []
            self.seen: list[int] = []

        def begin(self, trial: int) -> None:
            assert not self.seen or len(set(self.seen)) == trial

        def report(self, trial: int, step: int, value: float, unbegun: int) -> Action:
            self.seen.append(trial)
            if step < 3:
                self.paused.append(trial)
            return "pause"

        def end(self, trial: int, finished: bool) -> None:
            assert finished

        def choose(self) -> int | None:
            return self.paused.pop(0) if self.paused else None

    trials = Alternating()
    replay = side_by_side(LOSSES, 1, trials)
    assert trials.seen == [0, 1, 2, 3] * 3
    assert replay.finished.all() and replay.rounds == 12
