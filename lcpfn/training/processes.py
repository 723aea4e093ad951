"""The processes that train together, as `torchrun` starts them; or the only one."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed

from lcpfn.errors import CheckpointError


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    rank: int
    count: int
    device: torch.device

    def __enter__(self) -> Processes:
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


def join_processes(device: str) -> Processes:
    """This process as the environment describes it, on a device or the best there is ("auto")."""
    rank = int(os.environ.get("RANK", 0))
    count = int(os.environ.get("WORLD_SIZE", 1))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device)
    if chosen.type == "cuda" and chosen.index is None:
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return Processes(rank, count, chosen)
