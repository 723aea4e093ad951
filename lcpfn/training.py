"""Training a network on a prior: resumable, killable, on CPUs and GPUs, one process or several.

The objective is the expected log-density of Normal(clean, noise) under the forecast, over random
prefixes and queries: the negative is the cross-entropy whose minimum is the posterior predictive
of the prior (Müller et al. 2022, section 3). A share of the forecast's continuous ranked
probability score may be taken off: it is proper, too, so the minimum is the same, but a network
that cannot reach it everywhere errs less where an error costs much in the metric's unit.
"""

from __future__ import annotations

import io
import json
import math
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lcpfn.atomic import write_atomically
from lcpfn.errors import CheckpointError, InputError, TrainingError
from lcpfn.features import ContextFeatures
from lcpfn.network import Network, NetworkConfig
from lcpfn.observation import Examples, draw_examples
from lcpfn.priors import Prior

CHECKPOINT_NAME = "checkpoint.pt"
_FAR_MISS = -15.0
_FAR_CRPS = 10.0
_VALIDATION_SEED = 20231
_VALIDATION_CURVES = 500
_VALIDATION_CUTOFFS = (0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides what training arrives at.

    Args:
        curves: prior curves to train on, over all processes.
        batch: curves a step, over all processes.
        queries: questions asked about each curve.
        optimiser: "adamw", or "muon" for Muon (Jordan et al. 2024) on the blocks' matrices and
            AdamW on the rest; Muon gets further with the same curves.
        learning_rate: peak rate, after warm-up and before the cosine decay to zero.
        warmup: share of the steps spent warming up.
        weight_decay: decoupled weight decay of matrices.
        clip: largest gradient norm.
        crps: weight of the continuous ranked probability score, in units of the forecast's
            standard deviation, beside the log-density.
        seed: of weights, curves and questions.
        network: shape of the network.
    """

    curves: int = 1_000_000
    batch: int = 64
    queries: int = 48
    optimiser: str = "muon"
    learning_rate: float = 2e-3
    warmup: float = 0.01
    weight_decay: float = 0.01
    clip: float = 1.0
    crps: float = 0.0
    seed: int = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        for name in ("curves", "batch", "queries"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, but must be at least 1")
        if self.optimiser not in ("adamw", "muon"):
            raise InputError(f"optimiser is {self.optimiser!r}, but must be 'adamw' or 'muon'")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}, but must be positive")
        if not self.crps >= 0:
            raise InputError(f"crps is {self.crps}, but must be at least 0")
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup is {self.warmup}, but must be at least 0 and below 1")

    @property
    def steps(self) -> int:
        return math.ceil(self.curves / self.batch)


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


class _Objective(nn.Module):
    """The mean score of forecasts as one module, so that it compiles and distributes whole."""

    def __init__(self, network: Network, crps: float):
        super().__init__()
        self.network = network
        self.crps = crps

    def forward(self, context: ContextFeatures, examples: Examples) -> Tensor:
        forecast = self.network(
            context,
            examples.fractions,
            examples.prefixes,
            examples.queries,
            examples.schedule,
            examples.query_schedule,
        )
        score = forecast.expected_log_prob(examples.clean, examples.noise)
        # One exploding curve must not outweigh the batch: far misses count by their logarithm.
        beyond = torch.relu(_FAR_MISS - score)
        mean: Tensor = (score.clamp_min(_FAR_MISS) - torch.log1p(beyond)).mean()
        if self.crps:
            # A unit that had a gradient would reward wide forecasts.
            missed = forecast.crps(examples.drawn) / forecast.std.detach()
            far = torch.relu(missed - _FAR_CRPS)
            mean = mean - self.crps * (missed.clamp_max(_FAR_CRPS) + torch.log1p(far)).mean()
        return mean


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
    with _processes(device) as processes:
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
    processes: _Processes,
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
    optimisers = _optimisers(network, config)
    state = _State(network, optimisers, generator, origin)
    path = folder / _checkpoint_name(processes.rank)
    step, seconds_before = state.load(path, config) if path.exists() else (0, 0.0)
    step, seconds_before = processes.agree(step, seconds_before)

    objective: nn.Module = _Objective(network, config.crps)
    if _compile_pays(device, config) if compile is None else compile:
        objective = torch.compile(objective, dynamic=False)  # type: ignore[assignment]
    if processes.count > 1:
        objective = DistributedDataParallel(objective)
    half = _half_precision(device)
    validation_batch = _validation_batch(prior, device)
    validation = validate(network, *validation_batch) if step >= config.steps else {}

    started = saved = time.monotonic()
    warm_up_until = step + 20
    clock_start, clock_step = started, step
    while step < config.steps:
        network.train()
        batch = prior.sample(share, generator)
        examples = draw_examples(batch, config.queries, generator)
        context = network.features(
            examples.fractions,
            examples.values,
            limits=examples.limits,
            schedule=examples.schedule,
        )
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
        _set_rate(optimisers, rate)
        for optimiser in optimisers:
            optimiser.step()
        network.zero_grad(set_to_none=True)
        step += 1

        now = time.monotonic()
        if step == warm_up_until:
            clock_start, clock_step = now, step
        measured = None
        if step % validate_every == 0 or step == config.steps:
            measured = validation = validate(network, *validation_batch)
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
def validate(network: Network, fractions: Tensor, values: Tensor) -> dict[str, float]:
    """Mean log-density of the points after 10, 20, 40 and 80 % of each curve, noisy as they are.

    Args:
        network: to score.
        fractions, values: (curves, n) complete curves.
    """
    network.eval()
    scores = {}
    steps = values.shape[1]
    for share in _VALIDATION_CUTOFFS:
        seen = max(1, round(share * steps))
        forecast, _ = network.extend(
            None, fractions[:, :seen], values[:, :seen], fractions[:, seen:]
        )
        scores[f"{share:.0%}"] = float(forecast.log_prob(values[:, seen:]).mean())
    return scores


def _validation_batch(prior: Prior, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator(device).manual_seed(_VALIDATION_SEED)
    batch = prior.sample(_VALIDATION_CURVES, generator)
    return batch.fractions.expand_as(batch.values).contiguous(), batch.values


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The rate of a step, counted from 0: linear warm-up, then cosine decay to zero."""
    warmup = max(1, round(config.warmup * config.steps))
    decay = 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps)))
    return config.learning_rate * min(1.0, (step + 1) / warmup) * decay


