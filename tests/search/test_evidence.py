"""Records that stand close together count once."""

from __future__ import annotations

import math

import pytest

from lcpfn import Search, StoppingRule
from lcpfn.search.evidence import evidence

EPOCHS = 50


@pytest.mark.parametrize("horizon", [1, 7, 30, 50, 52, 1000])
def test_of_runs_of_up_to_fifty_records_it_is_their_number(horizon: int) -> None:
    records = min(horizon, 52)
    steps = [horizon * count / records for count in range(1, records + 1)]
    for count in range(1, 20):
        assert evidence(steps[:count], horizon) == min(count, records)


def test_records_of_one_part_count_once() -> None:
    assert evidence([], 50) == 0
    assert evidence([epoch / 10 for epoch in range(1, 101)], 50) == 10
    assert evidence([0.01, 0.02, 49.5, 49.9], 50) == 2
    assert evidence([1e-9, 1e9], 1e9) == 2


def test_stated_least_records_are_counted_one_by_one() -> None:
    steps = [epoch / 10 for epoch in range(1, 11)]
    assert StoppingRule(min_steps=6).counted(steps, EPOCHS) == 10
    assert StoppingRule().counted(steps, EPOCHS) == 1


def stops_at(level: float, dense: int, peers: tuple[float, ...]) -> float:
    """The epoch after which a run is stopped, in a search that logs so often an epoch."""
    search = Search("maximize", EPOCHS)

    def report(run: float, count: int) -> None:
        epoch = count / dense
        noise = 0.004 * math.sin(12.9 * epoch + 40 * run)
        search.observe(run, epoch, run * (1 - 0.7**epoch) + noise)

    for peer in peers:
        for count in range(1, EPOCHS * dense + 1):
            report(peer, count)
        search.end(peer, "finished")
    for count in range(1, EPOCHS * dense + 1):
        report(level, count)
        if search.judge(level).action == "stop":
            return count / dense
    return math.inf


@pytest.mark.parametrize("peers", [(0.9,), (0.9, 0.3, 0.5, 0.6, 0.8, 0.85, 0.65, 0.75)])
@pytest.mark.parametrize("level", [0.3, 0.6])
def test_a_run_that_is_logged_ten_times_as_often_stops_at_about_the_same_place(
    level: float, peers: tuple[float, ...]
) -> None:
    once, often = stops_at(level, 1, peers), stops_at(level, 10, peers)
    assert abs(once - often) <= 0.1 * EPOCHS, (once, often)
