"""The search algorithm for Ray Tune: which configuration is worth a trial."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ray import cloudpickle
from ray.tune.result import DEFAULT_METRIC
from ray.tune.search import Searcher
from ray.tune.search.sample import (
    Categorical,
    Domain,
    Float,
    Integer,
    LogUniform,
    Quantized,
    Uniform,
)
from ray.tune.search.variant_generator import generate_variants, parse_spec_vars
from ray.tune.utils import flatten_dict

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import read_count, read_seed
from lcpfn.integrations.ray.door import Door, MaxT, check_name, read_mode
from lcpfn.search.proposals import started
from lcpfn.search.search import Search
from lcpfn.search.spaces import Choice, Number, candidates

# In Ray's hierarchy, so that its handlers and levels govern it.
_logger = logging.getLogger("ray.tune.search.lcpfn")
# Trials that new ones are sought near to.
_GOOD = 5

Path_ = tuple[str, ...]


class LCPFNSearch(Searcher):  # type: ignore[misc]
    """Suggests the configuration that is most likely to beat the best trial.

    It learns from the learning curves of all trials, stopped and running ones too: they are
    forecast, and what the forecasts say about the hyperparameters, with their uncertainty, is
    learned by a Gaussian process (`lcpfn.Search.propose`). Trials that have reported nothing yet
    count as asked for, so that trials side by side try different things. Metric, mode and space
    come from Tune::

        tune.TuneConfig(
            metric="accuracy", mode="max", num_samples=100,
            search_alg=LCPFNSearch(max_t=50), scheduler=LCPFNScheduler(max_t=50),
        )

    Candidates are drawn from the space of `param_space`, half of them at random, half near the best
    trials. `tune.sample_from` and distributions without bounds are drawn by Tune itself, and not
    learned from. There is no grid search.

    **Restoring.** Tune stores a search algorithm with the experiment: after `Tuner.restore` it goes
    on from there, and with a seed suggests what it would have.

    Args:
        max_t: value of `time_attr` at the end of a full run, as for `LCPFNScheduler`.
        time_attr: key of the result that counts a trial's steps.
        metric, mode: what the trials report, and which direction is better, "min" or "max"; None
            takes them from `TuneConfig`.
        seed: of the randomness; None is different each time.
        startup: trials that begin far from one another before any is chosen, at least 1.
        count: how many candidates are compared, at least 1.
        points_to_evaluate: configurations to begin with.
        model: bundled name or path, as for `lcpfn.load`; None is the default model. Weights are
            loaded at the first forecast, in the driver only.
        settings: by keywords, such as `of`: see `lcpfn.SearchSettings`.

    Raises:
        InputError: an argument breaks its rule.
        WeightsError: there is no such model.
    """

    def __init__(
        self,
        max_t: MaxT = 100,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        *,
        seed: int | None = None,
        startup: int = 10,
        points_to_evaluate: Sequence[Mapping[str, Any]] = (),
        **settings: Any,
    ) -> None:
        super().__init__(metric=metric, mode=mode)
        self._metric: str | None = metric
        self._mode: str | None = mode
        if metric is not None:
            check_name("metric", metric)
        if mode is not None:
            read_mode(mode)
        self._count = settings.pop("count", 400)
        read_count("count", self._count)
        read_count("startup", startup)
        self._door = Door(max_t, time_attr, {**settings, "startup": startup, "pause": False})
        self._seed = read_seed(seed)
        self._points = [dict(point) for point in points_to_evaluate]
        self._suggested = 0
        self._spec: dict[str, Any] = {}
        self._space: dict[str, Number | Choice] = {}
        self._paths: dict[str, Path_] = {}
        self._started: Search | None = None

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Takes metric, mode and space from Tune; False where they contradict the arguments.

        Raises:
            InputError: the space holds a grid search.
        """
        for told, stated in ((metric, self._metric), (mode, self._mode)):
            if told and stated not in (None, told):
                return False
        self._metric, self._mode = metric or self._metric, mode or self._mode
        if self._metric is None and self._mode is not None:
            self._metric = DEFAULT_METRIC
        self._spec = copy.deepcopy(config)
        _, domains, grids = parse_spec_vars(self._spec)
        if grids:
            raise InputError(
                f"the space has a grid search at {'/'.join(map(str, grids[0][0]))}, but "
                "LCPFNSearch draws its own candidates: use tune.choice"
            )
        for path, domain in domains:
            part = _part(domain)
            if part is not None:
                name = "/".join(map(str, path))
                self._space[name], self._paths[name] = part, path
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The configuration of a new trial.

        Raises:
            InputError: neither the arguments nor `TuneConfig` give metric and mode.
        """
        search, number = self._search, self._suggested
        self._suggested += 1
        generator = np.random.default_rng(None if self._seed is None else [self._seed, number])
        chosen: Mapping[str, Any] = {}
        if number < len(self._points):
            chosen = flatten_dict(self._points[number])
        elif self._space:
            drawn = candidates(self._space, self._good(search), self._count, generator)
            proposal = search.propose(drawn, generator, self._space)
            chosen = started(proposal, drawn, generator)
            if proposal is not None:
                _logger.debug("Trial %s: %s", trial_id, proposal.reason)
            for notice in search.notices():
                _logger.warning("LCPFNSearch: %s", notice)
        config = self._configured(chosen, generator)
        self._door.begin(search, trial_id, config)
        return config

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Hears of a result."""
        search = self._search
        if trial_id not in search.runs:
            self._door.begin(search, trial_id, result.get("config") or {})
        self._door.hear(search, trial_id, flatten_dict(result), self._metric)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Hears how a trial ended; one that ended before `max_t` is believed what was forecast."""
        search = self._search
        if trial_id not in search.runs:
            return
        if error:
            search.end(trial_id, "failed")
            return
        if result:
            self._door.hear(search, trial_id, flatten_dict(result), self._metric)
        whole = self._door.max_t is None or search.complete(trial_id)
        search.end(trial_id, "finished" if whole else "stopped")

    def save(self, checkpoint_path: str) -> None:
        """Writes all that is known of the search to a file."""
        with open(checkpoint_path, "wb") as file:
            # Ray's, because a schedule may be a local function or a lambda.
            cloudpickle.dump(vars(self), file)

    def restore(self, checkpoint_path: str) -> None:
        """Reads what `save` wrote."""
        with open(checkpoint_path, "rb") as file:
            self.__dict__.update(cloudpickle.load(file))

    @property
    def _search(self) -> Search:
        if self._started is None:
            for name, value in (("metric", self._metric), ("mode", self._mode)):
                if value is None:
                    raise InputError(
                        f"{name} is not given: pass it to tune.TuneConfig or to LCPFNSearch"
                    )
            assert self._mode is not None
            self._started = self._door.search(self._mode, self._metric)
        return self._started

    def _good(self, search: Search) -> list[Mapping[str, Any]]:
        """Configurations of the best trials."""
        good: list[Mapping[str, Any]] = []
        for run in search.leading():
            config = search.runs[run].config or {}
            if all(name in config for name in self._space):
                good.append(config)
            if len(good) == _GOOD:
                break
        return good

    def _configured(
        self, chosen: Mapping[str, Any], generator: np.random.Generator
    ) -> dict[str, Any]:
        """The space with what was chosen put in, and the rest drawn by Tune."""
        config = copy.deepcopy(self._spec)
        for name, value in chosen.items():
            path = self._paths.get(name, tuple(name.split("/")))
            inner = config
            for part in path[:-1]:
                inner = inner.setdefault(part, {})
            inner[path[-1]] = value
        seed = int(generator.integers(2**31))
        _, resolved = next(generate_variants({"config": config}, random_state=seed))
        found: dict[str, Any] = resolved["config"]
        return found


def _part(domain: Domain) -> Number | Choice | None:
    """A part of a space; None for what only Tune can draw."""
    if isinstance(domain, Categorical):
        return Choice(tuple(domain.categories))
    sampler, step = domain.get_sampler(), None
    if isinstance(sampler, Quantized):
        sampler, step = sampler.get_sampler(), sampler.q
    if not isinstance(domain, Float | Integer) or not isinstance(sampler, Uniform | LogUniform):
        return None
    low, high, log = domain.lower, domain.upper, isinstance(sampler, LogUniform)
    if step is not None:
        # Tune rounds to multiples of the step, both ends included.
        low, high = math.ceil(low / step) * step, math.floor(high / step) * step
    elif isinstance(domain, Integer):
        high, step = high - 1, 1
    return Number(low, high, log, step)
