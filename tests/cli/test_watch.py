"""`lcpfn watch`, as people and scripts use it."""

from __future__ import annotations

import gc
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import lcpfn
from lcpfn.cli import app
from lcpfn.cli.stop_commands import STATE_FILE
from lcpfn.errors import InputError
from lcpfn.logs import follow
from lcpfn.logs.table import Record
from lcpfn.search.forecasts import ModelForecaster, Question
from lcpfn.watching import Asked, Watch

ROOT = Path(__file__).resolve().parents[2]
ASKED = ["--metric", "val_loss", "--horizon", "40"]
LOSS = Asked("val_loss", None, None, 40)

# Writes 30 records of a run, one after another, as some trainer does.
WRITER = """
import json, logging, logging.handlers, os, sys, time
kind, path, level = sys.argv[1], sys.argv[2], float(sys.argv[3])
os.makedirs(os.path.dirname(path), exist_ok=True)
handler = logging.handlers.RotatingFileHandler(path, maxBytes=150, backupCount=99, delay=True)
log = logging.getLogger()
history = []
if kind == "rotating":
    log.addHandler(handler)
    log.setLevel(logging.INFO)
if kind == "csv":
    print("epoch,train_loss,val_loss", file=open(path, "w"))
for epoch in range(1, 31):
    loss = round(level + 2 * 0.8**epoch, 5)
    if kind == "atomic":
        history.append({"epoch": epoch, "eval_loss": loss})
        state = {"num_train_epochs": 40, "log_history": history}
        with open(path + ".tmp", "w") as file:
            json.dump(state, file)
        os.replace(path + ".tmp", path)
    elif kind == "rotating":
        log.info(f"epoch {epoch} val_loss {loss}")
    else:
        line = {
            "csv": f"{epoch},{loss},{loss}",
            "jsonl": json.dumps({"epoch": epoch, "val_loss": loss}),
            "text": f"Epoch {epoch}/40 - loss: 1.0 - val_loss: {loss}",
            "mlflow": f"{1700000000000 + epoch} {loss} {epoch}",
        }[kind]
        with open(path, "a") as file:
            # Half a line is there for a moment.
            file.write(line[: len(line) // 2])
            file.flush()
            time.sleep(0.005)
            file.write(line[len(line) // 2 :] + "\\n")
    time.sleep(0.03)
"""


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def watched(*arguments: str | Path) -> dict[str, dict[str, Any]]:
    """The runs that `watch --once --json` prints, by name."""
    result = call("watch", *arguments, "--once", "--json")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return {line["run"]: line for line in lines if "run" in line}


def losses(level: float, count: int) -> list[float]:
    return [round(level + 2 * 0.8**epoch, 5) for epoch in range(1, count + 1)]


