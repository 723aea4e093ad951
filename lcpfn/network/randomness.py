"""Where random numbers come from: a generator of numpy, or of torch for those who have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lcpfn.errors import InputError

if TYPE_CHECKING:
    import torch

# Named, not evaluated: numpy loads its random numbers when they are first asked for.
Generator: TypeAlias = "np.random.Generator | torch.Generator"
"""A source of randomness."""


def uniform_draws(shape: tuple[int, ...], generator: Generator | None) -> NDArray[np.float64]:
    """Independent numbers from [0, 1).

    Args:
        shape: of the result.
        generator: source of randomness; None draws a fresh one from the operating system.

    Raises:
        InputError: it is none.
    """
    if generator is None:
        generator = np.random.default_rng()
    if isinstance(generator, np.random.Generator):
        return generator.random(shape)
    if not hasattr(generator, "device"):
        raise InputError(
            f"generator is {generator!r}, but must be one of numpy or of torch, such as "
            "numpy.random.default_rng(0)"
        )
    import torch

    drawn: NDArray[np.float64] = torch.rand(
        shape, generator=generator, dtype=torch.float64, device=generator.device
    ).cpu().numpy()  # fmt: skip
    return drawn
