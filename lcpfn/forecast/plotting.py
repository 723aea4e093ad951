"""The fan chart of a forecast, fit for a paper. Needs matplotlib: the extra `plot`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from lcpfn.errors import InputError, MissingExtraError
from lcpfn.forecast.arguments import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


# Central intervals, widest first, and one blue in as many lightnesses. Solid colours instead of
# transparency, so that the bands look the same over a grid, in print and in vector files.
_BANDS = ((0.96, "#dbe7f3"), (0.88, "#b3cee6"), (0.50, "#79a8d3"))
_MEDIAN = "#1d4f86"
_OBSERVED = "#222222"
_TRUTH = "#222222"
_INCUMBENT = "#b8510d"
_HORIZON = "#8a8a8a"
_GRID = "#ececec"

# Beyond this ratio of the largest to the smallest value, a linear axis would hide the end.
_LOGARITHMIC_RATIO = 50.0
# From here on, step numbers are written with a separator between thousands.
_LARGE_STEP = 10_000
# The widest band may reach this many heights of everything else before it is cut off.
_ROOM_FOR_TAILS = 1.0
_FIGURE_SIZE = (6.4, 4.0)
_RESOLUTION = 200


class Forecast(Protocol):
    """What is drawn: an `lcpfn.Extrapolation`, or anything with these parts of it."""

    @property
    def observed_steps(self) -> Array: ...
    @property
    def observed_values(self) -> Array: ...
    @property
    def steps(self) -> Array: ...
    @property
    def horizon(self) -> float: ...
    def quantile(self, q: Any, /) -> Array: ...


def plot_forecast(
    post: Forecast,
    ax: Axes | None = None,
    *,
    metric: str = "metric",
    step_name: str = "step",
    shift: float = 0.0,
    incumbent: float | None = None,
    truth: tuple[ArrayLike, ArrayLike] | None = None,
    legend: bool = True,
) -> Axes:
    """Draws what was observed and the forecast as nested bands (50, 88 and 96 %) and a median.

    No global matplotlib state is touched and no window opens: without `ax` a figure of its own is
    made, and `plot_forecast(post).figure.savefig("forecast.pdf")` writes it.

    Args:
        post: the forecast.
        ax: where to draw; None makes a figure.
        metric: label of the vertical axis.
        step_name: label of the horizontal axis, the unit of the steps.
        shift: subtracted from every step, for logs that number their epochs from 0.
        incumbent: a value to beat, drawn as a dashed line.
        truth: (steps, values) of what happened later, in the steps of the forecast, drawn as
            open circles.
        legend: whether to explain the parts.

    Returns:
        the axes.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if ax is None:
        ax = _new_axes()
    low = {level: post.quantile((1 - level) / 2) for level, _ in _BANDS}
    high = {level: post.quantile((1 + level) / 2) for level, _ in _BANDS}
    median = post.quantile(0.5)
    later = _truth(truth)
    _draw_bands(ax, post, low, high, median, shift)
    ax.axvline(
        post.horizon - shift, color=_HORIZON, linestyle=":", linewidth=1, zorder=2, label="horizon"
    )
    if incumbent is not None:
        ax.axhline(
            incumbent,
            color=_INCUMBENT,
            linestyle=(0, (5, 2)),
            linewidth=1.2,
            zorder=5,
            label=f"to beat: {incumbent:g}",
        )
    if later is not None:
        ax.plot(
            later[0] - shift,
            later[1],
            color=_TRUTH,
            linewidth=0.7,
            marker="o",
            markersize=_marker_size(len(later[0])),
            markerfacecolor="white",
            markeredgewidth=0.7,
            zorder=6,
            label="what happened",
        )
    observed = post.observed_values
    finite = np.isfinite(observed)
    ax.plot(
        post.observed_steps - shift,
        np.where(finite, observed, np.nan),
        color=_OBSERVED,
        linewidth=0.7,
        marker="o",
        markersize=_marker_size(len(post.observed_steps)),
        zorder=7,
        label="observed",
    )
    sure = [observed[finite], median, low[0.88], high[0.88]]
    if incumbent is not None:
        sure.append(np.array([incumbent]))
    if later is not None:
        sure.append(later[1])
    _scale_vertically(ax, np.concatenate(sure), low[0.96], high[0.96])
    _scale_horizontally(ax, post, shift)
    _dress(ax, metric, step_name)
    if legend:
        _explain(ax)
    return ax


def write_picture(ax: Axes, path: Path) -> None:
    """Writes the figure of `ax`; the file's extension says in which format (.png, .pdf, .svg).

    Raises:
        InputError: the folder does not exist, or there is no extension that matplotlib knows.
    """
    figure: Any = ax.figure
    if not path.suffix:
        raise InputError(f"the picture {path} has no extension, but must end in .png, .pdf or .svg")
    try:
        figure.savefig(path, dpi=_RESOLUTION)
    except (OSError, ValueError) as error:
        raise InputError(f"the picture {path} cannot be written: {error}") from None


