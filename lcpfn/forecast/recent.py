"""A few things that were made last, kept in case that they are asked for again."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")
_NOTHING = object()


class Recent(Generic[T]):
    """What was made last, by key; copies begin with nothing.

    Args:
        most: how many are kept, the oldest goes first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Hashable, T] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept by a key, or what is made now."""
        found = self._kept.get(key, _NOTHING)
        if found is not _NOTHING:
            return found  # type: ignore[return-value]
        made = make()
        # Another thread may have emptied it meanwhile.
        while len(self._kept) >= self._most:
            self._kept.pop(next(iter(tuple(self._kept)), key), None)
        self._kept[key] = made
        return made

    def __reduce__(self) -> tuple[type[Recent[T]], tuple[int]]:
        return type(self), (self._most,)
