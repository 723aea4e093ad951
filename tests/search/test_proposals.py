"""Which run goes on next, and which configuration is worth a run."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest

import lcpfn
from lcpfn.search.contender import Contender
from lcpfn.search.proposals import Proposal, propose

GENERATOR = np.random.default_rng(0)


def level(rate: float) -> float:
    """What runs reach: best at 1e-2."""
    return 0.9 - 0.1 * (math.log10(rate) + 2) ** 2


def contender(number: Any, rate: float, spread: float = 0.02, **changes: Any) -> Contender:
    middle = level(rate)
    known: dict[str, Any] = {
        "run": number,
        "config": {"rate": rate},
        "waits": True,
        "busy": False,
        "low": middle - spread,
        "median": middle,
        "high": middle + spread,
        "secured": middle - 0.1,
        "progress": 0.2,
    }
    return Contender(**{**known, **changes})


RATES = np.geomspace(1e-5, 1.0, 16).tolist()
RUNS = [contender(number, rate) for number, rate in enumerate(RATES)]
CANDIDATES = [{"rate": rate} for rate in np.geomspace(1e-5, 1.0, 60).tolist()]


def chosen(runs: list[Contender], candidates: Any = (), goal: Any = "maximize") -> Proposal:
    proposal = propose(runs, candidates, goal, 5, np.random.default_rng(0))
    assert proposal is not None
    return proposal


def mirrored(run: Contender) -> Contender:
    told = {name: -getattr(run, name) for name in ("low", "median", "high", "secured")}
    return Contender(**{**vars(run), **told})


def test_the_most_promising_run_goes_on():
    proposal = chosen(RUNS)
    assert proposal.action == "resume" and proposal.config is None
    assert RATES[proposal.run] == pytest.approx(0.01, rel=1.5)
    assert 0.5 < proposal.probability <= 1 and proposal.to_beat > level(0.01) - 0.1
    assert proposal.median == pytest.approx(0.9, abs=0.03)
    assert "P(beats" in proposal.reason


def test_a_run_that_can_only_rise_is_not_believed_to_fall_to_the_level_of_the_others():
    runs = [
        contender(number, rate, low=level(rate) - 0.001, high=level(rate) + 1.0)
        for number, rate in enumerate(RATES)
    ]
    proposal = chosen(runs)
    assert proposal.median == pytest.approx(level(RATES[proposal.run]), abs=0.05)
    assert level(RATES[proposal.run]) > 0.85


def test_to_minimize_is_the_same_upside_down():
    up, down = chosen(RUNS, CANDIDATES), chosen(list(map(mirrored, RUNS)), CANDIDATES, "minimize")
    assert (up.action, up.run, up.config) == (down.action, down.run, down.config)
    assert up.median == pytest.approx(-down.median)
    assert up.to_beat == pytest.approx(-down.to_beat)


def test_a_configuration_is_chosen_where_runs_say_that_it_is_good():
    known = [
        contender(number, rate, waits=False, secured=level(rate), progress=1.0, spread=0.0)
        for number, rate in enumerate([1e-5, 1e-4, 1e-3, 0.02, 0.1, 1.0])
    ]
    proposal = chosen(known, CANDIDATES)
    assert proposal.action == "start" and proposal.config in CANDIDATES
    assert 1e-3 < proposal.config["rate"] < 0.05


def test_a_run_that_is_next_to_certain_not_to_improve_gives_way_to_a_new_one():
    stale = [
        contender(number, rate, 1e-4, secured=level(rate)) for number, rate in enumerate(RATES)
    ]
    assert chosen(stale, CANDIDATES).action == "start"
    assert chosen(stale).action == "resume"


def test_what_others_have_just_begun_is_not_begun_again():
    known = [contender(number, rate, waits=False) for number, rate in enumerate(RATES[::3])]
    first = chosen(known, CANDIDATES)
    nothing: dict[str, Any] = {
        "low": math.nan,
        "median": math.nan,
        "high": math.nan,
        "secured": None,
    }
    begun = contender(99, first.config["rate"], waits=False, busy=True, progress=0.0, **nothing)
    second = chosen([*known, begun], CANDIDATES)
    assert second.config != first.config


def test_runs_begin_without_a_choice_until_there_are_a_few():
    few = RUNS[:4]
    proposal = chosen(few, CANDIDATES)
    assert proposal.action == "start" and math.isnan(proposal.probability)
    assert "5 of 5" in proposal.reason
    assert chosen(few).action == "resume"


def test_where_there_is_nothing_to_choose_from():
    assert propose([], [], "maximize", 5, GENERATOR) is None
    busy = [contender(0, 0.01, waits=False)]
    assert propose(busy, [], "maximize", 5, GENERATOR) is None


def test_what_is_believed_of_runs_does_not_hang_on_what_candidates_say():
    alone = chosen(RUNS)
    for strange in ({}, {"speed": 3.0}, {"rate": 1e-5, "depth": 2}):
        proposal = chosen(RUNS, [strange])
        assert (proposal.action, proposal.run) == ("resume", alone.run)
        assert proposal.median == pytest.approx(alone.median)


def test_nothing_is_proposed_where_all_candidates_were_tried():
    ended = [
        contender(number, rate, waits=False, secured=level(rate), progress=1.0, spread=0.0)
        for number, rate in enumerate(RATES)
    ]
    tried = [{"rate": rate} for rate in RATES]
    assert propose(ended, tried, "maximize", 5, GENERATOR) is None
    assert chosen(ended, [*tried, {"rate": 0.012}]).config == {"rate": 0.012}
    assert chosen(RUNS, [dict(run.config) for run in RUNS]).action == "resume"


def test_hyperparameters_that_have_no_names_are_refused():
    search = lcpfn.Search(goal="maximize", horizon=30, startup=1)
    with pytest.raises(lcpfn.InputError, match=r"the configuration is 'rate=3', but must be a map"):
        search.describe("a", "rate=3")
    with pytest.raises(lcpfn.InputError, match=r"horizon is -1, but must be positive"):
        search.describe("a", {"rate": 3}, horizon=-1)
    assert not search.runs
    for wrong in ({"rate": 1}, 3):
        with pytest.raises(lcpfn.InputError, match="must be a list of configurations"):
            search.propose(wrong)
    with pytest.raises(lcpfn.InputError, match=r"a candidate is 1, but must be a mapping"):
        search.propose([1, 2])
    with pytest.raises(lcpfn.InputError, match="there is no run 'typo'"):
        search.judge("typo")


def test_runs_without_hyperparameters_are_weighed_by_their_forecasts():
    proposal = chosen([contender(number, rate, config=None) for number, rate in enumerate(RATES)])
    assert RATES[proposal.run] == pytest.approx(0.01, rel=1.5)


def test_diverged_runs_teach_what_to_avoid():
    nothing: dict[str, Any] = {"low": math.nan, "median": math.nan, "high": math.nan}
    known = [
        contender(number, rate, waits=False, diverged=True, **nothing)
        if rate > 0.05
        else contender(number, rate, waits=False)
        for number, rate in enumerate(RATES)
    ]
    assert chosen(known, CANDIDATES).config["rate"] < 0.05


def test_what_candidates_do_not_say_is_no_difference():
    known = [
        contender(number, rate, waits=False, config={"rate": rate, "other": number})
        for number, rate in enumerate(RATES)
    ]
    plain = [contender(number, rate, waits=False) for number, rate in enumerate(RATES)]
    assert chosen(known, CANDIDATES) == chosen(plain, CANDIDATES)


def test_of_many_runs_the_promising_ones_count():
    rates = 10 ** np.random.default_rng(0).uniform(-5, 0, 1000)
    many = [contender(number, rate, waits=False) for number, rate in enumerate(rates.tolist())]
    assert 1e-3 < chosen(many, CANDIDATES).config["rate"] < 0.1


def test_all_alike_is_no_trouble():
    alike = [contender(number, 0.01) for number in range(8)]
    assert chosen(alike, [{"rate": 0.01}] * 3).action in ("start", "resume")
    flat = [
        contender(n, r, 0.0, low=0.5, median=0.5, high=0.5, secured=0.5)
        for n, r in enumerate(RATES)
    ]
    assert chosen(flat, CANDIDATES).action in ("start", "resume")


def test_the_more_has_been_spent_the_smaller_an_improvement_will_do():
    def least(spent: float) -> float:
        runs = [
            contender(number, rate, progress=spent / len(RATES), secured=level(rate))
            for number, rate in enumerate(RATES)
        ]
        proposals = [propose(runs, [], "maximize", 5, np.random.default_rng(n)) for n in range(40)]
        return min(each.to_beat for each in proposals) - level(0.01)  # type: ignore[type-var, union-attr, operator]

    margins = [least(spent) for spent in (1.0, 8.0, 16.0)]
    assert margins == sorted(margins, reverse=True)
    assert 0 < margins[2] < 0.5 * margins[0]


def test_nothing_is_begun_for_as_little_as_a_run_that_waits_goes_on_for():
    done = [
        contender(number, rate, 0.0, waits=False, progress=1.0, secured=level(rate))
        for number, rate in enumerate(RATES)
    ]
    for more in ([], [contender(99, 1e-5, progress=0.1)]):
        proposals = [
            propose([*done, *more], CANDIDATES, "maximize", 5, np.random.default_rng(n))
            for n in range(40)
        ]
        best = max(map(level, RATES))
        smallest = min(each.to_beat for each in proposals) - best  # type: ignore[type-var, union-attr, operator]
        unit = best - float(np.median(list(map(level, RATES))))
        assert (smallest < 0.05 * unit) == bool(more)


def test_side_by_side_the_most_promising_goes_on_and_not_that_of_which_least_is_known():
    done = [
        contender(number, rate, 0.01, waits=False, progress=1.0, secured=level(rate) - 0.05)
        for number, rate in enumerate(RATES)
    ]
    promising = contender("promising", 0.02, 0.02, secured=None)
    unknown = contender("unknown", 0.05, median=0.8, low=0.6, high=1.4, secured=None)
    stuck = contender("stuck", 0.01, low=0.1, median=0.1, high=0.1, secured=None)
    busy = contender("busy", 0.5, waits=False, busy=True)

    def share(run: str, others: list[Contender]) -> float:
        runs = [*done, promising, unknown, stuck, *others]
        drawn = [
            propose(runs, [], "maximize", 5, np.random.default_rng(seed)) for seed in range(60)
        ]
        return sum(each is not None and each.run == run for each in drawn) / len(drawn)

    assert share("promising", [busy]) > 0.9 > 0.8 > share("promising", [])
    assert share("unknown", []) > 0.2 > 0.1 > share("unknown", [busy])
    # Whatever its neighbours reach, a run ends within its own forecast.
    assert share("stuck", [busy]) == 0


def test_half_of_those_at_work_go_on_with_the_runs_believed_to_end_best():
    done = [
        contender(number, rate, 0.01, waits=False, progress=1.0, secured=level(rate) - 0.05)
        for number, rate in enumerate(RATES)
    ]
    first = contender("first", 0.011, secured=None, waits=False, busy=True)
    second, third = (contender(run, rate, secured=None) for run, rate in (("2", 0.02), ("3", 0.03)))
    elsewhere = [contender(f"busy {n}", 0.5, waits=False, busy=True) for n in range(4)]

    def resumed(others: list[Contender]) -> set[Any]:
        runs = [*done, second, third, *others]
        drawn = [
            propose(runs, CANDIDATES, "maximize", 5, np.random.default_rng(seed))
            for seed in range(12)
        ]
        return {None if each is None else each.run for each in drawn}

    assert resumed(elsewhere[:1]) == {"2"}
    # One of two leads already; of four, two are to.
    assert None in resumed([first])
    assert resumed([first, *elsewhere[:2]]) == {"2"}
    leading = [first, contender("4", 0.012, secured=None, waits=False, busy=True)]
    assert resumed([*leading, *elsewhere[:3]]) == {"2"}
    assert None in resumed([*leading, *elsewhere[:1]])


def test_side_by_side_a_run_that_hardly_falls_goes_on_as_long_as_it_may_rise():
    done = [
        contender(number, rate, 0.01, waits=False, progress=1.0, secured=level(rate))
        for number, rate in enumerate(RATES)
    ]
    busy = contender("busy", 0.5, waits=False, busy=True)

    def goes_on(high: float) -> bool:
        run = contender("run", 0.012, low=0.898, median=0.899, high=high, progress=0.4)
        proposals = [
            propose([*done, run, busy], CANDIDATES, "maximize", 5, np.random.default_rng(seed))
            for seed in range(12)
        ]
        return all(each is not None and each.run == "run" for each in proposals)

    assert goes_on(1.2) and not goes_on(0.9)


def replayed(seed: int, epochs: int) -> tuple[lcpfn.Search, int]:
    """A search with one worker; also how many epochs went into rates within ten times the best."""
    search = lcpfn.Search(goal="maximize", horizon=30, startup=4)
    generator = np.random.default_rng(seed)
    spent = good = 0
    while spent < epochs:
        drawn = [{"rate": 10**power} for power in generator.uniform(-5, 0, 50).tolist()]
        proposal = search.propose(drawn)
        assert proposal is not None
        run = proposal.run
        if proposal.action == "start":
            run = len(search.runs)
            assert proposal.config is not None
            search.describe(run, proposal.config)
        known = search.runs[run]
        end = level(known.config["rate"])  # type: ignore[index]
        for _ in range(2):
            step = len(known.steps) + 1
            search.observe(run, step, end * (1 - 0.7**step) + 0.002 * generator.normal())
            spent += 1
            good += abs(math.log10(known.config["rate"]) + 2) < 1  # type: ignore[index]
            if search.complete(run):
                search.end(run, "finished")
                break
        else:
            search.pause(run)
    return search, good


def test_a_search_spends_its_epochs_on_what_is_good():
    search, good = replayed(0, 120)
    # At random two fifths would.
    assert good + sum(replayed(seed, 120)[1] for seed in (1, 2, 3)) > 0.55 * 4 * 120
    (_, best) = max((max(run.values), key) for key, run in search.runs.items())
    assert abs(math.log10(search.runs[best].config["rate"]) + 2) < 0.5


def test_a_search_that_was_stored_proposes_the_same():
    search, _ = replayed(1, 60)
    restored = pickle.loads(pickle.dumps(search))
    found, expected = restored.propose(CANDIDATES), search.propose(CANDIDATES)
    assert expected is not None and found is not None
    # Forecasts that are made in other company differ by roundings.
    assert found.probability == pytest.approx(expected.probability, rel=1e-4)
    told = lcpfn.Search(goal="maximize", horizon=30, startup=4)
    for key, run in search.runs.items():
        told.set_records(key, list(zip(run.steps, run.values, strict=True)))
        told.describe(key, run.config)
        if run.state == "finished":
            told.end(key, "finished")
        else:
            told.pause(key)
    for again in (found, search.propose(CANDIDATES), told.propose(CANDIDATES)):
        assert again is not None
        assert (again.action, again.run, again.config) == (
            expected.action,
            expected.run,
            expected.config,
        )


def test_what_a_search_knows_of_its_runs_decides():
    search = lcpfn.Search(goal="minimize", horizon=20, startup=1)
    for run, floor in {"good": 0.2, "bad": 0.9, "lost": 0.5}.items():
        search.describe(run, {"floor": floor})
        for epoch in range(1, 6):
            search.observe(run, epoch, floor + 0.7**epoch)
        search.pause(run)
    search.observe("lost", 6, math.nan)
    search.pause("lost")
    assert search.leading() == ["good", "bad"]
    assert search.propose().run == "good"
    search.resume("good")
    assert search.propose().run == "bad"
    search.end("bad", "failed")
    assert search.propose() is None


def failures_of_a_search(seed: int, told: bool) -> int:
    """How many of 18 runs fail, where larger is better and what is too large breaks down."""
    generator = np.random.default_rng(seed)
    search = lcpfn.Search(goal="maximize", horizon=20, startup=6)
    sizes = []
    for run in range(24):
        drawn = generator.uniform(0, 1, (60, 2)).tolist()
        proposal = search.propose([{"rate": rate, "size": size} for rate, size in drawn])
        assert proposal is not None and proposal.config is not None
        search.describe(run, proposal.config)
        sizes.append(proposal.config["size"])
        if sizes[-1] > 0.6:
            search.end(run, "failed") if told else search.forget(run)
            continue
        for epoch in range(1, 21):
            end = 0.7 - (proposal.config["rate"] - 0.3) ** 2 + 0.3 * sizes[-1]
            search.observe(run, epoch, end * (1 - 0.8**epoch))
        search.end(run, "finished")
    return sum(size > 0.6 for size in sizes[6:])


def test_a_search_keeps_away_from_where_runs_fail():
    told, kept_from_it = (
        sum(failures_of_a_search(seed, told) for seed in range(2)) for told in (True, False)
    )
    assert kept_from_it > 26 and told < 0.75 * kept_from_it


def test_runs_that_fail_do_not_count_as_begun_and_are_not_made_again():
    search = lcpfn.Search(goal="maximize", horizon=20, startup=2)
    for run in range(5):
        search.describe(run, {"rate": run})
        search.end(run, "failed")
    proposal = search.propose([{"rate": 7}])
    assert proposal is not None and proposal.reason == "run 1 of 2 that begin far from one another"
    for run in (7, 8):
        search.describe(run, {"rate": run})
        for epoch in range(1, 21):
            search.observe(run, epoch, 0.1 * run * (1 - 0.8**epoch))
        search.end(run, "finished")
    assert search.propose([{"rate": 3}]) is None
    proposal = search.propose([{"rate": 3}, {"rate": 9}])
    assert proposal is not None and proposal.config == {"rate": 9}


def test_a_passing_record_is_to_be_beaten_where_the_best_one_counts():
    def told(of: Any) -> Proposal:
        search = lcpfn.Search(goal="minimize", horizon=20, startup=1, of=of)
        for run in range(3):
            # Losses that had been low once.
            for step, value in enumerate([1.0, 0.2, 0.5, 0.55, 0.6, 0.6 + 0.01 * run], 1):
                search.observe(run, step, value)
            search.pause(run)
        return search.propose()

    assert told("best").to_beat <= 0.2 < told("last").to_beat
