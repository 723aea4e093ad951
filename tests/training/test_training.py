import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from lcpfn import CheckpointError, InputError, TrainingError
from lcpfn.network.config import NetworkConfig
from lcpfn.priors import CurveBatch, ReferencePrior
from lcpfn.training import Execution, Progress, TrainingConfig, train
from lcpfn.training.checkpoint import CHECKPOINT_NAME, read_checkpoint
from lcpfn.training.optimisers import learning_rate

TINY = TrainingConfig(
    curves=16 * 40,
    batch=16,
    queries=8,
    seed=3,
    network=NetworkConfig(width=32, layers=2, heads=2, bins=16),
)


class ExponentialPrior:
    """A user's own prior: decays to a random level, 20 records."""

    def sample(self, count: int, generator: torch.Generator | None = None) -> CurveBatch:
        fractions = torch.arange(1, 21) / 20
        level = torch.rand(count, 1, generator=generator)
        clean = level + (1 - level) * torch.exp(-5 * fractions)
        noise = torch.full((count, 1), 0.01)
        values = clean + noise * torch.randn(clean.shape, generator=generator)
        return CurveBatch(fractions, values, clean, noise)


def test_training_improves_on_a_prior_of_the_user_s_own(tmp_path: Path) -> None:
    seen: list[Progress] = []
    config = replace(TINY, curves=64 * 120, batch=64)
    execution = Execution(validate_every=20)
    result = train(ExponentialPrior(), config, tmp_path, execution=execution, observer=seen.append)
    assert [progress.step for progress in seen] == list(range(1, 121))
    first = next(progress.validation for progress in seen if progress.validation)
    assert first is not None
    for share, score in result.validation.items():
        assert score > first[share]
    assert result.curves == 64 * 120 and result.steps == 120


def test_the_ranked_probability_score_is_part_of_the_objective(tmp_path: Path) -> None:
    plain: list[float] = []
    both: list[float] = []
    for seen, crps in ((plain, 0.0), (both, 3.0)):
        config = replace(TINY, curves=64 * 150, batch=64, crps=crps)
        train(
            ExponentialPrior(), config, tmp_path / str(crps),
            observer=lambda progress, seen=seen: seen.append(progress.objective),
        )  # fmt: skip
    # An untrained network is the same in both: the score alone lowers the objective.
    assert both[0] < plain[0]
    assert both[-1] > both[0] + (plain[-1] - plain[0]) / 2


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_interrupted_training_ends_where_it_would_have(tmp_path: Path, optimiser: str) -> None:
    config = replace(TINY, optimiser=optimiser)
    whole = train(ReferencePrior(), config, tmp_path / "whole")

    class StopHereError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.step == 25:
            raise StopHereError

    often = Execution(checkpoint_seconds=0.0)
    with pytest.raises(StopHereError):
        train(ReferencePrior(), config, tmp_path / "cut", execution=often, observer=stop)
    steps: list[int] = []
    resumed = train(
        ReferencePrior(), config, tmp_path / "cut", observer=lambda p: steps.append(p.step)
    )
    assert steps == list(range(25, 41))
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name


SCRIPT = """
import sys
from pathlib import Path
from lcpfn.network.config import NetworkConfig
from lcpfn.priors import ReferencePrior
from lcpfn.training import Execution, TrainingConfig, train
network = NetworkConfig(width=32, layers=2, heads=2, bins=16)
config = TrainingConfig(curves=16 * 100_000, batch=16, queries=8, seed=3, network=network)
execution = Execution(compile=False, checkpoint_seconds=0.02, validate_every=10**9)
train(ReferencePrior(), config, Path(sys.argv[1]), execution=execution,
      observer=lambda progress: print(progress.step, flush=True))
"""


def run_and_kill(folder: Path, seconds: float) -> tuple[int, int]:
    """Trains in a process of its own, kills it, and returns the first and the last step seen."""
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        first = last = int(process.stdout.readline())
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or last < first + 5:
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = [int(line) for line in process.stdout if line.strip().isdigit()]
        return first, max([last, *rest])


def test_sigkill_loses_at_most_one_interval_and_never_the_checkpoint(tmp_path: Path) -> None:
    reached = 0
    for seconds in (0.3, 0.47, 0.64):
        first, last = run_and_kill(tmp_path, seconds)
        # Resumed right behind the last checkpoint, not from the start.
        assert first == reached + 1
        reached = int(read_checkpoint(tmp_path / CHECKPOINT_NAME)["step"])
        # With 0.02 s between checkpoints, a step or two are lost; allow for a slow disk.
        assert first <= reached <= last and last - reached <= 50


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    config = replace(TINY, curves=16)
    train(ReferencePrior(), config, tmp_path)
    with pytest.raises(CheckpointError, match="was written with the configuration"):
        train(ReferencePrior(), replace(config, seed=4), tmp_path)


