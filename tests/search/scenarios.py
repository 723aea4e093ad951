"""Searches that every door must decide alike, and how each is asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import TrialState, create_trial
from ray.tune.experiment import Trial
from typer.testing import CliRunner

import lcpfn
from lcpfn.cli import app
from lcpfn.integrations.optuna import LCPFNPruner
from lcpfn.integrations.ray import LCPFNScheduler, LCPFNStopper

Records = Mapping[int, float]
Fate = Literal["live", "finished", "stopped"]
Decision = Literal["continue", "stop"]


@dataclass(frozen=True)
class Scenario:
    """A search, and what becomes of the run that is asked about.

    Args:
        name: in a few words.
        asked: what the run has reported, in the order in which it did.
        others: what the other runs have reported, and what became of them.
        expected: the decision.
        goal, horizon, settings: of the search.
        lengths: the hyperparameter "epochs" of the others and, last, of the run asked about.
        command: whether `should-stop` can be told of it.
    """

    name: str
    asked: list[tuple[int, float]]
    others: list[tuple[Records, Fate]]
    expected: Decision
    goal: str = "maximize"
    horizon: int | str = 50
    settings: dict[str, Any] = field(default_factory=dict)
    lengths: list[int] | None = None
    command: bool = True

    def config(self, index: int) -> dict[str, int]:
        """The hyperparameters of one of the others, or with -1 of the run asked about."""
        return {} if self.lengths is None else {"epochs": self.lengths[index]}

    def value(self, records: Records) -> float:
        """What the objective returns for a run."""
        if self.settings.get("of") != "best":
            return records[max(records)]
        return (max if self.goal == "maximize" else min)(records.values())


def rising(level: float, steps: int, first: int = 1, every: int = 1, horizon: int = 50) -> Records:
    """A run that rises to a level; its noise as of small validation sets."""
    epochs = range(every, steps + 1, every)
    return {
        epoch - 1 + first: level * (1 - 0.001 ** (epoch / horizon)) + 0.003 * math.sin(13 * epoch)
        for epoch in epochs
    }


def losing(start: float, end: float, steps: int, horizon: int = 50) -> Records:
    """A loss that falls by decades, a straight line on a logarithmic axis."""
    return {
        step: start * (end / start) ** (step / horizon) * (1 + 0.01 * math.sin(13 * step))
        for step in range(1, steps + 1)
    }


def overfitting(peak: float, at: int, steps: int) -> Records:
    """An accuracy that rises to a peak and then declines."""
    return {
        step: peak * (1 - 0.5 ** (step * 6 / at)) - max(0, step - at) * 0.01
        for step in range(1, steps + 1)
    }


def in_order(records: Records) -> list[tuple[int, float]]:
    """Records as they come."""
    return list(records.items())


_DONE: list[tuple[Records, Fate]] = [(rising(0.9, 50), "finished")]
_FIVE: list[tuple[Records, Fate]] = [
    *_DONE,
    *((rising(level, 12), "stopped") for level in (0.5, 0.45, 0.55, 0.6)),
]
_NAN, _INF = math.nan, math.inf

SCENARIOS = [
    Scenario("one that trails", in_order(rising(0.4, 10)), _FIVE, "stop"),
    Scenario("one that leads", in_order(rising(0.95, 10)), _FIVE, "continue"),
    Scenario("too few records", in_order(rising(0.3, 1)), _FIVE, "continue"),
    Scenario("NaN first", [(1, _NAN)], _FIVE, "continue"),
    Scenario("NaN, then infinity first", [(1, _NAN), (2, _INF)], _FIVE, "continue"),
    Scenario(
        "NaN before the first usable record",
        [(1, _NAN), (2, _NAN), *in_order(rising(0.95, 10))[2:]],
        _FIVE,
        "continue",
    ),
    Scenario("NaN in the middle", [*in_order(rising(0.95, 9)), (10, _NAN)], _FIVE, "stop"),
    Scenario(
        "NaN that is missing",
        [*in_order(rising(0.95, 9)), (10, _NAN)],
        _FIVE,
        "continue",
        settings={"nan": "missing"},
    ),
    Scenario("minus infinity last", [*in_order(rising(0.95, 9)), (10, -_INF)], _FIVE, "stop"),
    Scenario("an explosion", [*in_order(rising(0.95, 9)), (10, -1e9)], _FIVE, "stop"),
    Scenario(
        "steps by fives",
        in_order(rising(0.4, 30, every=5)),
        [(rising(level, 50, every=5), "finished") for level in (0.9, 0.8, 0.7, 0.85)],
        "stop",
    ),
    Scenario(
        "steps by fives from zero",
        in_order(rising(0.95, 30, first=0, every=5)),
        [(rising(level, 50, first=0, every=5), "finished") for level in (0.9, 0.8, 0.7, 0.85)],
        "continue",
    ),
    Scenario(
        "counting from zero, at its last step",
        in_order(rising(0.3, 50, first=0)),
        [(rising(0.9, 50, first=0), "finished")],
        "continue",
    ),
    Scenario(
        "percent among fractions",
        in_order({s: 100 * v for s, v in rising(0.6, 10).items()}),
        _FIVE,
        "continue",
    ),
    Scenario(
        "a tie",
        in_order(rising(0.9, 12)),
        [(rising(0.9, 50), "finished") for _ in range(5)],
        "continue",
    ),
    Scenario(
        "killed and resumed",
        [*in_order(rising(0.4, 6)), *in_order(rising(0.4, 12))[4:]],
        _FIVE,
        "stop",
        command=False,
    ),
    Scenario(
        "a long run among short ones",
        in_order(rising(0.9, 20, horizon=200)),
        [(rising(0.85, 10, horizon=10), "finished") for _ in range(5)],
        "continue",
        horizon="epochs",
        lengths=[10] * 5 + [200],
        command=False,
    ),
    Scenario(
        "a short run among long ones",
        in_order(rising(0.4, 8, horizon=10)),
        [(rising(level, 200, horizon=200), "finished") for level in (0.9, 0.8, 0.85, 0.88, 0.7)],
        "stop",
        horizon="epochs",
        lengths=[200] * 5 + [10],
        command=False,
    ),
    Scenario(
        "a loss that falls by decades, alone with one that has finished",
        in_order(losing(0.6, 0.004, 8)),
        [(losing(0.5, 0.005, 50), "finished")],
        "continue",
        goal="minimize",
    ),
    Scenario(
        "a lead that declines",
        in_order(overfitting(0.92, 12, 25)),
        [(overfitting(0.85, 15, 50), "finished"), *((rising(0.6, 9), "stopped"),) * 4],
        "continue",
        settings={"of": "best"},
    ),
    Scenario(
        "a lead that declines, where the last record counts",
        in_order(overfitting(0.92, 12, 30)),
        [(rising(0.88, 50), "finished"), *((rising(0.95, 50), "finished"),) * 4],
        "stop",
    ),
    Scenario(
        "side by side, none has finished",
        in_order(rising(0.3, 12)),
        [(rising(level, 12), "live") for level in (0.9, 0.85, 0.8, 0.7)],
        "stop",
        command=False,
    ),
    Scenario(
        "side by side, the best of them",
        in_order(rising(0.95, 12)),
        [(rising(level, 12), "live") for level in (0.9, 0.85, 0.8, 0.7)],
        "continue",
        command=False,
    ),
    Scenario(
        "side by side, those ahead diverged",
        in_order(rising(0.3, 12)),
        [({**rising(level, 11), 12: _NAN}, "live") for level in (0.9, 0.85, 0.8, 0.7)],
        "continue",
        command=False,
    ),
]


def by_search(scenario: Scenario, folder: Path) -> str:
    """Asks the search itself."""
    search = lcpfn.Search(scenario.goal, scenario.horizon, **scenario.settings)
    for index, (records, fate) in enumerate(scenario.others):
        search.describe(index, scenario.config(index))
        for step, value in records.items():
            search.observe(index, step, value)
        if fate != "live":
            search.end(index, fate)
    search.describe("asked", scenario.config(-1))
    for step, value in scenario.asked:
        search.observe("asked", step, value)
    return search.judge("asked").action


def by_pruner(scenario: Scenario, folder: Path) -> str:
    """Asks the pruner, in a study."""
    pruner = LCPFNPruner(scenario.horizon, **scenario.settings)
    study = optuna.create_study(direction=scenario.goal, pruner=pruner)
    states = {
        "live": TrialState.RUNNING,
        "finished": TrialState.COMPLETE,
        "stopped": TrialState.PRUNED,
    }

    def distributions(config: dict[str, int]) -> dict[str, Any]:
        return {name: optuna.distributions.IntDistribution(1, 1000) for name in config}

    for index, (records, fate) in enumerate(scenario.others):
        config = scenario.config(index)
        study.add_trial(
            create_trial(
                state=states[fate],
                value=scenario.value(records) if fate == "finished" else None,
                intermediate_values=dict(records),
                params=config,
                distributions=distributions(config),
            )
        )
    study.enqueue_trial(scenario.config(-1))
    trial = study.ask(distributions(scenario.config(-1)))
    # What a retried trial reports again, Optuna passes over.
    latest = dict(scenario.asked)
    for step, value in latest.items():
        trial.report(value, step)
    return "stop" if trial.should_prune() else "continue"


class _Controller:
    """What a scheduler asks of Tune's controller."""

    def get_trials(self) -> list[Trial]:
        return []


