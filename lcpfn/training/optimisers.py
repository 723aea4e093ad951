"""Optimisers and the learning rate that they follow."""

from __future__ import annotations

import math

import torch

from lcpfn.errors import InputError
from lcpfn.network.transformer import Network
from lcpfn.training.config import TrainingConfig


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The rate of a step, counted from 0: linear warm-up, then cosine decay to zero."""
    warmup = max(1, round(config.warmup * config.steps))
    return config.learning_rate * min(1.0, (step + 1) / warmup) * _decayed(step / config.steps)


def timed_learning_rate(config: TrainingConfig, share: float) -> float:
    """The same, by the share of a training that ends after a time."""
    return config.learning_rate * min(1.0, share / config.warmup) * _decayed(share)


def _decayed(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def build_optimisers(network: Network, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices where it is chosen, and AdamW for the rest."""
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


def set_rate(optimisers: list[torch.optim.Optimizer], rate: float) -> None:
    """Sets the learning rate of the next step."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate
