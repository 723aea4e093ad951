"""The package for OptunaHub, loaded as OptunaHub loads it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import optuna
import optunahub
import pytest
import yaml

from lcpfn.integrations.optuna import LCPFNPruner

REGISTRY = Path(__file__).resolve().parents[2] / "integrations" / "optunahub"
PACKAGE = REGISTRY / "pruners" / "lcpfn"


def load(package: str):
    return optunahub.load_local_module(package, registry_root=str(REGISTRY))


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def test_it_is_the_pruner_and_prunes():
    pruner = load("pruners/lcpfn").LCPFNPruner(max_steps=50)
    assert isinstance(pruner, LCPFNPruner)

    def objective(trial: optuna.Trial) -> float:
        level = trial.suggest_float("level", 0, 1)
        for epoch in range(50):
            trial.report(level * (1 - 0.9 ** (epoch + 1)), epoch)
            if trial.should_prune():
                raise optuna.TrialPruned()
        return level

    study = optuna.create_study(direction="maximize", pruner=pruner)
    for level in (0.9, 0.3, 0.95):
        study.enqueue_trial({"level": level})
    study.optimize(objective, n_trials=3)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "COMPLETE"]


def test_the_example_runs(monkeypatch, capsys):
    # What is not submitted yet cannot be downloaded.
    monkeypatch.setattr(optunahub, "load_module", load)
    runpy.run_path(str(PACKAGE / "example.py"), run_name="__main__")
    printed = capsys.readouterr().out
    epochs, most = re.search(r"(\d+) of (\d+) epochs", printed).groups()
    assert int(epochs) < int(most) / 2
    assert re.search(r"^trial \d+, step \d+: ", printed, re.MULTILINE)


def test_the_registry_finds_all_that_it_asks_for():
    _, front, body = (PACKAGE / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    entries = yaml.safe_load(front)
    assert entries.keys() == {
        "author",
        "title",
        "description",
        "tags",
        "optuna_versions",
        "license",
    }
    assert "pruner" in entries["tags"]
    assert entries["license"] == "MIT License"
    assert (PACKAGE / "LICENSE").read_text().startswith("MIT License")
    headings = re.findall(r"^## (.*)$", body, re.MULTILINE)
    assert headings == [
        "Abstract",
        "Class or Function Names",
        "Installation",
        "Example",
        "Others",
    ]
    assert (PACKAGE / "requirements.txt").read_text() == "lcpfn-stopping[optuna]\n"
    assert set(load("pruners/lcpfn").__all__) == {"LCPFNPruner"}