def _optimisers(network: Network, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    rate, decay = config.learning_rate, config.weight_decay
    matrices = [p for p in network.parameters() if p.ndim == 2]
    vectors = [p for p in network.parameters() if p.ndim != 2]
    optimisers: list[torch.optim.Optimizer] = []
    if config.optimiser == "muon":
        if not hasattr(torch.optim, "Muon"):
            raise InputError(
                f"optimiser is 'muon', which needs torch 2.9 or newer, but this is torch "
                f"{torch.__version__}; use 'adamw'"
            )
        hidden = [p for p in network.blocks.parameters() if p.ndim == 2]
        matrices = [p for p in matrices if all(p is not q for q in hidden)]
        optimisers.append(
            torch.optim.Muon(hidden, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
        )
    groups = [
        {"params": matrices, "weight_decay": decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimisers.append(torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True))
    return optimisers


def _set_rate(optimisers: list[torch.optim.Optimizer], rate: float) -> None:
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate


def _half_precision(device: torch.device) -> bool:
    """Whether bfloat16 matrix products are fast here: on GPUs, and on CPUs with tile units."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # A private question with no public counterpart yet; where torch does not know it, say no.
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return device.type == "cpu" and bool(has_tiles())


def _compile_pays(device: torch.device, config: TrainingConfig) -> bool:
    # Compiling the three sequence lengths takes a minute or two.
    return config.steps >= 3000 and (device.type == "cuda" or _has_compiler())


def _has_compiler() -> bool:
    from shutil import which

    return which("g++") is not None


def hardware(device: torch.device) -> str:
    """The machine in words, for the model card."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{torch.get_num_threads()} {platform.machine()} CPU cores, torch {torch.__version__}"


def _checkpoint_name(rank: int) -> str:
    return CHECKPOINT_NAME if rank == 0 else f"checkpoint-{rank}.pt"


@dataclass
class _State:
    """All that changes while training, and its way to disk and back."""

    network: Network
    optimisers: list[torch.optim.Optimizer]
    generator: torch.Generator
    origin: dict[str, str | None]

    def save(self, path: Path, config: TrainingConfig, step: int, seconds: float) -> None:
        content: dict[str, Any] = {
            "config": json.dumps(asdict(config), sort_keys=True),
            "origin": self.origin,
            "step": step,
            "seconds": seconds,
            "network": self.network.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "generator": self.generator.get_state(),
        }
        buffer = io.BytesIO()
        try:
            torch.save(content, buffer)
        except RuntimeError as error:
            # Interrupted while it writes, torch complains about what it had not yet written.
            if isinstance(error.__context__, KeyboardInterrupt):
                raise error.__context__ from None
            raise
        write_atomically(path, buffer.getvalue())

    def load(self, path: Path, config: TrainingConfig) -> tuple[int, float]:
        """Restores everything; returns the step and the seconds spent so far."""
        content = read_checkpoint(path)
        wanted = json.dumps(asdict(config), sort_keys=True)
        if content["config"] != wanted:
            raise CheckpointError(
                f"{path} was written with the configuration {content['config']}, but this run "
                f"has {wanted}; give the same configuration, or another folder"
            )
        began = content.get("origin", {})
        for name in sorted(self.origin.keys() & began.keys()):
            if began[name] != self.origin[name]:
                raise CheckpointError(
                    f"{path} was trained with {name} {began[name]}, but this run has {name} "
                    f"{self.origin[name]}; give the same one, or another folder"
                )
        self.network.load_state_dict(content["network"])
        for optimiser, saved in zip(self.optimisers, content["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.generator.set_state(content["generator"])
        return int(content["step"]), float(content["seconds"])


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, tensors and plain values only: no code is unpickled.

    Raises:
        CheckpointError: the file is missing, cut short or no checkpoint.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]
    except Exception as error:
        raise CheckpointError(f"{path} is not a readable checkpoint: {error}") from error


@dataclass(frozen=True)
class _Processes:
    """This process among those that train together."""

    rank: int
    count: int
    device: torch.device

    def __enter__(self) -> _Processes:
        if self.count > 1:
            torch.distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        return self

    def __exit__(self, *_: object) -> None:
        if self.count > 1:
            torch.distributed.destroy_process_group()

    def all_agree(self, decision: bool) -> bool:
        """The first process's decision, so that all write the checkpoint of the same step."""
        if self.count == 1:
            return decision
        flag = torch.tensor([float(decision)], device=self.device)
        torch.distributed.broadcast(flag, 0)
        return bool(flag.item())

    def agree(self, step: int, seconds: float) -> tuple[int, float]:
        """Checks that every process resumes from the same step."""
        if self.count == 1:
            return step, seconds
        steps = torch.tensor([float(step), -float(step)], device=self.device)
        torch.distributed.all_reduce(steps, torch.distributed.ReduceOp.MAX)
        if steps[0] != -steps[1]:
            raise CheckpointError(
                f"the processes' checkpoints are of steps {-steps[1]:.0f} to {steps[0]:.0f}, but "
                "all must be of one; remove them, or resume with as many processes as before"
            )
        return step, seconds


def _processes(device: str) -> _Processes:
    rank = int(os.environ.get("RANK", 0))
    count = int(os.environ.get("WORLD_SIZE", 1))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device)
    if chosen.type == "cuda" and chosen.index is None:
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return _Processes(rank, count, chosen)