def write(path: Path, level: float, count: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{epoch},{loss}" for epoch, loss in enumerate(losses(level, count), start=1)]
    path.write_text("\n".join(["epoch,val_loss", *rows]) + "\n")
    return path


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For networks as small as these, threads would only wait for each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A finished run, a promising one, one that begins, and two that are to be stopped."""
    folder = tmp_path / "runs"
    for name, level, count in (
        ("done", 0.3, 40),
        ("good", 0.28, 20),
        ("new", 0.3, 2),
        ("bad", 0.8, 25),
        ("worse", 1.2, 30),
    ):
        write(folder / f"{name}.csv", level, count)
    return folder


@pytest.fixture
def heeded_interrupts() -> Iterator[None]:
    """Interrupts reach the processes that a test starts, see tests/cli/test_cli.py."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


class Midpoint:
    """A forecast that costs nothing: the newest value, give or take."""

    def __init__(self, question: Question) -> None:
        self.goal, self.horizon = question.goal, question.horizon
        self.bounds = (None, None)
        self.observed_steps = np.array([step for step, _ in question.records])
        self._value = question.records[-1][1]

    def allowing(self, value: float) -> Midpoint:
        return self

    def prob_better(self, than: float) -> float:
        return 0.5

    def quantile(self, q: Any) -> np.ndarray:
        return self._value + (np.atleast_1d(q) - 0.5)[:, None] / 10


class TestOnce:
    def test_table(self, runs: Path) -> None:
        result = call("watch", runs, *ASKED, "--once")
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        shown = [name for line in lines for name in re.findall(r"^ (\w+)\.csv ", line)]
        assert sorted(shown) == ["bad", "done", "good", "new", "worse"]
        assert shown[0] in ("good", "done") and shown[-1] != "good"
        assert "finished" in result.stdout and "20/40" in result.stdout
        assert re.search(r"[▁▂▃▄▅▆▇█]{16}", result.stdout)
        assert "To be stopped: bad.csv, worse.csv (nothing is done without --on-stop)." in lines

    def test_json_equals_the_library(self, runs: Path) -> None:
        answers = watched(runs, *ASKED)
        assert next(iter(answers)) in ("good.csv", "done.csv")
        assert [answer["rank"] for answer in answers.values()] == [1, 2, 3, 4, 5]
        assert sum(answer["chance_best"] for answer in answers.values()) == pytest.approx(1)
        good = answers["good.csv"]
        post = lcpfn.load().extrapolate(losses(0.28, 20), horizon=40, goal="minimize")
        low, median, high = post.quantile([0.06, 0.5, 0.94])[:, -1]
        assert good["median"] == pytest.approx(median, rel=0.02)
        assert (good["low"], good["high"]) == pytest.approx((low, high), rel=0.02)
        assert (good["records"], good["step"], good["horizon"]) == (20, 20, 40)
        assert good["value"] == losses(0.28, 20)[-1]
        assert (good["state"], good["action"]) == ("live", "continue")
        assert good["path"] == str(runs / "good.csv")
        done = answers["done.csv"]
        assert done["state"] == "finished"
        assert done["low"] == done["median"] == done["high"] == done["value"]
        assert answers["bad.csv"]["action"] == "stop"
        assert answers["bad.csv"]["to_beat"] <= done["value"]
        assert "no decision before" in answers["new.csv"]["reason"]

    def test_what_the_logs_say_need_not_be_said(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            lines = [
                f"Epoch {epoch}/40 loss: 1.0 val_loss: {loss}\n"
                for epoch, loss in enumerate(losses(0.3, 12), start=1)
            ]
            (tmp_path / f"{name}.log").write_text("".join(lines))
        write(tmp_path / "c.csv", 0.3, 9)
        answers = watched(tmp_path, "-m", "val_loss")
        assert [answer["horizon"] for answer in answers.values()] == [40] * 3
        assert "as other logs say" not in "".join(answers["a.log"]["notes"])

    def test_a_horizon_that_nobody_says(self, tmp_path: Path) -> None:
        write(tmp_path / "c.csv", 0.3, 9)
        (answer,) = watched(tmp_path).values()
        assert answer["horizon"] is None and answer["median"] is None
        assert "--horizon is not given" in answer["reason"]

    def test_a_run_beyond_the_horizon_is_taken_for_complete(self, tmp_path: Path) -> None:
        write(tmp_path / "c.csv", 0.3, 9)
        (answer,) = watched(tmp_path, "--horizon", "5").values()
        assert answer["state"] == "finished"
        assert "must not lie before the end of the log" in "".join(answer["notes"])

    def test_steps_of_other_logs_that_cannot_be_these_say_nothing(self, tmp_path: Path) -> None:
        lines = "".join(f"step {9 * i}: val loss {2 / i:.4f}\n" for i in range(1, 9))
        (tmp_path / "long.log").write_text(lines)
        lines = "".join(f"[{i}/9] val_loss={2 / i:.4f}\n" for i in range(1, 9))
        (tmp_path / "short.log").write_text(lines)
        answers = watched(tmp_path, "--metric", "val_loss")
        assert {each["steps_column"] for each in answers.values()} == {"step"}
        assert answers["short.log"]["horizon"] == 9
        assert answers["long.log"]["state"] == "live"
        assert answers["long.log"]["horizon"] is None and answers["long.log"]["median"] is None

    def test_metrics_of_many_names_and_one_reason_leave_room(self, tmp_path: Path) -> None:
        for name in (
            "val_loss",
            "training_history/network/val_loss",
            "val/loss",
            "val loss",
        ):
            rows = "".join(f"{epoch},{2 / epoch:.4f}\n" for epoch in range(1, 9))
            (tmp_path / f"{len(name)}.csv").write_text(f"epoch,{name}\n{rows}")
        result = call("watch", tmp_path, "--metric", "val_loss", "--once")
        heading = next(line for line in result.stdout.splitlines() if " run " in line)
        assert ", …" in heading and "rule" in heading
        assert result.stdout.count("--horizon is not given") == 1
        assert "runs: the length of a full run is unknown" in result.stdout

    def test_what_cannot_be_read_is_listed_and_fatal_to_nothing(self, runs: Path) -> None:
        (runs / "empty.csv").touch()
        (runs / "other.csv").write_text("epoch,accuracy\n1,0.3\n2,0.4\n")
        (runs / "broken.json").write_bytes(b"\x89PNG\x00")
        result = call("watch", runs, *ASKED, "--once")
        assert result.exit_code == 0
        unread = result.stderr.splitlines()
        assert len(unread) == 3
        assert any("is empty" in line for line in unread)
        assert any("other.csv" in line and "accuracy" in line for line in unread)
        assert any("picture" in line for line in unread)

    def test_metrics_of_opposite_goals_do_not_mix(self, tmp_path: Path) -> None:
        write(tmp_path / "a.csv", 0.3, 9)
        (tmp_path / "b.csv").write_text("epoch,accuracy\n1,0.3\n2,0.4\n")
        result = call("watch", tmp_path, "--horizon", "40", "--once", "--json")
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        assert [line.get("run") for line in lines] == [None, "a.csv"]
        assert "'accuracy' is to maximize, but that of other runs to minimize" in lines[0]["reason"]

    def test_names_that_no_terminal_should_get(self, tmp_path: Path) -> None:
        write(tmp_path / "a\x1b[31m\nb.csv", 0.3, 9)
        write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv")), 0.3, 9)
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/e\xff.csv")).touch()
        result = call("watch", tmp_path, *ASKED, "--once")
        assert result.exit_code == 0, result.output
        assert "\x1b" not in result.output and "a\ufffd[31m\ufffdb.csv" in result.stdout
        assert len(watched(tmp_path, *ASKED)) == 2

    def test_several_runs_in_one_log(self, tmp_path: Path) -> None:
        rows = [f"{i},{3 / i},{4 / i}" for i in range(1, 11)]
        text = "Step,fox - val_loss,owl - val_loss\n" + "\n".join(rows) + "\n"
        (tmp_path / "export.csv").write_text(text)
        assert set(watched(tmp_path, *ASKED)) == {"export.csv - fox", "export.csv - owl"}

    def test_idle_is_not_finished(self, runs: Path) -> None:
        for name in ("good.csv", "done.csv"):
            os.utime(runs / name, (1, time.time() - 45 * 60))
        answers = watched(runs, *ASKED)
        assert answers["good.csv"]["state"] == "idle"
        assert answers["done.csv"]["state"] == "finished"
        assert watched(runs, *ASKED, "--idle", "60")["good.csv"]["state"] == "live"
        # A reason is wrapped where its column is narrow.
        assert "idle for 45 min" in call("watch", runs, *ASKED, "--once").stdout

    def test_a_run_that_diverged(self, runs: Path) -> None:
        with (runs / "good.csv").open("a") as file:
            file.write("21,inf\n")
        good = watched(runs, *ASKED)["good.csv"]
        assert (good["state"], good["action"], good["chance_best"]) == ("diverged", "stop", 0)

    def test_a_best_from_elsewhere(self, runs: Path) -> None:
        answers = watched(runs, *ASKED, "--best", "0.01")
        assert answers["good.csv"]["to_beat"] == 0.01
        assert sum(answer["chance_best"] for answer in answers.values()) < 0.9

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["nowhere"], "nowhere does not exist: name a folder of runs, or a log"),
            ([".", "--every", "0"], "--every is 0"),
            ([".", "--idle", "-1"], "--idle is -1, but must be a positive number of minutes"),
            ([".", "--horizon", "-5"], "horizon is -5"),
            ([".", "--threshold", "2"], "threshold is 2"),
            ([".", "--on-stop", "kill"], "must have {run} in it"),
            ([".", "--on-stop", "sh -c 'kill {run}'"], "must not stand within quotes"),
            ([".", "--on-stop", 'echo "{run}"'], "must not stand within quotes"),
        ],
    )
    def test_bad_input_is_named(self, arguments: list[str], words: str) -> None:
        result = call("watch", *arguments, "--once")
        assert result.exit_code == 2
        assert words in result.stderr and len(result.stderr.splitlines()) == 1

    def test_long_names_cut_nothing_off(self, tmp_path: Path) -> None:
        for index, level in enumerate((0.3, 0.5, 0.7)):
            write(tmp_path / "2026-03-01" / "10-00-00" / str(index) / "train.csv", level, 20)
        shown = call("watch", tmp_path, *ASKED, "--once").stdout
        for answer in watched(tmp_path, *ASKED).values():
            for word in answer["reason"].split():
                assert word in shown

    def test_a_best_value_in_percent_stops_no_run(self, tmp_path: Path) -> None:
        shares = "".join(f"{at},{1 - 0.9**at}\n" for at in range(1, 20))
        (tmp_path / "run.csv").write_text(f"epoch,val_acc\n{shares}")
        result = call("watch", tmp_path, "-m", "val_acc", "-n", "40", "--best", "95", "--once")
        assert "Write 0.95" in result.stderr
        assert "stop" not in result.stdout

    def test_each_run_has_the_bounds_of_its_own_metric(self, tmp_path: Path) -> None:
        for name in ("Average Score", "val_acc"):
            rows = "".join(f"{at},{0.03 * at}\n" for at in range(1, 31))
            (tmp_path / f"{name}.csv").write_text(f"epoch,{name}\n{rows}")
        found = watched(tmp_path, "--horizon", "100")
        assert found["Average Score.csv"]["high"] > 1 > found["val_acc.csv"]["high"]
        watch = Watch([tmp_path], Asked(horizon=100))
        told = {run.metric: watch.reading(run).bounds for run in watch.refresh()}
        assert told == {"Average Score": (None, None), "val_acc": (0, 1)}
        stated = watched(tmp_path, "--horizon", "100", "--bounds", "0,1")
        assert max(run["high"] for run in stated.values()) < 1

    def test_a_reward_is_not_asked_whether_it_is_in_percent(self, tmp_path: Path) -> None:
        rows = "".join(f"{at},{0.9 - 0.8 * 0.9**at}\n" for at in range(1, 20))
        (tmp_path / "run.csv").write_text(f"epoch,map_reward\n{rows}")
        (run,) = watched(tmp_path, "-n", "40", "--best", "95").values()
        assert run["records"] == 19


