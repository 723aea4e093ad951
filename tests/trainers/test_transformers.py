"""The callback in transformers' own trainer."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lcpfn import InputError
from tests.trainers.curves import (
    BEST,
    BOLD,
    DIVERGED,
    EPOCHS,
    GOOD,
    HOPELESS,
    LEAST,
    RISING,
    import_trainer,
    quietly,
)

# Nothing is asked of any hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = import_trainer("transformers")
import_trainer("accelerate")
from lcpfn.integrations.transformers import LCPFNEarlyStopping  # noqa: E402

pytestmark = quietly
STEPS = 2
# Epochs of a trial, to save time.
SHORT = 15


class Network(torch.nn.Module):
    """As little as a trainer takes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        out = self.layer(x)
        return {"loss": (out - labels).square().mean(), "logits": out}


ROWS = [{"x": torch.ones(2), "labels": torch.ones(1)} for _ in range(2 * STEPS)]


def trainer(
    folder: Path, values: Iterator[float], *callbacks: Any, data: Any = None, **arguments: Any
) -> Any:
    """A trainer that evaluates the values of a curve, one after the other, whatever it learns."""
    about = {
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "report_to": "none",
        "num_train_epochs": EPOCHS,
        "per_device_train_batch_size": 2,
        "disable_tqdm": True,
        "use_cpu": True,
        "logging_strategy": "no",
        **arguments,
    }
    return transformers.Trainer(
        model_init=Network,
        args=transformers.TrainingArguments(str(folder), **about),
        train_dataset=ROWS,
        eval_dataset=ROWS[:1] if data is None else data,
        compute_metrics=lambda _: {"accuracy": next(values)},
        callbacks=list(callbacks),
    )


def train(folder: Path, values: list[float], *callbacks: Any, **arguments: Any) -> Any:
    using = trainer(folder, iter(values), *callbacks, **arguments)
    using.train()
    return using


def test_stops_a_hopeless_run_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # transformers keeps what it says from the root logger.
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    stopping = LCPFNEarlyStopping("accuracy", best=BEST)
    using = train(tmp_path, HOPELESS, stopping)
    epochs = using.state.epoch
    assert LEAST <= epochs < 25 and stopping.stopped_at == using.state.global_step == epochs * STEPS
    assert f"stopped after step {epochs * STEPS:g}: {stopping.stop_reason}" in caplog.text
    assert str(stopping.stop_reason).startswith("P(final value beats 0.93)")
    told = [each for each in using.state.log_history if "eval_accuracy" in each]
    assert [each["lcpfn/stop"] for each in told] == [0.0] * (len(told) - 1) + [1.0]
    verdict = stopping.verdict
    assert verdict is not None and verdict.horizon == EPOCHS * STEPS
    assert told[-1]["lcpfn/prob_better"] == verdict.prob_better
    # An evaluation after the training is none of the run's.
    using.compute_metrics = lambda _: {"accuracy": 0.99}
    using.evaluate()
    assert stopping.verdict is verdict