def by_scheduler(scenario: Scenario, folder: Path) -> str:
    """Asks the scheduler as Tune does."""
    mode = scenario.goal[:3]
    scheduler = LCPFNScheduler(scenario.horizon, "step", "metric", mode, **scenario.settings)
    controller: Any = _Controller()

    def result(step: int, value: float) -> dict[str, Any]:
        return {"step": step, "metric": value}

    for index, (records, fate) in enumerate(scenario.others):
        trial = Trial("recorded", trial_id=str(index), config=scenario.config(index), stub=True)
        scheduler.on_trial_add(controller, trial)
        for step, value in records.items():
            # Not asked about, so that none is stopped before its time.
            scheduler._door.hear(scheduler._search, str(index), result(step, value), "metric")
        if fate == "finished":
            scheduler.on_trial_complete(controller, trial, result(*list(records.items())[-1]))
        elif fate == "stopped":
            scheduler.on_trial_remove(controller, trial)
    asked = Trial("recorded", trial_id="asked", config=scenario.config(-1), stub=True)
    scheduler.on_trial_add(controller, asked)
    *before, last = scenario.asked
    for step, value in before:
        scheduler._door.hear(scheduler._search, "asked", result(step, value), "metric")
    scheduler.on_trial_result(controller, asked, result(*last))
    action = scheduler.take_decision("asked")["lcpfn/action"]
    return "continue" if action == "finish" else str(action)


