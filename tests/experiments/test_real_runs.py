"""Scores of ragged recorded runs, from small files of our own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import lcpfn
from experiments import real_runs, run_decisions
from experiments.support.recorded_runs import read_even, read_ragged
from experiments.support.run_scores import CUTOFFS, paired_gain, pool, score_runs
from lcpfn.priors import RecordedRun


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of a folder called world: losses with rates of two sources, and accuracies."""
    made = tmp_path / "world"
    made.mkdir()
    generator = np.random.default_rng(0)
    steps = np.full((10, 40), np.nan)
    values = np.full((10, 40), np.nan)
    for row in range(10):
        records = 30 + row
        steps[row, :records] = np.arange(records) * 100.0
        decay = np.exp(-np.arange(records) / 8)
        values[row, :records] = 0.3 + decay + generator.normal(0, 0.01, records)
    common = {"low": 0.0, "high": np.inf}
    rates = 1e-3 * (1 - steps / 4000)
    repos = np.array(["a", "b"] * 5)
    np.savez(
        made / "own__loss.npz",
        steps=steps, values=values, goal="minimize", rates=rates, repo=repos, **common,
    )  # fmt: skip
    np.savez(
        made / "own__accuracy.npz",
        steps=steps, values=np.exp(-values), goal="maximize", **common,
    )  # fmt: skip
    return made


def test_runs_come_with_their_sources_rates_and_guessed_bounds(folder: Path) -> None:
    losses = list(read_ragged(folder, "own__loss.npz"))
    assert len(losses) == 10
    assert {run.source for run in losses} == {"a", "b"}
    assert losses[0].steps[0] == 100 and losses[0].steps[-1] == 3000
    assert losses[0].bounds == (0.0, np.inf)
    assert losses[0].rates is not None and losses[0].rates[0] == pytest.approx(1e-3)
    accuracies = list(read_ragged(folder, "own__accuracy.npz"))
    assert accuracies[0].bounds == (0.0, 1.0) and accuracies[0].maximize
    assert accuracies[0].rates is None


def test_diverged_and_constant_runs_are_left_out(tmp_path: Path) -> None:
    made = tmp_path / "wild"
    made.mkdir()
    values = np.tile(np.linspace(2, 1, 20), (3, 1))
    values[0] = 1.0
    values[1, 4] = 1e9
    steps = np.tile(np.arange(1.0, 21), (3, 1))
    np.savez(made / "own__loss.npz", steps=steps, values=values, goal="minimize")
    assert len(list(read_ragged(made))) == 1


def test_benchmarks_know_the_cosine(tmp_path: Path) -> None:
    made = tmp_path / "lcbench"
    made.mkdir()
    np.savez(made / "set.npz", val_loss=np.tile(np.linspace(2, 1, 20), (2, 1)))
    runs = list(read_even(made))
    assert len(runs) == 2 and runs[0].rates is not None
    assert runs[0].rates[0] == 1 and runs[0].rates[-1] == pytest.approx(0)


def test_a_perfect_repetition_scores_as_the_last_value() -> None:
    steps = np.arange(1.0, 41)
    values = np.append(np.linspace(1.0, 0.2, 39), 0.5)
    run = RecordedRun(steps, values, False, (0.0, np.inf), "kind", "source")
    scores = score_runs(lcpfn.load(), [run])
    assert scores.last_value[0.8] == pytest.approx([abs(values[31] - 0.5) / 0.72], rel=0.1)
    assert set(scores.crps) == set(CUTOFFS)
    pooled = pool([scores, scores], 0.8)
    assert pooled.error == pytest.approx(0)
    assert pooled.ratio == pytest.approx(scores.crps[0.8][0] / scores.last_value[0.8][0])
    assert paired_gain([scores], [scores], 0.4).startswith("+0.0%")


def test_the_tables_are_printed_and_written(folder: Path, tmp_path: Path) -> None:
    written = tmp_path / "runs.md"
    app = real_runs.typer.Typer()
    app.command()(real_runs.main)
    result = CliRunner().invoke(app, [str(folder), "--per-source", "3", "--markdown", str(written)])
    assert result.exit_code == 0, result.output
    text = written.read_text()
    assert "| world/own | 3 |" in text and "Forecasts of the best value" in text
    assert "| schedule |" in text and "| rates |" in text


def test_rates_are_told_to_those_that_have_not_heard_the_source(
    folder: Path, tmp_path: Path
) -> None:
    app = real_runs.typer.Typer()
    app.command()(real_runs.main)
    bundled = Path(lcpfn.__file__).parent / "bundled" / "default.safetensors"
    others = ["--unheard", str(bundled)] * 6
    written = tmp_path / "runs.md"
    options = ["--per-source", "2", "--markdown", str(written)]
    assert CliRunner().invoke(app, [str(folder), *options, *others]).exit_code == 0
    tables = written.read_text().split("**What learning rates are worth on the runs of ")[1:]
    own, unheard = (table.splitlines()[2:] for table in tables)
    # All six are the bundled model here, so they say what it says.
    assert "networks that have not heard these" in tables[1] and own[:4] == unheard[:4]
    refused = CliRunner().invoke(app, [str(folder), *options, *others[:10]])
    assert refused.exit_code == 2 and "5 times, but must be 6" in refused.output


def test_lost_winners_and_reliability(folder: Path, tmp_path: Path) -> None:
    written = tmp_path / "decisions.md"
    app = run_decisions.typer.Typer()
    app.command()(run_decisions.main)
    options = ["--per-file", "8", "--threshold", "0.05", "--early-caution", "2"]
    result = CliRunner().invoke(app, [str(folder), *options, "--markdown", str(written)])
    assert result.exit_code == 0, result.output
    text = written.read_text()
    assert "| 0.05 | 2 |" in text and "| 0% to 10% |" in text


def test_a_run_is_asked_about_as_the_rule_would_ask() -> None:
    steps = np.arange(1.0, 41)
    values = 0.5 + np.exp(-steps / 8)
    run = RecordedRun(steps, values, False, (0.0, np.inf), group="own", source="own")
    asked = run_decisions.ask(lcpfn.load(), run)
    assert asked.as_winner.incumbent > run.values[-1] > asked.as_loser.incumbent
    rule = lcpfn.StoppingRule()
    stopped = asked.as_loser.stopped_at(rule)
    assert stopped is not None and 0.1 <= stopped < 1
    first = next(
        share
        for share, post in zip(asked.progress, asked.as_loser.posts, strict=True)
        if rule.decide(post, asked.as_loser.incumbent).stop
    )
    assert stopped == first
    assert asked.as_loser.stopped_at(lcpfn.StoppingRule(threshold=0)) is None
