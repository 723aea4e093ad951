"""What torch tensors and numpy arrays have in common: one code serves both kinds.

Numpy is for forecasts, torch for training. Both are used by way of the operations that the array
API standard defines, which numpy has itself. Nothing here imports torch before it meets a tensor.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

AnyArray = Any
"""A torch tensor or a numpy array; all arguments of a call are of one kind."""
ArrayModule = Any
"""The array API namespace of the arguments' kind."""

_NUMPY_KINDS = (np.ndarray, np.generic, float, int)


def array_module(x: AnyArray) -> ArrayModule:
    """The array API of an array's kind; a lookup that costs less than the library's own."""
    return np if isinstance(x, np.ndarray) else _torch_module()


def _torch_module() -> ArrayModule:
    # Torch's own names differ from the standard's.
    from array_api_compat import torch

    return torch


def constant_like(table: NDArray[np.float64], like: AnyArray) -> AnyArray:
    """A table in the kind and type of another array."""
    if isinstance(like, np.ndarray):
        return table.astype(like.dtype, copy=False)
    return _constant_tensor(table.tobytes(), like.dtype, like.device)


@lru_cache(maxsize=64)
def _constant_tensor(table: bytes, dtype: Any, device: Any) -> AnyArray:
    import torch

    # A copy to a GPU for every step would make it wait. It may be kept by one that needs gradients.
    with torch.inference_mode(False):
        return torch.from_numpy(np.frombuffer(table).copy()).to(device, dtype)


def clipped(x: AnyArray, low: float | None = None, high: float | None = None) -> AnyArray:
    """The nearest to x within [low, high]; None leaves a side open. Also for numpy scalars."""
    if not isinstance(x, _NUMPY_KINDS):
        return x if low is None and high is None else x.clamp(low, high)
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def rows_of(index: AnyArray) -> AnyArray:
    """(curves, 1): the row of each entry of an index (curves, m), in its kind."""
    if isinstance(index, np.ndarray):
        return np.arange(len(index))[:, None]
    return _torch_module().arange(len(index), device=index.device)[:, None]
