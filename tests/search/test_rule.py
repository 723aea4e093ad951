import math
from collections.abc import Callable
from typing import Any

import pytest

import lcpfn
from lcpfn import Decision, InputError, StoppingRule
from lcpfn.forecast.arguments import Goal
from lcpfn.forecast.bounds import Bounds
from lcpfn.search.divergence import divergence

HOPELESS = [0.40, 0.42, 0.43, 0.43, 0.44, 0.44]


@pytest.fixture(scope="module")
def post(reference: lcpfn.LCPFN) -> lcpfn.Extrapolation:
    return reference.extrapolate(HOPELESS, horizon=50)


def test_stops_the_hopeless_and_keeps_the_promising(post: lcpfn.Extrapolation) -> None:
    stop = StoppingRule().decide(post, incumbent=0.95)
    assert stop.stop and stop.prob_better < 0.05
    assert "P(final value beats 0.95)" in stop.reason and "after 6 records" in stop.reason
    keep = StoppingRule().decide(post, incumbent=0.42)
    assert not keep.stop and keep.prob_better > 0.5


def test_the_goal_turns_the_comparison(reference: lcpfn.LCPFN) -> None:
    loss = reference.extrapolate([1 - value for value in HOPELESS], horizon=50, goal="minimize")
    assert StoppingRule().decide(loss, incumbent=0.05).stop
    assert not StoppingRule().decide(loss, incumbent=0.59).stop


def test_without_an_incumbent_nothing_is_stopped(post: lcpfn.Extrapolation) -> None:
    decision = StoppingRule().decide(post, incumbent=None)
    assert not decision.stop and math.isnan(decision.prob_better)
    assert "no incumbent" in decision.reason


def test_min_steps(post: lcpfn.Extrapolation) -> None:
    decision = StoppingRule(min_steps=7).decide(post, incumbent=0.95)
    assert not decision.stop and "no decision before 7 records" in decision.reason


def test_min_delta_raises_the_bar(post: lcpfn.Extrapolation) -> None:
    plain = StoppingRule().decide(post, incumbent=0.44)
    raised = StoppingRule(min_delta=0.2).decide(post, incumbent=0.44)
    assert raised.prob_better < plain.prob_better
    assert raised.prob_better == pytest.approx(post.prob_better(0.64))


def test_patience_counts_decisions_in_a_row(post: lcpfn.Extrapolation) -> None:
    rule = StoppingRule(patience=3)
    decisions: list[Decision] = []
    for _ in range(3):
        decisions.append(rule.decide(post, 0.95, earlier=decisions))
    assert [decision.stop for decision in decisions] == [False, False, True]
    interrupted = [decisions[0], Decision(False, 0.5, ""), decisions[1]]
    assert not rule.decide(post, 0.95, earlier=interrupted).stop
    assert "2 of 3 decisions in a row" in rule.decide(post, 0.95, earlier=interrupted).reason


def test_patience_counts_from_min_steps_on(reference: lcpfn.LCPFN) -> None:
    rule = StoppingRule(min_steps=3, patience=2)
    decisions: list[Decision] = []
    for count in range(1, 5):
        post = reference.extrapolate(HOPELESS[:count], horizon=50)
        decisions.append(rule.decide(post, 0.99, earlier=decisions))
    assert all(decision.prob_better < rule.threshold for decision in decisions[1:])
    assert [decision.stop for decision in decisions] == [False, False, False, True]


def test_patience_without_kept_decisions_says_the_same(reference: lcpfn.LCPFN) -> None:
    rule = StoppingRule(min_steps=3, patience=2)
    posts = [reference.extrapolate(HOPELESS[:count], horizon=50) for count in range(1, 6)]
    decisions: list[Decision] = []
    for post in posts:
        decisions.append(rule.decide(post, 0.99, earlier=decisions))
    replayed = [rule.decide_replayed(post, 0.99, lambda count: posts[count - 1]) for post in posts]
    assert replayed == decisions
    assert [decision.stop for decision in replayed] == [False, False, False, True, True]