class TestOnStop:
    def test_once_for_each_run_also_after_a_restart(self, runs: Path, tmp_path: Path) -> None:
        out = tmp_path / "told"
        command = f"echo {{run}} >> {shlex.quote(str(out))}"
        for _ in range(2):
            result = call("watch", runs, *ASKED, "--once", "--on-stop", command)
            assert result.exit_code == 0, result.output
        assert out.read_text().splitlines() == [str(runs / f"{n}.csv") for n in ("bad", "worse")]
        assert "stop, was told" in result.stdout and "To be stopped" not in result.stdout
        told = json.loads((runs / STATE_FILE).read_text())
        assert set(told) == {"bad.csv", "worse.csv"}
        # Another run that is logged to the same path is another run.
        write(runs / "bad.csv", 0.9, 25)
        call("watch", runs, *ASKED, "--once", "--on-stop", command)
        assert len(out.read_text().splitlines()) == 3

    def test_without_it_nothing_is_written(self, runs: Path) -> None:
        before = sorted(runs.iterdir())
        call("watch", runs, *ASKED, "--once")
        assert sorted(runs.iterdir()) == before

    @pytest.mark.parametrize(
        "name",
        ["a;touch pwned;", "$(touch pwned)", "`touch pwned`", "a' 'b\"c", "a\nb", "-rf", "a {run}"],
    )
    def test_names_of_files_are_no_commands(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "done.csv", 0.3, 40)
        write(tmp_path / f"{name}.csv", 0.9, 30)
        call("watch", ".", *ASKED, "--once", "--on-stop", "cat {run} > out")
        assert (tmp_path / "out").read_text() == (tmp_path / f"{name}.csv").read_text()
        assert not (tmp_path / "pwned").exists()

    def test_idle_runs_are_left_alone(self, runs: Path, tmp_path: Path) -> None:
        os.utime(runs / "bad.csv", (1, 1))
        call("watch", runs, *ASKED, "--once", "--on-stop", f"echo {{run}} >> {tmp_path / 'out'}")
        assert (tmp_path / "out").read_text() == f"{runs / 'worse.csv'}\n"

    def test_a_command_that_fails_is_told(self, runs: Path) -> None:
        command = "echo no such job >&2; false {run}"
        result = call("watch", runs, *ASKED, "--once", "--on-stop", command)
        assert result.exit_code == 0
        assert "--on-stop for bad.csv: failed with exit code 1: no such job" in result.stderr


