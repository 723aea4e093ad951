"""Logs as trainers write them, and logs that cannot be read."""

from __future__ import annotations

import io
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcpfn.errors import InputError
from lcpfn.logs.run import RunLog, read_run

finite = st.floats(allow_nan=False, allow_infinity=False)
curves = st.lists(finite, min_size=1, max_size=30)


def write(folder: Path, content: str | bytes, name: str = "run.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_text(monkeypatch: pytest.MonkeyPatch, content: str, **options: str) -> RunLog:
    """Reads a log from standard input."""
    stream = io.TextIOWrapper(io.BytesIO(content.encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    return read_run("-", **options)


def error_of(path: Path | str, **options: str) -> str:
    with pytest.raises(InputError) as caught:
        read_run(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestRoundTrip:
    @given(
        values=curves,
        start=st.integers(1, 10**9),
        delimiter=st.sampled_from(",;\t|"),
        newline=st.sampled_from(["\n", "\r\n"]),
        mark=st.booleans(),
    )
    def test_csv(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        values: list[float],
        start: int,
        delimiter: str,
        newline: str,
        mark: bool,
    ) -> None:
        rows = [f"step{delimiter}loss"]
        rows += [f"{start + 7 * i}{delimiter}{value!r}" for i, value in enumerate(values)]
        text = "\ufeff" * mark + newline.join(rows) + newline
        log = read_run(write(tmp_path_factory.getbasetemp(), text))
        assert log.metric == "loss"
        assert log.values.tolist() == values
        assert log.steps is not None
        assert log.steps.tolist() == [start + 7 * i for i in range(len(values))]
        assert log.shift == 0

    @given(values=curves, step_key=st.sampled_from(["epoch", "Step", "trainer/global_step"]))
    def test_json_lines_with_other_records_between(
        self, tmp_path_factory: pytest.TempPathFactory, values: list[float], step_key: str
    ) -> None:
        lines = []
        for index, value in enumerate(values):
            lines.append(json.dumps({"train_loss": 1.5, step_key: index + 1}))
            lines.append(json.dumps({"eval": {"loss": value}, step_key: index + 1}))
        log = read_run(
            write(tmp_path_factory.getbasetemp(), "\n".join(lines), "run.jsonl"), "eval/loss"
        )
        assert log.values.tolist() == values
        assert log.model_steps.tolist() == list(range(1, len(values) + 1))
        assert log.step_name == step_key

    @given(values=curves)
    def test_bare_numbers(
        self, tmp_path_factory: pytest.TempPathFactory, values: list[float]
    ) -> None:
        text = "".join(f"{value!r}\n" for value in values)
        log = read_run(write(tmp_path_factory.getbasetemp(), text, "run.txt"))
        assert log.values.tolist() == values
        assert log.steps is None
        assert log.metric == "value"
        assert log.model_steps.tolist() == list(range(1, len(values) + 1))


class TestLogsOfTrainers:
    LIGHTNING = (
        "epoch,step,train_loss,val_loss\n"
        "0,49,2.0,\n0,99,1.9,\n0,99,,1.8\n"
        "1,149,1.5,\n1,199,1.4,\n1,199,,1.3\n"
    )

    def test_lightning_validation_counts_epochs(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, self.LIGHTNING), "val_loss")
        assert log.values.tolist() == [1.8, 1.3]
        assert log.steps_column == "epoch"
        assert log.steps is not None
        assert log.steps.tolist() == [1, 2]
        assert log.own_steps(log.steps).tolist() == [0, 1]
        assert log.notes == ("steps are counted in column 'epoch', not in step",)

    def test_lightning_training_counts_steps_because_epochs_repeat(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, self.LIGHTNING), "train_loss")
        assert log.steps_column == "step"
        assert log.own_steps(log.model_steps).tolist() == [49, 99, 149, 199]

    def test_named_steps_column_may_repeat_and_keeps_the_last(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, self.LIGHTNING), "train_loss", "epoch")
        assert log.values.tolist() == [1.9, 1.4]
        assert log.notes == ("2 records repeat an earlier epoch: the last one of each counts",)

    def test_resumed_run(self, tmp_path: Path) -> None:
        text = "epoch,loss\n1,5\n2,4\n3,3\nepoch,loss\n2,3.5\n3,nan\n4,2\n"
        log = read_run(write(tmp_path, text))
        np.testing.assert_array_equal(log.values, [5, 3.5, np.nan, 2])
        assert log.notes == (
            "epoch goes back from 3 to 2 at line 6, read as a resumed run: what was logged there "
            "and after it before no longer counts",
        )

    def test_what_a_restarted_run_had_logged_further_on_is_forgotten(self, tmp_path: Path) -> None:
        before = "".join(f"{epoch},{3 / epoch}\n" for epoch in range(1, 16))
        log = read_run(write(tmp_path, f"epoch,loss\n{before}1,2.9\n2,2.8\n"))
        assert log.values.tolist() == [2.9, 2.8]
        again = read_run(write(tmp_path, f"epoch,loss\n{before}1,2.9\n2,2.8\n1,2.7\n"))
        assert again.values.tolist() == [2.7]

    def test_rows_out_of_order_are_all_kept(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, "epoch,loss\n1,5\n3,3\n2,4\n4,2\n"))
        assert log.values.tolist() == [5, 4, 3, 2]
        assert log.notes == ("epoch goes back from 3 to 2 at line 4, read in order of its steps",)

    def test_hugging_face(self, tmp_path: Path) -> None:
        text = (
            '{"loss": 2.5, "learning_rate": 1e-5, "epoch": 0.5, "step": 10}\n'
            '{"eval_loss": 2.4, "epoch": 0.5, "step": 10}\n'
            '{"loss": 2.1, "learning_rate": 5e-6, "epoch": 1.0, "step": 20}\n'
            '{"train_runtime": 12.5, "epoch": 1.0, "step": 20}\n'
        )
        log = read_run(write(tmp_path, text, "run.jsonl"), "loss")
        assert log.values.tolist() == [2.5, 2.1]
        assert log.model_steps.tolist() == [0.5, 1.0]

    def test_ultralytics_pads_its_cells(self, tmp_path: Path) -> None:
        text = "    epoch,     time,    val/loss\n     1,   33.1,   0.9\n     2,   66.0,   0.8\n"
        log = read_run(write(tmp_path, text))
        assert (log.metric, log.values.tolist()) == ("val/loss", [0.9, 0.8])

    def test_tensorboard_export(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, "Wall time,Step,Value\n1.7e9,100,0.5\n1.7e9,200,0.6\n"))
        assert (log.metric, log.model_steps.tolist()) == ("Value", [100, 200])

    def test_pandas_series_with_its_index(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, ",0\n0,0.5\n1,0.6\n"))
        assert (log.metric, log.values.tolist(), log.steps) == ("0", [0.5, 0.6], None)

    def test_utf16_with_tabs(self, tmp_path: Path) -> None:
        log = read_run(
            write(tmp_path, "epoch\tloss\r\n1\t0,5\r\n".replace(",", ".").encode("utf-16"))
        )
        assert log.values.tolist() == [0.5]

    def test_blanks_between_columns(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, "epoch  loss\n  1   0.5\n  2   0.4\n"))
        assert log.values.tolist() == [0.5, 0.4]

    def test_quoted_names_may_hold_the_delimiter(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, '"step","loss, smoothed"\n1,0.5\n'))
        assert log.metric == "loss, smoothed"

    def test_missing_values(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, "epoch,loss\n1,0.5\n2,NaN\n3,\n4,None\n5,0.4\n"))
        np.testing.assert_array_equal(log.values, [0.5, math.nan, 0.4])
        assert log.model_steps.tolist() == [1, 2, 5]

    def test_json_null_is_no_record(self, tmp_path: Path) -> None:
        text = '{"loss": 1.0}\n{"loss": null}\n{"loss": NaN}\n'
        log = read_run(write(tmp_path, text, "run.jsonl"))
        np.testing.assert_array_equal(log.values, [1.0, math.nan])

    def test_last_json_line_still_being_written(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, '{"loss": 1.0}\n{"loss": 0.5, "ste', "run.jsonl"))
        assert log.values.tolist() == [1.0]
        assert log.notes == ("line 2 is incomplete, still being written, and was skipped",)

    def test_row_still_being_written(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, "epoch,acc,loss\n1,0.1,0.9\n2,0.2"), "loss")
        assert log.values.tolist() == [0.9]

    def test_format_is_told_by_content(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert read_text(monkeypatch, '{"loss": 2}\n').values.tolist() == [2]
        assert read_text(monkeypatch, "loss\n2\n").values.tolist() == [2]

    def test_column_names_in_any_case(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, "EPOCH,Val_Loss,x\n3,1,2\n"), "val_loss", "epoch")
        assert (log.metric, log.steps_column) == ("Val_Loss", "EPOCH")


