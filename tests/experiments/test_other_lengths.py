"""Runs of tables, read anew at other lengths."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from experiments.other_lengths import main


def test_tables_of_own_runs(tmp_path: Path) -> None:
    path = tmp_path / "lengths.md"
    main(tmp_path, ["default"], length=[51, 20], per_set=1, markdown=path)
    lines = path.read_text().splitlines()
    titles = [line.strip("*") for line in lines if line.startswith("**")]
    assert titles == [
        f"own {metric}, {records} records (8 data sets)"
        for metric in ("val_accuracy", "val_loss")
        for records in (51, 20)
    ]
    rows = [line for line in lines if line.startswith("| default")]
    assert len(rows) == 4 and all(row.count("±") == 4 for row in rows)


def test_a_length_that_no_run_has() -> None:
    with pytest.raises(typer.BadParameter, match="--length is 1, but a run has at least 2"):
        main(Path(), ["default"], length=[1])
