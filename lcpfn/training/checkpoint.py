"""All that changes while training, on its way to disk and back."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lcpfn.atomic import write_atomically
from lcpfn.errors import CheckpointError
from lcpfn.network.transformer import Network
from lcpfn.training.config import TrainingConfig

CHECKPOINT_NAME = "checkpoint.pt"


def checkpoint_name(rank: int) -> str:
    """The file of one of several processes that train together."""
    return CHECKPOINT_NAME if rank == 0 else f"checkpoint-{rank}.pt"


@dataclass
class TrainingState:
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