def process(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lcpfn.cli", "watch", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.usefixtures("heeded_interrupts")
def test_ten_processes_write_in_six_formats(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    places = {
        "one.csv": ("csv", "one.csv"),
        "two.csv": ("csv", "two.csv"),
        "deep/three.jsonl": ("jsonl", "deep/three.jsonl"),
        "four.jsonl": ("jsonl", "four.jsonl"),
        "five.log": ("text", "five.log"),
        "six": ("text", "six/train.log"),
        "seven": ("atomic", "seven/trainer_state.json"),
        "eight": ("atomic", "eight/checkpoint-10/trainer_state.json"),
        "nine.log": ("rotating", "nine.log"),
        "mlruns/0/ten": ("mlflow", "mlruns/0/ten/metrics/val_loss"),
    }
    (folder / "mlruns/0/ten/metrics").mkdir(parents=True)
    (folder / "mlruns/0/ten/meta.yaml").touch()
    watching = process(folder, *ASKED, "--json", "--every", "0.2")
    assert watching.stdout is not None and watching.stderr is not None
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, kind, str(folder / path), str(0.3 + number / 20)]
        )
        for number, (kind, path) in enumerate(places.values())
    ]
    newest: dict[str, dict[str, Any]] = {}
    for line in watching.stdout:
        content = json.loads(line)
        if "run" in content:
            newest[content["run"]] = content
        if [each["records"] for each in newest.values()] == [30] * len(places):
            break
    watching.send_signal(signal.SIGINT)
    _, complaints = watching.communicate(timeout=60)
    assert (watching.returncode, complaints) == (130, "")
    assert [writer.wait(timeout=60) for writer in writers] == [0] * len(writers)
    assert set(newest) == set(places)
    for number, name in enumerate(places):
        assert newest[name]["value"] == round(0.3 + number / 20 + 2 * 0.8**30, 5), name
    again = watched(folder, *ASKED)
    for name, before in newest.items():
        after = again[name]
        for field in ("records", "step", "value", "state", "horizon", "metric", "path", "notes"):
            assert before[field] == after[field], (name, field)
    # A line is printed at a change of its run, so all but the last may know less of the others.
    last = again[content["run"]]
    for field in ("low", "median", "high", "prob_better", "to_beat", "chance_best"):
        assert content[field] == pytest.approx(last[field], rel=1e-3), field