def new_figure(columns: int = 1, size: tuple[float, float] | None = None) -> Any:
    """A matplotlib Figure with `columns` axes side by side, not known to pyplot.

    Args:
        columns: how many axes; `figure.axes` lists them.
        size: width and height in inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            'plots need matplotlib, which is not installed: pip install "lcpfn-stopping[plot]"'
        ) from error
    width, height = _FIGURE_SIZE
    figure = Figure(figsize=size or (width * columns, height), layout="constrained")
    figure.subplots(1, columns)
    return figure


def _new_axes() -> Axes:
    axes: Axes = new_figure().axes[0]
    return axes


def _truth(truth: tuple[ArrayLike, ArrayLike] | None) -> tuple[Array, Array] | None:
    if truth is None:
        return None
    steps = np.asarray(truth[0], dtype=np.float64)
    values = np.asarray(truth[1], dtype=np.float64)
    if steps.shape != values.shape or steps.ndim != 1:
        raise InputError(
            f"truth has steps of shape {steps.shape} and values of shape {values.shape}, but must "
            "have two sequences of one length"
        )
    present = np.isfinite(values)
    return steps[present], values[present]


def _draw_bands(
    ax: Axes,
    post: Forecast,
    low: dict[float, Array],
    high: dict[float, Array],
    median: Array,
    shift: float,
) -> None:
    steps = post.steps - shift
    if len(steps) == 1:
        # One step has no band; nested bars show its intervals.
        for level, colour in _BANDS:
            ax.vlines(
                steps, low[level], high[level], colour, linewidth=8, zorder=3, label=_percent(level)
            )
        ax.plot(
            steps,
            median,
            "_",
            color=_MEDIAN,
            markersize=12,
            markeredgewidth=2,
            zorder=4,
            label="median",
        )
        return
    start = _joint(post)
    if start is not None:
        steps = np.insert(steps, 0, start[0] - shift)
        median = np.insert(median, 0, start[1])
    for level, colour in _BANDS:
        bottom, top = low[level], high[level]
        if start is not None:
            bottom, top = np.insert(bottom, 0, start[1]), np.insert(top, 0, start[1])
        ax.fill_between(
            steps, bottom, top, color=colour, linewidth=0, zorder=3, label=_percent(level)
        )
    ax.plot(steps, median, color=_MEDIAN, linewidth=1.6, zorder=4, label="median")


def _percent(level: float) -> str:
    return f"{100 * level:.0f} %"


def _joint(post: Forecast) -> tuple[float, float] | None:
    """The last observation, where the fan may start: where the first forecast follows closely."""
    last = float(post.observed_steps[-1])
    gap = float(post.steps[0]) - last
    spacing = float(post.steps[1] - post.steps[0])
    value = float(post.observed_values[-1])
    return (last, value) if 0 < gap <= 1.5 * spacing and math.isfinite(value) else None


def _marker_size(count: int) -> float:
    """Smaller dots for more of them: 4 points wide up to 20 of them, 1.2 from 220 on."""
    return max(1.2, 4.0 * min(1.0, math.sqrt(20 / count)))


def _scale_vertically(ax: Axes, sure: Array, low: Array, high: Array) -> None:
    """Shows everything that is sure to matter, and of the widest band as much as has room."""
    bottom, top = float(sure.min()), float(sure.max())
    if bottom > 0 and top / bottom > _LOGARITHMIC_RATIO:
        ax.set_yscale("log")
        factor = (top / bottom) ** 0.05
        ax.set_ylim(bottom / factor, top * factor)
        return
    height = top - bottom or abs(top) or 1.0
    bottom = max(min(bottom, float(low.min())), bottom - _ROOM_FOR_TAILS * height)
    top = min(max(top, float(high.max())), top + _ROOM_FOR_TAILS * height)
    margin = 0.05 * ((top - bottom) or height)
    ax.set_ylim(bottom - margin, top + margin)


def _scale_horizontally(ax: Axes, post: Forecast, shift: float) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    first, last = float(post.observed_steps[0]) - shift, post.horizon - shift
    margin = 0.03 * ((last - first) or 1.0)
    ax.set_xlim(first - margin, last + margin)
    whole = all(float(step).is_integer() for step in post.observed_steps - shift)
    axis: Axis = ax.xaxis
    axis.set_major_locator(MaxNLocator(nbins=7, integer=whole, steps=[1, 2, 5, 10]))
    if last >= _LARGE_STEP:
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _explain(ax: Axes) -> None:
    """A legend in the order in which a person reads the chart: facts, forecast, marks."""
    order = ("observed", "what happened", "median", "50 %", "88 %", "96 %")
    handles, labels = ax.get_legend_handles_labels()
    places = [order.index(label) if label in order else len(order) for label in labels]
    sequence = sorted(range(len(labels)), key=lambda index: places[index])
    ax.legend(
        [handles[index] for index in sequence],
        [labels[index] for index in sequence],
        frameon=False,
        fontsize="small",
        loc="best",
    )


def _dress(ax: Axes, metric: str, step_name: str) -> None:
    ax.set_xlabel(step_name)
    ax.set_ylabel(metric)
    ax.grid(color=_GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