def test_a_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT_NAME).write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(CheckpointError, match="is not a readable checkpoint"):
        train(ReferencePrior(), TINY, tmp_path)


def test_checkpoints_hold_no_code(tmp_path: Path) -> None:
    train(ReferencePrior(), replace(TINY, curves=16), tmp_path)
    content = read_checkpoint(tmp_path / CHECKPOINT_NAME)
    assert json.loads(content["config"])["batch"] == 16
    assert {"network", "optimisers", "generator", "step", "seconds"} <= set(content)


def test_an_interrupt_while_a_checkpoint_is_written_stays_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(io.BytesIO):
        written = 0

        def write(self, data: object) -> int:
            self.written += 1
            if self.written == 5:
                raise KeyboardInterrupt
            return super().write(data)  # type: ignore[arg-type]

    monkeypatch.setattr("lcpfn.training.checkpoint.io.BytesIO", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(ReferencePrior(), replace(TINY, curves=16), tmp_path)
    assert not (tmp_path / CHECKPOINT_NAME).exists()


def test_training_that_breaks_down_says_at_which_step(tmp_path: Path) -> None:
    config = replace(TINY, curves=64 * 50, batch=64, learning_rate=1e8, warmup=0.0)
    with pytest.raises(TrainingError, match=r"at step \d+ of 50 the objective is"):
        train(ExponentialPrior(), config, tmp_path)


def test_a_folder_of_another_origin_is_refused(tmp_path: Path) -> None:
    config = replace(TINY, curves=16)
    begun = {"prior": "mine", "start": None}
    train(ExponentialPrior(), config, tmp_path, origin=begun)
    train(ExponentialPrior(), config, tmp_path, origin=begun)
    for other in ({"prior": "yours", "start": None}, {"prior": "mine", "start": "default"}):
        with pytest.raises(CheckpointError, match=r"was trained with (prior mine|start None), but"):
            train(ExponentialPrior(), config, tmp_path, origin=other)


def test_learning_rate_warms_up_and_decays() -> None:
    config = replace(TINY, curves=16 * 1000, warmup=0.1, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(config.steps + 1)]
    assert rates[0] == pytest.approx(0.01) and max(rates) == rates[99]
    assert all(later <= earlier for earlier, later in pairwise(rates[99:]))
    assert rates[-1] == pytest.approx(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"curves": 0}, "curves is 0, but must be at least 1"),
        ({"batch": 0}, "batch is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, but must be positive"),
        ({"crps": -1.0}, "crps is -1.0, but must be at least 0"),
        ({"warmup": 1.0}, "warmup is 1.0, but must be at least 0 and below 1"),
        ({"optimiser": "sgd"}, "optimiser is 'sgd', but must be 'adamw' or 'muon'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainingConfig(**arguments)  # type: ignore[arg-type]


LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def test_two_processes_train_together(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        SCRIPT.replace("16 * 100_000", "16 * 12").replace("0.02", "60")
        + "print('finished', flush=True)\n"
    )
    result = subprocess.run(
        [*LAUNCH, str(script), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("finished") == 2
    first, second = (
        read_checkpoint(tmp_path / "out" / name) for name in (CHECKPOINT_NAME, "checkpoint-1.pt")
    )
    assert first["step"] == second["step"] == 12
    for name, tensor in first["network"].items():
        assert torch.equal(tensor, second["network"][name])
    assert not torch.equal(first["generator"], second["generator"])


class _NowAndThenWild:
    """Draws exponentials, but every fifth batch holds a curve that is no number."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.drawn = 0

    def sample(self, count: int, generator: torch.Generator | None = None) -> CurveBatch:
        batch = ExponentialPrior().sample(count, generator)
        self.drawn += 1
        if self.drawn % self.every == 0:
            batch.clean[0] = math.inf
        return batch


def test_a_wild_curve_now_and_then_does_not_end_training(tmp_path: Path) -> None:
    config = replace(TINY, curves=64 * 20, batch=64)
    result = train(_NowAndThenWild(5), config, tmp_path)
    assert result.steps == 20
    assert all(torch.isfinite(parameter).all() for parameter in result.network.parameters())


def test_wild_curves_throughout_end_training(tmp_path: Path) -> None:
    config = replace(TINY, curves=64 * 20, batch=64)
    with pytest.raises(TrainingError, match="at step 11 of 20 the objective is"):
        train(_NowAndThenWild(1), config, tmp_path)
