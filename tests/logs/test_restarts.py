"""Steps that go back."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcpfn.logs.restarts import numbered
from lcpfn.logs.run import RunLog, read_run


def read(folder: Path, text: str, metric: str = "reward") -> RunLog:
    path = folder / "log.csv"
    path.write_text(text)
    return read_run(path, metric)


def rows(header: str, *runs: list[int]) -> str:
    """A table in which the rewards of a run are its number and the step behind a point."""
    lines = [f"{step},{run}.{step}" for run, steps in enumerate(runs, start=1) for step in steps]
    return "\n".join([header, *lines, ""])


def test_a_run_that_goes_another_pace_is_not_mixed_with_the_one_before(tmp_path: Path) -> None:
    old, new = [512, 1024, 1536, 2048], [128, 256, 384, 512, 640]
    for count in range(1, 6):
        log = read(tmp_path, rows("total timesteps,reward", old, new[:count]))
        assert log.logged_steps.tolist() == new[:count]
        assert int(log.values.min()) == int(log.values.max()) == 2
    (note,) = log.notes
    assert "goes back from 2048 to 128 at line 6, read as 2 runs, one after the other" in note


def test_a_run_that_was_resumed_between_two_records(tmp_path: Path) -> None:
    before, after = [100, 200, 300, 400, 500, 600, 700], [351, 451, 551, 651, 751]
    log = read(tmp_path, rows("step,reward", before, after))
    assert log.logged_steps.tolist() == [100, 200, 300, *after]
    assert "resumed" in log.notes[0]


def test_three_runs_in_one_file(tmp_path: Path) -> None:
    log = read(tmp_path, rows("epoch,reward", [1, 2, 3], [1, 2, 3], [1, 2]))
    assert log.values.tolist() == [3.1, 3.2]
    assert log.notes == (
        "epoch goes back from 3 to 1 at line 5, read as 3 runs, one after the other: the last one "
        "counts, from line 8",
    )


def test_another_count_tells_that_a_run_began_anew(tmp_path: Path) -> None:
    lines = ["1031,100,5.1", "1598,200,2.9", "2847,300,6.9", "1545,100,7.9", "2632,200,8.8"]
    log = read(tmp_path, "\n".join(["steps,episodes,reward", *lines, ""]))
    assert log.values.tolist() == [7.9, 8.8]


@given(st.integers(1, 50), st.lists(st.integers(1, 1000), min_size=1, max_size=30, unique=True))
def test_blocks_in_the_wrong_order_are_one_run(start: int, gaps: list[int]) -> None:
    steps = list(itertools.accumulate([start, *gaps]))
    for cut in range(len(steps)):
        found = numbered([*steps[cut:], *steps[:cut]], [1.0] * len(steps))
        early = steps[cut] <= min(gaps[cut:], default=0)
        assert early or sorted(found.values) == steps


@given(st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=40), st.data())
def test_any_steps(steps: list[float], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(), min_size=len(steps), max_size=len(steps)))
    found = numbered(steps, values, [steps])
    assert found.values.keys() <= set(steps)
    assert steps[-1] in found.values


def test_a_number_of_its_own_in_each_record_counts_nothing(tmp_path: Path) -> None:
    sizes = [327, 34317, 45526, 43427, 36454, 40011]
    log = read(tmp_path, rows("timesteps,reward", sizes))
    assert log.steps_column is None
    assert "column 'timesteps' goes up and down, so records are counted from 1" in log.notes[0]


@pytest.mark.parametrize("name", ["t", "column", "n_it"])
def test_a_column_that_counts_from_nought_anywhere(tmp_path: Path, name: str) -> None:
    lines = [f"{2 / (at + 1)},{at}" for at in range(6)]
    log = read(tmp_path, "\n".join([f"exploitability,{name}", *lines, ""]), "exploitability")
    assert log.steps_column == name and log.consecutive


def test_runs_without_a_header_one_after_the_other(tmp_path: Path) -> None:
    lines = [f"{at},{2 / at + run},{50 + at}" for run in (0, 1) for at in range(1, 6)]
    log = read(tmp_path, "\n".join([*lines, ""]), "column 2")
    assert log.values.tolist() == [2 / at + 1 for at in range(1, 6)]
    assert log.steps_column == "column 1"


def test_short_names_of_steps(tmp_path: Path) -> None:
    lines = [f"| train | E: {at} | S: {1000 * at + at % 2} | ER: {at}.5" for at in range(1, 6)]
    path = tmp_path / "console.txt"
    path.write_text("\n".join([*lines, "| eval  | S: 5000 | MER: 3.5", ""]))
    assert read_run(path, "ER").steps_column == "train/E"
    far = read_run(path, "ER", None, 1_000_000)
    assert far.steps_column == "train/S"
    assert read_run(path, "ER", "S").steps_column == "train/S"


def test_the_same_number_once_more_is_no_repeat(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    lines = [f"step {at} | val {9 / at:.3f}\n   saved best.pt (val {9 / at:.3f})" for at in (1, 2)]
    path.write_text("\n".join([*lines, ""]))
    assert read_run(path, "val").notes == ()


def lightning(folder: Path, epochs: list[int]) -> Path:
    """A log of training twice an epoch, and of validation at its end."""
    lines = ["epoch,step,train_loss,val_loss"]
    for epoch in epochs:
        begin = 100 * epoch
        lines += [f"{epoch},{begin + 49},0.5,", f"{epoch},{begin + 99},0.4,"]
        lines.append(f"{epoch},{begin + 99},,0.{epoch}")
    path = folder / "metrics.csv"
    path.write_text("\n".join([*lines, ""]))
    return path


def test_validation_of_an_attempt_that_was_given_up_no_longer_counts(tmp_path: Path) -> None:
    path = lightning(tmp_path, [0, 1, 2, 3, 4, 5])
    assert read_run(path, "val_loss").logged_steps.tolist() == [0, 1, 2, 3, 4, 5]
    with path.open("a") as file:
        file.write("3,349,0.45,\n")
    log = read_run(path, "val_loss")
    assert log.logged_steps.tolist() == [0, 1, 2, 3]
    assert any(
        "the run went back to epoch 3 at line 20: 2 records of val_loss beyond it no longer count"
        in note
        for note in log.notes
    )
    with path.open("a") as file:
        file.write("3,399,0.45,\n3,399,,0.35\n")
    assert read_run(path, "val_loss").values.tolist() == [0.0, 0.1, 0.2, 0.35]


def test_metrics_that_stand_one_after_the_other_are_of_one_run(tmp_path: Path) -> None:
    path = tmp_path / "tidy.csv"
    lines = [f"{at},{name},{at}.5" for name in ("val_loss", "loss") for at in range(5)]
    path.write_text("\n".join(["step,metric,value", *lines, ""]))
    log = read_run(path, "val_loss")
    assert (log.logged_steps.tolist(), log.notes) == ([0, 1, 2, 3, 4], ())


def test_batches_that_share_a_column_with_epochs_give_nothing_up(tmp_path: Path) -> None:
    lines = ["step,loss,val_loss"]
    for epoch in range(1, 5):
        lines += [f"{batch},0.5," for batch in range(1, 9)] + [f"{epoch},,0.{epoch}"]
    path = tmp_path / "log.csv"
    for more in ([], ["1,0.5,", "2,0.5,"]):
        path.write_text("\n".join([*lines, *more, ""]))
        assert len(read_run(path, "val_loss").values) == 4


def test_batches_do_not_tell_that_a_run_began_anew(tmp_path: Path) -> None:
    lines = [f"{epoch},{batch},0.{epoch}" for epoch in (0, 1, 2, 3, 2, 3) for batch in (0, 50)]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["epoch,batch,loss", *lines, ""]))
    assert read_run(path, "loss", "epoch").values.tolist() == [0.0, 0.1, 0.2, 0.3]
    assert len(read_run(path, "loss").values) == 8
