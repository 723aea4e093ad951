"""The evaluation on recorded curves: what is scored, how, and that it goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import lcpfn
from experiments.benchmarks import RecordedCurves
from experiments.real_curves import main
from experiments.support import baselines, scores
from experiments.support.real_curves_figure import choose_curves
from experiments.support.score_tables import ratio_table, worse_table
from experiments.support.scores import PROBABILITIES, Scores
from experiments.support.tasks import Task, make_task


def _recorded(values: list[np.ndarray], steps: list[np.ndarray]) -> RecordedCurves:
    return RecordedCurves(
        "bench",
        "set",
        "loss",
        "minimize",
        (0.0, None),
        tuple(steps),
        tuple(values),
        ({},) * len(values),
    )


def _task(curves: np.ndarray, **changes: object) -> Task:
    options = {"goal": "minimize", "bounds": (0.0, None), "spread": 0.1, "left_out": 0}
    steps = np.arange(1.0, curves.shape[1] + 1)
    return Task("bench/set", "loss", curves, steps, **{**options, **changes})  # type: ignore[arg-type]


def _falling(count: int, records: int = 30) -> np.ndarray:
    """Exact power laws 0.2 + a t^(-1/2), (count, records)."""
    heights = np.linspace(0.5, 2.0, count)[:, None]
    return 0.2 + heights * np.arange(1.0, records + 1) ** -0.5


def test_tasks_leave_out_what_cannot_be_scored():
    steps = np.arange(0.0, 50, 10)
    good = [np.array([1.0, 0.8, 0.6, 0.5, final]) for final in (0.1, 0.2, 0.4, 0.8)]
    broken = [np.array([1.0, np.nan, 1, 1, 1]), np.array([1.0, 2, 1e7, 1, 1])]
    stopped = np.array([1.0, 0.9])
    task = make_task(_recorded([*good, *broken, stopped], [steps] * 6 + [steps[:2]]), 3, seed=0)
    assert task is not None
    assert (task.curves.shape, task.left_out) == ((3, 5), 3)
    assert task.spread == pytest.approx(0.15)  # of all four final values, not of those chosen
    np.testing.assert_array_equal(task.steps, [10, 20, 30, 40, 50])
    assert task.horizon == 50
    again = make_task(_recorded(good, [steps] * 4), 3, seed=0)
    np.testing.assert_array_equal(task.curves, again.curves)


def test_no_task_where_final_values_agree_or_nothing_is_usable():
    steps = np.arange(1.0, 6)
    flat = [np.array([1.0, 0.9, 0.8, 0.7, 0.5])] * 3
    assert make_task(_recorded(flat, [steps] * 3), 3, 0) is None
    assert make_task(_recorded([np.full(5, np.nan)], [steps]), 3, 0) is None


def test_crps_of_a_point_is_its_distance_and_of_a_normal_the_known_integral():
    truth = np.array([0.3, -2.0])
    point = np.full((2, 49), 1.0)
    np.testing.assert_allclose(scores.pinball_score(point, truth), np.abs(1.0 - truth))
    normal = baselines._standard_normal_quantiles()[None]
    # CRPS of N(0, 1) at 0 is sqrt(2) - 1 over sqrt(pi); 49 quantiles come within 2 %.
    exact = (np.sqrt(2) - 1) / np.sqrt(np.pi)
    assert scores.pinball_score(normal, np.zeros(1))[0] == pytest.approx(exact, rel=0.02)


def test_coverage_uses_the_exact_levels():
    quantiles = np.tile(PROBABILITIES, (4, 1))
    truth = np.array([0.251, 0.249, 0.749, 0.751])
    assert scores._inside(quantiles, truth, 0.5).tolist() == [True, False, True, False]
    truth = np.array([0.059, 0.061, 0.941, 0.939])
    assert scores._inside(quantiles, truth, 0.88).tolist() == [False, True, False, True]


def test_simple_baselines():
    task = _task(np.array([[1.0, 0.5, 0.7, 0.6], [2.0, 1.0, 3.0, 2.0]]))
    observed = task.curves[:, :3]
    assert set(baselines.last_value(task, observed)[1]) == {3.0}
    assert set(baselines.best_value(task, observed)[0]) == {0.5}
    rising = _task(100 - task.curves, goal="maximize", bounds=(0.0, 100.0))
    assert set(baselines.best_value(rising, rising.curves[:, :3])[1]) == {99.0}


def test_power_law_continues_a_power_law():
    task = _task(_falling(5))
    quantiles = baselines.power_law(task, task.curves[:, :6])
    np.testing.assert_allclose(quantiles[:, 24], task.truth, rtol=1e-2)
    assert (np.diff(quantiles, axis=1) >= 0).all()


def test_squashing_is_undone_and_falls_from_one():
    soft = np.array([[2.0], [1e-3]])
    loss = np.array([[0.0, 0.5, 2.0, 9.0], [0.0, 1e-4, 1e-3, 5e-3]])
    value = baselines.squash_loss(loss, soft)
    np.testing.assert_allclose(value[:, 0], 1.0)
    assert (np.diff(value, axis=1) < 0).all()
    assert (value > 0).all()
    np.testing.assert_allclose(baselines.unsquash_loss(value, soft), loss, atol=1e-12)


@pytest.mark.parametrize(
    ("goal", "bounds"), [("minimize", (0.0, None)), ("minimize", (0.0, 5.0)), ("maximize", (0, 5))]
)
def test_models_and_samplers_forecast_in_the_metrics_own_unit(goal, bounds):
    curves = _falling(3) if goal == "minimize" else 4 - _falling(3)
    task = _task(curves, goal=goal, bounds=bounds)
    model = lcpfn.load("reference")
    for forecaster in (
        baselines.squashed(baselines.batched(model)),
        baselines.as_it_is(baselines.batched(lcpfn.load())),
    ):
        quantiles = forecaster(task, task.curves[:, :20])
        assert (np.diff(quantiles, axis=1) >= 0).all()
        assert (np.abs(quantiles[:, 24] - task.truth) < 0.2).all()


def test_mcmc_forecasts_and_repeats_itself():
    pytest.importorskip("emcee")
    import torch

    from lcpfn import mcmc

    bank = mcmc.PriorBank.draw(2000, torch.Generator().manual_seed(0))
    sampler = mcmc.EnsembleSampler(walkers=20, steps=120, burn_in=60, thin=10)
    engine = mcmc.SamplingModel(sampler, bank)
    task = _task(_falling(1))
    forecaster = baselines.squashed(baselines.sampled(engine, seed=3))
    quantiles = forecaster(task, task.curves[:, :20])
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (np.abs(quantiles[:, 24] - task.truth) < 0.3).all()
    np.testing.assert_array_equal(quantiles, forecaster(task, task.curves[:, :20]))


def _scores(crps: list[float]) -> Scores:
    grid = np.tile(crps, (4, 1))
    return Scores(grid, grid, np.ones((4, 3, len(crps))))


def test_ratio_and_its_error():
    value, error = scores.ratio(np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    assert value == 1.0
    assert error == pytest.approx(1 / np.sqrt(2) / 2)
    assert scores.ratio(np.ones(2), np.zeros(2))[0] == np.inf


def test_pooling_keeps_curves_paired():
    results = {
        "a/x": {"last value": _scores([1.0, 2.0]), "model": _scores([0.5, 1.0])},
        "a/y": {"last value": _scores([3.0]), "model": _scores([6.0])},
        "b/z": {"last value": _scores([4.0]), "model": _scores([1.0])},
    }
    pooled = scores.pool(results)
    assert list(pooled) == ["a", "b", "all"]
    assert pooled["a"]["model"].crps[0].tolist() == [0.5, 1.0, 6.0]
    assert pooled["all"]["last value"].crps.shape == (4, 4)
    assert scores.first_curves(results, 1)["a/x"]["model"].crps[0].tolist() == [0.5]
    assert ratio_table("t", pooled, ["last value", "model"]).row_count == 6
    worse = worse_table(results, ["model"])
    assert worse.row_count == 4  # a/y, at every cutoff
    assert set(worse.columns[0].cells) == {"a/y"}


def test_figure_takes_best_median_and_worst():
    results = {"a/x": _scores([0.3, 0.1, 0.2]), "a/y": _scores([9.0, 0.4]), "b/z": _scores([0.0])}
    chosen = choose_curves(results, "a")
    assert chosen == {"best": ("a/x", 1), "median": ("a/x", 0), "worst": ("a/y", 0)}


def test_a_run_goes_on_where_it_stopped(tmp_path: Path):
    import typer

    folder = tmp_path / "bench"
    folder.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.01, (6, 30))
    np.savez(folder / "one.npz", val_loss=_falling(6) + noise)
    np.savez(folder / "flat.npz", val_loss=np.ones((6, 30)))
    app = typer.Typer()
    app.command()(main)
    save, table, picture = (tmp_path / name for name in ("s.json", "t.md", "f.png"))
    command = [str(tmp_path), "--per-set", "4", "--each", "--save", str(save)]
    command += ["--markdown", str(table), "--figure", str(picture)]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    assert "bench/flat is left out" in first.output
    assert "| bench (4) | last value" in table.read_text()
    assert picture.stat().st_size > 10_000
    kept = json.loads(save.read_text())
    assert set(kept["sets"]["bench/one"]) == {
        "last value",
        "best value",
        "power law",
        "reference, squashed",
        "default",
    }
    # What is kept is not computed again: a changed score shows up in the next table.
    before = table.read_text()
    kept["sets"]["bench/one"]["default"]["crps"] = [[7.0] * 4] * 4
    save.write_text(json.dumps(kept))
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0, again.output
    assert table.read_text() != before
    assert json.loads(save.read_text()) == kept
    other = CliRunner().invoke(app, [*command, "--seed", "1"])
    assert other.exit_code == 2
    assert "scores of other settings" in other.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--benchmark", "lcbench"], "curl -L -o data_2k_lw.zip"),
        (["nowhere", "--benchmark", "mine"], "benchmark is 'mine'"),
        ([".", "--metric", "loss"], "metric is 'loss'"),
    ],
)
def test_bad_arguments_are_named(arguments: list[str], message: str, monkeypatch):
    import typer

    monkeypatch.setenv("COLUMNS", "1000")
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
