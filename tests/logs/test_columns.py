"""Which column is meant, in tables that have several that could be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcpfn.errors import InputError
from lcpfn.logs.run import RunLog, read_run

LOSSES = [1.93, 1.42, 1.19, 1.06, 0.97, 0.92]


def read_records(
    folder: Path, records: list[dict[str, object]], metric: str, horizon: float | None = None
) -> RunLog:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_run(path, metric, None, horizon)


def llama_factory() -> list[dict[str, object]]:
    return [
        {
            "current_steps": 80 * number,
            "total_steps": 1200,
            "eval_loss": loss,
            "epoch": number / 5,
            "percentage": 100 * 80 * number / 1200,
        }
        for number, loss in enumerate(LOSSES, start=1)
    ]


@pytest.mark.parametrize("horizon", [None, 1200])
def test_a_constant_length_of_the_run_counts_no_steps(
    tmp_path: Path, horizon: float | None
) -> None:
    log = read_records(tmp_path, llama_factory(), "eval_loss", horizon)
    assert log.steps_column == "current_steps"
    assert log.model_steps.tolist() == [80, 160, 240, 320, 400, 480]
    assert log.stated_horizon == 1200


def test_lists_are_no_metric(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {"training_iteration": at, "hist_stats": {"episode_reward": [1, 2]}, "reward_mean": at}
        for at in range(1, 5)
    ]
    assert read_records(tmp_path, records, "reward").metric == "reward_mean"


def ultralytics(folder: Path, tasks: str) -> Path:
    path = folder / "results.csv"
    names = [f"metrics/{name}({task})" for task in tasks for name in ("mAP50", "mAP50-95")]
    rows = [
        ",".join([str(at), *(f"0.{at}{place}" for place, _ in enumerate(names))]) for at in (1, 2)
    ]
    path.write_text("\n".join([",".join(["epoch", *names]), *rows, ""]))
    return path


@pytest.mark.parametrize("metric", ["mAP50", "mAP50-95", "map50-95"])
def test_a_metric_of_boxes_needs_no_mention_of_them(tmp_path: Path, metric: str) -> None:
    found = read_run(ultralytics(tmp_path, "B"), metric).metric
    assert found.lower() == f"metrics/{metric.lower()}(b)"


def test_boxes_and_masks_must_be_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name one of them"):
        read_run(ultralytics(tmp_path, "BM"), "mAP50-95")


def test_parts_of_a_plot_of_clearml_are_metrics_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "scalars.csv"
    rows = [
        f"loss,{part},{at},{loss + shift}"
        for part, shift in (("train", 0), ("val", 1))
        for at, loss in enumerate(LOSSES)
    ]
    path.write_text("\n".join(["metric,variant,iteration,value", *rows, ""]))
    log = read_run(path, "val_loss")
    assert log.values.tolist() == [loss + 1 for loss in LOSSES]
    with pytest.raises(InputError, match="loss/train, loss/val"):
        read_run(path, "loss")


def test_thousandths_beside_semicolons_are_no_thousands(tmp_path: Path) -> None:
    path = tmp_path / "verlauf.csv"
    rows = [f"{at};{1 + loss:.3f}".replace(".", ",") for at, loss in enumerate(LOSSES, start=1)]
    path.write_text("\n".join(["epoch;val_loss", *rows, ""]))
    assert read_run(path, "val_loss").values == pytest.approx([1 + loss for loss in LOSSES])


def test_the_best_so_far_is_no_record(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {"step": at, "val/loss": loss, "best_val_loss": 0.1, "best_reward": 9, "test_reward": at}
        for at, loss in enumerate(LOSSES, start=1)
    ]
    assert read_records(tmp_path, records, "val_loss").metric == "val/loss"
    assert read_records(tmp_path, records, "reward").metric == "test_reward"
    assert read_records(tmp_path, records, "best_val_loss").metric == "best_val_loss"
    assert read_records(tmp_path, records, "best loss").metric == "best_val_loss"


def test_epochs_that_are_keys(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    nested = {f"epoch_{at}": {"val": {"loss": loss}} for at, loss in enumerate(LOSSES, start=1)}
    path.write_text(json.dumps(nested))
    log = read_run(path, "val_loss")
    assert (log.values.tolist(), log.steps_column) == (LOSSES, "epoch")


@given(order=st.permutations(list(enumerate(LOSSES, start=1))))
def test_any_order_of_the_records(
    tmp_path_factory: pytest.TempPathFactory, order: list[tuple[int, float]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "newest_first.csv"
    path.write_text("epoch,val_loss\n" + "".join(f"{at},{loss}\n" for at, loss in order))
    log = read_run(path, "val_loss")
    assert log.values.tolist() == LOSSES
    assert log.model_steps.tolist() == [1, 2, 3, 4, 5, 6]


def test_a_column_of_numbers_without_a_header_beside_a_text(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    rows = [f"2026-03-0{at},{at},{loss}" for at, loss in enumerate(LOSSES, start=1)]
    path.write_text("\n".join([*rows, ""]))
    log = read_run(path, "column 3")
    assert log.values.tolist() == LOSSES


def test_percents_with_decimal_commas(tmp_path: Path) -> None:
    path = tmp_path / "verlauf.csv"
    path.write_text("epoch;val_acc\n1;27,25 %\n2;43,5 %\n")
    assert read_run(path, "val_acc").values.tolist() == [27.25, 43.5]


def test_a_time_for_a_batch_counts_no_batches(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [{"loss": loss, "ms/batch": 12 + loss} for loss in LOSSES]
    assert read_records(tmp_path, records, "loss").steps_column is None


def test_a_horizon_of_steps_beside_shares_of_an_epoch_is_doubted(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {"eval_loss": loss, "epoch": number / 5} for number, loss in enumerate(LOSSES, start=1)
    ]
    far = read_records(tmp_path, records, "eval_loss", 1500)
    assert any("1,250 times the last epoch, 1.2" in note for note in far.notes)
    assert not read_records(tmp_path, records, "eval_loss", 3).notes


def test_the_same_name_with_blanks_comes_before_one_with_more_words(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {"epoch": at, "train acc": 1 / loss, "train avg acc": loss}
        for at, loss in enumerate(LOSSES, start=1)
    ]
    assert read_records(tmp_path, records, "train_acc").metric == "train acc"


def test_masks_are_named_as_they_are_logged(tmp_path: Path) -> None:
    found = read_run(ultralytics(tmp_path, "BM"), "mAP50-95(M)").metric
    assert found == "metrics/mAP50-95(M)"


def test_the_twelve_numbers_of_pycocotools(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {"epoch": at, "test_coco_eval_bbox": [at / 10, *[0.5] * 11]} for at in range(5)
    ]
    log = read_records(tmp_path, records, "test_coco_eval_bbox/AP")
    assert (log.values.tolist(), log.stated_goal) == ([0, 0.1, 0.2, 0.3, 0.4], "maximize")


def test_the_rate_that_most_groups_have(tmp_path: Path) -> None:
    rows = [f"{at},{loss},0.07,0.0{at},0.0{at}" for at, loss in enumerate(LOSSES, start=1)]
    path = tmp_path / "results.csv"
    path.write_text("\n".join(["epoch,val/obj_loss,x/lr0,x/lr1,x/lr2", *rows, ""]))
    log = read_run(path)
    assert (log.metric, log.rates_column) == ("val/obj_loss", "x/lr1")


def test_a_first_record_without_a_rate(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {"iterations": at, "reward": loss, **({"train/lr": 0.1 / at} if at > 1 else {})}
        for at, loss in enumerate(LOSSES, start=1)
    ]
    log = read_records(tmp_path, records, "reward")
    assert log.rates is not None
    assert log.rates.tolist() == [0.1 / max(at, 2) for at in range(1, 7)]


@pytest.mark.parametrize(("step", "last"), [(391, 100), (None, 99)])
def test_an_evaluation_before_training_is_no_epoch(
    tmp_path: Path, step: int | None, last: int
) -> None:
    records: list[dict[str, object]] = [
        {"epoch": float(at), "eval_loss": loss, **({} if step is None else {"step": step * at})}
        for at, loss in enumerate(LOSSES)
    ]
    log = read_records(tmp_path, records, "eval_loss")
    assert log.own_steps(log.model_horizon(100) * np.ones(1)) == last


def test_runs_of_bare_numbers_with_one_seed(tmp_path: Path) -> None:
    path = tmp_path / "losses.txt"
    again = [*LOSSES[:5], 0.91, 0.88]
    path.write_text("".join(f"{loss}\n" for loss in [*LOSSES, "", *again]))
    log = read_run(path)
    assert log.values.tolist() == again
    assert "the first 5 values stand once more" in log.notes[0]


def test_one_line_of_numbers_is_a_curve(tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    path.write_text(",".join(f'"{4 / at}"' for at in range(1, 31)) + "\n")
    log = read_run(path)
    assert log.values == pytest.approx([4 / at for at in range(1, 31)])


def test_a_precision_of_objects_that_do_not_occur(tmp_path: Path) -> None:
    records: list[dict[str, object]] = [
        {"epoch": at, "bbox_mAP_s": -1.0 if at < 3 else 0.1, "reward": -1} for at in range(1, 5)
    ]
    log = read_records(tmp_path, records, "bbox_mAP_s")
    np.testing.assert_array_equal(log.values, [np.nan, np.nan, 0.1, 0.1])
    assert "bbox_mAP_s of -1 is no value" in log.notes[-1]
    assert read_records(tmp_path, records, "reward").values.tolist() == [-1, -1, -1, -1]


def test_what_is_said_of_the_best_is_doubted_beside_all(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    lines = [
        f"Epoch {at}: Val Dice: {loss}\n" + ("Saved the best (Dice: 0.9)\n" if at < 3 else "")
        for at, loss in enumerate(LOSSES, start=1)
    ]
    path.write_text("".join(lines))
    doubted = read_run(path, "Dice").notes
    assert "Dice has 2 records, and Val Dice has 6: is that meant?" in doubted
    assert not any("is that meant" in note for note in read_run(path, "Val Dice").notes)
