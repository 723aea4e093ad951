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
from collections.abc import Callable
from functools import lru_cache

# OpenBLAS as scipy-openblas (numpy's wheels) and as systems' packages name it.
_NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
)


class _Switch:
    """The library's own count of threads, shared by all who change it at a time."""

    def __init__(self, read: Callable[[], int], write: Callable[[int], None]):
        self._read = read
        self._write = write
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0

    def enter(self, threads: int) -> None:
        with self._lock:
            if not self._inside:
                self._before = self._read()
                if self._before != threads:
                    self._write(threads)
            self._inside += 1

    def leave(self) -> None:
        # The last one out gives back what the first one found.
        with self._lock:
            self._inside -= 1
            if not self._inside and self._before != self._read():
                self._write(self._before)


class BlasThreads:
    """Within this context products of matrices use so many threads, where that can be asked for.

    Threads of this process that are inside at the same time share what the first one asked for.
    """

    def __init__(self, threads: int):
        self._threads = threads

    def __enter__(self) -> None:
        switch = _switch()
        if switch is not None:
            switch.enter(self._threads)

    def __exit__(self, *raised: object) -> None:
        switch = _switch()
        if switch is not None:
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
            return _Switch(read, write)
    return None
