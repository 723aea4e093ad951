"""Curves, incumbents and verdicts of a Ray search, without Ray."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest

import lcpfn
from lcpfn import InputError, WeightsError
from lcpfn.forecast.arguments import Goal
from lcpfn.integrations.ray import LCPFNScheduler, LCPFNStopper
from lcpfn.integrations.ray.improvement import expected_improvement, untried_improvement
from lcpfn.integrations.ray.results import read_record
from lcpfn.integrations.ray.search import Fate, Run, Search
from lcpfn.integrations.ray.settings import Settings

EPOCHS = 50


def accuracy(level: float, epoch: float) -> float:
    """A run that rises to `level`, its noise as of small validation sets."""
    return level * (1 - 0.7**epoch) + 0.004 * math.sin(12.9 * epoch + 40 * level)


def settings(**changes: Any) -> Settings:
    defaults: dict[str, Any] = {
        "max_t": EPOCHS,
        "time_attr": "training_iteration",
        "model": None,
        "threshold": 0.05,
        "min_steps": None,
        "patience": 1,
        "min_delta": 0.0,
        "keep_top": 1,
        "warmup_trials": 1,
        "peers": 50,
        "bounds": "auto",
        "schedule": None,
        "nan": "stop",
    }
    return Settings(**{**defaults, **changes})


def new_search(best: float | None = 0.9, goal: Goal = "maximize", **changes: Any):
    """A search with one finished trial of 50 epochs, unless `best` is None."""
    search = Search(settings(**changes), goal)
    if best is not None:
        follow(search, "best", best, EPOCHS)
        search.end("best", "finished")
    return search


def follow(search: Search, trial: str, level: float, last: int, first: int = 1) -> None:
    for epoch in range(first, last + 1):
        search.observe(trial, epoch, accuracy(level, epoch))


def test_the_verdict_is_the_models() -> None:
    search = new_search()
    follow(search, "weak", 0.3, 8)
    verdict = search.judge("weak")
    values = [accuracy(0.3, epoch) for epoch in range(1, 9)]
    post = lcpfn.load().extrapolate(values, horizon=EPOCHS)
    assert verdict.action == "stop"
    assert verdict.prob_better == pytest.approx(post.prob_better(accuracy(0.9, EPOCHS)), abs=1e-6)
    result = verdict.as_result()
    low, median, high = post.quantile([0.06, 0.5, 0.94])[:, -1]
    assert result["lcpfn/median"] == pytest.approx(median, rel=1e-5)
    assert (result["lcpfn/low"], result["lcpfn/high"]) == (
        pytest.approx(low, rel=1e-4),
        pytest.approx(high, rel=1e-4),
    )
    assert result["lcpfn/incumbent"] == accuracy(0.9, EPOCHS)
    assert "P(final value beats" in result["lcpfn/reason"]
    follow(search, "strong", 0.97, 8)
    assert search.judge("strong").action == "continue"


@pytest.mark.parametrize("first", [0, 1])
def test_the_verdict_follows_the_schedule(first: int) -> None:
    search = new_search(schedule=lambda step: 1.0 - (step + 1 - first) / EPOCHS)
    for epoch in range(1, 9):
        search.observe("trial", epoch - 1 + first, accuracy(0.85, epoch))
    verdict = search.judge("trial")
    values = [accuracy(0.85, epoch) for epoch in range(1, 9)]
    post = lcpfn.load().extrapolate(values, horizon=EPOCHS, schedule="linear")
    assert verdict.post is not None
    assert verdict.post.median[-1] == pytest.approx(post.median[-1], rel=5e-4)
    assert post.median[-1] != pytest.approx(
        lcpfn.load().extrapolate(values, horizon=EPOCHS).median[-1], rel=5e-4
    )


def test_minimizing() -> None:
    search = Search(settings(), "minimize")
    for epoch in range(1, EPOCHS + 1):
        search.observe("best", epoch, 1 - accuracy(0.9, epoch))
    search.end("best", "finished")
    for epoch in range(1, 9):
        search.observe("weak", epoch, 1 - accuracy(0.3, epoch))
    assert search.judge("weak").action == "stop"


def test_nothing_is_stopped_before_a_trial_has_finished() -> None:
    search = new_search(best=None)
    follow(search, "first", 0.1, 20)
    verdict = search.judge("first")
    assert verdict.action == "continue" and "0 of 1 trials have finished" in verdict.reason
    search.end("first", "failed")
    follow(search, "second", 0.1, 20)
    assert search.judge("second").action == "continue"


def test_a_trial_finishes_at_its_last_step() -> None:
    search = new_search()
    follow(search, "long", 0.95, EPOCHS)
    assert search.judge("long").action == "finish"
    assert math.isnan(search.judge("long").prob_better)


def test_steps_from_zero() -> None:
    search, ones = new_search(), new_search()
    for epoch in range(8):
        search.observe("trial", epoch, accuracy(0.85, epoch + 1))
    follow(ones, "trial", 0.85, 8)
    assert search.shift == 1
    assert search.judge("trial").prob_better == ones.judge("trial").prob_better
    search.observe("trial", EPOCHS - 1, 0.9)
    assert search.judge("trial").action == "finish"


def test_going_back_drops_what_came_after() -> None:
    run = Run()
    for step, value in ((1, 0.1), (2, 0.2), (3, 0.3), (2, 0.25)):
        run.add(step, value)
    assert run.records == {1: 0.1, 2: 0.25}
    run.add(1, 0.15)
    assert run.records == {1: 0.15}
    assert run.last_step == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [(math.nan, "is nan"), (math.inf, "is inf"), (-1e200, "is -1e+200"), (-9e5, "far beyond")],
)
def test_diverged_trials_stop_at_once(value: float, words: str) -> None:
    search = new_search(best=None)
    follow(search, "trial", 0.9, 4)
    search.observe("trial", 5, value)
    verdict = search.judge("trial")
    assert verdict.action == "stop" and words in verdict.reason
    search.end("trial", "finished")
    assert search.incumbent is None and search.count("stopped") == 1


def test_nan_can_mean_missing() -> None:
    search = new_search(nan="missing")
    follow(search, "trial", 0.88, 8)
    before = search.judge("trial")
    search.observe("trial", 9, math.nan)
    assert search.judge("trial").prob_better == before.prob_better
    search.observe("trial", 10, math.inf)
    assert search.judge("trial").action == "stop"


def test_keep_top_and_warmup() -> None:
    search = new_search(keep_top=2, warmup_trials=3)
    follow(search, "a", 0.5, EPOCHS)
    search.end("a", "finished")
    assert search.incumbent == accuracy(0.5, EPOCHS)
    follow(search, "weak", 0.1, 8)
    assert "2 of 3 trials have finished" in search.judge("weak").reason
    follow(search, "b", 0.6, EPOCHS)
    search.end("b", "finished")
    assert search.incumbent == accuracy(0.6, EPOCHS)
    assert search.judge("weak").action == "stop"
    assert search.best == ("best", accuracy(0.9, EPOCHS))


def test_a_trial_that_fails_or_goes_on_is_no_incumbent() -> None:
    for fate in ("failed", "running", "stopped"):
        search = new_search()
        search.end("best", fate)  # type: ignore[arg-type]
        assert search.incumbent is None


def test_patience() -> None:
    search = new_search(patience=3)
    actions = []
    for epoch in range(1, 8):
        search.observe("weak", epoch, accuracy(0.2, epoch))
        actions.append(search.judge("weak").action)
    assert actions == ["continue"] * 5 + ["stop"] * 2


def test_wrong_bounds_are_left_out() -> None:
    search = new_search(bounds=(0, 0.5))
    follow(search, "trial", 0.95, 20)
    assert search.judge("trial").action == "continue"


@pytest.mark.parametrize("fate", ["finished", "stopped"])
def test_bounds_are_not_guessed_against_what_other_trials_have_shown(fate: Fate) -> None:
    """The first values of a reward look like percent, but another trial has passed 100."""
    search = new_search(best=None)
    for epoch in range(1, EPOCHS + 1):
        search.observe("modest", epoch, 95 * (1 - 0.95**epoch))
        search.observe("large", epoch, 480 * (1 - 0.95**epoch))
    search.end("modest", "finished")
    search.end("large", fate)
    for epoch in range(1, 5):
        search.observe("trial", epoch, 500 * (1 - 0.95**epoch))
    verdict = search.judge("trial")
    assert verdict.action == "continue" and verdict.prob_better > 0
    assert verdict.post is not None and verdict.post.bounds == (None, None)


def test_pickling_leaves_the_model_out_and_decides_the_same() -> None:
    search = new_search()
    follow(search, "weak", 0.3, 8)
    before = search.judge("weak")
    content = pickle.dumps(search)
    assert len(content) < 5000
    assert pickle.loads(content).judge("weak").prob_better == before.prob_better


def test_expected_improvement() -> None:
    search = new_search()
    follow(search, "trial", 0.88, 8)
    post = search.forecast("trial")
    assert post is not None
    draws = post.quantile(np.linspace(0.00005, 0.99995, 10000))[:, -1]
    expected = np.maximum(draws - 0.85, 0).mean()
    assert expected_improvement(post, 0.85) == pytest.approx(expected, rel=0.02)
    assert expected_improvement(post, 2.0) == 0
    assert search.decide("trial", post).prob_better == post.prob_better(accuracy(0.9, EPOCHS))
    assert search.forecast("best") is None, "a finished trial has nothing left to forecast"


def test_improvement_of_a_trial_not_begun() -> None:
    assert untried_improvement([0.1, 0.2, 0.3], "maximize") == math.inf
    values = [0.9, 0.5, 0.8, 0.4, 0.3, 0.2, 0.1, 0.0]
    assert untried_improvement(values, "maximize") == pytest.approx((0.85 - 0.5) / 9)
    losses = [1 - value for value in values]
    assert untried_improvement(losses, "minimize") == pytest.approx((0.85 - 0.5) / 9)


def test_records_of_results() -> None:
    result = {"training_iteration": 3, "val/acc": np.float32(0.5), "done": False}
    assert read_record(result, "training_iteration", "val/acc") == (3, 0.5)
    assert read_record(result, "training_iteration", "other") is None
    assert read_record({**result, "val/acc": None}, "training_iteration", "val/acc") is None
    for changes, message in (
        ({"training_iteration": -1}, "reported 'training_iteration' is -1, but"),
        ({"training_iteration": math.nan}, "reported 'training_iteration' is nan, but"),
        ({"training_iteration": "three"}, "is 'three', but must be a number"),
        ({"val/acc": "high"}, "reported 'val/acc' is 'high', but must be a number"),
    ):
        with pytest.raises(InputError, match=message):
            read_record({**result, **changes}, "training_iteration", "val/acc")


def test_a_missing_time_attr_is_named_unless_checks_are_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = {"training_iteration": 3, "epoch": 2, "acc": 0.5}
    with pytest.raises(InputError, match=r"'epochs' \(did you mean 'epoch'\?\).*reported acc, epo"):
        read_record(result, "epochs", "acc")
    monkeypatch.setenv("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
    assert read_record(result, "epochs", "acc") is None


WRONG = [
    ({"max_t": 0}, "max_t is 0, but must be a positive, finite number"),
    ({"max_t": "50"}, "max_t is '50'"),
    ({"max_t": True}, "max_t is True"),
    ({"time_attr": ""}, "time_attr is '', but must be the name of a reported value"),
    ({"metric": 3}, "metric is 3, but must be the name of a reported value"),
    ({"mode": "maximize"}, "mode is 'maximize', but must be 'min' or 'max'"),
    ({"warmup_trials": 0}, "warmup_trials is 0, but must be an integer of at least 1"),
    ({"threshold": 1.5}, "threshold is 1.5"),
    ({"min_steps": 0}, "min_steps is 0"),
    ({"patience": 0}, "patience is 0"),
    ({"keep_top": 0}, "keep_top is 0"),
    ({"min_delta": -1.0}, "min_delta is -1.0"),
    ({"bounds": (1, 0)}, "low must be below high"),
    ({"bounds": "atuo"}, "bounds is 'atuo', but must be 'auto'"),
    (
        {"max_t": 50, "schedule": ([0, 48], [1, 0])},
        "schedule ends at step 48, but must reach the end of the run, 49",
    ),
    ({"schedule": "cosin"}, "schedule is 'cosin', but must be None, 'constant', 'linear', 'cos"),
    ({"schedule": "cosine", "model": "reference"}, "'reference' was trained without learning rat"),
    ({"nan": "prune"}, "nan is 'prune', but must be 'stop' or 'missing'"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
@pytest.mark.parametrize("door", [LCPFNScheduler, LCPFNStopper])
def test_wrong_arguments(door: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        door(**{"metric": "acc", "mode": "max", **arguments})
    with pytest.raises(WeightsError, match="there is no model 'nonesuch'"):
        door("acc", "max", model="nonesuch") if door is LCPFNStopper else door(model="nonesuch")


@pytest.mark.parametrize("freeze", [0.05, 0.01, 1.5, "yes", math.nan])
def test_wrong_freeze(freeze: Any) -> None:
    rule = "but must be True, False or a probability above threshold, 0.05, at most 1"
    with pytest.raises(InputError, match=f"freeze is {freeze!r}, {rule}"):
        LCPFNScheduler(freeze=freeze)
