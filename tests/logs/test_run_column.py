"""Tables of several runs, told apart by a column."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lcpfn.logs.follow import Follower
from lcpfn.logs.run import read_run, read_runs

SEEDS = {0: [0.3, 0.5, 0.6], 1: [0.2, 0.4, 0.55], 7: [0.1, 0.2, 0.3]}


def rows(by_turns: bool = False) -> list[tuple[int, int, float]]:
    """Seed, epoch and value."""
    found = [
        (seed, epoch, value)
        for seed, values in SEEDS.items()
        for epoch, value in enumerate(values, start=1)
    ]
    return sorted(found, key=lambda row: row[1]) if by_turns else found


def table(column: str, by_turns: bool = False) -> str:
    lines = [f"{seed},{epoch},{value}" for seed, epoch, value in rows(by_turns)]
    return "\n".join([f"{column},epoch,val_acc", *lines, ""])


@pytest.mark.parametrize("by_turns", [False, True])
@pytest.mark.parametrize("column", ["seed", "Trial ID", "fold", "run"])
def test_each_is_a_run(tmp_path: Path, column: str, by_turns: bool) -> None:
    path = tmp_path / "sweep.csv"
    path.write_text(table(column, by_turns))
    runs = read_runs(path, "val_acc")
    assert [run.run for run in runs] == [f"{column} {seed}" for seed in SEEDS]
    assert [run.values.tolist() for run in runs] == list(SEEDS.values())
    first = read_run(path, "val_acc")
    assert first.values.tolist() == SEEDS[0]
    assert any("the log holds 3 runs" in note for note in first.notes)
    assert read_run(path, f"{column} 7 - val_acc").values.tolist() == SEEDS[7]


def test_lines_and_objects(tmp_path: Path) -> None:
    lines = [f"Fold {fold} Epoch {epoch}/3 val_acc {value}" for fold, epoch, value in rows()]
    objects = [json.dumps({"run": f"lr{run}", "epoch": at, "acc": acc}) for run, at, acc in rows()]
    for name, text in (("log.txt", lines), ("log.jsonl", objects)):
        (tmp_path / name).write_text("\n".join([*text, ""]))
        found = read_runs(tmp_path / name)
        assert [run.values.tolist() for run in found] == list(SEEDS.values())


@pytest.mark.parametrize(
    "text",
    [
        # One run, the number of which is logged; one that was resumed by another job.
        "run,epoch,loss\n3,1,0.9\n3,2,0.8\n",
        "job_id,epoch,loss\n17,1,0.9\n17,2,0.8\n17,3,0.7\n18,3,0.71\n18,4,0.6\n",
        "seed,loss\n1,0.9\n2,0.8\n",
    ],
)
def test_a_run_of_its_own(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    (run,) = read_runs(path, "loss")
    assert run.run is None


def test_a_growing_one(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    follower = Follower(path)
    text = table("seed")
    for end in (30, 60, 80, len(text)):
        path.write_text(text[:end])
        follower.update()
    assert [run.values.tolist() for run in follower.runs("val_acc")] == list(SEEDS.values())


@pytest.mark.parametrize("by_turns", [False, True])
def test_any_column_of_texts_with_which_steps_begin_anew(tmp_path: Path, by_turns: bool) -> None:
    found = sorted(rows(), key=lambda row: row[1]) if by_turns else rows()
    lines = [f"data,{'ab'[seed]} net,{at},{value}" for seed, at, value in found if seed < 2]
    path = tmp_path / "models.csv"
    path.write_text("\n".join(["dataset,model,epoch,val_acc", *lines, ""]))
    runs = read_runs(path, "val_acc")
    assert [run.run for run in runs] == ["a net", "b net"]
    assert read_run(path, "b net - val_acc").values.tolist() == runs[1].values.tolist()


def test_texts_that_tell_runs_apart_together(tmp_path: Path) -> None:
    lines = [
        f"{data},{model},{epoch},{epoch / 10}"
        for data in ("x", "y")
        for model in ("cnn", "rnn")
        for epoch in (1, 2, 3)
    ]
    path = tmp_path / "grid.csv"
    path.write_text("\n".join(["dataset,model,epoch,val_acc", *lines, ""]))
    assert [run.run for run in read_runs(path, "val_acc")] == ["x cnn", "x rnn", "y cnn", "y rnn"]


@pytest.mark.parametrize(
    "text",
    [
        # Remarks on records; parts of one run; other metrics in other rows.
        "epoch,note,loss\n1,new best,0.9\n2,new best,0.8\n3,plateau,0.8\n4,plateau,0.8\n",
        "epoch,stage,loss\n1,warmup,0.9\n2,warmup,0.8\n3,main,0.7\n4,main,0.6\n",
        "epoch,kind,loss,f1\n1,a,0.9,\n1,b,,0.1\n2,a,0.8,\n2,b,,0.2\n",
    ],
)
def test_texts_that_name_no_run(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    (run,) = read_runs(path, "loss")
    assert run.run is None


def test_networks_that_learn_beside_one_another(tmp_path: Path) -> None:
    lines = [
        f"[INFO] {name}. Step: {1000 * at}. Time Elapsed: {at}.5 s. Mean Reward: {at}.{shift}. "
        "Std of Reward: 0.250. Training."
        for at in range(1, 6)
        for shift, name in enumerate(("Striker", "Goalie"))
    ]
    path = tmp_path / "console.txt"
    path.write_text("\n".join([*lines, ""]))
    runs = read_runs(path, "mean reward")
    assert [run.run for run in runs] == ["Striker", "Goalie"]
    assert runs[1].values.tolist() == [1.1, 2.1, 3.1, 4.1, 5.1]
    assert runs[1].model_steps.tolist() == [1000, 2000, 3000, 4000, 5000]
    path.write_text("\n".join([*lines[::2], ""]))
    assert read_run(path, "reward").values.tolist() == [1, 2, 3, 4, 5]


def test_how_another_run_is_read_is_said_with_its_metric(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text("Step,a net - loss,b net - loss\n1,0.9,0.8\n2,0.7,0.6\n")
    (note,) = read_run(path).notes
    assert note.endswith("another one is read with --metric 'b net - loss'")
