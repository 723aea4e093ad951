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
from lcpfn.evaluation import forecasts_by_share
from lcpfn.network.inputs import Observations
from lcpfn.network.transformer import Network
from lcpfn.priors import Prior
from lcpfn.training.checkpoint import TrainingState, checkpoint_name
from lcpfn.training.config import TrainingConfig
from lcpfn.training.hardware import compile_pays, half_precision_pays, hardware
from lcpfn.training.objective import Objective
from lcpfn.training.optimisers import build_optimisers, learning_rate, set_rate
from lcpfn.training.processes import Processes, join_processes
from lcpfn.training.questions import draw_examples

_VALIDATION_SEED = 20231
_VALIDATION_CURVES = 500


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
    device: str = "auto",
    compile: bool | None = None,
    checkpoint_seconds: float = 60.0,
    validate_every: int = 500,
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
        device: "cpu", "cuda", ... or "auto" for the best there is.
        compile: use `torch.compile`; None decides by whether it pays (a GPU, or a long run).
        checkpoint_seconds: time between checkpoints: what a kill loses at most.
        validate_every: steps between validations.
        observer: called after every step.
        start: trained weights to begin with, where there is no checkpoint yet; see
            `Network.take_over`.
        origin: what prior and start are called, so that a checkpoint of others is not gone on
            with; what it leaves out is not compared.

    Raises:
        CheckpointError: the folder's checkpoint cannot be read, or is of another configuration or
            origin.
        TrainingError: the objective or its gradient is no finite number.
    """
    with join_processes(device) as processes:
        return _train(
            prior,
            config,
            folder,
            processes,
            compile,
            checkpoint_seconds,
            validate_every,
            observer,
            start,
            dict(origin or {}),
        )


def _train(
    prior: Prior,
    config: TrainingConfig,
    folder: Path,
    processes: Processes,
    compile: bool | None,
    checkpoint_seconds: float,
    validate_every: int,
    observer: Callable[[Progress], None],
    start: Network | None,
    origin: dict[str, str | None],
) -> TrainingResult:
    device = processes.device
    if config.batch % processes.count:
        raise InputError(
            f"batch is {config.batch}, but must be a multiple of the {processes.count} processes"
        )
    share = config.batch // processes.count
    network = Network(config.network).initialise(torch.Generator().manual_seed(config.seed))
    if start is not None:
        network.take_over(start)
    network.to(device)
    generator = torch.Generator(device).manual_seed(config.seed * 1009 + processes.rank + 1)
    optimisers = build_optimisers(network, config)
    state = TrainingState(network, optimisers, generator, origin)
    path = folder / checkpoint_name(processes.rank)
    step, seconds_before = state.load(path, config) if path.exists() else (0, 0.0)
    step, seconds_before = processes.agree(step, seconds_before)

    objective: nn.Module = Objective(network, config.crps)
    if compile_pays(device, config.steps) if compile is None else compile:
        objective = torch.compile(objective, dynamic=False)  # type: ignore[assignment]
    if processes.count > 1:
        objective = DistributedDataParallel(objective)
    half = half_precision_pays(device)
    validation_batch = _validation_batch(prior, device)
    validation = validate(network, validation_batch) if step >= config.steps else {}

    started = saved = time.monotonic()
    warm_up_until = step + 20
    clock_start, clock_step = started, step
    while step < config.steps:
        network.train()
        batch = prior.sample(share, generator)
        examples = draw_examples(batch, config.queries, generator)
        context = network.view.observe(examples.observations)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            score = objective(context, examples)
        (-score).backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        if not torch.isfinite(norm):
            raise TrainingError(
                f"at step {step + 1} of {config.steps} the objective is {score.detach():g} and its "
                f"gradient {float(norm):g}, but both must be finite: the learning rate is too "
                "high, or the prior draws values that are no numbers"
            )
        rate = learning_rate(config, step)
        set_rate(optimisers, rate)
        for optimiser in optimisers:
            optimiser.step()
        network.zero_grad(set_to_none=True)
        step += 1

        now = time.monotonic()
        if step == warm_up_until:
            clock_start, clock_step = now, step
        measured = None
        if step % validate_every == 0 or step == config.steps:
            measured = validation = validate(network, validation_batch)
        elapsed = max(now - clock_start, 1e-9)
        observer(
            Progress(
                step,
                config.steps,
                float(score.detach()),
                (step - clock_step) * config.batch / elapsed,
                measured,
                rate,
                seconds_before + now - started,
            )
        )
        if processes.all_agree(now - saved >= checkpoint_seconds) or step == config.steps:
            state.save(path, config, step, seconds_before + now - started)
            saved = time.monotonic()
    seconds = seconds_before + time.monotonic() - started
    return TrainingResult(
        network.eval(), validation, step, step * config.batch, seconds, hardware(device)
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
