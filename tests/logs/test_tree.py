"""Which runs have their logs below a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lcpfn.errors import InputError
from lcpfn.logs.tree import Place, find_runs

SAMPLES = Path(__file__).parent / "samples"
TABLE = "epoch,val_loss\n1,0.9\n2,0.8\n3,0.7\n"
STATE = {"max_steps": 30, "log_history": [{"step": 10 * i, "eval_loss": 1 / i} for i in (1, 2, 3)]}


def write(path: Path, text: str = TABLE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(folder: Path) -> list[str]:
    return [place.name for place in find_runs(folder)]


def values(place: Place, metric: str) -> list[float]:
    """What the most telling log of a run holds of a metric."""
    log = place.follow[0]()
    assert log.update()
    (run,) = log.runs(metric)
    return run.values.tolist()


def test_a_file_with_a_name_of_its_own_is_a_run(tmp_path: Path) -> None:
    for name in ("lr_0.1.csv", "lr_0.01.csv", "deep/adam.jsonl", "deep/sgd.log"):
        write(tmp_path / name)
    assert names(tmp_path) == ["deep/adam.jsonl", "deep/sgd.log", "lr_0.01.csv", "lr_0.1.csv"]


def test_what_tells_of_the_same_run_is_one(tmp_path: Path) -> None:
    for run in ("a", "b"):
        for name in ("train.log", "metrics.csv", "config.json", "stdout", "0.monitor.csv"):
            write(tmp_path / run / name)
    write(tmp_path / "a" / "other.csv")
    first, other, second = find_runs(tmp_path)
    assert (first.name, other.name, second.name) == ("a", "a/other.csv", "b")
    assert first.path == tmp_path / "a"
    assert [path.name for path in first.sources] == [
        "metrics.csv",
        "train.log",
        "0.monitor.csv",
        "stdout",
    ]


def test_a_folder_that_is_itself_a_run(tmp_path: Path) -> None:
    write(tmp_path / "adam" / "metrics.csv")
    (place,) = find_runs(tmp_path / "adam")
    assert (place.name, place.path) == ("adam", tmp_path / "adam")


def test_a_file_is_the_run_that_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "metrics.csv")
    (place,) = find_runs(path)
    assert (place.name, place.path) == (str(path), path)


def test_what_is_no_log_is_passed_over(tmp_path: Path) -> None:
    for name in (
        ".hidden.csv",
        ".git/log.csv",
        "node_modules/a.json",
        "tokenizer.json",
        "wandb/run-1/files/wandb-summary.json",
        "wandb/run-1/logs/debug-internal.log",
        "model.pt",
        "run.log.1",
        "run.json.tmp",
        "picture.png",
    ):
        write(tmp_path / name)
    assert names(tmp_path) == []


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere does not exist"):
        find_runs(tmp_path / "nowhere")


def test_hugging_face(tmp_path: Path) -> None:
    state = json.dumps(STATE)
    write(tmp_path / "a" / "checkpoint-20" / "trainer_state.json", state)
    write(tmp_path / "a" / "checkpoint-30" / "trainer_state.json", state)
    write(tmp_path / "b" / "trainer_state.json", state)
    places = find_runs(tmp_path)
    assert [place.name for place in places] == ["a", "b"]
    for place in places:
        assert values(place, "eval_loss") == [1, 1 / 2, 1 / 3]


def test_a_newer_checkpoint_that_is_half_written_takes_nothing_away(tmp_path: Path) -> None:
    write(tmp_path / "a" / "checkpoint-30" / "trainer_state.json", json.dumps(STATE))
    (place,) = find_runs(tmp_path)
    log = place.follow[0]()
    assert log.update()
    newer = json.dumps(
        {**STATE, "log_history": [*STATE["log_history"], {"step": 40, "eval_loss": 0.2}]}  # type: ignore[misc]
    )
    path = write(tmp_path / "a" / "checkpoint-40" / "trainer_state.json", newer[:90])
    log.update()
    assert len(log.runs("eval_loss")[0].values) == 3
    path.write_text(newer)
    log.update()
    assert len(log.runs("eval_loss")[0].values) == 4
    # Trainers delete what they need no longer.
    shutil.rmtree(tmp_path / "a" / "checkpoint-30")
    log.update()
    assert len(log.runs("eval_loss")[0].values) == 4


def test_mlflow(tmp_path: Path) -> None:
    run = tmp_path / "mlruns" / "0" / "4f1c"
    write(run / "meta.yaml", "name: x\n")
    write(run / "artifacts" / "table.csv")
    write(
        run / "metrics" / "val_loss",
        "".join(f"{1700000000000 + i} 0.{9 - i} {i}\n" for i in (1, 2)),
    )
    write(run / "metrics" / "train" / "loss", "1700000000001 0.5 1\n1700000000002 0.4 2\n")
    (place,) = find_runs(tmp_path)
    assert place.path == run
    assert values(place, "val_loss") == [0.8, 0.7]
    log = place.follow[0]()
    log.update()
    with (run / "metrics" / "val_loss").open("a") as file:
        file.write("1700000000009 0.6 3\n")
    assert log.update() and not log.update()
    assert log.runs("val_loss")[0].values.tolist() == [0.8, 0.7, 0.6]
    assert log.runs("train/loss")[0].values.tolist() == [0.5, 0.4]


def test_event_files_of_train_and_validation_are_one_run(tmp_path: Path) -> None:
    sample = SAMPLES / "events.out.tfevents.1718000000"
    for name in ("a/train", "a/validation", "b"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        shutil.copy(sample, folder)
    first, second = find_runs(tmp_path)
    assert (first.name, second.name) == ("a", "b")
    log = first.follow[0]()
    assert log.update()
    columns = log.tables[0].columns
    assert any(column.startswith("train/") for column in columns)
    assert any(column.startswith("validation/") for column in columns)
    # A resumed run writes another file.
    records = sum(len(table.rows) for table in log.tables)
    shutil.copy(sample, tmp_path / "a" / "train" / "events.out.tfevents.1718000001")
    assert log.update()
    assert sum(len(table.rows) for table in log.tables) > records


def test_a_run_that_was_forgotten_is_read_again_as_a_whole(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write(run / "meta.yaml", "name: x\n")
    for metric in ("val_loss", "val_acc"):
        write(run / "metrics" / metric, "1700000000001 0.5 1\n1700000000002 0.4 2\n")
    log = find_runs(tmp_path)[0].follow[0]()
    log.update()
    log.forget()
    assert not log.update() and not log.tables
    with (run / "metrics" / "val_loss").open("a") as file:
        file.write("1700000000009 0.6 3\n")
    assert log.update()
    assert len(log.runs("val_acc")[0].values) == 2