def by_stopper(scenario: Scenario, folder: Path) -> str:
    """Asks the stopper as Tune does."""
    mode = scenario.goal[:3]
    stopper = LCPFNStopper("metric", mode, scenario.horizon, "step", **scenario.settings)

    def tell(trial_id: str, config: dict[str, int], records: list[tuple[int, float]]) -> None:
        stopper._door.begin(stopper._search, trial_id, config)
        for step, value in records:
            # Not asked about, so that none is stopped before its time.
            told = {"step": step, "metric": value}
            stopper._door.hear(stopper._search, trial_id, told, "metric")

    for index, (records, fate) in enumerate(scenario.others):
        tell(str(index), scenario.config(index), list(records.items()))
        step, value = list(records.items())[-1]
        if fate == "finished":
            assert stopper(str(index), {"step": step, "metric": value, "done": True})
        elif fate == "stopped":
            stopper._search.end(str(index), "stopped")
    *before, last = scenario.asked
    tell("asked", scenario.config(-1), before)
    result: dict[str, Any] = {"step": last[0], "metric": last[1]}
    stopper("asked", result)
    action = result["lcpfn/action"]
    return "continue" if action == "finish" else str(action)


def by_command(scenario: Scenario, folder: Path) -> str:
    """Asks `lcpfn should-stop`."""

    def log(name: str, records: list[tuple[int, float]]) -> str:
        path = folder / name
        rows = [f"{step},{value!r}" for step, value in records]
        path.write_text("\n".join(["epoch,metric", *rows]) + "\n")
        return str(path)

    finals = [scenario.value(records) for records, fate in scenario.others if fate == "finished"]
    best = (max if scenario.goal == "maximize" else min)(finals)
    command = ["should-stop", log("asked.csv", scenario.asked), "--goal", scenario.goal]
    command += ["--horizon", str(scenario.horizon), "--best", repr(best), "--metric", "metric"]
    command += ["--nan", scenario.settings.get("nan", "stop")]
    command += ["--of", scenario.settings.get("of", "last")]
    for index, (records, _) in enumerate(scenario.others):
        command += ["--peer", log(f"peer{index}.csv", list(records.items()))]
    result = CliRunner().invoke(app, command)
    assert result.exit_code in (0, 10), result.output
    return "stop" if result.exit_code == 10 else "continue"


DOORS: dict[str, Callable[[Scenario, Path], str]] = {
    "search": by_search,
    "pruner": by_pruner,
    "scheduler": by_scheduler,
    "stopper": by_stopper,
    "should-stop": by_command,
}
