"""Many runs side by side, without any framework."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

import lcpfn
from lcpfn import InputError, Search, WeightsError
from lcpfn.search.run import Fate, Run

EPOCHS = 50


def accuracy(level: float, epoch: float) -> float:
    """A run that rises to `level`, its noise as of small validation sets."""
    return level * (1 - 0.7**epoch) + 0.004 * math.sin(12.9 * epoch + 40 * level)


def new_search(best: float | None = 0.9, **changes: Any) -> Search:
    """A search with one finished run of 50 epochs unless `best` is None, bold from the start."""
    search = Search("maximize", EPOCHS, **{"early_caution": 0, **changes})
    if best is not None:
        follow(search, "best", best, EPOCHS)
        search.end("best", "finished")
    return search


def follow(search: Search, run: str, level: float, last: int, first: int = 1) -> None:
    for epoch in range(first, last + 1):
        search.observe(run, epoch, accuracy(level, epoch))


def together(search: Search, levels: Iterable[float], last: int) -> None:
    """Runs side by side, known by their levels."""
    for epoch in range(1, last + 1):
        for level in levels:
            search.observe(level, epoch, accuracy(level, epoch))


def test_the_verdict_is_the_models() -> None:
    search = new_search()
    follow(search, "weak", 0.3, 8)
    verdict = search.judge("weak")
    values = [accuracy(0.3, epoch) for epoch in range(1, 9)]
    post = lcpfn.load().extrapolate(values, horizon=EPOCHS)
    assert verdict.action == "stop"
    assert verdict.prob_better == pytest.approx(post.prob_better(accuracy(0.9, EPOCHS)), abs=1e-6)
    low, median, high = post.quantile([0.05, 0.5, 0.95])[:, -1]
    assert verdict.median == pytest.approx(median, rel=1e-5)
    assert (verdict.low, verdict.high) == (
        pytest.approx(low, rel=1e-4),
        pytest.approx(high, rel=1e-4),
    )
    assert verdict.to_beat == accuracy(0.9, EPOCHS) and verdict.horizon == EPOCHS
    assert "P(final value beats" in verdict.reason
    follow(search, "strong", 0.97, 8)
    assert search.judge("strong").action == "continue"


def test_low_is_the_worse_end_also_where_less_is_better() -> None:
    search = Search("minimize", EPOCHS)
    for epoch in range(1, 9):
        search.observe("run", epoch, 1 - accuracy(0.8, epoch))
    verdict = search.judge("run")
    post = lcpfn.load().extrapolate(
        [1 - accuracy(0.8, epoch) for epoch in range(1, 9)], horizon=EPOCHS, goal="minimize"
    )
    assert verdict.low > verdict.median > verdict.high
    assert verdict.low == pytest.approx(float(post.quantile(0.95)[-1]), rel=1e-4)


@pytest.mark.parametrize("first", [0, 1])
def test_the_verdict_follows_the_schedule(first: int) -> None:
    search = new_search(schedule=lambda step: 1.0 - (step + 1 - first) / EPOCHS)
    for epoch in range(1, 9):
        search.observe("run", epoch - 1 + first, accuracy(0.85, epoch))
    values = [accuracy(0.85, epoch) for epoch in range(1, 9)]
    told = lcpfn.load().extrapolate(values, horizon=EPOCHS, schedule="linear").median[-1]
    untold = lcpfn.load().extrapolate(values, horizon=EPOCHS).median[-1]
    assert search.judge("run").median == pytest.approx(told, rel=5e-4)
    assert told != pytest.approx(untold, rel=5e-4)


def test_decisions_begin_as_soon_as_a_few_runs_are_under_way() -> None:
    search = Search("maximize", EPOCHS)
    levels = (0.9, 0.85, 0.8, 0.75, 0.3)
    together(search, levels, 12)
    verdicts = {level: search.judge(level) for level in levels}
    assert verdicts[0.3].action == "stop" and verdicts[0.9].action == "continue"
    assert verdicts[0.3].to_beat == max(verdicts[level].reach for level in levels[:-1])
    others = [verdicts[level].reach for level in levels[1:]]
    assert verdicts[0.9].to_beat == pytest.approx(max(others), rel=1e-6), "of others only"


def test_runs_that_are_a_little_behind_are_compared_with_at_their_newest_record() -> None:
    levels = (0.9, 0.85, 0.8, 0.75, 0.3)
    standings = {}
    for lag in (0.0, 0.2):
        search = Search("maximize", EPOCHS, lag=lag)
        together(search, levels, 9)
        # It reports first, and nobody else has got as far.
        search.observe(0.3, 10, 0.29)
        standings[lag] = search.judge(0.3).standing
    assert standings == {0.0: None, 0.2: 1.0}
    for epoch in range(11, 13):
        search.observe(0.3, epoch, 0.29)
    assert search.judge(0.3).standing is None, "the others are too far behind"


def test_the_limit_is_lower_for_what_nobody_has_reached() -> None:
    search = Search("maximize", EPOCHS)
    levels = (0.9, 0.85, 0.8, 0.75, 0.3)
    together(search, levels, 12)
    assert search.judge(0.3).limit == pytest.approx(0.75 * 0.09)
    search.end("long ago", "finished", 0.95)
    assert search.judge(0.3).limit == pytest.approx(0.09)


def test_nobody_is_stopped_for_a_run_that_was_itself_stopped() -> None:
    search = new_search(best=None)
    together(search, (0.9, 0.3), 12)
    assert search.judge(0.3).action == "stop"
    search.end(0.9, "stopped")
    verdict = search.judge(0.3)
    assert verdict.to_beat is None and verdict.action == "continue"


def test_a_verdict_to_stop_counts_before_anybody_acts_on_it() -> None:
    search = new_search()
    follow(search, "weak", 0.3, 12)
    assert search.judge("weak").action == "stop"
    follow(search, "other", 0.2, 12)
    assert search.judge("other").to_beat == accuracy(0.9, EPOCHS)
    again = new_search(best=None)
    together(again, (0.9, 0.3, 0.2), 12)
    again.observe(0.9, 13, math.nan)
    assert again.judge(0.9).action == "stop"
    assert again.judge(0.2).to_beat == pytest.approx(again.judge(0.3).reach)


def test_a_rival_that_turns_out_worse_or_fails_no_longer_counts() -> None:
    search = new_search(best=None)
    together(search, (0.9, 0.6), 12)
    high = search.judge(0.6).to_beat
    for epoch in range(13, 20):
        search.observe(0.9, epoch, 0.4)
    lower = search.judge(0.6).to_beat
    assert high is not None and lower is not None and lower < high - 0.1
    search.end(0.9, "failed")
    assert search.judge(0.6).to_beat is None


def test_a_run_that_was_stopped_for_a_rival_is_worth_resuming_when_that_fails() -> None:
    search = new_search(None)
    together(search, (0.9, 0.6, 0.5, 0.3), 12)
    for level in (0.6, 0.5, 0.3):
        assert search.judge(level).action == "stop"
        search.end(level, "stopped")
    assert search.worth_resuming() == []
    search.end(0.9, "failed")
    assert search.worth_resuming() == [], "nothing to compare with"
    follow(search, "mid", 0.55, EPOCHS)
    search.end("mid", "finished")
    assert search.worth_resuming() == [0.6]
    assert search.worth_resuming(margin=1e9) == []
    search.observe(0.6, 13, accuracy(0.6, 13))
    assert 0.6 not in search.worth_resuming()
    for margin in (0.9, math.nan):
        with pytest.raises(InputError, match=r"margin is .*, but must be at least 1"):
            search.worth_resuming(margin)


def test_a_rival_needs_records() -> None:
    search = new_search(best=None, rival_records=6)
    together(search, (0.9, 0.3), 5)
    assert search.judge(0.3).to_beat is None
    together(search, (0.9,), 6)
    assert search.judge(0.3).to_beat is not None


def test_what_another_process_found_is_not_computed_again() -> None:
    asked: list[Any] = []
    search = new_search(best=None)
    forecast = search._forecast

    def counted(question: Any) -> Any:
        asked.append(question.run)
        return forecast(question)

    search._forecast = counted
    together(search, (0.9, 0.3), 12)
    search.recall(0.9, 12, 0.77, stopped=False)
    assert search.judge(0.3).to_beat == 0.77 and asked == [0.3]
    search.recall(0.9, 11, 0.99, stopped=False)
    assert search.judge(0.3).to_beat == 0.77, "what rests on earlier records is passed over"
    search.observe(0.9, 13, accuracy(0.9, 13))
    assert search.judge(0.3).to_beat != 0.77 and asked.count(0.9) == 1
    search.observe(0.9, 14, accuracy(0.9, 14))
    search.recall(0.9, 14, 0.77, stopped=True)
    assert search.judge(0.3).to_beat is None


def test_keep_top_counts_runs_under_way() -> None:
    search = new_search(keep_top=2)
    together(search, (0.8, 0.3), 12)
    assert search.judge(0.3).to_beat == search.judge(0.8).reach
    only = new_search(keep_top=2)
    follow(only, "weak", 0.3, 12)
    assert only.judge("weak").to_beat is None


def test_warm_up_trials() -> None:
    search = new_search(warmup_trials=2)
    follow(search, "weak", 0.1, 8)
    assert "1 of 2 runs have finished" in search.judge("weak").reason
    follow(search, "b", 0.6, EPOCHS)
    search.end("b", "finished")
    assert search.judge("weak").action == "stop"
    assert search.best == ("best", accuracy(0.9, EPOCHS))


def test_a_run_that_has_reached_its_last_step() -> None:
    search = new_search()
    follow(search, "long", 0.95, EPOCHS)
    assert search.complete("long")
    verdict = search.judge("long")
    assert verdict.action == "continue" and math.isnan(verdict.prob_better)


def test_steps_from_zero() -> None:
    search, ones = new_search(), new_search()
    for epoch in range(8):
        search.observe("run", epoch, accuracy(0.85, epoch + 1))
    follow(ones, "run", 0.85, 8)
    assert search.shift == 1
    assert search.judge("run").prob_better == ones.judge("run").prob_better
    search.observe("run", EPOCHS - 1, 0.9)
    assert search.complete("run")


def test_going_back_drops_what_came_after() -> None:
    run = Run("maximize", "last", "stop")
    for step, value in ((1, 0.1), (2, 0.2), (3, 0.3), (2, 0.25)):
        run.add(step, value)
    assert run.usable == [(1, 0.1), (2, 0.25)]
    run.add(1, 0.15)
    assert run.usable == [(1, 0.15)] and run.last == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [(math.nan, "is nan"), (math.inf, "is inf"), (-1e200, "is -1e+200"), (-9e5, "far beyond")],
)
def test_diverged_runs_stop_at_once(value: float, words: str) -> None:
    search = new_search(best=None)
    follow(search, "run", 0.9, 4)
    search.observe("run", 5, value)
    verdict = search.judge("run")
    assert verdict.action == "stop" and words in verdict.reason
    search.end("run", "finished")
    assert search.best is None and search.runs["run"].state == "stopped"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_comes_before_the_first_usable_record_is_missing(value: float) -> None:
    search = new_search()
    search.observe("run", 1, value)
    assert search.judge("run").action == "continue"
    follow(search, "run", 0.88, 8, first=2)
    assert search.judge("run").action == "continue"
    search.observe("run", 9, value)
    assert search.judge("run").action == "stop"


def test_nan_can_mean_missing() -> None:
    search = new_search(nan="missing")
    follow(search, "run", 0.88, 8)
    before = search.judge("run")
    search.observe("run", 9, math.nan)
    assert search.judge("run").prob_better == before.prob_better
    search.observe("run", 10, math.inf)
    assert search.judge("run").action == "stop"


@pytest.mark.parametrize("fate", ["failed", "stopped"])
def test_a_run_that_fails_or_is_stopped_after_all_is_not_to_beat(fate: Fate) -> None:
    search = new_search()
    search.end("best", fate)
    assert search.best is None
    follow(search, "other", 0.3, 8)
    assert search.judge("other").to_beat is None


def test_patience() -> None:
    search = new_search(patience=3)
    actions = []
    for epoch in range(1, 8):
        search.observe("weak", epoch, accuracy(0.2, epoch))
        actions.append(search.judge("weak").action)
    assert actions == ["continue"] * 5 + ["stop"] * 2


def test_wrong_bounds_are_left_out_and_said() -> None:
    search = new_search(bounds=(0, 0.5))
    follow(search, "run", 0.95, 20)
    assert search.judge("run").action == "continue"
    assert any("outside bounds=(0.0, 0.5)" in notice for notice in search.notices())


@pytest.mark.parametrize("fate", ["finished", "stopped", None])
def test_bounds_are_not_guessed_against_what_other_runs_have_shown(fate: Fate | None) -> None:
    """The first values of a reward look like percent, but another run has passed 100."""
    search = new_search(best=None)
    for epoch in range(1, EPOCHS + 1):
        search.observe("modest", epoch, 95 * (1 - 0.95**epoch))
        search.observe("large", epoch, 480 * (1 - 0.95**epoch))
    search.end("modest", "finished")
    if fate is not None:
        search.end("large", fate)
    for epoch in range(1, 5):
        search.observe("run", epoch, 500 * (1 - 0.95**epoch))
    verdict = search.judge("run")
    assert verdict.action == "continue" and verdict.prob_better > 0
    assert search.bounds("run") == (None, None)


def test_a_run_without_bounds_says_nothing_of_those_of_others() -> None:
    search = new_search(best=None)
    search.open_bounds("reward")
    for epoch in range(1, 9):
        search.observe("reward", epoch, 500 * (1 - 0.95**epoch))
        search.observe("accuracy", epoch, 0.9 * (1 - 0.8**epoch))
    assert search.bounds("reward") == (None, None)
    assert search.bounds("accuracy") == (0, 1)
    post = search.forecast("reward")
    assert post is not None and post.bounds == (None, None)
    assert not any("outside bounds" in notice for notice in search.notices())


def test_pickling_leaves_the_model_out_and_decides_the_same() -> None:
    search = new_search()
    follow(search, "weak", 0.3, 8)
    before = search.judge("weak")
    content = pickle.dumps(search)
    assert len(content) < 8000
    again = pickle.loads(content)
    assert again.judge("weak").prob_better == before.prob_better
    again.end("best", "failed")
    assert again.best is None


def test_the_outlook_orders_all_runs() -> None:
    search = new_search()
    together(search, (0.95, 0.7, 0.3), 12)
    search.observe("new", 1, math.nan)
    search.end(0.3, "stopped")
    outlook = search.outlook()
    assert [entry.run for entry in outlook] == [0.95, "best", 0.7, "new", 0.3]
    first, best = outlook[:2]
    assert first.low < first.median < first.hope < first.high
    assert best.low == best.high == accuracy(0.9, EPOCHS) and best.state == "finished"
    assert math.isnan(outlook[3].median)


def test_the_plot_shows_every_run() -> None:
    pytest.importorskip("matplotlib")
    search = new_search()
    together(search, (0.95, 0.7), 12)
    search.pause(0.7)
    axes = search.plot()
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(texts) == ["finished", "live", "paused"]
    assert len(axes.collections) == 2


def test_paused_runs_go_on_in_the_order_of_their_promise() -> None:
    search = new_search(best=None, pause=True, first_records=2)
    together(search, (0.8, 0.9, 0.7), 1)
    assert search.judge(0.8, unbegun=3).action == "continue", "every run gets its first two"
    together(search, (0.8, 0.9, 0.7), 6)
    waits = search.judge(0.8, unbegun=1)
    assert waits.action == "pause" and "its first 2 records first" in waits.reason
    assert search.judge(0.8).action == "continue", "nothing waits"
    for run in (0.9, 0.7):
        search.pause(run)
    assert search.promising() == [0.9, 0.7]
    paused = search.judge(0.8)
    assert paused.action == "pause" and "75% quantile" in paused.reason
    search.resume(0.9)
    assert search.promising() == [0.7]
    assert search.judge(0.8).action == "continue"
    assert search.judge(0.9).action == "continue"


def test_a_run_that_went_on_is_not_paused_again_at_once() -> None:
    search = new_search(best=None, pause=True, slice=0.1, threshold=0)
    together(search, (0.9, 0.8), 6)
    search.pause(0.8)
    search.pause(0.9)
    search.resume(0.8)
    for epoch in range(7, 12):
        search.observe(0.8, epoch, accuracy(0.8, epoch))
        assert search.judge(0.8).action == ("pause" if epoch >= 11 else "continue")


@pytest.mark.parametrize("fate", ["failed", "stopped", "finished"])
def test_a_retried_run_begins_with_what_it_reports(fate: Fate) -> None:
    search = new_search()
    follow(search, "run", 0.3, 8)
    assert search.judge("run").action == "stop"
    search.end("run", fate)
    follow(search, "run", 0.95, 2)
    assert search.runs["run"].state == "live" and len(search.runs["run"].steps) == 2
    assert search.judge("run").action == "continue"
    assert not any("went back" in notice for notice in search.notices())


WRONG = [
    ({"horizon": 0}, "horizon is 0, but must be a positive, finite number"),
    ({"goal": "max"}, "goal is 'max', but must be 'maximize' or 'minimize'"),
    ({"slice": 2}, "slice is 2, but must lie within 0 and 1"),
    ({"hope": 0.4}, "hope is 0.4, but must be at least 0.5 and below 1"),
    ({"first_records": 0}, "first_records is 0, but must be an integer of at least 1"),
    ({"rival_records": 0}, "rival_records is 0, but must be an integer of at least 1"),
    ({"early_caution": -1}, "early_caution is -1, but must be finite and at least 0"),
    ({"haste": 2}, "haste is 2, but must lie within 0 and 1"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Search(**arguments)


def test_unknown_names() -> None:
    with pytest.raises(WeightsError, match="there is no model 'nonesuch'"):
        Search(model="nonesuch")
    with pytest.raises(TypeError, match=r"no setting 'treshold' \(did you mean 'threshold'"):
        Search(treshold=0.1)
    with pytest.raises(InputError, match="fate is 'won', but must be one of finished, stopped"):
        Search().end("run", "won")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="step is -1, but must be at least 0 and finite"):
        Search().observe("run", -1, 0.5)


@pytest.mark.parametrize("values", [[0.1, 0.5, 0.7], np.linspace(0.1, 0.7, 40).tolist()])
def test_a_model_may_be_given_as_it_is(values: list[float]) -> None:
    search = Search(horizon=EPOCHS, model=lcpfn.load())
    search.set_records("run", dict(enumerate(values, 1)))
    assert search.outlook()[0].median > 0


def test_the_forecast_of_a_run() -> None:
    search = new_search()
    follow(search, "weak", 0.3, 8)
    post = search.forecast("weak")
    assert post is not None
    verdict = search.judge("weak")
    assert post.quantile([0.5])[0, -1] == pytest.approx(verdict.median)
    assert search.forecast("best") is None
    search.observe("weak", 9, math.inf)
    assert search.forecast("weak") is None


def test_a_run_that_is_forgotten_counts_no_more() -> None:
    search = new_search()
    follow(search, "weak", 0.3, 8)
    assert search.judge("weak").action == "stop"
    search.forget("best")
    search.forget("never seen")
    assert search.best is None and set(search.runs) == {"weak"}
    assert search.judge("weak").action == "continue"


def test_a_run_with_a_length_of_its_own_is_complete_at_it() -> None:
    search = Search("maximize", None)
    search.describe("short", {}, horizon=10)
    follow(search, "short", 0.9, 9)
    assert not search.complete("short")
    follow(search, "short", 0.9, 10, first=10)
    assert search.complete("short")
    search.end("short", "finished")
    assert search.notices() == []


def annealed(epoch: float) -> float:
    """A learning rate that falls to nothing over a run."""
    return 0.05 * (1 + math.cos(math.pi * epoch / EPOCHS))


@pytest.mark.parametrize("at_once", [True, False])
def test_the_forecast_hears_the_learning_rates_of_the_records(at_once: bool) -> None:
    values = [accuracy(0.5, epoch) for epoch in range(1, 13)]
    rates = {epoch: annealed(epoch) for epoch in range(1, 13) if epoch != 5}
    search = new_search(None, bounds=(0, 1))
    for epoch, value in enumerate(values, start=1):
        if not at_once:
            search.observe("run", epoch, value, rates.get(epoch))
            search.forecast("run")
    if at_once:
        search.set_records("run", enumerate(values, start=1), rates)
    post = search.forecast("run")
    assert post is not None
    asked: dict[str, Any] = {"horizon": EPOCHS, "bounds": (0, 1)}
    told = [rates.get(epoch, math.nan) for epoch in range(1, 13)]
    expected = lcpfn.load().extrapolate(values, rates=told, **asked)
    median = np.ravel(post.quantile(0.5))[-1]
    assert median == pytest.approx(expected.quantile(0.5)[-1], rel=1e-3)
    deaf = lcpfn.load().extrapolate(values, **asked)
    assert median != pytest.approx(deaf.quantile(0.5)[-1], rel=1e-3)


def test_a_known_schedule_and_a_model_that_hears_no_rates_make_them_needless() -> None:
    for settings in ({"schedule": "cosine"}, {"model": "reference"}):
        told, plain = new_search(None, **settings), new_search(None, **settings)
        for epoch in range(1, 9):
            told.observe("run", epoch, accuracy(0.5, epoch), annealed(epoch))
            plain.observe("run", epoch, accuracy(0.5, epoch))
        assert told.judge("run") == plain.judge("run")


@pytest.mark.parametrize("rate", [-0.1, math.inf])
def test_a_rate_that_cannot_be(rate: float) -> None:
    search = new_search(None)
    with pytest.raises(InputError, match=r"rate is .*, but must be finite and at least 0"):
        search.observe("run", 1, 0.5, rate)
    with pytest.raises(InputError, match=r"rate is .*, but must be finite and at least 0"):
        search.set_records("run", {1: 0.5}, {1: rate})


def test_records_and_values_of_another_kind_are_refused_and_nothing_is_kept():
    search = lcpfn.Search(horizon=50)
    with pytest.raises(
        lcpfn.InputError, match=r"must hold values by step, or \(step, value\) pairs"
    ):
        search.set_records("a", [1, 2, 3])  # type: ignore[list-item]
    assert "a" not in search.runs
    search.observe("a", 1, 0.5)
    with pytest.raises(lcpfn.InputError, match="value is 'x'"):
        search.end("a", "finished", value="x")  # type: ignore[arg-type]
    assert search.runs["a"].state == "live"


@pytest.mark.parametrize(
    "ask",
    [
        lambda search: search.end("b", "stopped"),
        lambda search: search.end("b", "failed"),
        lambda search: search.pause("b"),
        lambda search: search.resume("b"),
        lambda search: search.recall("b", 1, 0.5, False),
        lambda search: search.complete("b"),
        lambda search: search.bounds("b"),
        lambda search: search.judge("b"),
        lambda search: search.forecast("b"),
    ],
)
def test_a_run_that_nobody_heard_of_is_named_and_not_begun(ask: Callable[[Search], Any]) -> None:
    search = Search(horizon=EPOCHS)
    search.observe("a", 1, 0.5)
    with pytest.raises(InputError, match=r"there is no run 'b': .* `observe` and `describe` begin"):
        ask(search)
    assert set(search.runs) == {"a"}


def test_a_run_of_which_only_its_value_is_known() -> None:
    search = Search(horizon=EPOCHS)
    search.end("before", "finished", 0.93)
    assert search.best == ("before", 0.93)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda search: search.observe([1], 1, 0.5), r"run is \[1\], but must be hashable"),
        (lambda search: search.judge({}), r"run is \{\}, but must be hashable"),
        (lambda search: search.set_records("a", {1: "much"}), "step, value. pairs, all of them"),
        (lambda search: search.set_records("a", {-1: 0.5}), "step is -1, but must be at least 0"),
        (lambda search: search.set_records("a", {1: 0.5}, [0.1]), "rates is .*, but must be a map"),
        (
            lambda search: search.recall("a", 1, "far", False),
            "reach is 'far', but must be a number",
        ),
        (lambda search: search.propose([{}], 0), "generator is 0, but must be what numpy.random"),
        (lambda search: search.propose([{}], space=["rate"]), r"space is \['rate'\], but must"),
        (lambda search: Search(model=5), "model is 5, but must be a bundled name, a path or a"),
    ],
)
def test_what_is_of_another_type_is_named_with_its_rule(
    ask: Callable[[Search], Any], message: str
) -> None:
    search = Search(horizon=EPOCHS)
    search.observe("a", 1, 0.5)
    with pytest.raises(InputError, match=message):
        ask(search)
    assert search.runs["a"].values == [0.5]
