"""`lcpfn.Search` as the one that chooses from a pool what runs next."""

from __future__ import annotations

from typing import Any

import lcpfn
from experiments.pool_forecasts import PoolForecasts
from experiments.pools import Pool


class Proposals:
    """Starts and resumes what `Search.propose` says.

    Args:
        pool: to search.
        forecasts: of its runs.
        seed: of what is drawn.
        first: records of a new run before it is asked again.
        further: records of one that goes on before it is asked again.
        count: how many configurations are candidates at a time; None for all that are left.
        settings: of the search.
    """

    def __init__(
        self,
        pool: Pool,
        forecasts: PoolForecasts,
        seed: int,
        first: int = 3,
        further: int = 2,
        count: int | None = None,
        **settings: Any,
    ) -> None:
        self.search = lcpfn.Search(
            pool.goal, pool.records, forecast=forecasts, of=forecasts.of, **settings
        )
        self._configs = pool.configs
        self._left = set(range(len(pool.curves)))
        self._generator = pool.generator(seed + 1)
        self._sizes = first, further
        self._count = count
        self._until: dict[int, int] = {}

    def ask(self) -> int | None:
        """What the search proposes."""
        count = len(self._left) if self._count is None else min(self._count, len(self._left))
        chosen = self._generator.choice(sorted(self._left), count, replace=False).tolist()
        by_identity = {id(self._configs[index]): index for index in chosen}
        candidates = [self._configs[index] for index in chosen]
        proposal = self.search.propose(candidates, self._generator)
        if proposal is None:
            return None
        first, further = self._sizes
        if proposal.action == "start":
            run = by_identity[id(proposal.config)]
            self._left.discard(run)
            self.search.describe(run, self._configs[run])
            self._until[run] = first
        else:
            assert isinstance(proposal.run, int)
            run = proposal.run
            self.search.resume(run)
            self._until[run] = len(self.search.runs[run].steps) + further
        return run

    def tell(self, run: int, record: int, value: float) -> bool:
        """Tells the search."""
        self.search.observe(run, record, value)
        if self.search.complete(run):
            self.search.end(run, "finished")
        elif self.search.runs[run].trouble is not None:
            self.search.end(run, "stopped")
        elif record >= self._until[run]:
            self.search.pause(run)
        return self.search.runs[run].state == "live"