def test_decisions_go_where_the_trainer_reports_to(tmp_path: Path) -> None:
    heard: list[dict[str, float]] = []

    class Reporter(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            heard.append(dict(kwargs["logs"]))

    using = trainer(tmp_path, iter(HOPELESS), Reporter(), num_train_epochs=5)
    using.add_callback(LCPFNEarlyStopping("accuracy", best=0.1, log=using.log))
    using.train()
    told = [each for each in heard if "lcpfn/prob_better" in each]
    assert [each["epoch"] for each in told] == [1, 2, 3, 4, 5]


def test_a_good_run_comes_to_its_end(tmp_path: Path) -> None:
    stopping = LCPFNEarlyStopping(best=BEST, target=0.9)
    # What and which way come from the training arguments; evaluations before the first step and
    # by hand do not count.
    using = train(
        tmp_path,
        [0.0, *GOOD],
        stopping,
        metric_for_best_model="accuracy",
        greater_is_better=True,
        eval_on_start=True,
    )
    assert using.state.epoch == EPOCHS and stopping.stop_reason is None


def test_a_reward_has_no_ceiling(tmp_path: Path) -> None:
    for name, settings, is_open in (
        ("reward", {}, True),
        ("reward", {"bounds": (0, 1)}, False),
        ("accuracy", {}, False),
    ):
        stopping = LCPFNEarlyStopping(name, best=0.1, horizon=EPOCHS * STEPS, **settings)
        values = iter(RISING)
        using = trainer(tmp_path, values, stopping, num_train_epochs=len(RISING))
        using.compute_metrics = lambda _, name=name, values=values: {name: next(values)}
        using.train()
        assert stopping.verdict is not None and (stopping.verdict.high > 1) is is_open


def test_never_stops_on_a_forecast_before_the_least_evidence(tmp_path: Path) -> None:
    for settings, epochs in (({}, LEAST), ({"min_steps": 6}, 6)):
        bold = LCPFNEarlyStopping("eval_accuracy", best=0.99, **BOLD, **settings)
        assert train(tmp_path, HOPELESS, bold).state.epoch == epochs
    assert train(tmp_path, DIVERGED, LCPFNEarlyStopping("accuracy")).state.epoch == 3


@pytest.mark.parametrize("restored", [False, True])
def test_goes_on_from_a_checkpoint_as_if_nothing_had_happened(
    tmp_path: Path, restored: bool
) -> None:
    whole = LCPFNEarlyStopping("accuracy", best=BEST)
    train(tmp_path / "whole", HOPELESS, whole)
    half = LCPFNEarlyStopping("accuracy", best=BEST, horizon=EPOCHS * STEPS)
    train(tmp_path, HOPELESS, half, save_strategy="epoch", num_train_epochs=3)
    kept = json.loads((tmp_path / f"checkpoint-{3 * STEPS}" / "trainer_state.json").read_text())
    assert "lcpfn/low" in kept["log_history"][0]
    resumed = LCPFNEarlyStopping("accuracy", best=BEST)
    using = trainer(
        tmp_path,
        iter(HOPELESS[3:]),
        resumed,
        restore_callback_states_from_checkpoint=restored,
    )
    using.train(resume_from_checkpoint=True)
    assert resumed.stopped_at == using.state.global_step == whole.stopped_at
    assert resumed.verdict is not None and whole.verdict is not None
    assert resumed.verdict.prob_better == pytest.approx(whole.verdict.prob_better, rel=1e-3)


def search(folder: Path, curves: list[list[float]], stopping: Any, **about: Any) -> list[Any]:
    """All trials of a search by Optuna; each reports the next curve."""
    optuna = import_trainer("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    begun: list[Iterator[float]] = []

    def network() -> Network:
        begun.append(iter(curves[len(begun)]))
        return Network()

    using = trainer(folder, iter(()), *stopping, num_train_epochs=SHORT)
    using.model_init = network
    using.compute_metrics = lambda _: {"accuracy": next(begun[-1])}
    study: dict[str, Any] = {"storage": f"sqlite:///{folder}/study.db", "study_name": "search"}
    using.hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 0.1, 0.2)},
        compute_objective=lambda metrics: metrics["eval_accuracy"],
        n_trials=len(curves),
        direction="maximize",
        backend="optuna",
        **study,
        **about,
    )
    trials: list[Any] = optuna.load_study(**study).trials
    return trials


def test_in_a_search_each_trial_must_beat_those_before(tmp_path: Path) -> None:
    stopping = LCPFNEarlyStopping("accuracy")
    trials = search(tmp_path, [HOPELESS, GOOD, HOPELESS], [stopping])
    lengths = [len(trial.intermediate_values) for trial in trials]
    assert lengths[:2] == [SHORT, SHORT] and LEAST <= lengths[2] < SHORT
    assert stopping.verdict is not None and stopping.verdict.to_beat == GOOD[SHORT - 1]


def test_in_a_search_the_pruner_sees_all_trials(tmp_path: Path) -> None:
    from lcpfn.integrations.optuna import LCPFNPruner

    pruner = LCPFNPruner(max_steps=SHORT * STEPS)
    first, second = search(tmp_path, [GOOD, HOPELESS], [], pruner=pruner)
    assert len(first.intermediate_values) == SHORT
    assert second.state.name == "PRUNED"
    assert second.user_attrs["lcpfn"]["to_beat"] == GOOD[SHORT - 1]


def test_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'eval_acc' \(did you mean 'eval_accuracy'\?\)"):
        train(tmp_path, GOOD, LCPFNEarlyStopping("acc"))
    with pytest.raises(InputError, match="add greater_is_better=True or greater_is_better=False"):
        train(tmp_path, GOOD, LCPFNEarlyStopping("thing"))
    with pytest.raises(InputError, match="eval_strategy is 'no'"):
        train(tmp_path, GOOD, LCPFNEarlyStopping(), eval_strategy="no")


def test_one_of_several_data_sets(tmp_path: Path) -> None:
    both = [value for value in HOPELESS for _ in range(2)]
    data = {"first": ROWS[:1], "second": ROWS[:1]}
    stopping = LCPFNEarlyStopping("second_accuracy", best=BEST)
    using = train(tmp_path, both, stopping, data=data)
    assert stopping.stopped_at == using.state.global_step < 25 * STEPS
    with pytest.raises(InputError, match="the trainer reports eval_first_accuracy"):
        train(tmp_path, both, LCPFNEarlyStopping("third_accuracy"), data=data)
