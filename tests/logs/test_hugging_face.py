"""Logs of Hugging Face's trainers: how long a run will be, and where it ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcpfn.logs.run import RunLog, read_run

LOSSES = [1.93, 1.42, 1.19, 1.06, 0.97, 0.92]


def state(folder: Path, per_epoch: float, at_last: bool = False, **settings: object) -> Path:
    """A state with a record every ten steps.

    Args:
        folder: where it goes.
        per_epoch: steps that make an epoch.
        at_last: whether training has ended.
        settings: what else the state says.
    """
    records: list[dict[str, object]] = [
        {"epoch": 10 * at / per_epoch, "loss": loss, "step": 10 * at}
        for at, loss in enumerate(LOSSES, start=1)
    ]
    last = {key: records[-1][key] for key in ("epoch", "step")}
    if at_last:
        records.append({**last, "train_loss": 1.2, "train_runtime": 73.1})
    path = folder / "trainer_state.json"
    document = {"epoch": last["epoch"], "global_step": 60, "log_history": records, **settings}
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("epochs", [1, 2**63 - 1])
@pytest.mark.parametrize("steps", [60, 100])
def test_a_limit_of_steps_wins_over_the_epochs_that_were_rounded_up(
    tmp_path: Path, epochs: int, steps: int
) -> None:
    log = read_run(state(tmp_path, 12_500, max_steps=steps, num_train_epochs=epochs), "loss")
    assert (log.steps_column, log.stated_horizon) == ("step", steps)


@given(per_epoch=st.floats(3, 1000), epochs=st.integers(1, 50))
def test_epochs_that_were_planned_count(
    tmp_path_factory: pytest.TempPathFactory, per_epoch: float, epochs: int
) -> None:
    steps = max(60, round(per_epoch * epochs))
    folder = tmp_path_factory.getbasetemp()
    path = state(folder, per_epoch, max_steps=steps, num_train_epochs=steps / per_epoch)
    log = read_run(path, "loss")
    assert (log.steps_column, log.stated_horizon) == ("epoch", pytest.approx(steps / per_epoch))


def test_where_training_ended(tmp_path: Path) -> None:
    early = state(tmp_path, 20, True, max_steps=200, num_train_epochs=10)
    log = read_run(early, "loss")
    assert log.stated_horizon == 10
    assert "the log says that training ended at epoch 3, not at 10" in log.notes
    path = tmp_path / "stdout.log"
    path.write_text(
        "".join(f"{{'loss': {loss}, 'epoch': {at / 2}}}\n" for at, loss in enumerate(LOSSES, 1))
        + "{'train_runtime': 73.1, 'train_loss': 1.2, 'epoch': 3.0}\n"
    )
    assert read_run(path, "loss").stated_horizon == 3
    asked = read_run(path, "loss", horizon=150)
    assert any("training ended at epoch 3, not at 150" in note for note in asked.notes)
    # What is logged after it is another training.
    with path.open("a") as file:
        file.write("{'loss': 0.9, 'epoch': 3.5}\n")
    assert read_run(path, "loss").stated_horizon is None


def card(folder: Path) -> RunLog:
    rows = [f"| {loss} | {at * 0.105:.4f} | {100 * at} |" for at, loss in enumerate(LOSSES, 1)]
    path = folder / "README.md"
    path.write_text(
        "\n".join(["| Validation Loss | Epoch | Step |", "|:---:|:---:|:---:|", *rows, ""])
    )
    return read_run(path, "val_loss", None, 640)


def test_a_horizon_beyond_all_epochs_that_were_begun_is_one_of_steps(tmp_path: Path) -> None:
    log = card(tmp_path)
    assert (log.steps_column, log.logged_steps[-1]) == ("Step", 600)
