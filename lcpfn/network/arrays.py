"""What torch tensors and numpy arrays have in common: one code serves both kinds.

Torch is for training and batches, numpy for streams and single forecasts, where arrays are so small
that torch's overhead per operation would cost more than the arithmetic. Both are used by way of the
operations that the array API standard defines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import numpy as array_api_numpy
from array_api_compat import torch as array_api_torch
from torch import Tensor

AnyArray = Any
"""A torch tensor or a numpy array; all arguments of a call are of one kind."""
ArrayModule = Any
"""The array API namespace of the arguments' kind."""


def array_module(x: AnyArray) -> ArrayModule:
    """The array API of an array's kind; a lookup that costs less than the library's own."""
    return array_api_numpy if isinstance(x, np.ndarray) else array_api_torch


def constant_like(table: Tensor, like: AnyArray) -> AnyArray:
    """A table in the kind and type of another array."""
    if isinstance(like, np.ndarray):
        return table.numpy().astype(like.dtype, copy=False)
    return table.to(like)


def clipped(x: AnyArray, low: float | None = None, high: float | None = None) -> AnyArray:
    """The nearest to x within [low, high]; None leaves a side open. Also for numpy scalars."""
    if isinstance(x, Tensor):
        return x if low is None and high is None else x.clamp(low, high)
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)
