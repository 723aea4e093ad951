"""JSON documents that hold a list of records for each part of the data; tables of runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lcpfn.errors import InputError
from lcpfn.logs.run import read_run

LOSSES = [1.93, 1.42, 1.19, 1.06]


@pytest.mark.parametrize("steps", [False, True])
@pytest.mark.parametrize("home", ["", "history"])
def test_a_list_of_records_for_each_part(tmp_path: Path, steps: bool, home: str) -> None:
    parts = {
        part: [
            {**({"epoch": 2 * at} if steps else {}), "loss": loss + shift, "mae": loss}
            for at, loss in enumerate(LOSSES, start=1)
        ]
        for part, shift in (("train", 0), ("val", 1))
    }
    parts["val"].pop()
    path = tmp_path / "history.json"
    path.write_text(json.dumps({home: parts} if home else parts))
    log = read_run(path, "val_loss")
    assert (log.metric, log.values.tolist()) == ("val/loss", [loss + 1 for loss in LOSSES[:3]])
    assert log.model_steps.tolist() == ([2, 4, 6] if steps else [1, 2, 3])
    assert read_run(path, "train/mae").values.tolist() == LOSSES


def test_a_table_of_runs_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = [f'"net {at}","finished","2026-02-0{at}","29","0.9{at}"' for at in range(1, 4)]
    path.write_text("\n".join(['"Name","State","Created","Runtime","acc"', *rows, ""]))
    with pytest.raises(InputError, match="is a table of 3 runs, one a row"):
        read_run(path, "acc")
