"""How many threads numpy's matrix products use while forecasts are made.

OpenBLAS, which numpy's wheels bring, takes every core by default. A forecast is made beside a
training, whose cores are not to be taken, so it asks for one thread and afterwards gives back what
there was. Only this library's own switch is touched: no environment variable, no OpenMP setting.
Where numpy has another library underneath, nothing is changed.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

# OpenBLAS as scipy-openblas (numpy's wheels) and as systems' packages name it.
_NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
)


@dataclass
class _Switch:
    """The library's own count of threads, shared by all who change it at a time."""

    read: Callable[[], int]
    write: Callable[[int], None]
    lock: threading.Lock
    inside: int = 0
    before: int = 0

    def enter(self, threads: int) -> None:
        with self.lock:
            if not self.inside:
                self.before = self.read()
                if self.before != threads:
                    self.write(threads)
            self.inside += 1

    def leave(self) -> None:
        # The last one out gives back what the first one found.
        with self.lock:
            self.inside -= 1
            if not self.inside and self.before != self.read():
                self.write(self.before)


@contextmanager
def blas_threads(threads: int) -> Iterator[None]:
    """Within this, products of matrices use so many threads, where the library can be asked.

    Threads of this process that are inside at the same time share what the first one asked for.
    """
    switch = _switch()
    if switch is None:
        yield
        return
    switch.enter(threads)
    try:
        yield
    finally:
        switch.leave()


@lru_cache(maxsize=1)
def _switch() -> _Switch | None:
    """The switch of the library underneath numpy; None where it has none that is known here."""
    # The module that numpy's products are in. It is loaded already, and what is asked of a library
    # is looked for in those that it needs, too.
    path = getattr(sys.modules.get("numpy._core._multiarray_umath"), "__file__", None)
    if path is None:
        return None
    try:
        library = ctypes.CDLL(path)
    except OSError:
        return None
    for reading, writing in _NAMES:
        read, write = getattr(library, reading, None), getattr(library, writing, None)
        if read is not None and write is not None:
            read.restype, read.argtypes = ctypes.c_int, []
            write.restype, write.argtypes = None, [ctypes.c_int]
            return _Switch(read, write, threading.Lock())
    return None