@pytest.mark.usefixtures("heeded_interrupts")
def test_each_change_is_a_line(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", 0.3, 3)
    watching = process(tmp_path, *ASKED, "--json", "--every", "0.05")
    assert watching.stdout is not None
    lines = [json.loads(watching.stdout.readline())]
    for count in (4, 5):
        write(tmp_path / "a.csv", 0.3, count)
        lines.append(json.loads(watching.stdout.readline()))
    watching.send_signal(signal.SIGINT)
    rest, complaints = watching.communicate(timeout=60)
    assert [line["records"] for line in lines] == [3, 4, 5]
    assert (rest, complaints, watching.returncode) == ("", "", 130)


def grow(folder: Path, name: str, epochs: Sequence[int], level: float = 0.3) -> None:
    path = folder / name
    if not path.exists():
        path.write_text("epoch,val_loss\n")
    with path.open("a") as file:
        for epoch in epochs:
            file.write(f"{epoch},{level + 1 / epoch:.4f}\n")


class TestWatch:
    def test_a_run_that_goes_on_after_its_end(self, tmp_path: Path) -> None:
        watch = Watch([tmp_path], LOSS, forecast=Midpoint)
        grow(tmp_path, "a.csv", range(1, 41))
        grow(tmp_path, "b.csv", range(1, 11))
        assert [run.state for run in watch.refresh()] == ["finished", "live"]
        (tmp_path / "a.csv").unlink()
        grow(tmp_path, "a.csv", range(1, 6))
        watch.refresh()
        states = {run.name: (run.state, run.records) for run in watch.refresh()}
        assert states == {"a.csv": ("live", 5), "b.csv": ("live", 10)}

    def test_a_log_that_is_gone_is_forgotten(self, tmp_path: Path) -> None:
        watch = Watch([tmp_path], LOSS, forecast=Midpoint)
        for name in ("a.csv", "b.csv"):
            grow(tmp_path, name, range(1, 11))
        assert len(watch.refresh()) == 2
        (tmp_path / "a.csv").rename(tmp_path / "a.moved")
        # It may be replaced.
        assert [len(watch.refresh()) for _ in range(3)] == [2, 2, 1]

    def test_a_reader_that_fails_is_fatal_to_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        grow(tmp_path, "a.csv", [1, 2])
        (tmp_path / "b.json").write_text("[" * 5000)
        (tmp_path / "c.csv").touch()

        def failing(path: Path, position: int) -> tuple[follow._State, bytes]:
            if path.name == "c.csv":
                raise PermissionError(13, "Permission denied")
            return reader(path, position)

        reader = follow._opened
        monkeypatch.setattr(follow, "_opened", failing)
        watch = Watch([tmp_path], LOSS, forecast=Midpoint)
        assert [run.name for run in watch.refresh()] == ["a.csv"]
        assert "Permission denied" in watch.problems[str(tmp_path / "c.csv")]
        assert str(tmp_path / "b.json") in watch.problems

    def test_a_folder_that_comes_later(self, tmp_path: Path) -> None:
        watch = Watch([tmp_path / "runs"], LOSS, forecast=Midpoint)
        assert watch.refresh() == []
        assert "does not exist" in watch.problems[str(tmp_path / "runs")]
        (tmp_path / "runs").mkdir()
        assert watch.refresh() == []
        grow(tmp_path / "runs", "a.csv", [1, 2])
        assert len(watch.refresh()) == 1 and not watch.problems

    def test_begun_anew_it_shows_the_same(self, tmp_path: Path) -> None:
        watch = Watch([tmp_path], LOSS)
        for epoch in range(1, 31):
            for number in range(5):
                if epoch > 3 * number and (number or epoch <= 20):
                    grow(tmp_path, f"{number}.csv", [epoch], level=0.3 + number / 10)
            if epoch == 20:
                grow(tmp_path, "0.csv", range(21, 41))
            shown = watch.refresh()
        again = Watch([tmp_path], LOSS).refresh()
        assert [run.name for run in shown] == [run.name for run in again]
        for one, other in zip(shown, again, strict=True):
            assert (one.state, one.records, one.verdict.action) == (
                (other.state, other.records, other.verdict.action)
            )
            assert (one.low, one.median, one.high, one.chance) == pytest.approx(
                (other.low, other.median, other.high, other.chance), rel=1e-3, nan_ok=True
            )

    def test_only_what_is_new_is_read_and_forecast(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[Any] = []

        def forecast(question: Question) -> Midpoint:
            asked.append((question.run, len(question.records)))
            return Midpoint(question)

        opened: list[tuple[str, int]] = []
        reader = follow._opened

        def counted(path: Path, position: int) -> tuple[follow._State, bytes]:
            state, data = reader(path, position)
            opened.append((path.name, len(data)))
            return state, data

        monkeypatch.setattr(follow, "_opened", counted)
        watch = Watch([tmp_path], Asked("val_loss", horizon=2000), forecast=forecast)
        for number in range(10):
            grow(tmp_path, f"{number}.csv", range(1, 1001))
        watch.refresh()
        assert len(opened) == 10
        opened.clear()
        grow(tmp_path, "3.csv", [1001])
        watch.refresh()
        assert [name for name, _ in opened] == ["3.csv"] and opened[0][1] < 400
        # Each run is asked about as often as there are runs, or less: never pairs of them.
        asked.clear()
        opened.clear()
        for number in range(10):
            grow(tmp_path, f"{number}.csv", [1002])
        watch.refresh()
        assert sorted(name for name, _ in opened) == [f"{number}.csv" for number in range(10)]
        assert len(asked) <= 4 * 10
        asked.clear()
        watch.refresh()
        assert asked == []

    def test_nothing_is_kept_of_10000_records_of_runs_that_have_ended(self, tmp_path: Path) -> None:
        # Ten at a time, a hundred runs of a hundred records each.
        watch = Watch([tmp_path], Asked("val_loss", horizon=100), forecast=Midpoint)
        kept = []
        for generation in range(10):
            for first in range(1, 101, 5):
                for number in range(10):
                    grow(tmp_path, f"{generation}{number}.csv", range(first, first + 5))
                runs = watch.refresh()
            assert {run.state for run in runs} == {"finished"}
            assert len(runs) == 10 * (generation + 1)
            gc.collect()
            kept.append(sum(type(each) is Record for each in gc.get_objects()))
        assert kept == [0] * 10

    def test_memory_is_flat_over_many_updates(self, tmp_path: Path) -> None:
        watch = Watch([tmp_path], LOSS, forecast=Midpoint)
        sizes = []
        for turn in range(600):
            # Written anew each time, with as many records, but others.
            path = tmp_path / ".new"
            path.unlink(missing_ok=True)
            grow(tmp_path, ".new", range(1, 11), level=turn / 7)
            path.rename(tmp_path / "a.csv")
            watch.refresh()
            if turn == 200:
                tracemalloc.start()
            if turn in (300, 400, 500, 599):
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        # A curve of ten records takes more than 500 bytes: 300 kept ones would show. Less than
        # that is the interpreter's own, and comes and goes: interned names, free lists.
        assert max(sizes) - min(sizes) < 300 * 500

    def test_streams_of_runs_that_have_ended_are_dropped(self, tmp_path: Path) -> None:
        watch = Watch([tmp_path], LOSS)
        for number in range(3):
            grow(tmp_path, f"{number}.csv", range(1, 20))
        watch.refresh()
        forecaster = watch._search._forecast
        assert isinstance(forecaster, ModelForecaster)
        assert len(forecaster._streams) == 3
        for number in range(2):
            grow(tmp_path, f"{number}.csv", range(20, 41))
        watch.refresh()
        assert len(forecaster._streams) == 1

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"sources": []}, "nothing to watch"),
            ({"sources": ["."], "best": math.nan}, "best is nan"),
            ({"sources": ["."], "idle": 0}, "idle is 0"),
            ({"sources": ["."], "asked": Asked(goal="up")}, "goal is 'up'"),
        ],
    )
    def test_bad_arguments_are_named(self, arguments: dict[str, Any], words: str) -> None:
        with pytest.raises(InputError, match=words):
            Watch(**arguments)


