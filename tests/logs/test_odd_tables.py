"""Tables that are not quite what they should be, and are read all the same, or refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from lcpfn.errors import InputError
from lcpfn.logs.follow import Follower
from lcpfn.logs.run import RunLog, read_run

LOSSES = [1.93, 1.42, 1.19, 1.06, 0.97, 0.92]


def read(folder: Path, lines: list[str], metric: str | None = "val_loss") -> RunLog:
    path = folder / "log.txt"
    path.write_text("\n".join([*lines, ""]))
    return read_run(path, metric)


@pytest.mark.parametrize("nothing", ["NA", "N/A", "-", "No log", "<NA>", ""])
@pytest.mark.parametrize("bar", [",", " | "])
def test_what_stands_for_nothing(tmp_path: Path, nothing: str, bar: str) -> None:
    rows = [["epoch", "train_loss", "val_loss"]]
    rows += [[str(at), nothing if at == 1 else "0.5", str(x)] for at, x in enumerate(LOSSES, 1)]
    if bar != ",":
        rows.insert(1, ["---"] * 3)
        lines = [f"| {bar.join(row)} |" for row in rows]
    else:
        lines = [bar.join(row) for row in rows]
    assert read(tmp_path, lines, "train_loss").logged_steps.tolist() == [2, 3, 4, 5, 6]
    assert read(tmp_path, lines).values.tolist() == LOSSES


@pytest.mark.parametrize("above", [[], ["***** Running training *****", "Num Epochs = 6", ""]])
def test_a_table_pasted_from_a_notebook(tmp_path: Path, above: list[str]) -> None:
    rows = [f"{at} {'No log' if at == 1 else 0.5} {x} 0.9" for at, x in enumerate(LOSSES, 1)]
    header = "Epoch Training Loss Validation Loss Accuracy"
    log = read(tmp_path, [*above, header, *rows])
    assert (log.metric, log.steps_column) == ("Validation Loss", "Epoch")
    assert log.values.tolist() == LOSSES


def test_settings_above_the_table_of_a_card(tmp_path: Path) -> None:
    rows = [f"| {at}.0 | {40 * at} | {x} |" for at, x in enumerate(LOSSES, 1)]
    head = ["- learning_rate: 2e-05", "- num_epochs: 15", "", "| Epoch | Step | Validation Loss |"]
    assert read(tmp_path, [*head, "|:---:|:---:|:---:|", *rows]).stated_horizon == 15


def test_cells_that_hold_dictionaries(tmp_path: Path) -> None:
    rows = [f"""{x},"{{'cash': {at}, 'b': {{'x': 1}}}}",{at}""" for at, x in enumerate(LOSSES, 1)]
    log = read(tmp_path, ["reward,account,epoch", *rows], "reward")
    assert (log.values.tolist(), log.steps_column) == (LOSSES, "epoch")


def appended() -> list[str]:
    old = [f"{at},{x},0.1" for at, x in enumerate(LOSSES, 1)]
    new = [f"{at},{x + 1},0.1,7,8" for at, x in enumerate(LOSSES, 1)]
    return ["round,val_loss,f1", *old, *new]


def test_a_run_that_was_appended_with_more_columns(tmp_path: Path) -> None:
    log = read(tmp_path, appended())
    assert log.values.tolist() == [x + 1 for x in LOSSES]
    assert log.notes[0] == (
        "from line 8 on rows have 5 cells, and their first 3 are read, as those of a run that was "
        "appended with more columns"
    )


def test_it_is_followed_as_well(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    lines = [*appended(), *(f"{at},0.5,0.1,7,8" for at in range(7, 1500))]
    text = "\n".join([*lines, ""])
    follower = Follower(path)
    for end in (60, 9000, len(text) - 300, len(text)):
        path.write_text(text[:end])
        follower.update()
    (run,) = follower.runs("val_loss")
    assert run.values.tolist() == read_run(path, "val_loss").values.tolist()


@pytest.mark.parametrize(
    "rows",
    [
        ["1,685,308,20", "2,377,689,10", "3,249,791,20", "4,2,1,9"],
        ["1,950", "2,980", "3,990", "4,1,020", "5,1,050"],
        ["1,1,5", "2,1,4", "3,1,3"],
    ],
)
def test_numbers_with_commas_between_commas_are_refused(tmp_path: Path, rows: list[str]) -> None:
    with pytest.raises(InputError, match="separate the cells by semicolons"):
        read(tmp_path, ["episode,reward", *rows], "reward")


def test_another_table_between_the_rows(tmp_path: Path) -> None:
    lines = ["epoch,a,b,val_loss", "", "gate,least"]
    for at, x in enumerate(LOSSES, 1):
        lines += [f"{at},1,2,{x}", f"[0.{at} 0.2],[0.1 0.3]"]
    log = read(tmp_path, lines)
    assert log.values.tolist() == LOSSES
    assert "lines are no row of the table and skipped" in log.notes[0]


def test_a_last_row_that_was_cut_off_below_a_header_with_more_names(tmp_path: Path) -> None:
    lines = ["r,l,t-7.5,100,7.5", *(f"{x},100,{at}.5" for at, x in enumerate(LOSSES)), "8"]
    assert read(tmp_path, lines, "r").values.tolist() == LOSSES


def test_rounds_of_many_runs(tmp_path: Path) -> None:
    lines = [f"{at},{x}" for _ in range(5) for at, x in enumerate(LOSSES[:3], 1)]
    log = read(tmp_path, ["round,val_loss", *lines, "4,0.9"])
    assert log.logged_steps.tolist() == [1, 2, 3, 4]
    assert "read as 5 runs" in log.notes[0]


def test_results_of_yolo_without_a_heading(tmp_path: Path) -> None:
    rest = "0.0750 0.0126 0.1735 173 640 0.67 0.60 0.65"
    lines = [
        f"      {at}/29     2.23G    0.0859   {rest}  0.2{at}   0.05   0.06  {x}"
        for at, x in enumerate(LOSSES)
    ]
    log = read(tmp_path, lines, "val/cls_loss")
    assert (log.values.tolist(), log.stated_horizon) == (LOSSES, 30)
    found = read(tmp_path, lines, "metrics/mAP_0.5:0.95")
    assert found.values.tolist() == [0.2, 0.21, 0.22, 0.23, 0.24, 0.25]


def test_a_pointer_of_git_lfs_is_no_log(tmp_path: Path) -> None:
    lines = ["version https://git-lfs.github.com/spec/v1", "oid sha256:3e1a", "size 14575"]
    with pytest.raises(InputError, match="git lfs pull"):
        read(tmp_path, lines)


@pytest.mark.parametrize(
    ("line", "metric", "column"),
    [
        ("Training average loss at step {0}00: {1}", "loss", "step"),
        ("[valid] Ep. {0} : Up. {0}000 : ce-mean-words : {1} : new best", "ce-mean-words", "epoch"),
        ("Epoch {0} of 20\nVal Loss: {1}", "val_loss", "epoch"),
    ],
)
def test_steps_that_stand_between_words(
    tmp_path: Path, line: str, metric: str, column: str
) -> None:
    log = read(tmp_path, [line.format(at, x) for at, x in enumerate(LOSSES, 1)], metric)
    assert (log.values.tolist(), log.steps_column) == (LOSSES, column)


@pytest.mark.parametrize(
    "line",
    [
        "Train on 60000 samples, validate on 10000 samples",
        "Epoch 00001: val_loss improved from 2.5, saving model",
        "Environment solved in 2274 episodes!",
    ],
)
def test_sentences_make_no_metrics(tmp_path: Path, line: str) -> None:
    text = [f"Epoch {at} val_loss: {x}" for at, x in enumerate(LOSSES, 1)]
    assert read(tmp_path, [line, *text, line], None).metric == "val_loss"


def test_names_between_tabs_above_numbers_between_bars(tmp_path: Path) -> None:
    rows = [f"0.001|{at}.0|{x}|" for at, x in enumerate(LOSSES, 1)]
    log = read(tmp_path, ["Learning Rate\tepoch\tValid Loss\t", *rows])
    assert (log.values.tolist(), log.steps_column) == (LOSSES, "epoch")


def test_dashes_between_names_and_numbers(tmp_path: Path) -> None:
    lines = [f"0000000{at}) perceptual - 54.5; warp_loss - {x}" for at, x in enumerate(LOSSES)]
    log = read(tmp_path, lines, "warp_loss")
    assert (log.metric, log.values.tolist()) == ("warp_loss", LOSSES)
    assert log.logged_steps.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_summary_in_capitals_is_no_metric(tmp_path: Path) -> None:
    lines = [f"[{at}]\tvalidation_0-rmse:{x}\tvalidation_1-rmse:{x}" for at, x in enumerate(LOSSES)]
    with pytest.raises(InputError, match="2 columns that could be 'rmse'"):
        read(tmp_path, [*lines, "RMSE: 0.1926"], "rmse")
