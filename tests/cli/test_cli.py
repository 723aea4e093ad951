"""The command line as people and scripts use it."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import lcpfn
from lcpfn import StoppingRule
from lcpfn.cli import app
from lcpfn.cli.common import parse_bounds
from lcpfn.errors import InputError
from lcpfn.numbers import number_writer, write_probability, write_step

COMMAND = [sys.executable, "-m", "lcpfn.cli"]
LOSS = ["--metric", "val_loss", "--goal", "minimize", "--horizon", "100"]


def call(*arguments: str | Path, given: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=given)


def answer(*arguments: str | Path, given: str | None = None) -> dict[str, Any]:
    """The JSON object that a command prints."""
    result = call(*arguments, "--json", given=given)
    assert result.exit_code in (0, 10), result.stderr

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    content = json.loads(result.stdout, parse_constant=refuse)
    assert isinstance(content, dict)
    return content


def complaint(*arguments: str | Path, given: str | None = None) -> str:
    """The one line that a command prints about bad input."""
    result = call(*arguments, given=given)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("lcpfn: ")
    return line


@pytest.fixture
def heeded_interrupts() -> Iterator[None]:
    """Interrupts reach the processes that a test starts.

    A script's background job ignores them, and so would all of its children: Ctrl-C is meant for
    the job in front. `lcpfn train` heeds that, as every Python program does.
    """
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For networks as small as these, threads would only wait for each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def losses() -> list[float]:
    generator = np.random.default_rng(3)
    epochs = np.arange(30)
    return [float(x) for x in 0.4 + 1.6 * np.exp(-epochs / 6) + 0.01 * generator.normal(size=30)]


@pytest.fixture(scope="module")
def lightning(tmp_path_factory: pytest.TempPathFactory, losses: list[float]) -> Path:
    """A log as Lightning's CSVLogger writes it: epochs from 0, metrics on alternate rows."""
    path = tmp_path_factory.mktemp("logs") / "metrics.csv"
    rows = ["epoch,step,train_loss,val_acc,val_loss"]
    for epoch, loss in enumerate(losses):
        rows.append(f"{epoch},{100 * epoch + 50},{1.1 * loss},,")
        rows.append(f"{epoch},{100 * epoch + 99},,{95 - 20 * loss},{loss!r}")
    path.write_text("\n".join(rows) + "\n")
    return path


