"""What the machine is, and what is fast on it."""

from __future__ import annotations

import platform
from shutil import which

import torch

# Compiling the three sequence lengths takes a minute or two.
_STEPS_WORTH_COMPILING = 3000


def hardware(device: torch.device) -> str:
    """The machine in words, for the model card."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{torch.get_num_threads()} {platform.machine()} CPU cores, torch {torch.__version__}"


def half_precision_pays(device: torch.device) -> bool:
    """Whether bfloat16 matrix products are fast here: on GPUs, and on CPUs with tile units."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # A private question with no public counterpart yet; where torch does not know it, say no.
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return device.type == "cpu" and bool(has_tiles())


def compile_pays(device: torch.device, steps: int) -> bool:
    """Whether a training of so many steps is worth the time of `torch.compile`."""
    compiles = device.type == "cuda" or which("g++") is not None
    return steps >= _STEPS_WORTH_COMPILING and compiles
