"""A stopper, for searches that use another scheduler or none."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ray.tune import Stopper
from ray.tune.utils import flatten_dict

from lcpfn.forecast.bounds import BoundsLike
from lcpfn.forecast.schedule import Schedule
from lcpfn.integrations.ray.results import read_record
from lcpfn.integrations.ray.search import UNJUDGED, Search
from lcpfn.integrations.ray.settings import Missing, Settings, check_name, read_mode
from lcpfn.peers import LATEST

_logger = logging.getLogger("ray.tune.stopper.lcpfn")


class LCPFNStopper(Stopper):  # type: ignore[misc]
    """Stops a trial when its final value will hardly beat the best finished trial's.

    Decides as `LCPFNScheduler`, and leaves the choice of the next trial to whatever scheduler
    there is::

        tune.RunConfig(stop=LCPFNStopper("accuracy", "max", max_t=100))

    Tune tells a stopper neither metric nor mode, so both must be named. Decisions are added to
    the trials' results as those of the scheduler are. Tune stores a stopper with the experiment:
    after `Tuner.restore` it goes on from there. With other stoppers in a `CombinedStopper`, put
    this one first, or it will not hear of the trials that those stop.

    Args:
        metric, mode: what the trials report, and which direction is better, "min" or "max".
        max_t, time_attr, model, threshold, min_steps, patience, min_delta, keep_top,
            warmup_trials, peers, bounds, schedule, nan: as for `LCPFNScheduler`.

    Raises:
        InputError: an argument breaks its rule.
        WeightsError: there is no such model.
    """

    def __init__(
        self,
        metric: str,
        mode: str,
        max_t: float = 100,
        time_attr: str = "training_iteration",
        *,
        model: str | Path | None = None,
        threshold: float = 0.05,
        min_steps: int | None = None,
        patience: int = 1,
        min_delta: float = 0.0,
        keep_top: int = 1,
        warmup_trials: int = 1,
        peers: int = LATEST,
        bounds: BoundsLike = "auto",
        schedule: Schedule | None = None,
        nan: Missing = "stop",
    ) -> None:
        check_name("metric", metric)
        goal = read_mode(mode)
        self._metric = metric
        settings = Settings(
            max_t=max_t,
            time_attr=time_attr,
            model=model,
            threshold=threshold,
            min_steps=min_steps,
            patience=patience,
            min_delta=min_delta,
            keep_top=keep_top,
            warmup_trials=warmup_trials,
            peers=peers,
            bounds=bounds,
            schedule=schedule,
            nan=nan,
        )
        self._search = Search(settings, goal)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether to stop the trial; called by Tune after every result."""
        record = read_record(flatten_dict(result), self._search.settings.time_attr, self._metric)
        if record is not None:
            self._search.observe(trial_id, *record)
        if result.get("done"):
            # Tune repeats a trial's last result when its function returns: nothing to decide.
            self._search.end(trial_id, "finished")
            return True
        verdict = UNJUDGED if record is None else self._search.judge(trial_id)
        if verdict.action == "stop":
            self._search.end(trial_id, "stopped")
        elif verdict.action == "finish":
            self._search.end(trial_id, "finished")
        result.update(verdict.as_result())
        _logger.debug("Trial %s: %s: %s", trial_id, verdict.action, verdict.reason)
        return verdict.action in ("stop", "finish")

    def stop_all(self) -> bool:
        """Never ends the whole search."""
        return False