class TestExtrapolate:
    def test_json_equals_the_library(self, lightning: Path, losses: list[float]) -> None:
        content = answer("extrapolate", lightning, *LOSS, "--best", "0.42")
        post = lcpfn.load().extrapolate(losses, horizon=100, goal="minimize")
        # Epochs are numbered as in the file: the 100th epoch is number 99.
        assert content["steps"] == list(range(30, 100))
        assert content["final_step"] == 99
        assert content["median"] == pytest.approx(post.median.tolist())
        assert content["mean"] == pytest.approx(post.mean.tolist())
        assert content["std"] == pytest.approx(post.std.tolist())
        assert content["prob_better"] == pytest.approx(post.prob_better(0.42))
        assert content["quantiles"]["0.94"] == pytest.approx(post.quantile(0.94).tolist())
        assert (content["goal"], content["horizon"]) == ("minimize", 100)
        assert content["bounds"] == [0, None]
        assert content["model"] == lcpfn.load().name
        assert content["observed"] == {
            "records": 30,
            "missing": 0,
            "last_step": 29,
            "last_value": losses[-1],
        }

    def test_the_learning_rate_is_told(self, lightning: Path, losses: list[float]) -> None:
        content = answer("extrapolate", lightning, *LOSS, "--schedule", "cosine")
        post = lcpfn.load().extrapolate(losses, horizon=100, goal="minimize", schedule="cosine")
        assert content["median"] == pytest.approx(post.median.tolist())
        assert content["median"] != pytest.approx(answer("extrapolate", lightning, *LOSS)["median"])

    def test_json_quantiles_are_ordered_and_finite(self, lightning: Path) -> None:
        quantiles = answer("extrapolate", lightning, *LOSS)["quantiles"]
        rows = np.array([quantiles[key] for key in sorted(quantiles, key=float)])
        assert len(rows) == 7
        assert np.isfinite(rows).all()
        assert (np.diff(rows, axis=0) >= 0).all()

    def test_table_and_sentence(self, lightning: Path) -> None:
        result = call("extrapolate", lightning, *LOSS, "--best", "0.42")
        assert result.exit_code == 0
        lines = [line.split() for line in result.stdout.splitlines()]
        steps = [int(line[0]) for line in lines if line and line[0].isdigit()]
        assert len(steps) == 10
        assert (steps[0], steps[-1]) == (30, 99)
        assert "val_loss at epoch 99 will be about 0." in result.stdout
        assert "Probability of ending better than 0.42: " in result.stdout
        assert "steps are counted in column 'epoch'" in result.stderr

    def test_observe_shows_what_then_happened(self, lightning: Path, losses: list[float]) -> None:
        result = call("extrapolate", lightning, *LOSS, "--observe", "10")
        assert "happened" in result.stdout
        assert f"{losses[10]:.2f}" in result.stdout
        content = answer("extrapolate", lightning, *LOSS, "--observe", "10")
        assert content["observed"]["records"] == 10

    def test_plot(self, lightning: Path, tmp_path: Path) -> None:
        path = tmp_path / "fan.png"
        result = call("extrapolate", lightning, *LOSS, "--observe", "10", "--plot", path)
        assert result.exit_code == 0
        assert path.read_bytes().startswith(b"\x89PNG")
        assert str(path) in result.stdout

    def test_standard_input_of_json_lines(self, losses: list[float]) -> None:
        lines = "".join(
            json.dumps({"val_loss": x, "epoch": i}) + "\n" for i, x in enumerate(losses)
        )
        content = answer("extrapolate", "-", "--goal", "minimize", "--horizon", "100", given=lines)
        assert content["metric"] == "val_loss"
        assert content["observed"]["last_step"] == 29

    def test_log_without_steps(self) -> None:
        content = answer("extrapolate", "-", "-g", "maximize", "-n", "5", given="0.3\n0.5\nnan\n")
        assert content["steps_column"] is None
        assert content["steps"][-1] == 5
        assert content["observed"]["missing"] == 1

    def test_long_run(self) -> None:
        rows = [f"{step},{3 * (1 + step / 500) ** -0.2}" for step in range(0, 50_001, 500)]
        log = "global_step,loss\n" + "\n".join(rows) + "\n"
        content = answer("extrapolate", "-", "-g", "minimize", "-n", "200000", given=log)
        assert content["final_step"] == 200_000
        assert content["observed"]["last_step"] == 50_000
        result = call("extrapolate", "-", "-g", "minimize", "-n", "200000", given=log)
        sentence = f"loss at global_step 200,000 will be about {content['median'][-1]:.3f}"
        assert sentence in result.stdout

    def test_percent_accuracies(self, lightning: Path) -> None:
        content = answer("extrapolate", lightning, "-m", "val_acc", "-g", "maximize", "-n", "100")
        assert content["bounds"] == [0, 100]
        assert 80 < content["median"][-1] < 95

    @pytest.mark.parametrize("name", ["ep_rew_mean", "Average Score", "win_rate"])
    def test_a_reward_has_no_ceiling_unless_one_is_stated(self, tmp_path: Path, name: str) -> None:
        log, peer = tmp_path / "log.csv", tmp_path / "peer.csv"
        log.write_text(f"{name}\n0.16\n0.21\n0.34\n0.56\n")
        peer.write_text(f"{name}\n0.11\n0.32\n0.45\n0.52\n0.55\n")
        asked = ("extrapolate", log, "-g", "maximize", "-n", "100")
        is_open = name != "win_rate"
        for told in ((), ("--bounds", "auto")):
            content = answer(*asked, *told, "--peer", peer)
            assert content["peers"] == 1
            assert content["bounds"] == ([None, None] if is_open else [0, 1])
            assert (content["quantiles"]["0.98"][-1] > 1) is is_open
        assert answer(*asked, "--bounds", "0,1")["bounds"] == [0, 1]
        assert answer(*asked[:3], "minimize", *asked[4:])["bounds"] == [0, None]

    @pytest.mark.parametrize(
        ("bounds", "expected"),
        [("open", [None, None]), ("0.1,", [0.1, None]), ("0,3", [0, 3])],
    )
    def test_bounds(self, lightning: Path, bounds: str, expected: list[float | None]) -> None:
        content = answer("extrapolate", lightning, *LOSS, "--bounds", bounds)
        assert content["bounds"] == expected
        low = -math.inf if expected[0] is None else expected[0]
        assert min(content["quantiles"]["0.02"]) >= low

    def test_finished_run(self, lightning: Path, losses: list[float]) -> None:
        content = answer("extrapolate", lightning, "-m", "val_loss", "-g", "minimize", "-n", "30")
        assert content["steps"] == [29]
        assert content["median"] == pytest.approx([losses[-1]])
        result = call("extrapolate", lightning, "-m", "val_loss", "-g", "minimize", "-n", "30")
        assert "The run is complete: val_loss at epoch 29 is " in result.stdout