def test_the_limit_follows_the_standing() -> None:
    rule = StoppingRule()
    limits = [rule.limit(20, standing, 0.5) for standing in (0.0, 0.02, 0.05, 0.1, 0.4, 1.0)]
    assert limits == pytest.approx([0, 0.09 * 0.2**1.5, 0.09 * 0.5**1.5, 0.09, 0.09, 0.09])
    early, late = (rule.limit(20, 0.05, progress) for progress in (0.1, 0.99))
    assert early < 1e-4 and late == pytest.approx(0.09, rel=0.02)
    assert rule.limit(20, 0.05) == 0, "nothing is known of the run's length"
    growing = [rule.limit(records, 0.4, 0.2) for records in (3, 4, 5, 6)]
    assert growing == pytest.approx([0.054, 0.072, 0.09, 0.09])
    assert rule.limit(4) == rule.limit(40) == 0, "nothing is known of the run's length"
    unknown = [rule.limit(20, None, progress) for progress in (0.1, 0.5, 1.0)]
    risked = [0.05 * share**0.6 for share in (0.1, 0.5, 1.0)]
    assert unknown == pytest.approx(risked), "the risk is over the whole run"
    assert StoppingRule(early_caution=0).limit(4) == 0.05
    assert StoppingRule(threshold=0).limit(9, 0.8, 0.5) == 0


@pytest.mark.parametrize(
    ("threshold", "standing", "needed"),
    [
        *[(0.05, None, 4), (0.05, 0.0, 4), (0.05, 0.35, 4), (0.05, 0.36, 3), (0.05, 0.78, 3)],
        *[(0.05, 0.79, 2), (0.05, 1.0, 2), (0.5, None, 4), (0.5, 0.0, 2), (0.3, 0.2, 3)],
        # Not three because of rounding: 4 (1 - 0.6 5 / 12) is 3.
        *[(0.9, 0.5, 2), (0.0, 5 / 12, 3)],
    ],
)
def test_a_run_is_decided_on_the_sooner_the_further_it_trails_and_the_more_is_to_be_stopped(
    threshold: float, standing: float | None, needed: int
) -> None:
    rule = StoppingRule(threshold)
    for records in range(1, 6):
        assert rule.too_early(records, standing) == (records < needed)
        if standing and threshold:
            assert (rule.limit(records, standing, 0.5) > 0) == (records >= needed)


