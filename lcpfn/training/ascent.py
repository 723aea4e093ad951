"""Steps up the gradient of an objective."""

from __future__ import annotations

import torch
from torch import Tensor

from lcpfn.errors import TrainingError
from lcpfn.network.transformer import Network
from lcpfn.training.config import TrainingConfig
from lcpfn.training.optimisers import build_optimisers, set_rate

# One wild curve in a million must not end a training; a learning rate that is too high must.
_MOST_SKIPPED = 10


class Ascent:
    """Changes a network in place, one step at a time.

    Args:
        network: to train, on its device.
        config: names the optimiser, and how long a gradient may be.
    """

    def __init__(self, network: Network, config: TrainingConfig):
        self.optimisers = build_optimisers(network, config)
        self._network = network
        self._clip = config.clip
        self._skipped = 0

    def step(self, objective: Tensor, rate: float) -> None:
        """Makes a step that raises the objective, at this learning rate.

        One whose gradient is no finite number is skipped, but no more than ten in a row.

        Raises:
            TrainingError: more than that were not finite.
        """
        (-objective).backward()
        norm = torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._clip)
        self._skipped = 0 if torch.isfinite(norm) else self._skipped + 1
        if self._skipped > _MOST_SKIPPED:
            raise TrainingError(
                f"the objective is {objective.detach():g} and its gradient {float(norm):g} after "
                f"{_MOST_SKIPPED} steps that were skipped, but both must be finite: the learning "
                "rate is too high, or the prior draws values that are no numbers"
            )
        set_rate(self.optimisers, rate)
        for optimiser in () if self._skipped else self.optimisers:
            optimiser.step()
        self._network.zero_grad(set_to_none=True)
