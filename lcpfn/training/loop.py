"""Training a network on a prior: resumable, killable, on CPUs and GPUs, one process or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lcpfn.errors import InputError, TrainingError
from lcpfn.network.inputs import Observations
from lcpfn.network.transformer import Network
from lcpfn.priors import Prior
from lcpfn.training.ascent import Ascent
from lcpfn.training.checkpoint import Checkpoint, checkpoint_name
from lcpfn.training.config import Execution, TrainingConfig
from lcpfn.training.hardware import compile_pays, half_precision_pays, hardware
from lcpfn.training.objective import Objective
from lcpfn.training.optimisers import learning_rate
from lcpfn.training.prior_scores import forecasts_by_share
from lcpfn.training.processes import Processes, join_processes
from lcpfn.training.questions import draw_examples

_VALIDATION_SEED = 20231
_VALIDATION_CURVES = 500
_WARM_UP_STEPS = 20


@dataclass(frozen=True)
class Progress:
    """How far training is; handed to the observer after every step.

    Args:
        step, steps: done and in all.
        objective: this step's mean objective (higher is better).
        curves_per_second: since this process started, compilation left out.
        validation: mean log-density of unseen noisy points by observed share of the curve, where
            it was measured at this step.
        learning_rate: of this step.
        seconds: spent training so far, earlier processes included.
    """

    step: int
    steps: int
    objective: float
    curves_per_second: float
    validation: dict[str, float] | None
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class TrainingResult:
    """The trained network and what a model card says of its making."""

    network: Network
    validation: dict[str, float]
    steps: int
    curves: int
    seconds: float
    hardware: str


def train(
    prior: Prior,
    config: TrainingConfig,
    folder: Path,
    *,
    execution: Execution | None = None,
    observer: Callable[[Progress], None] = lambda progress: None,
    start: Network | None = None,
    origin: Mapping[str, str | None] | None = None,
) -> TrainingResult:
    """Trains a network on a prior, resuming from `folder` where a checkpoint lies there.

    Under `torchrun` every process draws its own share of each batch and gradients are averaged;
    the first process writes the checkpoints.

    Args:
        prior: draws the curves.
        config: what to train.
        folder: checkpoints go here.
        execution: how to train it; None for the defaults.
        observer: called after every step.
        start: trained weights to begin with, where there is no checkpoint yet; see
            `Network.take_over`.
        origin: what prior and start are called, so that a checkpoint of others is not gone on
            with; what it leaves out is not compared.

    Raises:
        CheckpointError: the folder's checkpoint cannot be read, or is of another configuration or
            origin.
        InputError: the batch cannot be shared by the processes, or `start` is of another shape.
        TrainingError: the objective or its gradient is no finite number.
    """
    chosen = Execution() if execution is None else execution
    with join_processes(chosen.device) as processes:
        network = Network(config.network).initialise(torch.Generator().manual_seed(config.seed))
        if start is not None:
            network.take_over(start)
        learner = _Learner(network, prior, config, processes, chosen.compile)
        checkpoint = Checkpoint(
            folder / checkpoint_name(processes.rank),
            config,
            origin or {},
            network,
            learner.ascent.optimisers,
            learner.generator,
        )
        return _go_on(learner, checkpoint, chosen, observer)


class _Learner:
    """One process's share in every step: draws, gradient, update.

    Args:
        network: to train; is moved to the processes' device.
        prior: draws the curves.
        config: what to train.
        processes: this one among those that train together.
        compile: whether to compile; None decides by whether it pays.
    """

    def __init__(
        self,
        network: Network,
        prior: Prior,
        config: TrainingConfig,
        processes: Processes,
        compile: bool | None,
    ):
        if config.batch % processes.count:
            raise InputError(
                f"batch is {config.batch}, but must be a multiple of the {processes.count} "
                "processes"
            )
        self.network = network.to(processes.device)
        self.prior = prior
        self.config = config
        self.processes = processes
        self.generator = torch.Generator(processes.device).manual_seed(
            config.seed * 1009 + processes.rank + 1
        )
        self.ascent = Ascent(network, config)
        self._share = config.batch // processes.count
        self._half = half_precision_pays(processes.device)
        self._objective: nn.Module = Objective(network, config.crps)
        if compile_pays(processes.device, config.steps) if compile is None else compile:
            self._objective = torch.compile(self._objective, dynamic=False)  # type: ignore[assignment]
        if processes.count > 1:
            self._objective = DistributedDataParallel(self._objective)

    def learn(self, step: int) -> tuple[float, float]:
        """Makes the step of this number, counted from 0: its objective and its learning rate.

        Raises:
            TrainingError: see `Ascent.step`; it names the step.
        """
        self.network.train()
        batch = self.prior.sample(self._share, self.generator)
        examples = draw_examples(batch, self.config.queries, self.generator)
        context = self.network.view.observe(examples.observations)
        with torch.autocast(self.processes.device.type, torch.bfloat16, enabled=self._half):
            score = self._objective(context, examples)
        rate = learning_rate(self.config, step)
        try:
            self.ascent.step(score, rate)
        except TrainingError as error:
            raise TrainingError(f"at step {step + 1} of {self.config.steps} {error}") from None
        return float(score.detach()), rate


def _go_on(
    learner: _Learner,
    checkpoint: Checkpoint,
    execution: Execution,
    observer: Callable[[Progress], None],
) -> TrainingResult:
    """Trains from the checkpoint, where there is one, to the end."""
    config, processes, network = learner.config, learner.processes, learner.network
    step, seconds_before = processes.agree(*checkpoint.resume())
    unseen = _validation_batch(learner.prior, processes.device)
    validation = validate(network, unseen) if step >= config.steps else {}
    started = saved = time.monotonic()
    # The first steps compile: their speed says nothing of the others'.
    warm_up_until = step + _WARM_UP_STEPS
    clock_start, clock_step = started, step
    while step < config.steps:
        objective, rate = learner.learn(step)
        step += 1
        now = time.monotonic()
        if step == warm_up_until:
            clock_start, clock_step = now, step
        measured = None
        if step % execution.validate_every == 0 or step == config.steps:
            measured = validation = validate(network, unseen)
        speed = (step - clock_step) * config.batch / max(now - clock_start, 1e-9)
        seconds = seconds_before + now - started
        observer(Progress(step, config.steps, objective, speed, measured, rate, seconds))
        due = processes.all_agree(now - saved >= execution.checkpoint_seconds)
        if due or step == config.steps:
            checkpoint.save(step, seconds)
            saved = time.monotonic()
    seconds = seconds_before + time.monotonic() - started
    return TrainingResult(
        network.eval(),
        validation,
        step,
        step * config.batch,
        seconds,
        hardware(processes.device),
    )


@torch.no_grad()
def validate(network: Network, complete: Observations) -> dict[str, float]:
    """Mean log-density of the points after 10, 20, 40 and 80 % of each curve, noisy as they are.

    Args:
        network: to score.
        complete: (curves, n) all of every curve.
    """
    network.eval()
    return {
        f"{share:.0%}": float(forecast.log_prob(unseen).mean())
        for share, forecast, unseen in forecasts_by_share(network, complete)
    }


def _validation_batch(prior: Prior, device: torch.device) -> Observations:
    generator = torch.Generator(device).manual_seed(_VALIDATION_SEED)
    batch = prior.sample(_VALIDATION_CURVES, generator)
    return Observations(batch.fractions.expand_as(batch.values).contiguous(), batch.values)
