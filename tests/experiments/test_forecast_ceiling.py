from pathlib import Path

import numpy as np
import pytest
import torch
import typer

from experiments import forecast_ceiling
from experiments.forecast_ceiling import RecordedPrior, halves, main
from experiments.support.tasks import Task
from lcpfn.priors import Prior


def task(name: str, curves: np.ndarray, goal: str = "minimize") -> Task:
    steps = np.arange(1.0, curves.shape[1] + 1)
    bounds = (0.0, None) if goal == "minimize" else (0.0, 100.0)
    return Task(name, "metric", curves, steps, goal, bounds, 1.0, 0)  # type: ignore[arg-type]


def test_recorded_curves_are_drawn_as_a_prior_draws_them() -> None:
    loss = np.array([[4.0, 2.0, 1.0], [2.0, 2.0, 2.0]])
    prior = RecordedPrior([task("a/one", loss)])
    assert isinstance(prior, Prior)
    batch = prior.sample(20, torch.Generator().manual_seed(0))
    assert batch.fractions.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    rows = {tuple(row) for row in batch.values.tolist()}
    assert rows == {(0.0, 0.5, 0.75), (0.0, 0.0, 0.0)}
    assert batch.ceiling is not None and batch.floor is not None
    # The best loss is 0: one unit above the first record, whatever that was.
    assert batch.ceiling.tolist() == [1.0] * 20
    assert torch.isneginf(batch.floor).all()
    assert (batch.noise > 0).all()


def test_accuracies_are_bounded_on_both_sides() -> None:
    prior = RecordedPrior([task("a/one", np.array([[50.0, 75.0]]), "maximize")])
    batch = prior.sample(2, torch.Generator().manual_seed(0))
    assert batch.values.tolist() == [[0.0, 0.5]] * 2
    assert batch.limits is not None
    assert batch.limits.tolist() == [[1.0, -1.0]] * 2


def test_every_benchmark_is_drawn_as_often() -> None:
    tasks = [task(f"a/{i}", np.full((5, 2), 1.0 + i)) for i in range(9)]
    lone = task("b/one", np.array([[1.0, 3.0]]))
    prior, generator = RecordedPrior([*tasks, lone]), torch.Generator().manual_seed(0)
    drawn = [float(prior.sample(1, generator).values[0, 1]) for _ in range(400)]
    assert 0.4 < np.mean(np.array(drawn) == -2) < 0.6


def test_benchmarks_are_halved_each() -> None:
    assert halves(["a/1", "a/2", "a/3", "b/1", "b/2"]) == {
        "a/1": 0,
        "a/2": 1,
        "a/3": 0,
        "b/1": 0,
        "b/2": 1,
    }


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    folder = tmp_path / "recorded" / "losses"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name in ("one", "two"):
        rate = generator.uniform(0.05, 0.5, (30, 1))
        np.savez(folder / f"{name}.npz", val_loss=0.2 + np.exp(-rate * np.arange(20)))
    return folder.parent


def test_each_half_is_judged_by_what_the_other_taught(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    main(recorded, out, curves=128, per_set=10)
    before = capsys.readouterr().out
    assert "taught by real curves" in before and "change of CRPS in percent" in before
    assert sorted(path.name for path in out.iterdir()) == ["half-0", "half-1"]
    main(recorded, out, curves=128, per_set=10)
    assert capsys.readouterr().out == before


def test_a_lone_data_set_is_refused(recorded: Path, tmp_path: Path) -> None:
    (recorded / "losses" / "two.npz").unlink()
    with pytest.raises(typer.BadParameter, match="no benchmark of at least 2 data sets"):
        forecast_ceiling.main(recorded, tmp_path / "out")
