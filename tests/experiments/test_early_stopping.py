import json
from pathlib import Path

import numpy as np
import pytest
import typer

from experiments import early_stopping, rule_choice
from experiments.early_stopping import default_rule, main, mean_and_error
from experiments.replay import Outcome
from lcpfn import StoppingRule
from tests.recorded_curves import accuracies, losses


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "recorded"
    path.mkdir()
    np.savez(path / "one.npz", val_loss=losses().curves)
    np.savez(path / "two.npz", val_accuracy=accuracies().curves)
    return path


def test_a_table_a_figure_and_a_record(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save, markdown, figure = (tmp_path / name for name in ("scores.json", "table.md", "figure.png"))
    main([folder], own=False, orders=1, each=True, save=save, markdown=markdown, figure=figure)
    text = capsys.readouterr().out
    for method in ("none", "oracle", "Optuna Hyperband", "LCPFNPruner", "rule, threshold 0.02"):
        assert method in text
    assert "recorded: 2 sets x 1 orders" in text
    assert "recorded: 0 trials of LCPFNPruner end at another record" in text
    assert "recorded: below the rule's curve over thresholds: " in text
    assert "| oracle " in markdown.read_text()
    assert figure.stat().st_size > 10_000
    assert set(json.loads(save.read_text())["sets"]) == {"recorded/one", "recorded/two"}


def test_finished_sets_are_not_replayed_again(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save = tmp_path / "scores.json"
    without = ["LCPFNScheduler", "Ray MedianStopping"]
    main([folder], own=False, orders=1, without=without, save=save)
    before = capsys.readouterr().out
    monkeypatch.setattr(early_stopping, "score", None)
    main([folder], own=False, orders=1, without=without, save=save)
    assert capsys.readouterr().out == before
    assert "ASHA" in before and "MedianStopping" not in before
    with pytest.raises(typer.BadParameter, match="scores of other settings"):
        main([folder], own=False, orders=2, without=without, save=save)


def test_a_folder_without_curves_is_refused(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match=r"no \.npz file with a known metric"):
        main([tmp_path], own=False)


def test_standard_errors_are_over_data_sets() -> None:
    sets = [
        {"method": [Outcome(0.1, regret, True, 1.0), Outcome(0.3, regret, False, 1.0)]}
        for regret in (0.0, 0.2)
    ]
    assert mean_and_error(sets, "method", "epochs") == (pytest.approx(0.2), pytest.approx(0.0))
    assert mean_and_error(sets, "method", "regret") == (pytest.approx(0.1), pytest.approx(0.1))
    assert mean_and_error(sets, "method", "kept")[0] == 0.5


def one_set(**points: tuple[float, float]) -> list[early_stopping.Scores]:
    cautious, bold = early_stopping.THRESHOLDS[0], early_stopping.THRESHOLDS[1:]
    curve = {cautious: (0.2, 0.0)} | {threshold: (0.1, 0.04) for threshold in bold}
    named = {early_stopping.rule_name(threshold): place for threshold, place in curve.items()}
    return [{name: [Outcome(*place, True, 1.0)] for name, place in (named | points).items()}]


@pytest.mark.parametrize(
    ("point", "told"),
    [
        ((0.15, 0.03), "no other method"),
        ((0.15, 0.01), "Median"),
        ((0.9, 0.0), "no other method"),
        ((0.09, 0.5), "no other method; left of its end: Median"),
    ],
)
def test_the_others_are_compared_with_the_rules_curve(
    point: tuple[float, float], told: str
) -> None:
    found = early_stopping.against_curve(one_set(Median=point, oracle=(0.01, 0.0)))
    assert found == f"below the rule's curve over thresholds: {told}"


def test_the_pruner_has_the_rules_own_defaults() -> None:
    assert default_rule() == StoppingRule()


def test_rules_are_chosen_without_the_folder_they_are_judged_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {"cautious": (StoppingRule(0.001, 4), 50), "bold": (StoppingRule(0.3, 2), 0)}
    monkeypatch.setattr(rule_choice, "rules", lambda *_: few)
    rule_choice.main([folder], orders=1)
    text = capsys.readouterr().out
    assert "cautious" in text and "bold" in text
    better = {"cautious": (0.5, 0.0, 1.0), "bold": (0.1, 0.001, 1.0)}
    worse = {"cautious": (0.5, 0.0, 1.0), "bold": (0.1, 0.2, 0.0)}
    assert rule_choice.choose([better], 0.01) == "bold"
    assert rule_choice.choose([better, worse], 0.01) == "cautious"
    assert rule_choice.choose([worse], -1.0) is None


def test_every_combination_of_settings_is_a_rule() -> None:
    rules = rule_choice.rules([0.05, 0.1], [2], [1, 3], [0, 9])
    assert rules["threshold 0.1, min_steps 2, patience 3, peers 9"] == (StoppingRule(0.1, 2, 3), 9)
    assert len(rules) == 8
