"""Ray Tune: a scheduler and a stopper for trials that will hardly beat the best one.

    from ray import tune
    from lcpfn.integrations.ray import LCPFNScheduler

    tune.Tuner(
        train,
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", num_samples=50, scheduler=LCPFNScheduler(max_t=100)
        ),
    ).fit()

Both run in the driver: weights are loaded there once, when a search begins, and workers need
neither them nor this package.
"""

from lcpfn.errors import MissingExtraError

try:
    import ray.tune  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        'LCPFNScheduler needs Ray Tune, which is not installed: pip install "lcpfn-stopping[ray]"'
    ) from error

from lcpfn.integrations.ray.scheduler import LCPFNScheduler
from lcpfn.integrations.ray.searcher import LCPFNSearch
from lcpfn.integrations.ray.stopper import LCPFNStopper

__all__ = ["LCPFNScheduler", "LCPFNSearch", "LCPFNStopper"]
