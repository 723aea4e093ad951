"""All that changes while training, on its way to disk and back."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
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


@dataclass(frozen=True)
class Checkpoint:
    """A file, and all that changes while training, which it holds.

    Args:
        path: of the file.
        config, origin: of the training, which must be those of a file that it resumes from.
        network, optimisers, generator: what changes, in place.
    """

    path: Path
    config: TrainingConfig
    origin: Mapping[str, str | None]
    network: Network
    optimisers: list[torch.optim.Optimizer]
    generator: torch.Generator

    def save(self, step: int, seconds: float) -> None:
        """Writes all after so many steps and seconds; a reader finds a whole file at any time."""
        content: dict[str, Any] = {
            "config": json.dumps(asdict(self.config), sort_keys=True),
            "origin": dict(self.origin),
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
        write_atomically(self.path, buffer.getvalue())

    def resume(self) -> tuple[int, float]:
        """Restores all, where there is a file; returns the steps and the seconds spent so far.

        Raises:
            CheckpointError: the file cannot be read, or is of another configuration or origin.
        """
        path = self.path
        if not path.exists():
            return 0, 0.0
        content = read_checkpoint(path)
        wanted = json.dumps(asdict(self.config), sort_keys=True)
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
