"""Lines of text that hold more than records: settings, and bars that say how much and how many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcpfn.logs.run import RunLog, read_run

LOSSES = [1.93, 1.42, 1.19, 1.06, 0.97, 0.92]


def read(folder: Path, text: str, metric: str = "val_loss") -> RunLog:
    path = folder / "train.log"
    path.write_text(text)
    return read_run(path, metric)


def numbered(line: str) -> str:
    """One line for each of the losses."""
    return "".join(line.format(number, loss) + "\n" for number, loss in enumerate(LOSSES, start=1))


SETTINGS = [
    "Namespace(arch='resnet18', epochs=90, lr=0.1, start_epoch=0, seed=None)\n",
    "{'lr': 0.1, 'epochs': 90, 'start_epoch': 0, 'batch_size': 32}\n",
    "Config:\n  lr: 0.1\n  epochs: 90\n  save_epoch: 5\n  seed: 42\n",
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(
    "line", ["[{}] val loss: {}", "Epoch {}: val loss {}", "step {} val_loss={}"]
)
def test_settings_count_no_steps(tmp_path: Path, settings: str, line: str) -> None:
    log = read(tmp_path, settings + numbered(line))
    assert log.values.tolist() == LOSSES
    assert log.model_steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert log.rates is None, "a rate among the settings does not say that it stays so"


@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_say_how_many_epochs(tmp_path: Path, settings: str) -> None:
    assert read(tmp_path, settings + numbered("Epoch {}: val loss {}")).stated_horizon == 90


def test_epochs_that_are_counted_in_the_plural(tmp_path: Path) -> None:
    log = read(tmp_path, numbered("Epochs: {} | val loss: {}"))
    assert (log.steps_column, log.model_steps.tolist()) == ("epoch", [1, 2, 3, 4, 5, 6])


def bar(what: str, done: int, of: int, rest: str) -> str:
    """What tqdm draws."""
    blocks = "█" * (10 * done // of)
    return (
        f"\r{what}{100 * done // of:3d}%|{blocks:10}| {done}/{of} [00:07<01:20, 1.05it/s, {rest}]"
    )


@pytest.mark.parametrize(
    ("what", "column"), [("Steps: ", "steps"), ("Epochs: ", "epoch"), ("Iteration: ", "iteration")]
)
def test_a_bar_counts_what_it_is_called_and_no_percents(
    tmp_path: Path, what: str, column: str
) -> None:
    bars = [bar(what, 3 * (at + 1), 600, f"loss={loss}") for at, loss in enumerate(LOSSES)]
    log = read(tmp_path, "".join(bars) + "\n", "loss")
    assert (log.steps_column, log.stated_horizon) == (column, 600)
    assert log.model_steps.tolist() == [3, 6, 9, 12, 15, 18]


@pytest.mark.parametrize("what", ["", "Training: "])
def test_bars_that_begin_anew_in_every_epoch_are_no_resumed_runs(tmp_path: Path, what: str) -> None:
    text = "".join(
        "".join(bar(what, batch, 8, f"loss={loss}") for batch in range(1, 9))
        + f"\nval_loss: {loss}\n"
        for loss in LOSSES
    )
    log = read(tmp_path, text)
    assert log.values.tolist() == LOSSES
    assert (log.steps_column, log.stated_horizon) == (None, None)
    assert any("begins again" in note for note in log.notes)


@pytest.mark.parametrize("rest", ["", "half"])
def test_bars_of_training_and_validation_by_turns(tmp_path: Path, rest: str) -> None:
    epochs = [
        "".join(bar("Training: ", batch, 8, f"loss={loss / 2}") for batch in range(1, 9))
        + "\n"
        + bar("Validation: ", 3, 3, f"loss={loss}")
        + "\n"
        for loss in LOSSES
    ]
    begun = bar("Training: ", 4, 8, "loss=0.1") if rest else ""
    log = read(tmp_path, "".join(epochs) + begun)
    assert log.values.tolist() == LOSSES
    assert (log.steps_column, log.stated_horizon) == (None, None)


def test_bars_of_torchtune_say_epoch_and_step(tmp_path: Path) -> None:
    steps = range(1, 7)
    bars = [
        bar(f"{1 + (step > 3)}|{step}|Loss: {loss}: ", (step - 1) % 3 + 1, 3, "x")
        for step, loss in zip(steps, LOSSES, strict=True)
    ]
    log = read(tmp_path, "epochs: 2\nbatch_size: 4\n" + "".join(bars) + "\n", "loss")
    assert log.values.tolist() == LOSSES
    assert (log.steps_column, log.model_steps.tolist()) == ("step", list(steps))


def test_a_bracket_that_opens_a_line_belongs_to_no_name(tmp_path: Path) -> None:
    text = numbered("(epoch: {}, iters: 100, time: 0.123) G_L1: {} D_fake: 0.6")
    assert read(tmp_path, text, "G_L1").steps_column == "epoch"


@pytest.mark.parametrize("line", ["Epoch #{}: val_loss={}", "epoch\uff1a{}\uff0cval_loss\uff1a{}"])
def test_epochs_that_begin_late(tmp_path: Path, line: str) -> None:
    text = "".join(line.format(at, loss) + "\n" for at, loss in enumerate(LOSSES, start=7))
    log = read(tmp_path, text)
    assert (log.metric, log.steps_column) == ("val_loss", "epoch")
    assert log.model_steps.tolist() == [7, 8, 9, 10, 11, 12]


@pytest.mark.parametrize(("stated", "length"), [(24, 25), (25, 25), (5, 6), (20, 20), (99, 100)])
def test_a_total_that_is_the_number_of_the_last_epoch(
    tmp_path: Path, stated: int, length: int
) -> None:
    text = "".join(f"Epoch {at}/{stated} val_loss {loss}\n" for at, loss in enumerate(LOSSES))
    log = read(tmp_path, text)
    assert log.stated_horizon == length
    assert log.own_steps(log.model_horizon(length) * np.ones(1)) == length - 1
    # Counted from 1, there is no question.
    text = "".join(
        f"Epoch {at}/{stated} val_loss {loss}\n" for at, loss in enumerate(LOSSES[:4], 1)
    )
    assert read(tmp_path, text).stated_horizon == stated


@pytest.mark.parametrize(
    "line", ["Ep {0}0 avg reward (100): {1}", "Ep {0}0 | Average reward (last 100 episodes): {1}"]
)
def test_over_how_many_a_mean_is_taken_is_no_value(tmp_path: Path, line: str) -> None:
    log = read(tmp_path, numbered(line), "reward")
    assert log.values.tolist() == LOSSES
    assert (log.steps_column, log.logged_steps.tolist()) == ("ep", [10, 20, 30, 40, 50, 60])


def test_vali_is_no_test(tmp_path: Path) -> None:
    text = numbered("Epoch: {0}, Steps: 263 | Train Loss: 0.5 Vali Loss: {1} Test Loss: 0.7")
    assert read(tmp_path, text).values.tolist() == LOSSES


def test_evaluations_of_stable_baselines_count_timesteps(tmp_path: Path) -> None:
    text = numbered("Eval num_timesteps={0}000, episode_reward={1} +/- 12.30")
    assert read(tmp_path, text, "reward").model_steps.tolist() == [1000 * n for n in range(1, 7)]


@given(done=st.lists(st.integers(1, 400), min_size=4, max_size=8, unique=True))
def test_a_bar_that_was_resumed_goes_on(
    tmp_path_factory: pytest.TempPathFactory, done: list[int]
) -> None:
    # Short of its end, a count that goes back is that of a resumed run.
    bars = "".join(bar("Steps: ", each, 401, f"loss={each}") for each in sorted(done))
    again = "".join(bar("Steps: ", each, 401, f"loss={2 * each}") for each in sorted(done)[-2:])
    log = read(tmp_path_factory.getbasetemp(), f"{bars}\n{again}\n", "loss")
    expected = sorted(done)
    assert log.model_steps.tolist() == expected
    assert log.values.tolist() == [*expected[:-2], *(2 * each for each in expected[-2:])]


def test_a_part_of_the_data_and_the_number_of_an_epoch(tmp_path: Path) -> None:
    text = numbered("Train {0}, loss: 0.5, train acc: 0.4\nTest {0}, loss: {1}, test acc: 0.3")
    log = read(tmp_path, text, "Test loss")
    assert (log.values.tolist(), log.model_steps.tolist()) == (LOSSES, [1, 2, 3, 4, 5, 6])


def test_how_far_a_test_has_come_is_no_step(tmp_path: Path) -> None:
    text = numbered(
        "Iter: {0}000/90000 loss_pixel: 5.3\nTest iter: [0/14]\nTest iter: [9/14]\nssim: {1}"
    )
    log = read(tmp_path, text, "ssim")
    assert log.model_steps.tolist() == [1000, 2000, 3000, 4000, 5000, 6000]
    assert log.stated_horizon == 90_000


@pytest.mark.parametrize(
    ("line", "metric"),
    [
        ("epoch {} loss: tensor({}, device='cuda:0')", "loss"),
        ("epoch {} loss=Array({}, dtype=float32)", "loss"),
        ("epoch {} {{'loss': np.float64({})}}", "loss"),
        ("epoch {} tensor({}, device='cuda:0', grad_fn=<NllLossBackward0>)", "tensor"),
        ("epoch {} tf.Tensor({}, shape=(), dtype=float32)", "Tensor"),
    ],
)
def test_a_number_is_read_without_what_holds_it(tmp_path: Path, line: str, metric: str) -> None:
    values = [1.2, 0.91, 0.74, 0.7]
    path = tmp_path / "log.txt"
    path.write_text("".join(line.format(n, v) + "\n" for n, v in enumerate(values, 1)))
    log = read_run(path, metric)
    assert log.metric == metric and log.values.tolist() == values
    assert log.logged_steps.tolist() == [1, 2, 3, 4]


def test_a_printed_history_of_numpys_numbers(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("{'loss': [np.float64(1.2), np.float64(0.9), np.float64(0.8)]}\n")
    assert read_run(path, "loss").values.tolist() == [1.2, 0.9, 0.8]