class TestDocumentation:
    TEXT = (ROOT / "docs" / "watch.md").read_text(encoding="utf-8")

    def test_python_examples(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        blocks = re.findall(r"^```python\n(.*?)^```$", self.TEXT, re.MULTILINE | re.DOTALL)
        assert len(blocks) == 1
        namespace: dict[str, Any] = {}
        for block in blocks:
            exec(block, namespace)
        assert namespace["run"].name == "sgd"

    def test_commands(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "runs" / "good.csv", 0.3, 100)
        write(tmp_path / "runs" / "bad.csv", 0.9, 60)
        commands = re.findall(r"(?:^|`)lcpfn (watch runs/ [^`\n]+)", self.TEXT, re.MULTILINE)
        assert len(commands) == 3
        for command in commands:
            result = call(*shlex.split(command), "--once")
            assert result.exit_code == 0, result.output
        assert (tmp_path / "runs" / "bad.csv.stop").exists()

    def test_a_script_takes_the_run_as_an_argument(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "runs" / "good.csv", 0.3, 40)
        write(tmp_path / "runs" / "a b" / "metrics.csv", 0.9, 30)
        (script,) = re.findall(r"`--on-stop (\"sh [^`]+)`", re.sub(r"\n *", " ", self.TEXT))
        sleeper = subprocess.Popen(["sleep", "60"])
        (tmp_path / "runs" / "a b" / "pid").write_text(str(sleeper.pid))
        given = subprocess.run(["sh", "-c", f"printf %s {script}"], capture_output=True, text=True)
        result = call("watch", "runs", *ASKED, "--once", "--on-stop", given.stdout)
        assert result.exit_code == 0, result.output
        assert sleeper.wait(timeout=60) == -signal.SIGTERM
