"""A prior over whole searches: runs of one task side by side, of which no two are independent.

All runs of a search share facts that nobody tells: the task's level, the noise, the shape and the
length of the schedule, the metric. Others differ by hyperparameters, along a random smooth function
of a random number of them: how fast a run is, how good it gets, how unstable it is. The rest is
each run's own, like its seed. Some hyperparameters lead into regions in which runs diverge.

Any prior of single curves that asks `Draws` for its parameters becomes a prior of searches: the
draws are correlated, and each parameter alone is distributed as before (a Gaussian copula over the
runs of a search). Here it is `AnnealedPrior`, which knows the deep networks on which most compute
is spent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lcpfn.priors.annealed import AnnealedConfig, logged_curves
from lcpfn.priors.draws import Draws, Range

# What is drawn in more columns than this is drawn for every record: noise, a run's own.
_MOST_COLUMNS = 4
_FEATURES = 24


@dataclass(frozen=True)
class SearchBatch:
    """Searches drawn from a prior.

    Args:
        fractions: (searches, runs, records) increasing, in (0, 1]: step over horizon.
        values: (searches, runs, records) as a log shows them; infinite in the worse direction
            once a run has diverged, NaN throughout for a run that there is not.
        maximize: (searches,) whether higher is better.
        bounded: (searches,) whether the metric lies within 0 and 1.
        settings: (searches, runs, most) hyperparameters, NaN beyond those that a search has.
    """

    fractions: Tensor
    values: Tensor
    maximize: Tensor
    bounded: Tensor
    settings: Tensor


@dataclass(frozen=True)
class SearchPriorConfig:
    """Rates and ranges of `SearchPrior`.

    Args:
        settings: the number of hyperparameters, uniform ends; of which a random half matter.
        shared_rate: uniform ends of the share of parameters that all runs of a search share.
        alike_rate: share of the searches in which all runs have, or have not, what only some runs
            have, such as a warmup; in the others that is drawn as parameters are.
        own: uniform ends of the share of a parameter's variance that is each run's own, where the
            runs do not share it.
        task: uniform ends of the share of the rest that runs have in common.
        roughness: log-uniform ends of how often a smooth function turns over the hyperparameters.
        unstable_rate: searches with a region in which runs diverge; `unstable`, uniform ends of
            its share of the runs.
        counted_rate: searches whose metric, where it lies within 0 and 1, counts examples;
            `counted`, log-uniform ends of how many there are.
        curves: of single runs. Schedules that only some runs have would be hyperparameters.
    """

    settings: tuple[int, int] = (1, 8)
    shared_rate: Range = (0.3, 0.95)
    alike_rate: float = 0.9
    own: Range = (0.02, 0.6)
    task: Range = (0.1, 0.9)
    roughness: Range = (0.3, 2.5)
    unstable_rate: float = 0.25
    unstable: Range = (0.02, 0.3)
    counted_rate: float = 0.35
    counted: Range = (20, 5000)
    curves: AnnealedConfig = field(default_factory=AnnealedConfig)


@dataclass(frozen=True)
class SearchPrior:
    """Draws whole searches. Stateless.

    >>> import torch
    >>> batch = SearchPrior().sample(2, 5, torch.Generator().manual_seed(0))
    >>> batch.values.shape[:2], batch.settings.shape[:2]
    (torch.Size([2, 5]), torch.Size([2, 5]))

    Args:
        config: rates and ranges.
    """

    config: SearchPriorConfig = field(default_factory=SearchPriorConfig)

    def sample(
        self, count: int, runs: int, generator: torch.Generator | None = None
    ) -> SearchBatch:
        """Draws `count` searches of `runs` runs each, all with the same number of records."""
        config = self.config
        plain = Draws(count, generator)
        most = config.settings[1]
        used = torch.floor(plain.uniform(config.settings[0], most + 1))
        settings = Draws(count * runs, generator).uniform(columns=most).view(count, runs, most)
        settings = torch.where(torch.arange(most) < used[:, None], settings, torch.nan)
        draws = SearchDraws(count * runs, generator, config, settings)
        length = plain.length(config.curves.lengths, config.curves.length_weights)
        logged = logged_curves(config.curves, draws, length)
        shape = (count, runs, length)
        values = logged.values.view(shape)
        # What a search's metric is, its first run decides; an error may be told as an accuracy.
        kinds = torch.stack([part.view(count, runs) for part in (logged.reward, logged.error)])
        alien = (kinds != kinds[:, :, :1]).any(0)
        values = torch.where(alien[..., None], torch.nan, values)
        reward, error = kinds[:, :, 0]
        rising = plain.happens(config.curves.rising_rate)[:, 0] & error
        maximize = reward | rising
        values = torch.where(rising[:, None, None], 1 - values, values)
        counting = (error & plain.happens(config.counted_rate)[:, 0])[:, None, None]
        examples = torch.round(plain.log_uniform(config.counted))[:, :, None]
        values = torch.where(counting, torch.round(values * examples) / examples, values)
        values = torch.where(reward[:, None, None], -values, values)
        values = self._unstable(plain, draws, values, maximize)
        return SearchBatch(logged.fractions.reshape(shape), values, maximize, error, settings)

    def _unstable(
        self, plain: Draws, draws: SearchDraws, values: Tensor, maximize: Tensor
    ) -> Tensor:
        """In some searches, the runs of a region diverge at some moment."""
        count, runs, length = values.shape
        place = draws.smooth().view(count, runs)
        share = plain.uniform(*self.config.unstable)
        edge = torch.quantile(place, 1 - share[:, 0], dim=1).diagonal()[:, None]
        struck = (place > edge) & plain.happens(self.config.unstable_rate)
        begin = Draws(count * runs, plain.generator).uniform(0.02, 1.3).view(count, runs, 1)
        after = torch.arange(length) >= (begin * length).clamp_min(1)
        worst = torch.where(maximize, -torch.inf, torch.inf)[:, None, None]
        return torch.where(struck[..., None] & after, worst, values)


@dataclass(frozen=True)
class SearchDraws(Draws):
    """Draws of the parameters of all runs of some searches, correlated within each.

    Args:
        curves: searches times runs, one search after the other.
        generator: source of randomness.
        config: how much is shared.
        settings: (searches, runs, most) hyperparameters.
    """

    config: SearchPriorConfig
    settings: Tensor

    def uniform(self, low: float = 0.0, high: float = 1.0, columns: int = 1) -> Tensor:
        if columns > _MOST_COLUMNS:
            return super().uniform(low, high, columns)
        unit: Tensor = torch.special.ndtr(self._correlated(columns))
        return unit.mul_(high - low).add_(low)

    def normal(self, columns: int = 1) -> Tensor:
        if columns > _MOST_COLUMNS:
            return super().normal(columns)
        return self._correlated(columns)

    def happens(self, rate: float | Tensor) -> Tensor:
        return self._choice() < rate

    def kind(self, weights: Sequence[float]) -> Tensor:
        table = torch.tensor(weights, dtype=torch.float32)
        ends = torch.cumsum(table / table.sum(), 0)[:-1]
        return torch.searchsorted(ends, self._choice())

    def smooth(self) -> Tensor:
        """(curves, 1) a random smooth function of the hyperparameters, about standard normal."""
        count, runs, most = self.settings.shape
        search = Draws(count, self.generator)
        matters = torch.rand((count, 1, most), generator=self.generator) < 0.5
        known = torch.where(torch.isnan(self.settings) | ~matters, 0.0, self.settings)
        rough = search.log_uniform(self.config.roughness).view(count, 1, 1)
        waves = rough * torch.randn((count, most, _FEATURES), generator=self.generator)
        phases = 2 * math.pi * torch.rand((count, 1, _FEATURES), generator=self.generator)
        heights = torch.randn((count, _FEATURES, 1), generator=self.generator)
        table = torch.cos(2 * (known @ waves) + phases) @ heights
        found: Tensor = (table * math.sqrt(2 / _FEATURES)).reshape(count * runs, 1)
        return found

    def _choice(self) -> Tensor:
        """(curves, 1) uniform numbers that decide what kind of run it is."""
        chances: Tensor = torch.special.ndtr(self._column(self.config.alike_rate))
        return chances

    def _correlated(self, columns: int) -> Tensor:
        """(curves, columns) standard normal numbers."""
        return torch.cat([self._column() for _ in range(columns)], 1)

    def _column(self, alike_rate: float = 0.0) -> Tensor:
        count, runs, _ = self.settings.shape
        search = Draws(count, self.generator)
        config = self.config
        rate = search.uniform(*config.shared_rate)
        shared = search.happens(rate) | search.happens(alike_rate)
        own = torch.where(shared, 0.0, search.uniform(*config.own))
        task = torch.where(shared, 1.0, (1 - own) * search.uniform(*config.task))
        made = (1 - own - task).clamp_min(0)
        common = search.normal().expand(count, runs)
        each = Draws(count * runs, self.generator).normal().view(count, runs)
        smooth = self.smooth().view(count, runs)
        mixed = task.sqrt() * common + made.sqrt() * smooth + own.sqrt() * each
        return mixed.reshape(count * runs, 1)
