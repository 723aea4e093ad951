"""Training a network on a prior. Needs the extra `train`.

>>> from lcpfn.training import TrainingConfig
>>> TrainingConfig(curves=6400, batch=64).steps
100
"""

from lcpfn.extras import missing

try:
    from lcpfn.training.config import Execution, TrainingConfig
    from lcpfn.training.loop import Progress, TrainingResult, train
    from lcpfn.training.prior_scores import PriorScore, score_on_prior
except ModuleNotFoundError as error:
    raise missing(error, "training", "train", "torch", "array_api_compat") from error

__all__ = [
    "Execution",
    "PriorScore",
    "Progress",
    "TrainingConfig",
    "TrainingResult",
    "score_on_prior",
    "train",
]
