from __future__ import annotations

import numpy as np
import pytest

import lcpfn
from lcpfn.errors import InputError

HORIZON = 40


def curve(level: float, seed: int, late: float = 0.0) -> list[float]:
    share = np.arange(1, HORIZON + 1) / HORIZON
    noise = 0.004 * np.random.default_rng(seed).normal(size=HORIZON)
    gained = late * np.clip(5 * share - 4, 0, 1)
    return (level * (1 - np.exp(-4 * share)) + gained + noise).tolist()


def search(late: float = 0.3, finished: int = 8, **settings) -> lcpfn.Search:
    """Some finished runs that gained late, and three under way."""
    found = lcpfn.Search("maximize", HORIZON, bounds=None, **settings)
    for run in range(finished):
        found.describe(run, {"rate": run / 10})
        found.set_records(run, list(enumerate(curve(0.5 + 0.02 * run, run, late), 1)))
        found.end(run, "finished")
    for run in ("a", "b", "c"):
        found.describe(run, {"rate": 0.5})
        found.set_records(run, list(enumerate(curve(0.6, ord(run), late)[:8], 1)))
    return found


def medians(found: lcpfn.Search) -> dict:
    return {one.run: one.median for one in found.outlook() if one.state == "live"}


def test_the_outlook_hears_the_other_runs():
    heard, alone = medians(search()), medians(search(hears="nothing"))
    assert heard.keys() == alone.keys() == {"a", "b", "c"}
    assert all(heard[run] > alone[run] + 0.03 for run in heard)


@pytest.mark.parametrize("hears", ["outlook", "always"])
def test_the_forecast_of_a_run_is_the_one_it_is_judged_by(hears: str):
    found = search(hears=hears)
    post = found.forecast("a")
    assert post is not None
    assert post.quantile([0.5])[0, -1] == pytest.approx(found.judge("a").median, rel=1e-6)


def test_decisions_hear_nothing_unless_asked_to():
    outlook, nothing = search(hears="outlook").judge("a"), search(hears="nothing").judge("a")
    assert outlook == nothing
    always = search(hears="always").judge("a")
    assert always.prob_better != nothing.prob_better


def test_the_first_run_is_forecast_alone():
    alone, heard = (
        search(finished=0, hears="nothing"),
        lcpfn.Search("maximize", HORIZON, bounds=None),
    )
    heard.set_records("a", list(enumerate(curve(0.6, ord("a"), 0.3)[:8], 1)))
    assert medians(heard)["a"] == medians(alone)["a"]


def test_a_run_that_is_forgotten_is_heard_no_more():
    found = search()
    before = medians(found)["a"]
    for run in (*range(8), "b", "c"):
        found.forget(run)
    assert medians(found) == {"a": medians(search(finished=0, hears="nothing"))["a"]}
    assert medians(found)["a"] != before


def test_runs_that_go_on_are_heard_anew():
    found = search(finished=0)
    before = medians(found)["a"]
    for run in ("b", "c"):
        found.set_records(run, list(enumerate(curve(0.6, ord(run), 0.3), 1)))
        found.end(run, "finished")
    assert medians(found)["a"] != before


def test_what_is_heard_is_one_of_three():
    with pytest.raises(InputError, match="hears is 'all', but must be 'nothing', 'outlook' or"):
        lcpfn.SearchSettings(hears="all")
