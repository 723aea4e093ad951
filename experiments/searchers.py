"""Ways to search a pool that look at no configuration: random search, and ASHA."""

from __future__ import annotations

import numpy as np

from experiments.pools import Pool


class RandomSearch:
    """Trains one random configuration after the other to its end."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self._left = iter(pool.order(seed).tolist())

    def ask(self) -> int | None:
        """The next one."""
        return next(self._left, None)

    def tell(self, run: int, record: int, value: float) -> bool:
        """Stays to the end."""
        return True


class ASHA:
    """Asynchronous successive halving with promotions, after Li et al. (2020).

    A free worker takes the best run that is in the top 1 / eta of its rung and has not been
    promoted, from the highest rung that has one, and trains it to the next; where there is none,
    a new random configuration to the first rung.

    Args:
        pool: to search.
        seed: of the order of new configurations.
        eta: how few of a rung are promoted, and how much longer the next one is.
        first: records of the first rung.
    """

    def __init__(self, pool: Pool, seed: int, eta: int = 3, first: int = 1) -> None:
        self._left = iter(pool.order(seed).tolist())
        self._sign = 1.0 if pool.goal == "maximize" else -1.0
        self._eta = eta
        self._rungs = [first]
        while self._rungs[-1] * eta < pool.records:
            self._rungs.append(self._rungs[-1] * eta)
        self._rungs.append(pool.records)
        self._reached: list[dict[int, float]] = [{} for _ in self._rungs]
        self._promoted: list[set[int]] = [set() for _ in self._rungs]
        self._target: dict[int, int] = {}

    def ask(self) -> int | None:
        """The best that may be promoted, or a new one."""
        for rung in reversed(range(len(self._rungs) - 1)):
            reached = self._reached[rung]
            ordered = sorted(reached, key=lambda run: -reached[run])
            for run in ordered[: len(reached) // self._eta]:
                if run not in self._promoted[rung]:
                    self._promoted[rung].add(run)
                    self._target[run] = rung + 1
                    return run
        run = next(self._left, None)
        if run is not None:
            self._target[run] = 0
        return run

    def tell(self, run: int, record: int, value: float) -> bool:
        """Stays until the rung that it was sent to."""
        rung = self._target[run]
        if record < self._rungs[rung]:
            return True
        self._reached[rung][run] = self._sign * value if np.isfinite(value) else -np.inf
        return False