class TestSteps:
    def test_without_step_column_records_are_counted(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, "loss\n3\n2\n"))
        assert log.steps is None
        assert log.step_name == "record"

    def test_incomplete_step_column_is_not_used(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, "epoch,loss\n1,3\n,2\n"))
        assert log.steps is None
        assert log.notes == (
            "column 'epoch' holds no number in some records of loss, so records are counted from "
            "1 instead",
        )

    @pytest.mark.parametrize(
        ("own", "shift", "consecutive"),
        [
            ([0, 1, 2], 1, True),
            ([0], 1, True),
            ([0, 500, 1000], 1, False),
            ([0, 0.5, 1], 0.5, False),
            ([1, 2, 3], 0, False),
            ([10, 20], 0, False),
        ],
    )
    def test_shift_of_steps_from_zero(
        self, tmp_path: Path, own: list[float], shift: float, consecutive: bool
    ) -> None:
        text = "step,loss\n" + "".join(f"{step},1\n" for step in own)
        log = read_run(write(tmp_path, text))
        assert (log.shift, log.consecutive) == (shift, consecutive)
        assert (log.model_steps > 0).all()
        assert log.own_steps(log.model_steps).tolist() == own

    def test_horizon_of_epochs_from_zero_is_their_number(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, "epoch,loss\n0,2\n1,1\n"))
        assert log.model_horizon(100) == 100
        assert log.own_steps(np.array([100.0])).tolist() == [99]
        assert log.model_horizon(2) == 2
        with pytest.raises(InputError, match=r"horizon is 1, but must be at least 2: .* is 1"):
            log.model_horizon(1)

    def test_horizon_of_spaced_steps_is_the_last_step(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, "step,loss\n0,2\n500,1\n1000,1\n"))
        assert log.own_steps(np.array([log.model_horizon(2000)])).tolist() == [2000]
        assert log.model_horizon(1000) == log.model_steps[-1]
        with pytest.raises(InputError, match=r"horizon is 999, .* last step is 1000"):
            log.model_horizon(999)

    @pytest.mark.parametrize("horizon", [0.0, -5.0, math.nan, math.inf])
    def test_impossible_horizon(self, tmp_path: Path, horizon: float) -> None:
        log = read_run(write(tmp_path, "loss\n3\n"))
        with pytest.raises(InputError, match=f"horizon is {horizon:g}"):
            log.model_horizon(horizon)

    def test_first_records(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, "epoch,loss\n0,3\n1,2\n2,1\n")).first(2)
        assert log.values.tolist() == [3, 2]
        assert log.model_steps.tolist() == [1, 2]
        for records in (0, 3):
            with pytest.raises(InputError, match=f"is {records}, but must lie between 1 and"):
                log.first(records)


