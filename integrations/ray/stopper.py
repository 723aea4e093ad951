"""A stopper, for searches that use another scheduler or none."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any
from weakref import ReferenceType, ref

from ray.tune import Stopper
from ray.tune.execution.tune_controller import TuneController
from ray.tune.utils import flatten_dict

from lcpfn.integrations.ray.door import UNJUDGED, Door, MaxT, as_result, check_name, read_mode

_logger = logging.getLogger("ray.tune.stopper.lcpfn")
# Tune calls a stopper directly or through a `CombinedStopper`.
_NEAR = 6


class LCPFNStopper(Stopper):  # type: ignore[misc]
    """Stops a trial when its final value will hardly beat the best one's.

    Decides as `LCPFNScheduler`, and leaves the choice of the next trial to whatever scheduler
    there is::

        tune.RunConfig(stop=LCPFNStopper("accuracy", "max", max_t=100))

    Tune tells a stopper neither metric nor mode, so both must be named. Decisions are added to
    the trials' results as those of the scheduler are. Tune stores a stopper with the experiment:
    after `Tuner.restore` it goes on from there. In another search it begins anew. With other
    stoppers in a `CombinedStopper`, put this one first, or it will not hear of the trials that
    those stop; nor does Tune tell it of a trial that failed.

    Args:
        metric, mode: what the trials report, and which direction is better, "min" or "max".
        max_t, time_attr, model, settings: as for `LCPFNScheduler`.

    Raises:
        InputError: an argument breaks its rule.
        WeightsError: there is no such model.
    """

    def __init__(
        self,
        metric: str,
        mode: str,
        max_t: MaxT = 100,
        time_attr: str = "training_iteration",
        *,
        model: str | Path | None = None,
        **settings: Any,
    ) -> None:
        check_name("metric", metric)
        read_mode(mode)
        self._metric, self._mode = metric, mode
        self._door = Door(max_t, time_attr, {**settings, "model": model, "pause": False})
        self._search = self._door.search(mode, metric)
        self._controller: ReferenceType[TuneController] | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether to stop the trial; called by Tune after every result."""
        if trial_id not in self._search.runs:
            self._begin_anew()
            self._door.begin(self._search, trial_id, result.get("config") or {})
        search = self._search
        reported = self._door.hear(search, trial_id, flatten_dict(result), self._metric)
        if result.get("done"):
            # Tune repeats a trial's last result when its function returns: nothing to decide.
            search.end(trial_id, "finished")
            return True
        finished = reported and search.complete(trial_id)
        verdict = search.judge(trial_id) if reported else UNJUDGED
        stop = finished or verdict.action == "stop"
        if stop:
            search.end(trial_id, "stopped" if verdict.action == "stop" else "finished")
        result.update(as_result(verdict, finished and verdict.action != "stop"))
        _logger.debug("Trial %s: %s: %s", trial_id, verdict.action, verdict.reason)
        for notice in search.notices():
            _logger.warning("LCPFNStopper: %s", notice)
        return stop

    def stop_all(self) -> bool:
        """Never ends the whole search."""
        return False

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_controller": None}

    def _begin_anew(self) -> None:
        """Forgets a search that is over, where another one asks.

        Tune tells a stopper nothing of the search, so this looks at who is asking.
        """
        frame = sys._getframe(2)
        for _ in range(_NEAR):
            caller = frame.f_locals.get("self")
            if isinstance(caller, TuneController):
                if self._controller is not None and self._controller() is not caller:
                    self._search = self._door.search(self._mode, self._metric)
                self._controller = ref(caller)
                return
            if frame.f_back is None:
                return
            frame = frame.f_back