class TestWhatTheLogSays:
    """Options that may be left out."""

    STDOUT = "".join(
        f"Epoch {i}/60\n99/99 [====] - 3s 7ms/step - loss: {2.1 / i**0.5:.4f} - val_loss: "
        f"{2.3 / i**0.5:.4f}\n"
        for i in range(1, 21)
    )

    def test_goal_and_horizon_are_said_aloud(self) -> None:
        result = call("extrapolate", "-", "--metric", "val_loss", given=self.STDOUT)
        assert result.exit_code == 0
        assert "goal minimize, as the name 'val_loss' says" in result.stderr
        assert "horizon 60 in epoch, as the log says" in result.stderr
        content = answer("extrapolate", "-", "--metric", "val_loss", given=self.STDOUT)
        assert (content["goal"], content["horizon"], content["final_step"]) == ("minimize", 60, 60)

    def test_what_is_given_counts(self) -> None:
        content = answer(
            "extrapolate", "-", "-m", "val_loss", "-g", "maximize", "-n", "80", given=self.STDOUT
        )
        assert (content["goal"], content["final_step"]) == ("maximize", 80)

    def test_should_stop_and_evaluate(self) -> None:
        content = answer("should-stop", "-", "-m", "val_loss", "--best", "0.1", given=self.STDOUT)
        assert (content["goal"], content["horizon"], content["stop"]) == ("minimize", 60, True)
        scored = answer("evaluate", "-", "-m", "val_loss", given=self.STDOUT)
        assert [one["records"] for one in scored["forecasts"]] == [2, 4, 8, 16]

    def test_learning_rates_of_the_log_are_told(self) -> None:
        # Nearly zero after a fifth of the run: what the records alone do not say.
        rows = [f"{i},{0.3 + 2 / i:.4f},{0.1 * (1 - i / 13):.4f}" for i in range(1, 13)]
        with_rates = "\n".join(["epoch,val_loss,lr", *rows, ""])
        without = "\n".join(row.rsplit(",", 1)[0] for row in with_rates.split("\n"))
        asked = ("should-stop", "-", "-m", "val_loss", "-n", "60", "--best", "0.2")
        said = call(*asked, given=with_rates).stderr
        assert "learning rates are read from column 'lr'" in said
        told, deaf = answer(*asked, given=with_rates), answer(*asked, given=without)
        assert told["median"] != pytest.approx(deaf["median"], rel=1e-3)

    def test_half_a_record_changes_no_verdict(self) -> None:
        whole = answer("extrapolate", "-", "-m", "val_loss", given=self.STDOUT)
        cut = answer("extrapolate", "-", "-m", "val_loss", given=f"{self.STDOUT}Epoch 21/60\n9")
        assert cut == whole
        result = call("extrapolate", "-", "-m", "val_loss", given=f"{self.STDOUT}Epoch 21/6")
        assert "line 41 is incomplete, still being written, and was skipped" in result.stderr

    def test_what_the_log_does_not_say(self, lightning: Path) -> None:
        line = complaint("extrapolate", lightning, "-m", "val_loss")
        assert (
            "--horizon is missing" in line and "as in --horizon 100, in the unit of epoch" in line
        )
        unclear = complaint("extrapolate", "-", "-n", "9", given="3\n2\n")
        assert "add --goal maximize or --goal minimize" in unclear

    def test_a_last_value_that_is_tiny_beside_the_forecast(self) -> None:
        given = "epoch,loss\n" + "".join(f"{at},{9 / 8**at:.8f}\n" for at in range(1, 9))
        said = call("extrapolate", "-", "-n", "9", given=f"{given}9,0.5\n10,0.00000034\n").stderr
        assert "horizon is 9, but must not lie before" in said
        result = call("extrapolate", "-", "-n", "20", given=f"{given}9,0.5\n10,0.00000034\n")
        assert "the last one 3.4e-07 at epoch 10" in result.stdout

    def test_no_value_at_all_is_said_with_its_column(self) -> None:
        given = "epoch,loss,dice\n1,0.5,nan\n2,0.4,nan\n"
        line = complaint("extrapolate", "-", "-m", "dice", "-n", "9", given=given)
        assert "all 2 values are NaN in column 'dice'" in line

    def test_counted_records_are_said_aloud(self) -> None:
        result = call("extrapolate", "-", "-g", "minimize", "-n", "9", given="3\n2\n")
        assert "no column counts the steps: the 2 records are counted from 1" in result.stderr

    def test_a_horizon_in_another_unit(self, lightning: Path) -> None:
        long = answer("extrapolate", lightning, "-m", "val_loss", "-n", "10000")
        assert (long["steps_column"], long["final_step"]) == ("step", 9999)
        asked = answer("extrapolate", lightning, "-m", "val_loss", "-n", "10000", "--step", "epoch")
        assert asked["steps_column"] == "epoch"

    def test_a_run_that_counts_from_zero_is_complete(self) -> None:
        log = "iteration,loss\n" + "".join(f"{i},{9 / i}\n" for i in range(19, 4000, 20))
        result = call("extrapolate", "-", "-n", "4000", given=log)
        assert "The run is complete: loss at iteration 3,999 is " in result.stdout

    def test_peers_in_one_export(self, tmp_path: Path) -> None:
        path = tmp_path / "export.csv"
        names = [f"run-{index}" for index in range(6)]
        rows = ["Step," + ",".join(f"{name} - val_loss" for name in names)]
        for step in range(1, 9):
            rows.append(f"{step}," + ",".join(f"{2 + index - step / 9}" for index in range(6)))
        path.write_text("\n".join(rows) + "\n")
        asked = ("should-stop", path, "-n", "30", "--best", "1.0", "--peer", path)
        assert answer(*asked, "-m", "val_loss")["standing"] == 0.0
        assert answer(*asked, "-m", "run-5 - val_loss")["standing"] == 1.0

    def test_the_run_itself_is_no_peer(self, lightning: Path, tmp_path: Path) -> None:
        asked = ("extrapolate", lightning, *LOSS)
        copy = tmp_path / "copy.csv"
        copy.write_text(lightning.read_text())
        assert answer(*asked, "--peer", lightning, "--peer", copy)["peers"] == 0
        missing = complaint(*asked, "--peer", "nowhere.csv")
        assert "--peer nowhere.csv: " in missing

    def test_what_became_of_peers_corrects_the_forecast(self, tmp_path: Path) -> None:
        def logged(level: float, epochs: int) -> str:
            losses = (level * epoch**-0.3 - 0.06 * max(0, epoch - 24) for epoch in range(1, 31))
            rows = [f"{epoch},{loss}" for epoch, loss in enumerate(losses, 1)]
            return "\n".join(["epoch,val_loss", *rows[:epochs]]) + "\n"

        run = tmp_path / "run.csv"
        run.write_text(logged(2.0, 8))
        peers: list[str | Path] = []
        for index in range(6):
            path = tmp_path / f"peer{index}.csv"
            path.write_text(logged(1.83 + 0.1 * index, 30))
            peers += ["--peer", path]
        asked = ("extrapolate", run, "-n", "30", "-g", "minimize")
        alone, heard = answer(*asked), answer(*asked, *peers)
        assert (alone["peers"], heard["peers"]) == (0, 6)
        assert heard["median"][-1] < alone["median"][-1]
        assert "8 records and 6 peers, the last one" in call(*asked, *peers).stdout
        assert "--peer" in call("extrapolate", "--help").stdout

    def test_messages_fit_on_a_screen(self) -> None:
        log = json.dumps({f"metric number {index}": index for index in range(900)}) + "\n"
        line = complaint("extrapolate", "-", "-m", "val_loss", "-n", "9", given=log)
        assert len(line) < 10 * 80