@pytest.mark.parametrize("standing", [None, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("least", [1, 2, 10])
def test_stated_least_records_hold_for_all(least: int, standing: float | None) -> None:
    rule = StoppingRule(threshold=0.5, min_steps=least)
    assert rule.needed(standing) == least
    assert rule.waiting(least, standing) is None
    if least > 1:
        told = f"no decision before {least} records, there are {least - 1}"
        assert rule.waiting(least - 1, standing) == told


def test_what_nobody_has_reached_yet_counts_for_less() -> None:
    proven, relied = (StoppingRule().limit(20, 0.4, 0.5, proven) for proven in (True, False))
    assert relied == pytest.approx(0.75 * proven)
    assert StoppingRule(unproven=1).limit(20, 0.4, 0.5, proven=False) == proven
    assert StoppingRule().limit(20, None, 0.5, proven=False) == StoppingRule().limit(20, None, 0.5)


def test_what_is_missing_at_a_standing_is_said() -> None:
    told = "no decision before 3 records for a run behind 50% of its peers, there are 2"
    assert StoppingRule().waiting(2, 0.5) == told


@pytest.mark.parametrize("threshold", [0.2, 0.3, 0.5, 0.7, 0.95])
def test_a_run_that_will_rather_win_is_not_stopped(threshold: float) -> None:
    rule = StoppingRule(threshold)
    limits = [rule.limit(n, s / 10, n / 50) for n in range(1, 50) for s in range(11)]
    assert max(limits) == pytest.approx(
        max(0.5, threshold) if threshold > 0.27 else 1.8 * threshold
    )


def test_a_limit_that_is_low_for_a_leader_is_said_to_be(post: lcpfn.Extrapolation) -> None:
    leader = StoppingRule().decide(post, 0.6, standing=0.02)
    assert not leader.stop and leader.reason.endswith(", low for a leader")
    assert "leader" not in StoppingRule().decide(post, 0.4, standing=0.5).reason


def test_a_complete_run_is_left_alone(reference: lcpfn.LCPFN) -> None:
    post = reference.extrapolate([0.3, 0.4, 0.5, 0.52], horizon=4)
    decision = StoppingRule().decide(post, incumbent=0.9)
    assert not decision.stop and decision.prob_better == 0
    assert decision.reason.endswith("; the run is complete")


PASSED_BOUNDS = pytest.mark.parametrize(
    ("values", "goal", "incumbent", "bounds"),
    [
        ([11, 34, 67, 97.6], "maximize", 470, (0, 100)),
        ([2.98, 2.32, 1.8, 1.26], "minimize", -1.15, (0, None)),
    ],
)


@PASSED_BOUNDS
def test_bounds_that_the_incumbent_passes_are_guessed_again(
    values: list[float], goal: Goal, incumbent: float, bounds: Bounds
) -> None:
    post = lcpfn.load().extrapolate(values, horizon=50, goal=goal)
    assert post.bounds == bounds
    decision = StoppingRule().decide(post, incumbent)
    open_ended = lcpfn.load().extrapolate(values, horizon=50, goal=goal, bounds=None)
    assert decision.prob_better == open_ended.prob_better(incumbent) > 0
    assert not decision.stop
    assert StoppingRule(threshold=0.9, early_caution=0).decide(post, incumbent).stop


@PASSED_BOUNDS
def test_stated_bounds_that_the_incumbent_passes_stop_nothing(
    values: list[float], goal: Goal, incumbent: float, bounds: Bounds
) -> None:
    post = lcpfn.load().extrapolate(values, horizon=50, goal=goal, bounds=bounds)
    decision = StoppingRule(threshold=0.9, early_caution=0).decide(post, incumbent)
    assert not decision.stop and decision.prob_better == 0
    low, high = ("open" if bound is None else f"{bound:g}" for bound in bounds)
    words = f"that lies beyond its bounds, {low} to {high}: state the metric's"
    assert words in decision.reason


@pytest.mark.parametrize("standing", [math.nan, -1.0, 2.0, "first"])
def test_a_standing_is_a_share(post: lcpfn.Extrapolation, standing: float) -> None:
    with pytest.raises(InputError, match=f"standing is {standing}|standing is '{standing}'"):
        StoppingRule().decide(post, 0.9, standing=standing)


def test_the_reason_says_how_many_records_the_standing_asks_for(reference: lcpfn.LCPFN) -> None:
    post = reference.extrapolate([0.3, 0.4], horizon=50)
    decision = StoppingRule().decide(post, 0.9, standing=0.5)
    assert "no decision before 3 records" in decision.reason


def test_incumbent_checks_the_goal_and_passes_over_nan() -> None:
    assert StoppingRule().incumbent([math.nan, 0.9, 0.5], "maximize") == 0.9
    assert StoppingRule().incumbent([math.nan], "minimize") is None
    with pytest.raises(InputError, match="goal is 'max'"):
        StoppingRule().incumbent([0.7], goal="max")  # type: ignore[arg-type]


def test_a_run_that_leads_is_kept_and_one_that_trails_is_not(post: lcpfn.Extrapolation) -> None:
    rule = StoppingRule()
    incumbent = float(post.quantile(0.945)[-1])
    decisions = {place: rule.decide(post, incumbent, (), place) for place in (None, 0.05, 0.9)}
    assert decisions[None].prob_better == pytest.approx(0.055, abs=1e-3)
    assert [decision.stop for decision in decisions.values()] == [False, False, True]
    assert "behind 90% of its peers; below 0.09" in decisions[0.9].reason
    assert decisions[0.9].limit == pytest.approx(0.09) and decisions[0.9].standing == 0.9
    hopeless = rule.decide(post, 0.95, (), 0.0)
    assert not hopeless.stop and hopeless.prob_better < 0.01
    assert "behind 0% of its peers; not below 0" in hopeless.reason


def test_patience_goes_by_the_limit_of_each_decision(post: lcpfn.Extrapolation) -> None:
    rule = StoppingRule(patience=2)
    incumbent = float(post.quantile(0.945)[-1])
    trailed = rule.decide(post, incumbent, (), 0.9)
    assert "below 0.09 in 1 of 2 decisions in a row" in trailed.reason
    assert rule.decide(post, incumbent, [trailed], 0.9).stop
    assert not rule.decide(post, incumbent, [trailed], 0.05).stop
    assert not rule.decide(post, incumbent, [rule.decide(post, incumbent, (), 0.05)], 0.9).stop
    places = {5: 0.05, 6: 0.9}
    replayed = rule.decide_replayed(post, incumbent, lambda count: post, places.get)
    assert not replayed.stop and replayed.standing == 0.9
    assert rule.decide_replayed(post, incumbent, lambda count: post, lambda count: 0.9).stop


def test_keep_top_lowers_the_bar_to_that_rank() -> None:
    finals = [0.7, 0.9, 0.8]
    assert StoppingRule().incumbent(finals, "maximize") == 0.9
    assert StoppingRule().incumbent(finals, "minimize") == 0.7
    assert StoppingRule(keep_top=2).incumbent(finals, "maximize") == 0.8
    assert StoppingRule(keep_top=4).incumbent(finals, "maximize") is None
    assert StoppingRule().incumbent([], "minimize") is None


@pytest.mark.parametrize("newest", [math.nan, math.inf, -math.inf, 1e151, 5e4])
def test_divergence_shows_in_the_newest_record(newest: float) -> None:
    assert "diverged" in (divergence([2.3, 1.9, newest], "minimize") or "")
    assert divergence([2.3, newest, 1.9], "minimize") is None
    assert divergence([newest], "minimize") is None, "nothing has begun yet"


@pytest.mark.parametrize(
    "values",
    [[1e9], [2.3, 1.9, 1.8], [2.3, 9000.0], [0.0, 5.0], [math.nan, 3.0], [5e4, 2.3]],
)
def test_no_divergence_without_a_sign_of_it(values: list[float]) -> None:
    assert divergence(values, "minimize") is None


def test_far_better_than_before_is_no_divergence() -> None:
    assert divergence([1.0, 1.2, 5e5], "maximize") is None
    assert divergence([1.0, 1.2, -5e5], "maximize") is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 1.0}, "threshold is 1.0, but must be at least 0 and below 1"),
        ({"threshold": -0.1}, "threshold is -0.1"),
        ({"min_steps": 0}, "min_steps is 0, but must be an integer of at least 1"),
        ({"patience": 0}, "patience is 0, but must be an integer of at least 1"),
        ({"keep_top": 0}, "keep_top is 0, but must be an integer of at least 1"),
        ({"min_delta": -1.0}, "min_delta is -1.0, but must be finite and at least 0"),
        ({"min_delta": math.nan}, "min_delta is nan"),
        ({"early_caution": -1.0}, "early_caution is -1.0, but must be finite and at least 0"),
        ({"leading": 1.5}, "leading is 1.5, but must lie within 0 and 1"),
        ({"full_trust": 0}, "full_trust is 0, but must be an integer of at least 1"),
        ({"min_delta": None}, "min_delta is None, but must be a number"),
        ({"threshold": "a"}, "threshold is 'a', but must be a number"),
        ({"patience": 1.5}, "patience is 1.5, but must be an integer"),
        ({"keep_top": 1.5}, "keep_top is 1.5, but must be an integer"),
        ({"min_steps": math.nan}, "min_steps is nan, but must be an integer"),
        ({"min_steps": "4"}, "min_steps is '4', but must be an integer"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        StoppingRule(**arguments)  # type: ignore[arg-type]


def test_incumbents_that_are_no_numbers(post: lcpfn.Extrapolation) -> None:
    with pytest.raises(InputError, match=r"incumbent is '0\.9x', but must be a number"):
        StoppingRule().decide(post, incumbent="0.9x")  # type: ignore[arg-type]


def test_nan_incumbent(post: lcpfn.Extrapolation) -> None:
    with pytest.raises(InputError, match="incumbent is nan"):
        StoppingRule().decide(post, incumbent=math.nan)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda rule, post: rule.decide("x", 0.5), "post is 'x', but must be a forecast"),
        (lambda rule, post: rule.decide(post, 0.5, 3), "earlier is 3, but must hold this run's"),
        (lambda rule, post: rule.decide(post, 0.5, [0.1]), r"earlier is \[0.1\], but must hold"),
        (lambda rule, post: rule.limit("x"), "records is 'x', but must be an integer"),
        (lambda rule, post: rule.limit(5, "x"), "standing is 'x', but must be a number"),
        (lambda rule, post: rule.waiting(None), "records is None, but must be an integer"),
        (lambda rule, post: rule.counted("x", 50), "steps is 'x', but must be"),
        (lambda rule, post: rule.incumbent(["x"], "maximize"), r"finals is \['x'\], but must be"),
    ],
)
def test_what_is_of_another_type_is_named_with_its_rule(
    ask: Callable[[StoppingRule, Any], Any], message: str, post: lcpfn.Extrapolation
) -> None:
    with pytest.raises(InputError, match=message):
        ask(StoppingRule(patience=2), post)
