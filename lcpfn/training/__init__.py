"""Training a network on a prior.

>>> from lcpfn.training import TrainingConfig
>>> TrainingConfig(curves=6400, batch=64).steps
100
"""

from lcpfn.training.config import Execution, TrainingConfig
from lcpfn.training.loop import Progress, TrainingResult, train

__all__ = ["Execution", "Progress", "TrainingConfig", "TrainingResult", "train"]