class TestErrors:
    def test_unknown_column_lists_columns(self, tmp_path: Path) -> None:
        path = write(tmp_path, "epoch,acc,loss\n1,2,3\n")
        message = error_of(path, metric="val_loss")
        assert "'val_loss'" in message
        assert "epoch, acc, loss" in message
        assert "no column 'batch' for the steps" in error_of(
            path, metric="acc", steps_column="batch"
        )

    def test_ambiguous_metric_lists_candidates(self, tmp_path: Path) -> None:
        message = error_of(write(tmp_path, "epoch,time,name,acc,loss\n1,2,a,3,4\n"))
        assert message.endswith("2 could be the metric (acc, loss)")
        assert "epoch, time, name, acc, loss" in message

    def test_no_metric_at_all(self, tmp_path: Path) -> None:
        message = error_of(write(tmp_path, "epoch,time\n1,2\n"))
        assert message.endswith("of the columns epoch, time, none could be the metric")

    def test_unparsable_cell_names_line_column_value(self, tmp_path: Path) -> None:
        message = error_of(write(tmp_path, "epoch,loss\n1,0.5\n\n2,about 0.4\n"))
        assert message.endswith("line 4, column 'loss': 'about 0.4' is not a number")

    def test_infinite_value_is_a_diverged_record(self, tmp_path: Path) -> None:
        log = read_run(write(tmp_path, "epoch,loss\n1,0.5\n2,inf\n"))
        assert log.values.tolist() == [0.5, math.inf]

    @pytest.mark.parametrize("step", ["-1", "nan", "soon", ""])
    def test_impossible_step(self, tmp_path: Path, step: str) -> None:
        message = error_of(
            write(tmp_path, f"epoch,loss\n1,0.5\n{step},0.4\n"), steps_column="epoch"
        )
        assert "line 3, column 'epoch'" in message

    def test_empty_column(self, tmp_path: Path) -> None:
        message = error_of(write(tmp_path, "epoch,loss\n1,\n2,\n"), metric="loss")
        assert message.endswith("column 'loss' is empty in all 2 rows")

    def test_too_many_cells(self, tmp_path: Path) -> None:
        message = error_of(write(tmp_path, "epoch,loss\n1,0.5\n2,0.4,0.3\n"))
        assert "line 3: there are 3 cells, but must be at most 2" in message

    def test_metric_and_steps_must_differ(self, tmp_path: Path) -> None:
        message = error_of(write(tmp_path, "epoch,a\n1,2\n"), metric="a", steps_column="a")
        assert "are both 'a'" in message

    @pytest.mark.parametrize("indent", [None, 2])
    @pytest.mark.parametrize("wrapped", [True, False])
    def test_one_json_document(self, tmp_path: Path, indent: int | None, wrapped: bool) -> None:
        entries: list[dict[str, float]] = []
        for epoch in range(1, 4):
            entries.append({"epoch": epoch, "loss": 2.0 / epoch, "step": 10 * epoch})
            entries.append({"epoch": epoch, "eval_loss": 2.5 / epoch, "step": 10 * epoch})
        document = {"best_metric": 0.1, "log_history": entries} if wrapped else entries
        log = read_run(write(tmp_path, json.dumps(document, indent=indent)), "eval_loss")
        assert log.values.tolist() == [2.5, 1.25, 2.5 / 3] and log.steps_column == "epoch"
        assert log.model_steps.tolist() == [1, 2, 3]

    def test_repeated_column(self, tmp_path: Path) -> None:
        assert "2 columns 'a'" in error_of(write(tmp_path, "a,a\n1,2\n"), metric="a")

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"", "is empty"),
            (b" \r\n\n", "is empty"),
            (b"epoch,loss\n", "holds no records, only the header epoch, loss"),
            (b"\x89PNG\r\n\x1a\n\x00\x00", "is not a text file"),
            (b"epoch,loss\n\x00\x001,2\n", "is not a text file"),
            (b"[]", "holds no records"),
        ],
    )
    def test_unreadable_content(self, tmp_path: Path, content: bytes, expected: str) -> None:
        path = write(tmp_path, content)
        message = error_of(path)
        assert str(path) in message
        assert expected in message

    def test_missing_file_and_folder(self, tmp_path: Path) -> None:
        missing = error_of(tmp_path / "no.csv")
        assert missing.endswith("no.csv does not exist: name a log, or a folder that holds one")
        assert "is a folder" in error_of(tmp_path)

    def test_arbitrary_bytes_never_escape_the_hierarchy(self, tmp_path: Path) -> None:
        generator = np.random.default_rng(5)
        alphabet = np.frombuffer(
            b'0123456789.,;\t\n\r"{}[]:eE-nauif lossep\xff\x00', dtype=np.uint8
        )
        for _ in range(300):
            content = generator.choice(alphabet, size=int(generator.integers(1, 60))).tobytes()
            path = write(tmp_path, content)
            try:
                log = read_run(path)
            except InputError:
                continue
            assert len(log.values) == len(log.model_steps) >= 1
            assert (np.diff(log.model_steps) > 0).all()