class TestBadInput:
    def test_unknown_column_lists_columns(self, lightning: Path) -> None:
        line = complaint("extrapolate", lightning, "-m", "val_los", "-g", "maximize", "-n", "100")
        assert "no column 'val_los' for the metric; did you mean 'val_loss'" in line
        assert "epoch, step, train_loss, val_acc, val_loss" in line

    def test_ambiguous_metric(self, lightning: Path) -> None:
        line = complaint("extrapolate", lightning, "-g", "minimize", "-n", "100")
        assert "train_loss, val_acc, val_loss" in line

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--horizon", "10"], "horizon is 10, but must be at least 30"),
            (["--horizon", "nan"], "horizon is nan"),
            (["--bounds", "2"], "--bounds is '2'"),
            (["--bounds", "a,b"], "'a' is neither a number nor 'open'"),
            (["--bounds", "1,"], "must lie within the stated bounds"),
            (["--observe", "0"], "is 0, but must lie between 1 and the 30"),
            (["--model", "nobody"], "no model 'nobody'"),
            (["--plot", "/no/such/folder/fan.png"], "/no/such/folder/fan.png cannot be written"),
            (["--steps-column", "when"], "no column 'when' for the steps"),
            (["--best", "nan"], "--best is nan"),
        ],
    )
    def test_values(self, lightning: Path, arguments: list[str], expected: str) -> None:
        assert expected in complaint("extrapolate", lightning, *LOSS, *arguments)

    def test_files(self, tmp_path: Path) -> None:
        assert "does not exist" in complaint("extrapolate", tmp_path / "no.csv", *LOSS)
        assert "is a folder" in complaint("should-stop", tmp_path, *LOSS, "--best", "1")
        assert "is empty" in complaint("extrapolate", "-", *LOSS, given="")

    def test_a_metric_that_is_not_named(self, tmp_path: Path) -> None:
        path = tmp_path / "two.csv"
        path.write_text("epoch,loss,val loss\n1,2,3\n2,1,2\n")
        assert "name the metric, as in --metric 'val loss'" in complaint("extrapolate", path)

    @pytest.mark.parametrize(
        ("command", "arguments", "words"),
        [
            ("extrapolate", ["run.csv", "--horizon", "abc"], "'abc' is not a number"),
            ("extrapolate", ["run.csv", "--observe", "1.5"], "'1.5' is not a whole number"),
            ("should-stop", ["run.csv", "--best", "abc"], "'abc' is not a number"),
            ("watch", ["runs", "--every", "abc"], "'abc' is not a number"),
            ("report", ["runs", "--patience", "abc"], "'abc' is not a whole number"),
            ("train", ["--curves", "abc"], "'abc' is not a whole number"),
        ],
    )
    def test_what_is_no_number_is_named(
        self, command: str, arguments: list[str], words: str
    ) -> None:
        result = call(command, *arguments)
        assert result.exit_code == 2
        assert words in result.stderr and arguments[-2] in result.stderr
        assert len(result.stderr.splitlines()) <= 10

    def test_all_missing(self) -> None:
        line = complaint("extrapolate", "-", "-g", "minimize", "-n", "9", given="loss\nnan\nnan\n")
        assert "all 2 values are NaN" in line

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--gaol", "minimize"],
            ["--goal", "minimise", "--horizon", "100"],
            ["--horizon", "many", "--goal", "minimize"],
            ["--goal", "minimize", "--horizon", "100", "--schedule", "cosin"],
        ],
    )
    def test_wrong_or_missing_flags(self, lightning: Path, arguments: list[str]) -> None:
        result = call("extrapolate", lightning, *arguments)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert "Error" in result.stderr
        assert "Traceback" not in result.stderr


