"""Optuna: a sampler that learns from the learning curves of all trials, not from their ends alone.

>>> import optuna
>>> from lcpfn.integrations.optuna import LCPFNPruner, LCPFNSampler
>>> optuna.logging.set_verbosity(optuna.logging.WARNING)
>>> def objective(trial):
...     rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
...     for epoch in range(1, 21):
...         accuracy = (1 - abs(rate - 0.1)) * (1 - 0.8**epoch)
...         trial.report(accuracy, epoch)
...         if trial.should_prune():
...             raise optuna.TrialPruned()
...     return accuracy
>>> study = optuna.create_study(
...     direction="maximize", sampler=LCPFNSampler(seed=0), pruner=LCPFNPruner(max_steps=20)
... )
>>> study.optimize(objective, n_trials=15)
>>> 0.01 < study.best_params["rate"] < 0.3
True
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.logging import get_logger
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from lcpfn.forecast.arguments import read_count, read_seed
from lcpfn.integrations.optuna import LCPFNPruner, MaxSteps
from lcpfn.search.proposals import started
from lcpfn.search.search import Search
from lcpfn.search.spaces import Choice, Number, candidates

# In Optuna's hierarchy, so that `optuna.logging.set_verbosity` governs it.
_logger = get_logger("optuna.samplers.lcpfn")
# Trials that new ones are sought near to.
_GOOD = 5
# Streams of random numbers, so that what is drawn for one purpose says nothing about another.
_RELATIVE, _INDEPENDENT = 0, 1


class LCPFNSampler(BaseSampler):
    """Proposes the configuration that is most likely to beat the best trial.

    It learns from the intermediate values of all trials, pruned and running ones too: their
    learning curves are forecast, and what the forecasts say about the parameters, with their
    uncertainty, is learned by a Gaussian process (`lcpfn.Search.propose`). Trials that have
    reported nothing yet count as asked for, so that processes side by side try different things.
    Trials that never report are learned from by their values::

        study = optuna.create_study(
            direction="maximize", sampler=LCPFNSampler(), pruner=LCPFNPruner(max_steps=50)
        )

    Candidates are drawn from the space that all finished trials share, half of them at random, half
    near the best trials. Parameters outside of that space, as conditional ones are, are drawn at
    random, and so are those of the first `startup` trials. A study of several objectives gets
    random ones, and a warning says so.

    **State.** All that proposals rest on is in the study: with a seed, a study that is reopened
    goes on as it would have. What the sampler keeps are caches, which pickling leaves out.

    Args:
        seed: of the randomness, together with the number of the trial; None is different each time.
        startup: trials that are drawn at random before any is proposed, at least 1.
        max_steps: how many steps a full run has, as for `LCPFNPruner`. None takes that of the
            study's pruner, where it is an `LCPFNPruner`, with all its forecasts and settings; else
            it is learned from the longest trials.
        count: how many candidates are compared, at least 1.
        model: bundled name or path, as for `lcpfn.load`; None is the default model. Weights are
            loaded at the first forecast.
        settings: by keywords, such as `of`: see `lcpfn.SearchSettings`.

    Raises:
        InputError: an argument breaks its rule.
        WeightsError: there is no such model.
    """

    def __init__(
        self,
        seed: int | None = None,
        startup: int = 10,
        max_steps: MaxSteps = None,
        *,
        count: int = 400,
        model: str | Path | None = None,
        **settings: Any,
    ) -> None:
        read_count("startup", startup)
        read_count("count", count)
        self._seed, self._startup, self._count = read_seed(seed), startup, count
        self._own_settings = max_steps is not None or model is not None or bool(settings)
        self._ears = LCPFNPruner(max_steps, model=model, store=False, **settings)
        self._warned = False
        self._shared: tuple[BaseStorage, int, IntersectionSearchSpace] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_shared": None}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The space that all finished trials share; empty while there are few."""
        if len(study.directions) > 1:
            if not self._warned:
                self._warned = True
                _logger.warning(
                    "LCPFNSampler: a study of several objectives has no best trial to beat: "
                    "parameters are drawn at random"
                )
            return {}
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        begun = study.get_trials(deepcopy=False, states=states)
        told = [
            other
            for other in begun
            if other.number != trial.number and (other.intermediate_values or other.values)
        ]
        if len(told) < self._startup:
            return {}
        shared = self._space_shared(study).calculate(study)
        return {name: part for name, part in shared.items() if not part.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The candidate that is most likely to beat the best trial."""
        if not search_space:
            return {}
        generator = self._generator(trial, _RELATIVE)
        space = {name: _part(distribution) for name, distribution in search_space.items()}
        pruner = study.pruner
        shared = pruner if isinstance(pruner, LCPFNPruner) and not self._own_settings else None
        with (shared or self._ears).heard(study, trial) as search:
            drawn = candidates(space, _good(search, search_space), self._count, generator)
            # Those that begin at random did so before, by the sampler's own number.
            proposal = search.propose(drawn, generator, space, startup=1)
            notices = search.notices()
        for notice in notices:
            _logger.warning("LCPFNSampler: %s", notice)
        if proposal is not None:
            _logger.debug("Trial %d: %s", trial.number, proposal.reason)
        return dict(started(proposal, drawn, generator))

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A parameter at random."""
        generator = self._generator(trial, _INDEPENDENT, zlib.crc32(param_name.encode()))
        return _part(param_distribution).draw(generator)

    def _space_shared(self, study: Study) -> IntersectionSearchSpace:
        """What looks at each finished trial of a study once."""
        storage, number = study._storage, study._study_id
        # Studies of other storages may have the same number.
        if self._shared is None or self._shared[:2] != (storage, number):
            self._shared = storage, number, IntersectionSearchSpace(include_pruned=True)
        return self._shared[2]

    def _generator(self, trial: FrozenTrial, *purpose: int) -> np.random.Generator:
        if self._seed is None:
            return np.random.default_rng()
        return np.random.default_rng([self._seed, trial.number, *purpose])


def _part(distribution: BaseDistribution) -> Number | Choice:
    """A parameter's distribution as a part of a space."""
    if isinstance(distribution, CategoricalDistribution):
        return Choice(tuple(distribution.choices))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return Number(distribution.low, distribution.high, distribution.log, distribution.step)


def _good(search: Search, shared: Mapping[str, BaseDistribution]) -> list[Mapping[str, Any]]:
    """Parameters of the best trials, as far as the shared space allows them today."""
    good: list[Mapping[str, Any]] = []
    for run in search.leading():
        config = search.runs[run].config or {}
        if all(name in config and _holds(part, config[name]) for name, part in shared.items()):
            good.append(config)
        if len(good) == _GOOD:
            break
    return good


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:
        return False
