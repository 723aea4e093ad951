"""What a report says, before it is drawn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import lcpfn
from lcpfn import InputError
from lcpfn.report.content import LEVELS, Report, Settings, gather
from lcpfn.watching import Asked, Watch
from tests.report.runs import HORIZON, NAMES, losses, write_runs

MODEL = "default"


def report(folder: Path, settings: Settings | None = None, goal: str | None = None) -> Report:
    model = lcpfn.load(MODEL)
    watch = Watch([folder], Asked("val_loss", None, goal, HORIZON), model=model)
    return gather(watch, model, settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_runs(tmp_path_factory.mktemp("report") / "runs")


@pytest.fixture(scope="module")
def made(folder: Path) -> Report:
    return report(folder)


def test_what_became_of_each_run(made: Report) -> None:
    fates = {run.name: run.fate for run in made.runs}
    assert fates == {
        **dict.fromkeys(NAMES[:4], "finished"),
        **dict.fromkeys(("going", "hopeless", "new"), "running"),
        "given up": "stopped",
        "broken": "diverged",
    }
    assert made.leader is not None and made.leader.name == "good"
    assert made.metrics == ["val_loss"] and made.goal == "minimize"


def test_a_run_that_goes_on_has_the_forecast_as_it_stands(made: Report) -> None:
    going = next(run for run in made.runs if run.name == "going")
    (fan,) = going.fans
    assert fan.share is None and fan.steps[-1] == HORIZON == going.last_step
    assert going.steps[-1] < fan.steps[0] < going.steps[-1] + 1
    assert fan.quantiles.shape == (len(LEVELS), len(fan.steps))
    assert (np.diff(fan.quantiles, axis=0) >= 0).all()
    # As the table says.
    ends = fan.quantiles[[0, 2, 4], -1]
    assert ends == pytest.approx(
        [going.watched.low, going.watched.median, going.watched.high], 0.05
    )


def test_what_was_not_trained(made: Report) -> None:
    untrained = {run.name: run.untrained for run in made.runs}
    assert untrained["good"] == 0
    assert untrained["given up"] == HORIZON - 15
    assert untrained["broken"] == HORIZON - 9


def test_finished_runs_in_hindsight(made: Report) -> None:
    finished = made.of_fate("finished")
    for run in finished:
        assert [fan.share for fan in run.fans] == [0.1, 0.2, 0.4, 0.8]
        assert [each.final for each in run.hindsight] == [losses(run.name)[-1]] * 4
        # Nothing was known then of what came later.
        assert run.hindsight[2].last_value == losses(run.name)[15]
    accuracy = made.accuracy
    assert [each.runs for each in accuracy] == [4] * 4
    for each in accuracy:
        group = [run.hindsight[accuracy.index(each)] for run in finished]
        errors = np.array([abs(one.median - one.final) for one in group])
        lasts = np.array([abs(one.last_value - one.final) for one in group])
        assert each.inside == sum(one.inside(0.88) for one in group)
        assert each.ratio == pytest.approx(errors.mean() / lasts.mean())
        assert 0 < each.ratio_error < math.inf


def test_what_the_rule_would_have_stopped(made: Report) -> None:
    stops = {run.name: run.would_stop for run in made.runs}
    assert stops["good"] is None
    assert stops["poor"] is not None and 4 <= stops["poor"] < HORIZON
    assert all(stops[run.name] is None for run in made.runs if run.fate != "finished")


def test_where_nothing_goes_on_any_more_runs_were_stopped(folder: Path) -> None:
    ended = report(folder, Settings(ended=True))
    assert not ended.of_fate("running")
    assert {run.name for run in ended.of_fate("stopped")} >= {"going", "new", "given up"}


def test_the_best_value_of_a_run(folder: Path) -> None:
    best = report(folder, Settings(of="best"))
    for run in best.of_fate("finished"):
        assert run.worth == min(losses(run.name))
        assert {each.final for each in run.hindsight} == {run.worth}


def test_a_rival_that_is_stated_counts(folder: Path) -> None:
    beaten = report(folder, Settings(best=0.01, rule={"threshold": 0.2}))
    assert all(run.would_stop is not None for run in beaten.of_fate("finished"))
    assert beaten.best == 0.01


def test_a_reward_has_no_ceiling_in_hindsight_unless_one_is_stated(tmp_path: Path) -> None:
    for name, level in (("one", 10), ("two", 12)):
        rows = [f"{at},{level * (1 - 0.97**at)}" for at in range(1, HORIZON + 1)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["epoch,mean_reward", *rows, ""]))
    model = lcpfn.load(MODEL)
    for bounds, holds in (("auto", True), ((0, 6), False)):
        watch = Watch([tmp_path], Asked(horizon=HORIZON), model=model, bounds=bounds)
        made = gather(watch, model, Settings(rule={"bounds": bounds}))
        for run in made.runs:
            early = run.hindsight[0]
            assert early.last_value < 2 and early.final > 6
            assert (early.rank < 1) is holds
            assert bool(run.fans[0].quantiles.max() > 6) is holds


def test_few_runs_and_short_ones_are_no_error(tmp_path: Path) -> None:
    alone = report(write_runs(tmp_path / "a", ("new",)))
    assert alone.leader is None and alone.accuracy == []
    one = report(write_runs(tmp_path / "b", ("good",)))
    assert math.isnan(one.accuracy[0].ratio_error)
    assert one.runs[0].would_stop is None


def test_nothing_to_report_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run could be read: .*holds no log yet"):
        report(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "log.csv").write_text("epoch,other\n1,2\n")
    with pytest.raises(InputError, match="no column 'val_loss'"):
        report(tmp_path)


def test_a_run_without_a_length_has_no_forecast(tmp_path: Path) -> None:
    folder = write_runs(tmp_path / "runs", ("good",))
    model = lcpfn.load(MODEL)
    (run,) = gather(Watch([folder], Asked("val_loss"), model=model), model).runs
    assert run.fate == "running" and run.fans == () and run.last_step is None
    assert math.isnan(run.untrained)
