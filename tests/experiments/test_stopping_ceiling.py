from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer

import lcpfn
from experiments import stopping_ceiling
from experiments.replay import RecordedRuns
from experiments.replay_search import forecast_all, through_search
from experiments.stopping_ceiling import LEVELS, TaughtSearch, know, learn, replay, rule_policy
from tests.recorded_curves import accuracies, losses


@pytest.fixture(scope="module")
def model() -> lcpfn.LCPFN:
    return lcpfn.load()


def known(runs: RecordedRuns, model: lcpfn.LCPFN) -> stopping_ceiling.KnownRuns:
    settings = np.stack([np.arange(len(runs.curves)), np.sqrt(np.arange(len(runs.curves)))], 1)
    return know(replace(runs, configurations=settings), model, orders=2, seed=0)


@pytest.mark.parametrize("runs", [losses(), accuracies()], ids=["losses", "accuracies"])
@pytest.mark.parametrize("threshold", [0.02, 0.2])
def test_the_rule_replayed_on_features_is_the_rule(
    model: lcpfn.LCPFN, runs: RecordedRuns, threshold: float
) -> None:
    rule = lcpfn.StoppingRule(threshold)
    made = known(runs, model)
    forecasts = forecast_all(runs, model)
    for order in made.orders:
        told, _ = replay(made, order, rule_policy(rule), LEVELS["forecast and standing"])
        search = replace(runs, curves=runs.curves[order])
        known_ends = [forecasts[index] for index in order]
        real = through_search(known_ends, threshold=threshold)(search, 1)
        # Chances are read off quantiles here: one may fall on the other side of a limit.
        assert np.abs(told.spent - real.spent).max() <= 1
        assert told.finished.tolist() == real.finished.tolist()


def test_features_of_each_level(model: lcpfn.LCPFN) -> None:
    made = known(losses(), model)
    never = rule_policy(lcpfn.StoppingRule(0))
    for told in LEVELS.values():
        replayed, lessons = replay(made, made.orders[0], never, told)
        assert {features.shape for features, _ in lessons} == {(made.values.shape[1] - 1, told)}
        assert replayed.finished[0]
    features = np.concatenate([features for features, _ in lessons])
    assert np.isfinite(features[:, :3]).all()
    assert np.isfinite(features[:, -2:]).any()
    finals = made.finals[made.orders[0]]
    finals = finals[np.isfinite(finals)]
    assert any(won for _, won in lessons) == bool((finals[1:] < finals[0]).any())


def test_a_finished_run_beats_the_share_that_it_beats(model: lcpfn.LCPFN) -> None:
    made = known(losses(), model)
    best = int(np.argmin(made.finals))
    records = made.values.shape[1]
    assert made.expected_share(best, records) == 1 - 1 / len(made.finals)
    assert 0 <= made.expected_share(best, 3) <= 1
    chances = made.beats(best, float(np.inf))
    assert chances == pytest.approx(1.0, abs=1e-3)


def test_the_search_remembers_its_incumbent(model: lcpfn.LCPFN) -> None:
    made = known(accuracies(), model)
    search = TaughtSearch(made, LEVELS["and the search"])
    assert search.incumbent is None
    best, second, *_, diverged = np.argsort(made.finals).tolist()
    search.end(diverged, made.values.shape[1], finished=True)
    assert search.incumbent is None
    search.end(second, made.values.shape[1], finished=True)
    search.end(best, 3, finished=False)
    assert search.incumbent == second


def test_trees_learn_what_features_say() -> None:
    generator = np.random.default_rng(0)
    lessons: list[tuple[np.ndarray, bool]] = []
    for _ in range(400):
        won = bool(generator.random() < 0.5)
        lessons.append((generator.normal(3 if won else -3, 1, (20, 4)), won))
    trees = learn(lessons, seed=0)
    likely, rare = trees.predict_proba(np.array([[3.0] * 4, [-3.0] * 4]))[:, 1]
    assert likely > 0.9 and rare < 0.1


def folder_of(path: Path, names: Sequence[str]) -> Path:
    for name in names:
        runs = losses()
        np.savez(path / f"{name}.npz", val_loss=runs.curves, config=np.eye(len(runs.curves)))
    return path


def test_a_table_of_what_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping_ceiling, "LIMITS", (0.01,))
    names = {stopping_ceiling.fold(name): name for name in "abcdefgh"}
    markdown = tmp_path / "table.md"
    stopping_ceiling.main(
        [folder_of(tmp_path, list(names.values()))], orders=1, per_set=10, markdown=markdown
    )
    text = capsys.readouterr().out
    assert "rule, threshold 0.05" in text
    for level in LEVELS:
        assert f"trees, {level}, limit 0.01" in markdown.read_text()


def test_too_few_data_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="too few data sets"):
        stopping_ceiling.main([folder_of(tmp_path, ["one"])])
