"""Runs of different length, and lengths that nobody has stated."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lcpfn import InputError, Search


def value(level: float, step: int, length: int) -> float:
    """A run that rises to `level` by its own end."""
    return level * (1 - 0.001 ** (step / length)) + 0.003 * math.sin(13 * step)


def run(search: Search, name: Any, level: float, last: int, length: int) -> None:
    for step in range(1, last + 1):
        search.observe(name, step, value(level, step, length))


def finish(search: Search, name: Any, level: float, length: int) -> None:
    run(search, name, level, length, length)
    search.end(name, "finished")


@pytest.mark.parametrize("horizon", ["epochs", lambda config: config["epochs"]])
def test_each_run_is_forecast_to_its_own_end(horizon: Any) -> None:
    search = Search(horizon=horizon)
    search.describe("short", {"epochs": 10})
    search.describe("long", {"epochs": 200})
    for name, length in (("short", 10), ("long", 200)):
        run(search, name, 0.8, 6, length)
    assert search.judge("short").horizon == 10 and search.judge("long").horizon == 200
    search.observe("short", 10, 0.8)
    assert search.complete("short") and not search.complete("long")


def test_runs_are_compared_at_the_same_share_of_their_own() -> None:
    search = Search(horizon="epochs")
    for index, level in enumerate((0.6, 0.65, 0.85, 0.9)):
        search.describe(index, {"epochs": 200})
        finish(search, index, level, 200)
    search.describe("asked", {"epochs": 10})
    run(search, "asked", 0.75, 4, 10)
    # After 4 of 10 steps it is as far as they were after 80 of 200.
    assert search.judge("asked").standing == 0.5


def test_a_run_without_the_parameter_is_told() -> None:
    search = Search(horizon="epochs")
    with pytest.raises(
        InputError, match=r"horizon is 'epochs', but a run has no such.*has lr, width"
    ):
        search.describe("run", {"lr": 0.1, "width": 3})
    run(search, "run", 0.5, 5, 10)
    assert "the length of this run is unknown" in search.judge("run").reason
    with pytest.raises(InputError, match="horizon 'epochs' is 'many', but must be a positive"):
        search.describe("run", {"epochs": "many"})


def test_a_short_first_run_does_not_stop_the_long_ones() -> None:
    """Tried with real trainings: after a first trial of 10 epochs all later ones were stopped."""
    search = Search()
    finish(search, "short", 0.9, 10)
    for number in range(3):
        for step in range(1, 101):
            search.observe(number, step, value(0.95, step, 100))
            assert search.judge(number).action == "continue"
        search.end(number, "finished")
    (spread, *_) = search.notices()
    assert "runs have finished after 10 to 100 steps" in spread


def test_a_run_beyond_the_learned_length_is_left_alone() -> None:
    search = Search()
    for number in range(4):
        finish(search, number, 0.9, 20)
    run(search, "weak", 0.3, 10, 20)
    assert search.judge("weak").action == "stop" and search.judge("weak").horizon == 20
    run(search, "long", 0.3, 21, 100)
    assert search.judge("long").action == "continue"
    assert not search.complete("long")
    run(search, "long", 0.3, 60, 100)
    verdict = search.judge("weak")
    assert verdict.action == "continue", "longer runs are about: how long it is, nobody can tell"
    assert "the length of a full run is unknown" in verdict.reason


def test_a_learned_length_and_different_ones_are_told_once() -> None:
    search = Search(calls_horizon="max_steps")
    told: list[str] = []
    for number, length in enumerate((20, 20, 20, 20, 19)):
        finish(search, number, 0.9, length)
        told += search.notices()
    assert len(told) == 2
    assert "max_steps is not given: learned from finished runs that a full run has 20" in told[0]
    assert "runs have finished after 19 to 20 steps" in told[1]


@pytest.mark.parametrize("first", [0, 1])
def test_what_is_reported_can_contradict_what_was_stated(first: int) -> None:
    search = Search(horizon=30, calls_horizon="max_t")
    for step in range(first, 30 + first):
        search.observe("right", step, 0.5)
    search.end("right", "finished")
    assert search.notices() == []
    for step in range(first, 40):
        search.observe("more", step, 0.5)
    search.observe("fewer", first, 0.4)
    search.observe("fewer", 12, 0.5)
    search.end("fewer", "finished")
    more, fewer = search.notices()
    assert "run more has reported step" in more and "max_t is 30" in more
    assert "run fewer finished at step 12, but max_t is 30: set max_t to" in fewer


def test_every_fifth_step_counted_from_zero() -> None:
    """No run ever reports step 0 or step 30, but all that finish end at 29."""
    search = Search(horizon=30)
    for step in range(4, 30, 5):
        search.observe("done", step, value(0.9, step + 1, 30))
    search.end("done", "finished")
    for step in range(4, 30, 5):
        search.observe("other", step, value(0.9, step + 1, 30))
    assert search.complete("other") and search.shift == 1


def test_odd_steps_counted_from_one_are_not_taken_for_even_ones() -> None:
    search = Search(horizon=30)
    for step in (1, 2, *range(3, 30, 2)):
        search.observe("done", step, value(0.9, step, 30))
    search.end("done", "finished")
    assert search.shift == 0
