"""The shape of a network, as its model card tells it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import get_args

from lcpfn.errors import InputError
from lcpfn.network.absolute import AbsoluteView
from lcpfn.network.relative import RelativeView
from lcpfn.network.views import Frame, View


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the network. Saved with the weights.

    Args:
        width: channels of a token.
        layers: transformer blocks.
        heads: attention heads; divides `width`.
        bins: bins of the forecast, both open tails included.
        unit_floor: smallest noise level that inputs and outputs resolve, in the prior's unit, or,
            in the relative frame, in units of the spread of the values so far.
        frame: "absolute" for values in the prior's own unit, "relative" for values of any unit:
            the network then sees ratios of differences only.
        schedule: the network is told learning rates where they are known; relative frame only.
        floor: the network is told the worst value that the metric can take where it is known, and
            so whether it is an accuracy or a loss; relative frame only.
        rates: the network is told the learning rates at the records where the log has them, though
            the rest of the schedule is unknown; relative frame only.
        best: the network also answers what the best value up to a step will be; relative frame
            only.
    """

    width: int = 128
    layers: int = 4
    heads: int = 4
    bins: int = 64
    unit_floor: float = 1e-3
    frame: Frame = "absolute"
    schedule: bool = False
    floor: bool = False
    rates: bool = False
    best: bool = False

    def __post_init__(self) -> None:
        if self.frame not in get_args(Frame):
            raise InputError(
                f"frame is {self.frame!r}, but must be one of {', '.join(get_args(Frame))}"
            )
        for name in ("schedule", "floor", "rates", "best"):
            if getattr(self, name) and self.frame != "relative":
                raise InputError(f"{name} is True, but needs frame 'relative'")

    @property
    def view(self) -> View:
        """What such a network sees."""
        if self.frame == "absolute":
            return AbsoluteView(self.unit_floor)
        return RelativeView(self.unit_floor, self.schedule, self.floor, self.rates, self.best)

    def as_dict(self) -> dict[str, float | int | str]:
        return asdict(self)