class TestShouldStop:
    def test_stops_a_run_that_diverged(self, tmp_path: Path) -> None:
        path = tmp_path / "diverged.csv"
        path.write_text("epoch,val_loss\n1,0.5\n2,0.4\n3,inf\n")
        result = call("should-stop", path, *LOSS, "--best", "0.6")
        assert result.exit_code == 10
        assert "the newest record is inf: the run has diverged" in result.stdout

    def test_hopeless_run_stops(self, lightning: Path) -> None:
        result = call("should-stop", lightning, *LOSS, "--best", "0.001")
        assert result.exit_code == 10
        assert result.stdout.startswith("stop: ")

    def test_promising_run_goes_on(self, lightning: Path) -> None:
        result = call("should-stop", lightning, *LOSS, "--best", "0.6")
        assert result.exit_code == 0
        assert result.stdout.startswith("go on: ")

    def test_goal_turns_the_answer(self, lightning: Path) -> None:
        arguments = ("-m", "val_acc", "-g", "maximize", "-n", "100", "--best")
        assert call("should-stop", lightning, *arguments, "99.9").exit_code == 10
        assert call("should-stop", lightning, *arguments, "50").exit_code == 0

    def test_json(self, lightning: Path) -> None:
        content = answer("should-stop", lightning, *LOSS, "--best", "0.001")
        assert content["stop"] is True
        assert 0 <= content["prob_better"] < 0.05
        assert content["threshold"] == 0.05
        assert "0.001" in content["reason"]

    def test_threshold_and_min_steps(self, lightning: Path) -> None:
        hopeless = ("should-stop", lightning, *LOSS, "--best", "0.001")
        assert call(*hopeless, "--threshold", "0").exit_code == 0
        assert call(*hopeless, "--min-steps", "31").exit_code == 0
        assert call(*hopeless, "--min-steps", "30").exit_code == 10

    def test_a_complete_run_is_left_alone(self, lightning: Path) -> None:
        hopeless = ("should-stop", lightning, "-m", "val_loss", "-g", "minimize", "--best", "0.05")
        result = call(*hopeless, "-n", "30")
        assert result.exit_code == 0
        assert "the run is complete" in result.stdout

    @pytest.mark.parametrize("command", ["should-stop", "extrapolate"])
    def test_a_share_and_percents_are_not_compared(self, tmp_path: Path, command: str) -> None:
        log = tmp_path / "log.csv"
        log.write_text("val_acc\n0.21\n0.42\n0.55\n0.61\n0.64\n")
        asked = (command, log, "-n", "50", "--best")
        assert "Write 0.846" in complaint(*asked, "84.6")
        assert answer(*asked, "84.6", "--bounds", "0,100")["best"] == 84.6

    @pytest.mark.parametrize("command", ["should-stop", "extrapolate"])
    def test_a_reward_is_not_asked_whether_it_is_in_percent(
        self, tmp_path: Path, command: str
    ) -> None:
        log = tmp_path / "log.csv"
        log.write_text("map_reward\n0.21\n0.42\n0.55\n0.61\n")
        content = answer(command, log, "-n", "50", "--best", "84.6")
        assert (content["best"], content["bounds"]) == (84.6, [None, None])

    def test_the_best_run_and_peers_tell_what_the_metric_may_reach(self, tmp_path: Path) -> None:
        log, peer = tmp_path / "speed.csv", tmp_path / "peer.csv"
        log.write_text("speed\n11\n34\n67\n97.6\n")
        peer.write_text("speed\n20\n150\n470\n")
        command = ("should-stop", log, "-g", "maximize", "-n", "50")
        assert answer(*command, "--best", "99")["bounds"] == [0, 100]
        assert answer(*command, "--best", "470")["bounds"] == [None, None]
        assert answer(*command, "--best", "99", "--peer", peer)["bounds"] == [None, None]
        assert call(*command, "--best", "470").exit_code == 0
        stated = complaint(*command, "--best", "470", "--bounds", "0,50")
        assert "is 67, but must lie within the stated bounds (0, 50)" in stated

    def test_newest_records_of_nan(self, tmp_path: Path) -> None:
        path = tmp_path / "nan.csv"
        path.write_text("epoch,val_loss\n1,2.3\n2,2.1\n3,2.0\n4,1.9\n5,nan\n6,nan\n")
        command = ("should-stop", path, *LOSS, "--best", "3")
        told = call(*command)
        assert told.exit_code == 0
        assert "the 2 newest records are NaN and count as missing" in told.stderr
        stopped = call(*command, "--nan", "stop")
        assert stopped.exit_code == 10
        assert "the newest record is nan: the run has diverged" in stopped.stdout
        assert "NaN" not in stopped.stderr
        assert call(*command, "--nan", "skip").exit_code == 2

    def test_before_a_run_has_finished(self, lightning: Path) -> None:
        assert call("should-stop", lightning, *LOSS, "--best", "inf").exit_code == 0
        accuracy = ("-m", "val_acc", "-g", "maximize", "-n", "100")
        assert call("should-stop", lightning, *accuracy, "--best", "-inf").exit_code == 0

    def test_best_must_be_a_number(self, lightning: Path) -> None:
        told = complaint("should-stop", lightning, *LOSS, "--best", "nan")
        assert "best is nan, but must be" in told

    def test_patience_looks_back(self, lightning: Path) -> None:
        hopeless = ("should-stop", lightning, *LOSS, "--best", "0.01")
        assert call(*hopeless, "--patience", "3").exit_code == 10
        # One record cannot have said stop three times.
        early = call(*hopeless, "--patience", "3", "--observe", "1", "--min-steps", "1")
        assert early.exit_code == 0

    def test_peers_tell_on_a_run_that_trails_and_spare_one_that_leads(
        self, lightning: Path, tmp_path: Path
    ) -> None:
        doubtful = ("should-stop", lightning, *LOSS, "--best", "0.3", "--observe", "10")
        alone = answer(*doubtful)
        assert alone["standing"] is None and alone["limit"] < alone["threshold"]
        rule = StoppingRule()
        for level, standing, limit in ((0.01, 1.0, rule.trust * rule.threshold), (9.0, 0.0, 0.0)):
            peers: list[str] = []
            for index in range(4):
                path = tmp_path / f"peer{index}.csv"
                rows = (f"{epoch},{level + 0.01 * index}" for epoch in range(1, 20))
                path.write_text("\n".join(["epoch,val_loss", *rows]))
                peers += ["--peer", str(path)]
            compared = answer(*doubtful, *peers)
            assert compared["standing"] == standing
            assert compared["limit"] == pytest.approx(limit)
            assert compared["prob_better"] == alone["prob_better"]

    def test_peers_are_read_in_the_metric_and_the_steps_of_the_run(self, tmp_path: Path) -> None:
        run = tmp_path / "run.csv"
        run.write_text("epoch,val_loss\n0,2.0\n1,1.8\n2,1.6\n")
        other = tmp_path / "other.csv"
        other.write_text("epoch,val_acc\n0,0.1\n1,0.2\n")
        asked = ("should-stop", run, "-g", "minimize", "-n", "20", "--best", "0.1")
        assert "'val_loss'" in complaint(*asked, "--peer", other)
        # Its first record is missing, so the log alone does not show that steps start at 0.
        late = "".join(f"{epoch},{2.0 - 0.2 * epoch}\n" for epoch in range(1, 20))
        peers = []
        for index in range(4):
            path = tmp_path / f"peer{index}.csv"
            path.write_text("epoch,val_loss\n0,\n" + late)
            peers += ["--peer", path]
        assert answer(*asked, *peers)["standing"] == 0.5
        ended = run.read_text() + late.split("\n", 2)[2]
        run.write_text(ended)
        assert answer(*asked, *peers)["standing"] == 0.5

    def test_a_loss_that_is_to_be_maximized_is_doubted(self, tmp_path: Path) -> None:
        log = tmp_path / "log.csv"
        log.write_text("value\n2.3\n1.4\n1.1\n0.95\n0.9\n")
        doubted = call("extrapolate", log, "-n", "20", "--goal", "maximize").stderr
        assert doubted.count("falls as a loss does") == 1 and "Warning" not in doubted
        assert not call("extrapolate", log, "-n", "20", "--goal", "minimize").stderr.count("falls")

    def test_an_export_without_the_steps_of_the_run(self, tmp_path: Path) -> None:
        run, export = tmp_path / "run.csv", tmp_path / "export.csv"
        run.write_text("epoch,val_loss\n" + "".join(f"{at},{2 - 0.1 * at}\n" for at in range(6)))
        asked = ("extrapolate", run, "-m", "val_loss", "-n", "20", "--peer", export)
        rows = [f'"{{}}","{1.9 - 0.09 * at}","{1.8 - 0.08 * at}"' for at in range(9)]
        head = '"Step","calm-sun-1 - val_loss","brave-sea-2 - val_loss"'
        text = "\n".join([head, *(row.format(at) for at, row in enumerate(rows)), ""])
        export.write_text(text)
        assert answer(*asked)["peers"] == 2
        assert "steps are counted in Step, for want of epoch" in call(*asked).stderr
        # Two steps of the export are not one epoch.
        text = "\n".join([head, *(row.format(2.1 * at) for at, row in enumerate(rows)), ""])
        export.write_text(text)
        assert "Step, 2.1 at a time, but those of the run in epoch, 1 at a time" in complaint(
            *asked
        )

    def test_peers_that_cannot_be_read(self, lightning: Path, tmp_path: Path) -> None:
        hopeless = ("should-stop", lightning, *LOSS, "--best", "0.05", "--peer")
        assert "missing.csv" in complaint(*hopeless, tmp_path / "missing.csv")
        long = tmp_path / "long.csv"
        long.write_text("epoch,val_loss\n1,0.5\n200,0.4\n")
        line = complaint(*hopeless, long)
        assert "long.csv" in line and "horizon is 100" in line

    def test_wrong_rule(self, lightning: Path) -> None:
        line = complaint("should-stop", lightning, *LOSS, "--best", "0.3", "--threshold", "1.5")
        assert "threshold is 1.5" in line


