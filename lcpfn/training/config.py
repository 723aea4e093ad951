"""What training arrives at, and how it runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from lcpfn.errors import InputError
from lcpfn.network.config import NetworkConfig


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
class Execution:
    """How training runs; what it arrives at is the same but for rounding.

    Args:
        device: "cpu", "cuda", ... or "auto" for the best there is.
        compile: use `torch.compile`; None decides by whether it pays (a GPU, or a long run).
        checkpoint_seconds: time between checkpoints: what a kill loses at most.
        validate_every: steps between validations.
    """

    device: str = "auto"
    compile: bool | None = None
    checkpoint_seconds: float = 60.0
    validate_every: int = 500

    def __post_init__(self) -> None:
        if self.validate_every < 1:
            raise InputError(f"validate_every is {self.validate_every}, but must be at least 1")
        if not self.checkpoint_seconds >= 0:
            raise InputError(
                f"checkpoint_seconds is {self.checkpoint_seconds}, but must be at least 0"
            )
