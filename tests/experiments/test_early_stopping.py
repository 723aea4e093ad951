import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from experiments import early_stopping, rule_choice
from experiments.early_stopping import main, over_sets
from experiments.replay import Outcome
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
    ours, others, markdown, figure = (
        tmp_path / name for name in ("ours.json", "others.json", "table.md", "figure.png")
    )
    main(
        [folder],
        own=False,
        orders=1,
        workers=[1, 4],
        each=True,
        save=ours,
        save_others=others,
        markdown=markdown,
        figure=figure,
    )
    text = capsys.readouterr().out
    for method in (
        "none",
        "oracle",
        "Optuna Hyperband",
        "LCPFNPruner",
        "Search, threshold 0.02",
        "LCPFNScheduler, freeze",
    ):
        assert method in text
    assert "recorded, 4 at a time: 2 sets x 1 orders" in text
    assert "recorded: 0 trials of LCPFNPruner end at another record" in text
    assert "recorded, 1 at a time: below the search's curve over thresholds: " in text
    assert "| oracle " in markdown.read_text()
    assert figure.stat().st_size > 10_000
    keys = {f"recorded/{name}/0/{width}" for name in ("one", "two") for width in (1, 4)}
    for path, method in ((ours, "LCPFNPruner"), (others, "Optuna Median")):
        kept = json.loads(path.read_text())["sets"]
        assert set(kept) == keys and all(method in searches for searches in kept.values())


def test_finished_searches_are_not_replayed_again(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments: dict[str, Any] = {
        "own": False,
        "orders": 1,
        "own_forecasts": 0,
        "without": ["LCPFNScheduler", "Ray MedianStopping"],
        "save": tmp_path / "ours.json",
        "save_others": tmp_path / "others.json",
    }
    main([folder], workers=[4], **arguments)
    before = capsys.readouterr().out
    replayed = early_stopping._replayed
    monkeypatch.setattr(early_stopping, "_replayed", None)
    main([folder], workers=[4], **arguments)
    assert capsys.readouterr().out == before
    assert "ASHA" in before and "MedianStopping" not in before
    widths = []
    monkeypatch.setattr(
        early_stopping,
        "_replayed",
        lambda search, width, methods: widths.append(width) or replayed(search, width, methods),
    )
    main([folder], workers=[2, 4], **arguments)
    assert widths == [2] * 4
    with pytest.raises(typer.BadParameter, match="scores of other settings"):
        main([folder], workers=[4], seed=3, **arguments)


def test_a_folder_without_curves_is_refused(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match=r"no \.npz file with a known metric"):
        main([tmp_path], own=False)


def test_standard_errors_are_over_data_sets() -> None:
    sets = [
        {"method": [Outcome(0.1, regret, True, 1.0, 1.0), Outcome(0.3, regret, False, 1.0, 1.0)]}
        for regret in (0.0, 0.2)
    ]
    assert over_sets(sets, "method", "epochs") == (pytest.approx(0.2), pytest.approx(0.0))
    assert over_sets(sets, "method", "regret") == (pytest.approx(0.1), pytest.approx(0.1))
    assert over_sets(sets, "method", "kept")[0] == 0.5


def one_set(**points: tuple[float, float]) -> list[early_stopping.Scores]:
    cautious, bold = early_stopping.THRESHOLDS[0], early_stopping.THRESHOLDS[1:]
    curve = {cautious: (0.2, 0.0)} | {threshold: (0.1, 0.04) for threshold in bold}
    named = {early_stopping.row_name(threshold): place for threshold, place in curve.items()}
    return [{name: [Outcome(*place, True, 1.0, 1.0)] for name, place in (named | points).items()}]


@pytest.mark.parametrize(
    ("point", "told"),
    [
        ((0.15, 0.03), "no other method"),
        ((0.15, 0.01), "Median"),
        ((0.9, 0.0), "no other method"),
        ((0.09, 0.5), "no other method; left of its end: Median"),
    ],
)
def test_the_others_are_compared_with_the_searchs_curve(
    point: tuple[float, float], told: str
) -> None:
    found = early_stopping.against_curve(one_set(Median=point, oracle=(0.01, 0.0)))
    assert found == f"below the search's curve over thresholds: {told}"


def test_settings_are_chosen_without_the_folder_they_are_judged_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule_choice.main([folder], workers=[1, 4], vary=["threshold=0.001,0.3", "peers=0"])
    text = capsys.readouterr().out
    assert "default" in text and "threshold 0.001" in text and "peers 0" in text
    better = {"cautious": (0.5, 0.0, 1.0), "bold": (0.1, 0.001, 1.0)}
    worse = {"cautious": (0.5, 0.0, 1.0), "bold": (0.1, 0.2, 0.0)}
    assert rule_choice.choose([better], 0.01) == "bold"
    assert rule_choice.choose([better, worse], 0.01) == "cautious"
    assert rule_choice.choose([worse], -1.0) is None


def test_settings_are_moved_one_at_a_time_or_all() -> None:
    varied = rule_choice.read_varied(["threshold=0.05,0.1", "patience=1,3"])
    assert varied == {"threshold": [0.05, 0.1], "patience": [1, 3]}
    alone = rule_choice.variants(varied, every=False)
    assert list(alone)[:2] == ["default", "threshold 0.05"] and len(alone) == 5
    assert rule_choice.variants(varied, every=True)["threshold 0.1, patience 3"] == {
        "threshold": 0.1,
        "patience": 3,
    }
    with pytest.raises(typer.BadParameter, match=r"'caution' is not like caution=0\.05,0\.15"):
        rule_choice.read_varied(["caution"])
    for name in rule_choice.variants(rule_choice.read_varied(rule_choice.VARIED), every=False):
        assert name