class TestEvaluate:
    def test_on_the_prior(self) -> None:
        content = answer("evaluate", "--model", "reference", "--curves", "40")
        assert [score["observed"] for score in content["scores"]] == [0.1, 0.2, 0.4, 0.8]
        for score in content["scores"]:
            assert score["log_likelihood"] > 1
            assert 0 < score["standard_error"] < 1
            coverage = score["coverage"]
            assert coverage["0.5"] < coverage["0.88"] < coverage["0.96"]

    def test_one_run_in_hindsight(self, lightning: Path, losses: list[float]) -> None:
        arguments = ("evaluate", lightning, "-m", "val_loss", "-g", "minimize")
        content = answer(*arguments)
        assert [one["records"] for one in content["forecasts"]] == [3, 6, 12, 24]
        late = content["forecasts"][-1]
        post = lcpfn.load().extrapolate(losses[:24], horizon=30, goal="minimize")
        assert late["median"] == pytest.approx(post.median[-1])
        assert late["final"] == losses[-1]
        result = call(*arguments)
        assert "val_loss at epoch 29" in result.stdout
        assert "24 (80 %)" in result.stdout

    def test_a_reward_that_passes_what_its_beginning_suggests(self, tmp_path: Path) -> None:
        log = tmp_path / "scores.csv"
        scores = [0.1 * 1.05**step for step in range(100)]
        log.write_text("\n".join(["Average Score", *map(str, scores), ""]))
        late = answer("evaluate", log)["forecasts"][2]
        assert late["last_value"] < 1 < late["high"] and late["rank"] < 1

    def test_several_runs(self, lightning: Path) -> None:
        result = call("evaluate", lightning, lightning, "-m", "val_loss", "-g", "minimize")
        assert "of 2 runs" in result.stdout

    def test_bad_input(self, lightning: Path) -> None:
        unclear = "".join(f"{epoch},{epoch}\n" for epoch in range(6))
        told = complaint("evaluate", "-", given=f"epoch,x\n{unclear}")
        assert "--goal is missing, and the name 'x' does not say" in told
        assert "--curves is 1" in complaint("evaluate", "--curves", "1")
        assert "'reference'" in complaint("evaluate", "--prior", "nobody")
        line = complaint("evaluate", "-", "-g", "minimize", given="loss\n3\n2\n")
        assert "loss: the run has 2 finite records, but must have at least 4" in line


