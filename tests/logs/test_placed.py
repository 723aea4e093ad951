"""Records that have no place in the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lcpfn.logs.run import read_run

LOSSES = [4.87, 2.59, 2.51, 2.21]


def test_what_a_banner_says_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    lines = [f"step {100 * at} | train {x} | val {x} | lr 1e-3" for at, x in enumerate(LOSSES)]
    path.write_text("\n".join(["train 56,457 tokens | val 6,273 tokens | vocab 12", *lines, ""]))
    log = read_run(path, "val")
    assert (log.values.tolist(), log.logged_steps.tolist()) == (LOSSES, [0, 100, 200, 300])
    assert log.notes[0] == "1 record of val stands before the first step, and was left out"
    assert log.rates_column == "lr"


@pytest.mark.parametrize("word", ["final", "mean"])
def test_summaries_are_no_records(tmp_path: Path, word: str) -> None:
    path = tmp_path / "log.csv"
    rows = [*(f"{at},{x}" for at, x in enumerate(LOSSES, 1)), f"{word},9.9", f"{word},8.8"]
    path.write_text("\n".join(["epoch,loss", *rows, ""]))
    log = read_run(path)
    assert (log.values.tolist(), log.steps_column) == (LOSSES, "epoch")
    assert log.notes == (f"2 records of loss have {word} as epoch, and were left out",)


def test_records_without_steps_amid_others_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n1,5\n2,4\n,3\n4,2\n")
    assert read_run(path).steps_column is None
