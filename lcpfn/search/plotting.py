"""All runs of a search in one picture. Needs matplotlib: the extra `plot`."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from lcpfn.forecast.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lcpfn.search.outlook import Outlook

_COLOURS = {
    "live": "#1d4f86",
    "paused": "#8a6d1d",
    "finished": "#2f8f5b",
    "stopped": "#b0b0b0",
    "failed": "#b8510d",
}


def plot_search(
    outlooks: Sequence[Outlook],
    best: tuple[Hashable, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws every run's records, and at its end the median and band of its final value.

    Args:
        outlooks: of the runs, the most promising first.
        best: the best finished run and its final value, a dashed line.
        ax: where to draw; None makes a figure that no window shows.

    Returns:
        the axes.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    drawn: Axes = new_figure().axes[0] if ax is None else ax
    labelled: set[str] = set()
    for outlook in reversed(outlooks):
        label = "" if outlook.state in labelled else outlook.state
        labelled.add(outlook.state)
        _draw(drawn, outlook, label)
    if best is not None:
        drawn.axhline(best[1], color="#222222", linewidth=0.8, linestyle=(0, (5, 2)))
    drawn.set_xlabel("step")
    drawn.set_ylabel("metric")
    for side in ("top", "right"):
        drawn.spines[side].set_visible(False)
    if labelled:
        drawn.legend(frameon=False, fontsize="small")
    return drawn


def _draw(ax: Axes, outlook: Outlook, label: str) -> None:
    colour = _COLOURS[outlook.state]
    under_way = outlook.state in ("live", "paused")
    ax.plot(
        outlook.steps,
        outlook.values,
        color=colour,
        linewidth=1.2 if under_way else 0.8,
        label=label or None,
        zorder=3 if under_way else 2,
    )
    if under_way and outlook.horizon is not None and not math.isnan(outlook.median):
        bottom, top = sorted((outlook.low, outlook.high))
        ax.vlines(outlook.horizon, bottom, top, color=colour, linewidth=3, alpha=0.35)
        ax.plot(outlook.horizon, outlook.median, "_", color=colour, markersize=8)