class TestInfo:
    def test_shows_bundled_models_verified(self) -> None:
        content = answer("info")
        assert content["lcpfn"] == lcpfn.__version__
        assert [card["name"] for card in content["models"]] == lcpfn.available()
        assert all(card["checksum_verified"] for card in content["models"])
        result = call("info")
        assert "reference (checksum verified)" in result.stdout

    def test_tampered_weights_are_reported(self, tmp_path: Path) -> None:
        model = lcpfn.load("reference")
        from lcpfn.weights import save_weights

        path = save_weights(tmp_path, "mine", model.network, {"frame": "absolute", "resolution": 9})
        assert call("info", "--model", path).exit_code == 0
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        result = call("info", "--model", path)
        assert result.exit_code == 2
        assert "DAMAGED" in result.stdout
        assert "SHA-256" in result.stdout


class TestTrain:
    TINY = (
        "--width", "16", "--layers", "1", "--heads", "2", "--batch", "4", "--queries", "4",
        "--device", "cpu", "--no-compile",
    )  # fmt: skip

    def test_trains_exports_and_is_usable(self, tmp_path: Path) -> None:
        arguments = ("train", "--out", tmp_path, "--name", "tiny", *self.TINY)
        result = call(*arguments, "--curves", "12", "--optimiser", "adamw", "--seed", "4")
        assert result.exit_code == 0, result.output
        path = tmp_path / "tiny.safetensors"
        assert str(path) in result.stdout
        model = lcpfn.load(path)
        assert model.card["prior"] == "reference"
        assert model.card["curves"] == 12
        assert model.card["resolution"] == 100
        assert set(model.card["validation"]) == {"10%", "20%", "40%", "80%"}
        assert model.card["training"]["seed"] == 4
        # The same command finds everything done; another configuration is refused.
        again = call(*arguments, "--curves", "12", "--optimiser", "adamw", "--seed", "4")
        assert again.exit_code == 0
        line = complaint(*arguments, "--curves", "16", "--optimiser", "adamw", "--seed", "4")
        assert "give the same configuration, or another folder" in line

    def test_starts_from_weights_of_the_same_shape(self, tmp_path: Path) -> None:
        options = ("--curves", "4", "--optimiser", "adamw", *self.TINY)
        first = call("train", "--prior", "broad", "--out", tmp_path / "first", *options)
        assert first.exit_code == 0, first.output
        weights = tmp_path / "first" / "model.safetensors"
        second = call(
            "train", "--prior", "realistic", "--start", weights, "--out", tmp_path / "second",
            *options, "--learning-rate", "1e-12",
        )  # fmt: skip
        assert second.exit_code == 0, second.output
        begun, ended = (
            lcpfn.load(path) for path in (weights, tmp_path / "second/model.safetensors")
        )
        assert (ended.card["prior"], ended.card["started_from"]) == ("realistic", str(weights))
        before, after = (model.extrapolate([0.3, 0.5]).median for model in (begun, ended))
        np.testing.assert_allclose(after, before, rtol=1e-4)

    def test_goes_on_from_the_bundled_model_with_another_layer(self, tmp_path: Path) -> None:
        deeper = lcpfn.load().network.config.layers + 1
        result = call(
            "train", "--prior", "realistic", "--start", "default", "--layers", deeper, "--crps", 2,
            "--curves", 2, "--batch", 2, "--learning-rate", "1e-12", "--out", tmp_path,
            "--device", "cpu", "--no-compile",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        trained = lcpfn.load(tmp_path / "model.safetensors")
        assert trained.network.config.layers == deeper
        assert trained.card["training"]["crps"] == 2
        assert trained.card["headroom"] and trained.card["keeps_beyond"]
        after, before = (model.extrapolate([0.3, 0.5]).median for model in (trained, lcpfn.load()))
        np.testing.assert_allclose(after, before, rtol=1e-3)

    def test_prior_of_ones_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "my_curve_prior.py").write_text(
            "import torch\n"
            "from lcpfn.priors import CurveBatch\n"
            "class Rising:\n"
            "    def sample(self, count, generator=None):\n"
            "        fractions = torch.arange(1, 21) / 20\n"
            "        clean = fractions * torch.rand(count, 1, generator=generator)\n"
            "        noise = torch.full((count, 1), 0.01)\n"
            "        values = clean + noise * torch.randn(clean.shape, generator=generator)\n"
            "        return CurveBatch(fractions, values, clean, noise)\n"
            "rising = Rising()\n"
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", list(sys.path))
        for name in ("Rising", "rising"):
            prior = f"my_curve_prior:{name}"
            result = call(
                "train", "--prior", prior, "--out", tmp_path / name, "--curves", "8",
                "--optimiser", "adamw", *self.TINY,
            )  # fmt: skip
            assert result.exit_code == 0, result.output
            card = lcpfn.load(tmp_path / name / "model.safetensors").card
            assert (card["prior"], card["resolution"]) == (prior, 20)

    def test_scalars_for_tensorboard(self, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        folder = tmp_path / "board"
        options = ("--curves", "16", "--validate-every", "2", "--optimiser", "adamw")
        result = call("train", "--out", tmp_path, "--log-dir", folder, *self.TINY, *options)
        assert result.exit_code == 0, result.output
        written = EventAccumulator(str(folder)).Reload()
        assert [event.step for event in written.Scalars("validation/40%")] == [2, 4]
        assert {"objective", "learning_rate", "curves_per_second"} <= set(written.Tags()["scalars"])

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--prior", "nobody"], "--prior is 'nobody'"),
            (["--prior", "no_such_module:prior"], "No module named 'no_such_module'"),
            (["--prior", "math:tau2"], "has no attribute 'tau2'"),
            (["--prior", "math:pi"], "must have a method `sample`"),
            (["--width", "30", "--heads", "4"], "--heads is 4, but must divide --width, 30"),
            (["--layers", "0"], "--layers is 0, but must be at least 1"),
            (["--curves", "0"], "curves is 0, but must be at least 1"),
            (["--optimiser", "sgd"], "optimiser is 'sgd'"),
            (["--device", "abacus"], "--device is 'abacus'"),
            (["--name", "a/b"], "--name is 'a/b'"),
            (["--frame", "wooden"], "--frame is 'wooden'"),
            (["--start", "nobody"], "nobody"),
            (["--start", "default", "--curves", "4"], "cannot start"),
        ],
    )
    def test_bad_input(self, tmp_path: Path, arguments: list[str], expected: str) -> None:
        assert expected in complaint("train", "--out", tmp_path, *arguments)

    def test_out_is_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("")
        options = (*self.TINY, "--curves", "4", "--optimiser", "adamw")
        result = call("train", "--out", path, *options)
        assert result.exit_code == 2
        assert str(path) in result.stderr

    @pytest.mark.skipif(os.name != "posix", reason="sends a signal")
    def test_interrupted_training_leaves_quietly(
        self, tmp_path: Path, heeded_interrupts: None
    ) -> None:
        command = [*COMMAND, "train", "--out", str(tmp_path), *self.TINY]
        command += ["--curves", "4000000", "--optimiser", "adamw", "--checkpoint-seconds", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 60
            while not (tmp_path / "checkpoint.pt").exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            # An interrupt that arrives in a destructor is lost; a user presses again.
            for _ in range(5):
                process.send_signal(signal.SIGINT)
                try:
                    _, errors = process.communicate(timeout=20)
                    break
                except subprocess.TimeoutExpired:
                    continue
        assert process.returncode == 130, errors
        assert "the same command goes on from the last checkpoint" in errors
        assert "Traceback" not in errors


class TestProcess:
    """What only a real process can show."""

    def test_help_and_version_load_nothing_heavy(self) -> None:
        script = (
            "import sys\n"
            "from lcpfn.cli import main\n"
            "try:\n    main()\nexcept SystemExit as leaving:\n    code = leaving.code\n"
            "heavy = {'torch', 'numpy', 'matplotlib', 'safetensors'} & set(sys.modules)\n"
            "print(code, sorted(heavy))\n"
        )
        for arguments in (["--help"], ["--version"], ["train", "--help"]):
            done = subprocess.run(
                [sys.executable, "-c", script, *arguments],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert done.stdout.splitlines()[-1] == "0 []"

    def test_version(self) -> None:
        done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"lcpfn-stopping {lcpfn.__version__}\n"

    def test_exit_codes_and_standard_input(self, losses: list[float]) -> None:
        log = "loss\n" + "\n".join(map(repr, losses))
        command = [*COMMAND, "should-stop", "-", "-g", "minimize", "-n", "100", "--best"]
        stopped = subprocess.run([*command, "0.001"], input=log, capture_output=True, text=True)
        assert (stopped.returncode, stopped.stdout[:5]) == (10, "stop:")
        refused = subprocess.run(
            [*command, "0.05", "--metric", "acc"], input=log, capture_output=True, text=True
        )
        assert refused.returncode == 2
        assert refused.stderr == (
            "lcpfn: standard input has no column 'acc' for the metric; its columns are loss\n"
        )

    @pytest.mark.skipif(os.name != "posix", reason="closes one end of a pipe")
    @pytest.mark.parametrize("options", [["--json"], []])
    def test_closed_pipe(self, lightning: Path, options: list[str]) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run(
                [*COMMAND, "extrapolate", str(lightning), *LOSS, *options],
                stdout=writing, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        finally:
            os.close(writing)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr


class TestWriting:
    @pytest.mark.parametrize(
        ("step", "written"),
        [(40.0, "40"), (200_000.0, "200,000"), (1.5, "1.5"), (50_252.4, "50,252")],
    )
    def test_steps(self, step: float, written: str) -> None:
        assert write_step(step) == written

    @pytest.mark.parametrize(
        ("value", "width", "written"),
        [
            (0.91234, 0.03, "0.912"),
            (91.234, 4.0, "91.2"),
            (0.5, 0.0, "0.50"),
            (1.5e9, 1e8, "1.5e+09"),
        ],
    )
    def test_numbers(self, value: float, width: float, written: str) -> None:
        assert number_writer([value], [width])(value) == written

    @pytest.mark.parametrize(
        ("probability", "written"),
        [(0.0, "< 0.1 %"), (0.031, "3.1 %"), (0.42, "42 %"), (0.9962, "99.6 %"), (1.0, "> 99.9 %")],
    )
    def test_probabilities(self, probability: float, written: str) -> None:
        assert write_probability(probability) == written

    def test_bounds(self) -> None:
        assert parse_bounds("auto") == "auto"
        assert parse_bounds("open") is None
        assert parse_bounds("0,open") == (0.0, None)
        assert parse_bounds(" -1 , 2.5 ") == (-1.0, 2.5)
        with pytest.raises(InputError, match="must be auto, open or LOW,HIGH"):
            parse_bounds("1,2,3")
