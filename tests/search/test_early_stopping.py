"""Early stopping in a training loop of one's own."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

import lcpfn
from lcpfn import EarlyStopping, InputError
from lcpfn.errors import GoalWarning

HOPELESS = [0.6 - 0.4 * 0.7**epoch for epoch in range(1, 51)]
GOOD = [0.95 - 0.6 * 0.8**epoch for epoch in range(1, 51)]


def run(stopping: EarlyStopping, values: list[float], first: int = 1) -> list[lcpfn.Verdict]:
    """The decisions up to the first that stops."""
    decisions = []
    for step, value in enumerate(values, start=first):
        decisions.append(stopping.update(step, value))
        if decisions[-1]:
            break
    return decisions


def test_stops_a_run_that_will_not_beat_the_best() -> None:
    decisions = run(EarlyStopping(horizon=50, best=0.93), HOPELESS)
    assert 4 <= len(decisions) < 25
    newest = decisions[-1]
    assert newest.stop and newest.action == "stop"
    assert newest.to_beat == 0.93 and newest.prob_better < newest.limit
    assert newest.reason.startswith("P(final value beats 0.93)")


def test_lets_a_good_run_come_to_its_end() -> None:
    decisions = run(EarlyStopping(horizon=50, best=0.93, target=0.9), GOOD)
    assert len(decisions) == 50 and not any(decisions)
    assert "complete" in decisions[-1].reason


def test_stops_a_run_that_will_not_reach_the_target() -> None:
    alone = run(EarlyStopping(horizon=50, target=0.93), HOPELESS)
    assert alone[-1].stop and alone[-1].to_beat == 0.93
    # The harder of the two counts.
    both = run(EarlyStopping(horizon=50, best=0.2, target=0.93), HOPELESS)
    assert [each.stop for each in both] == [each.stop for each in alone]


def test_to_minimize() -> None:
    losses = [1 - value for value in HOPELESS]
    decisions = run(EarlyStopping(50, "minimize", best=0.07, target=0.5), losses)
    assert decisions[-1].stop and decisions[-1].to_beat == 0.07


@pytest.mark.parametrize("settings", [{}, {"best": -math.inf}], ids=["none", "infinite"])
def test_nothing_to_beat_stops_nothing(settings: dict[str, float]) -> None:
    assert not any(run(EarlyStopping(horizon=50, **settings), HOPELESS))


def test_never_stops_on_a_forecast_before_the_least_evidence() -> None:
    bold = {"threshold": 0.9, "early_caution": 0.0}
    assert len(run(EarlyStopping(50, best=0.99, **bold), HOPELESS)) == 4
    assert len(run(EarlyStopping(50, best=0.99, min_steps=9, **bold), HOPELESS)) == 9


def test_divergence_stops_at_once_and_without_anything_to_beat() -> None:
    decisions = run(EarlyStopping(horizon=50), [0.3, 0.4, math.inf])
    assert [each.stop for each in decisions] == [False, False, True]
    assert "diverged" in decisions[-1].reason


def test_steps_may_count_from_0() -> None:
    decisions = run(EarlyStopping(horizon=50), GOOD, first=0)
    assert "complete" not in decisions[-2].reason
    assert "complete" in decisions[-1].reason


@pytest.mark.parametrize("settings", [{}, {"patience": 3}], ids=["plain", "patience"])
@pytest.mark.parametrize("saved", [0, 1, 4])
def test_a_checkpoint_goes_on_as_if_nothing_had_happened(
    saved: int, settings: dict[str, Any]
) -> None:
    whole = run(EarlyStopping(horizon=50, best=0.93, **settings), HOPELESS)
    before = EarlyStopping(horizon=50, best=0.93, **settings)
    run(before, HOPELESS[:saved])
    state = json.loads(json.dumps(before.state_dict()))
    after = EarlyStopping(horizon=50, best=0.93, **settings)
    after.update(1, 0.99)
    after.load_state_dict(state)
    rest = run(after, HOPELESS[saved:], first=saved + 1)
    assert saved + len(rest) == len(whole)
    assert rest[-1].prob_better == pytest.approx(whole[-1].prob_better, rel=1e-3)


def test_learning_rates_are_heard_and_kept() -> None:
    rates = [0.1 * (1 - epoch / 50) for epoch in range(1, 9)]
    told, deaf = EarlyStopping(horizon=50, best=0.93), EarlyStopping(horizon=50, best=0.93)
    after = EarlyStopping(horizon=50, best=0.93)
    for epoch, (value, rate) in enumerate(zip(HOPELESS, rates, strict=False), start=1):
        if epoch == 8:
            after.load_state_dict(json.loads(json.dumps(told.state_dict())))
        verdict, without = told.update(epoch, value, rate), deaf.update(epoch, value)
    assert verdict.median != pytest.approx(without.median, rel=1e-4)
    assert after.update(8, HOPELESS[7], rates[7]).median == pytest.approx(verdict.median, rel=1e-3)


def test_going_back_to_a_checkpoint_replaces_what_came_after_it() -> None:
    stopping = EarlyStopping(horizon=50, best=0.93)
    run(stopping, [0.1, 0.2, 0.3, 0.9, 0.9])
    stopping.update(3, 0.4)
    assert stopping.state_dict() == {
        "goal": "maximize",
        "steps": [1.0, 2.0, 3.0],
        "values": [0.1, 0.2, 0.4],
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"horizon": 0}, "horizon is 0"),
        ({"horizon": 10, "goal": "up"}, "goal is 'up'"),
        ({"horizon": 10, "best": math.nan}, "best is nan"),
        ({"horizon": 10, "target": "high"}, "target is 'high'"),
        ({"horizon": 10, "threshold": 1}, "threshold is 1"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        EarlyStopping(**arguments)


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(TypeError, match="'treshold'"):
        EarlyStopping(horizon=10, treshold=0.1)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "no 'goal'"),
        ({"goal": "minimize", "steps": [], "values": []}, "'minimize', but that here is maximize"),
        ({"goal": "maximize", "steps": [1.0], "values": []}, "1 steps, but 0 values"),
        ({"goal": "maximize", "steps": ["one"], "values": [0.1]}, "step is 'one'"),
    ],
)
def test_bad_states_are_named(state: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        EarlyStopping(horizon=10).load_state_dict(state)


def test_a_loss_that_is_to_be_maximized_is_doubted_once_where_it_would_be_stopped():
    stopping = EarlyStopping(horizon=50, best=2.2)
    losses = [1 + 2 * 0.8**epoch for epoch in range(30)]
    with pytest.warns(GoalWarning, match="say goal='minimize'") as told:
        verdicts = [stopping.update(step, loss) for step, loss in enumerate(losses, 1)]
    assert sum(verdict.action == "stop" for verdict in verdicts) > 1 == len(told)


def test_a_state_of_another_kind_is_refused():
    with pytest.raises(InputError, match="the state is None, but must be what state_dict"):
        EarlyStopping(horizon=50).load_state_dict(None)  # type: ignore[arg-type]
