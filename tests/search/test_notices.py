"""What the user of a search must know is said, once."""

from __future__ import annotations

import math

from lcpfn import Search


def told(search: Search, word: str) -> list[str]:
    return [notice for notice in search.notices() if word in notice]


def test_every_run_ended_at_a_nan() -> None:
    search = Search(horizon=10)
    for number in range(5):
        search.observe(number, 1, 0.5)
        search.observe(number, 2, math.nan)
        search.end(number, "stopped")
    (notice,) = told(search, "broke down")
    assert "all 3 runs so far broke down at a record that was NaN" in notice
    healthy = Search(horizon=10)
    healthy.observe("fine", 1, 0.5)
    healthy.end("fine", "stopped")
    for number in range(5):
        healthy.observe(number, 1, 0.5)
        healthy.observe(number, 2, math.nan)
        healthy.end(number, "stopped")
    assert not told(healthy, "broke down")


def test_steps_that_go_down() -> None:
    search = Search(horizon=100)
    for step in (1, 2, 3, 1, 2, 3):
        search.observe("run", step, 0.5)
    (notice,) = told(search, "went back")
    assert "the steps of run run went back to 1" in notice
    whole = Search(horizon=100)
    whole.set_records("run", {1: 0.5, 5: 0.6})
    whole.set_records("run", {1: 0.5, 5: 0.6, 3: 0.55})
    assert told(whole, "went back")
    sparse = Search(horizon=100)
    sparse.set_records("run", {5: 0.6, 1: 0.5})
    sparse.set_records("run", {5: 0.6, 1: 0.5, 6: 0.61})
    assert not told(sparse, "went back")


def test_an_incumbent_of_another_unit() -> None:
    search = Search(horizon=2)
    for number, final in enumerate((0.9, 0.8, 0.85)):
        search.observe(number, 2, final)
        search.end(number, "finished")
    assert not told(search, "unit")
    search.observe("percent", 2, 93.0)
    search.end("percent", "finished")
    (notice,) = told(search, "unit")
    assert "the best run ended at 93, the next ones at about 0.85" in notice


def test_losses_of_another_unit() -> None:
    search = Search("minimize", horizon=2)
    for number, final in enumerate((40.0, 35.0, 50.0, 0.35)):
        search.observe(number, 2, final)
        search.end(number, "finished")
    assert told(search, "unit")


def test_values_outside_stated_bounds() -> None:
    search = Search(horizon=20, bounds=(0, 1))
    for step in range(1, 6):
        search.observe("run", step, 10.0 * step)
        search.observe("other", step, 0.1 * step)
    search.judge("run")
    search.judge("other")
    assert len(told(search, "bounds")) == 1
    assert search.bounds("run") is None and search.bounds("other") == (0.0, 1.0)


def test_losses_that_are_to_be_maximized_are_told_of_once():
    search = Search(goal="maximize", horizon=50)
    for epoch in range(1, 30):
        for run in range(5):
            search.observe(run, epoch, 0.3 + 0.1 * run + 2 * 0.8**epoch)
    assert any(search.judge(run).action == "stop" for run in range(5))
    assert any("say goal='minimize'" in notice for notice in search.notices())
    assert [search.judge(run) for run in range(5)] and not search.notices()
