"""Which columns are offered where a person has not named the metric."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcpfn.errors import InputError
from lcpfn.logs.likely import likely, most_likely
from lcpfn.logs.run import read_run
from lcpfn.logs.table import Record, Table

LOSSES = [1.93, 1.42, 1.19, 1.06, 0.97, 0.92]


def offered(folder: Path, records: list[dict[str, object]]) -> tuple[str, list[str]]:
    """The example that the message gives, and all columns that it offers."""
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(InputError) as caught:
        read_run(path)
    message = str(caught.value)
    example = shlex.split(message.split("--metric ")[1].split("; of the")[0])[0]
    return example, message.rpartition("could be the metric (")[2].rstrip(")").split(", ")


def test_settings_clocks_and_summaries_are_not_offered(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {
            "step": at,
            "loss": loss,
            "eval_loss": loss + 1,
            "grad_norm": 2 + at % 2,
            "share": at / 10,
            "batch_size": 32,
            "clock": 7.5 * at,
            "samples_seen": 320 * at,
            "val_dice": float("nan"),
        }
        for at, loss in enumerate(LOSSES, start=1)
    ]
    example, columns = offered(tmp_path, [*records, {"train_loss": 1.2}])
    assert example == "eval_loss"
    assert columns == ["loss", "eval_loss", "grad_norm", "share"]


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["train/value_loss", "rollout/ep_rew_mean", "rollout/ep_len_mean"], "rollout/ep_rew_mean"),
        (["loss", "train", "val"], "val"),
        (["best_val_loss", "val_loss", "val_dice"], "val_loss"),
        (["throughput", "x"], "throughput"),
    ],
)
def test_the_example(names: list[str], first: str) -> None:
    assert most_likely(names) == first


@given(st.lists(st.lists(st.floats() | st.none() | st.text(), max_size=3), min_size=1))
def test_there_is_always_one(rows: list[list[float | str | None]]) -> None:
    names = ["a", "b", "c"]
    records = [Record(1, dict(zip(names, row, strict=False))) for row in rows]
    found = likely(Table("log", names, records), names)
    assert found and set(found) <= set(names)
    assert most_likely(found) in found


def test_a_text_that_is_no_log_is_doubted(tmp_path: Path) -> None:
    path = tmp_path / "summary.txt"
    path.write_text("Total params: 12\nTrainable params: 11\nLine: 3\nInput size: 0.5\n")
    with pytest.raises(InputError, match="none has two numbers, so it may be no log of a run"):
        read_run(path)
