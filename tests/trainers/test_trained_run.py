"""What the callbacks of all trainers share."""

from __future__ import annotations

import importlib
import json
import math
import sys
from typing import Any

import pytest

from lcpfn import InputError, MissingExtraError
from lcpfn.integrations.trained_run import (
    StateFile,
    TrainedRun,
    not_reported,
    read_every,
    read_mode,
)
from tests.trainers.curves import BEST, HOPELESS, RISING


def run(best: float | None = BEST, horizon: float | None = None, **settings: Any) -> TrainedRun:
    return TrainedRun(best=best, target=None, horizon=horizon, model=None, settings=settings)


def follow(trained: TrainedRun, values: list[float]) -> TrainedRun:
    trained.begin("accuracy", "maximize", len(HOPELESS), afresh=True)
    for step, value in enumerate(values, start=1):
        if trained.hear(step, value):
            break
    return trained


def test_tells_when_and_why_it_was_stopped() -> None:
    stopped = follow(run(), HOPELESS)
    assert stopped.stopped and stopped.verdict is not None
    assert stopped.stop_reason == stopped.verdict.reason
    words = stopped.farewell("epoch")
    assert words.startswith(f"LCPFNEarlyStopping: stopped after epoch {stopped.stopped_at:g}: P(")


def test_numbers_are_there_before_anything_is_known() -> None:
    fresh = run()
    assert set(fresh.numbers()) == set(follow(fresh, HOPELESS).numbers())
    assert math.isnan(run().numbers()["lcpfn/median"])
    assert run().numbers()["lcpfn/stop"] == 0 and fresh.numbers()["lcpfn/stop"] == 1


def test_goes_on_from_a_state_and_is_then_not_stopped() -> None:
    stopped = follow(run(), HOPELESS)
    assert stopped.stopped_at is not None
    state = json.loads(json.dumps(stopped.state_dict()))
    resumed = run()
    resumed.load_state_dict(state)
    assert resumed.stop_reason == stopped.stop_reason
    resumed.begin("accuracy", "maximize", 50, afresh=False)
    assert not resumed.stopped
    assert resumed.hear(int(stopped.stopped_at) + 1, HOPELESS[int(stopped.stopped_at)])


def test_a_new_run_knows_nothing_of_the_one_before() -> None:
    trained = follow(run(), HOPELESS)
    trained.begin("accuracy", "maximize", 50, afresh=True)
    assert trained.state_dict()["values"] == [] and trained.verdict is None


@pytest.mark.parametrize(
    ("of", "goal", "values", "kept"),
    [
        ("last", "maximize", [0.1, 0.9, 0.8], 0.8),
        ("best", "maximize", [0.1, 0.9, 0.8], 0.9),
        ("best", "minimize", [0.9, 0.1, math.nan], 0.1),
        ("last", "minimize", [math.nan], 0.5),
        ("last", "maximize", [0.2], 0.5),
    ],
)
def test_the_next_run_must_beat_the_best_that_was_kept(
    of: str, goal: Any, values: list[float], kept: float
) -> None:
    trained = run(best=0.5, of=of)
    trained.begin("metric", goal, 9, afresh=True)
    for step, value in enumerate(values, start=1):
        trained.hear(step, value)
    trained.keep()
    trained.begin("metric", goal, 9, afresh=True)
    assert trained.hear(1, 0.6).to_beat == kept


def test_what_the_user_says_of_the_length_goes_before() -> None:
    trained = run(horizon=20)
    assert trained.states_horizon
    trained.begin("accuracy", "maximize", 50, afresh=True)
    trained.hear(1, 0.1)
    assert trained.hear(2, 0.2).horizon == 20


def test_a_reward_has_no_ceiling_unless_one_is_stated() -> None:
    for name, settings, is_open in (
        ("mean_reward", {}, True),
        ("mean_reward", {"bounds": "auto"}, True),
        ("mean_reward", {"bounds": (0, 1)}, False),
        ("win_rate", {}, False),
    ):
        trained = run(**settings)
        trained.begin(name, "maximize", 50, afresh=True)
        for step, value in enumerate(RISING, start=1):
            verdict = trained.hear(step, value)
        assert (verdict.high > 1) is is_open
        # Restored, it goes on with the same.
        again = run(**settings)
        again.load_state_dict(trained.state_dict())
        again.begin(name, "maximize", 50, afresh=False)
        assert (again.hear(9, 0.9).high > 1) is is_open


def test_says_what_is_wrong() -> None:
    with pytest.raises(InputError, match="add horizon="):
        run().begin("accuracy", "maximize", None, afresh=True)
    with pytest.raises(InputError, match="best is nan"):
        run(best=math.nan)
    with pytest.raises(InputError, match="horizon is 0"):
        run(horizon=0)
    with pytest.raises(TypeError, match="'treshold'"):
        run(treshold=0.1)
    with pytest.raises(InputError, match="no 'stop_reason'"):
        run().load_state_dict({"stopped_at": None})
    with pytest.raises(InputError, match="mode is 'up', but must be 'min' or 'max'"):
        read_mode("up", "val_loss")
    with pytest.raises(InputError, match=r"'thing' does not say .* mode='min' or mode='max'"):
        read_mode(None, "thing")
    with pytest.raises(InputError, match="every is 0"):
        read_every(0, 100)


def test_the_goal_goes_by_the_name() -> None:
    assert read_mode(None, "val_loss") == read_mode("min", "thing") == "minimize"
    assert read_mode(None, "val/accuracy") == "maximize"


def test_a_hundred_records_make_a_run() -> None:
    assert [read_every(None, horizon) for horizon in (10, 100, 1000)] == [1, 1, 10]
    assert read_every(7, 1000) == 7


def test_a_metric_that_is_not_there_is_named_with_those_that_are() -> None:
    near = str(not_reported("monitor", "loss_val", ["val_loss", "train_acc"]))
    assert near == (
        "monitor is 'loss_val' (did you mean 'val_loss'?), but the trainer reports train_acc, "
        "val_loss"
    )
    assert str(not_reported("monitor", "loss", [])).endswith("reports nothing")
    assert "and 88 more" in str(not_reported("monitor", "loss", map(str, range(100))))


def test_a_state_file_holds_a_run(tmp_path: Any) -> None:
    file = StateFile(tmp_path / "new" / "run.json")
    assert not file.read(run())
    file.write(follow(run(), HOPELESS[:3]))
    read = run()
    assert file.read(read)
    assert read.state_dict()["values"] == HOPELESS[:3]
    StateFile(None).write(read)
    assert not StateFile(None).read(read)
    for text in ("{", "[]", "{}"):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(InputError, match=r"state_file is .*bad.* name another file"):
            StateFile(tmp_path / "bad").read(run())


@pytest.mark.parametrize("trainer", ["lightning", "transformers", "keras", "xgboost", "lightgbm"])
def test_a_trainer_that_is_missing_is_named_with_its_extra(
    trainer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (trainer, "pytorch_lightning"):
        for module in [known for known in sys.modules if known.startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"lcpfn.integrations.{trainer}", raising=False)
    with pytest.raises(MissingExtraError, match=rf"lcpfn-stopping\[{trainer}\]"):
        importlib.import_module(f"lcpfn.integrations.{trainer}")
