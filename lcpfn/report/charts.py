"""Pictures of a report: SVG for lines and bands, HTML for words, so that these keep their size.

A picture is stretched to wherever it stands, and so drawn without corners or circles: strokes do
not scale, and a dot is a line without length.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from lcpfn.evaluation import SHARES
from lcpfn.forecast.arguments import Array
from lcpfn.numbers import number_writer, write_step
from lcpfn.report.axes import SIZE, Axes, fit_axes
from lcpfn.report.content import Fan, Report, ReportedRun
from lcpfn.report.safety import safe_json, safe_text

# More records than this would not be told apart.
_DRAWN = 240
_DRAWN_TOGETHER = 80
_DOTS = 40
# Intervals at the end of more runs than this would hide each other.
_MOST_WHISKERS = 6
_SHOWN_FIRST = 0.4
_BANDS = ((0, 4, "band wide"), (1, 3, "band narrow"))
_MEDIAN = 2


def run_chart(run: ReportedRun, best: float | None) -> str:
    """The records of a run and the fans of its forecasts.

    Args:
        run: which.
        best: a value to beat, drawn as a line where it fits.
    """
    name, metric = run.name, run.watched.metric
    first = min(float(run.steps[0]), 0.0 if run.steps[0] <= 1 else float(run.steps[0]))
    last = max(float(run.steps[-1]), run.last_step or -math.inf)
    ends = [fan.quantiles[[0, 4]] for fan in run.fans]
    end = last if last > first else first + 1
    axes = fit_axes(first, end, [_sound(run, run.steps)], ends)
    shown = _first_shown(run.fans)
    drawn = [*_grid(axes)]
    if best is not None and axes.low < best < axes.high:
        height = _number(float(axes.y(np.array(best))))
        drawn.append(f'<path class="best" d="M0 {height}H{SIZE}"/>')
    for fan in run.fans:
        hidden = "" if fan is shown else ' style="display:none"'
        drawn.append(f'<g data-fan="{_key(fan)}"{hidden}>{"".join(_fan(fan, axes))}</g>')
    steps, values = thinned(run.steps, run.values, _DRAWN)
    drawn += _records(steps, values, axes)
    write = number_writer(
        [float(value) for value in run.values if math.isfinite(value)],
        [float(fan.quantiles[4, -1] - fan.quantiles[0, -1]) for fan in run.fans],
    )
    about = {
        "unit": run.watched.step_name,
        "range": [axes.first, axes.last, axes.low, axes.high],
        "log": axes.logarithmic,
        "steps": _plain(steps),
        "values": _plain(values),
        "decimals": _decimals(write(0.5)),
        "fans": [
            {
                "key": _key(fan),
                "steps": _plain(fan.steps),
                "low": _plain(fan.quantiles[0]),
                "median": _plain(fan.quantiles[_MEDIAN]),
                "high": _plain(fan.quantiles[4]),
            }
            for fan in run.fans
        ],
    }
    words = f"{metric} of {name} over {run.watched.step_name}: {in_words(run)}"
    return _plot("chart", axes, drawn, words, about)


def overview_chart(report: Report) -> str:
    """All runs in one picture, over the share of each that is trained, and where each will end."""
    known = [run for run in report.runs if run.last_step is not None]
    going = [run for run in known if run.fate == "running" and math.isfinite(run.watched.low)]
    going = going[:_MOST_WHISKERS]
    ends = [np.array([run.watched.low, run.watched.high]) for run in going]
    curves = [_sound(run, 100 * run.steps / (run.last_step or 1.0)) for run in known]
    axes = fit_axes(0.0, 100.0, curves, ends)
    drawn = [*_grid(axes)]
    told = []
    leader = report.leader
    # Those that promise most are drawn last, over the others.
    for rank, run in reversed(list(enumerate(report.runs, start=1))):
        if run.last_step is None:
            continue
        steps, values = thinned(run.steps, run.values, _DRAWN_TOGETHER)
        shares = 100 * steps / run.last_step if run.last_step > 0 else steps
        best = " lead" if run is leader else ""
        drawn.append(
            f'<path class="curve {run.fate}{best}" data-run="{rank}" '
            f'd="{_line(shares, values, axes)}"/>'
        )
        if run in going:
            drawn.append(_whisker(shares[-1], float(values[-1]), run, axes))
        told.append({"rank": rank, "name": run.name, "x": _plain(shares), "v": _plain(values)})
    about = {"range": [axes.first, axes.last, axes.low, axes.high], "log": axes.logarithmic}
    metrics = " / ".join(report.metrics)
    words = f"{metrics} of all {len(report.runs)} runs over the share of each that is trained"
    return _plot("overview", axes, drawn, words, {**about, "runs": told}, percent=True)


def rank_chart(report: Report) -> str:
    """Where the final values fell in their forecasts, from each share of the finished runs."""
    axes = Axes(0.0, float(len(SHARES)), 0.0, 1.0, False)
    top, bottom = (_number(float(axes.y(np.array(level)))) for level in (0.94, 0.06))
    drawn = [f'<path class="band wide" d="M0 {top}H{SIZE}V{bottom}H0Z"/>']
    drawn.append(f'<path class="grid" d="M0 {SIZE / 2:g}H{SIZE}"/>')
    runs = [run for run in report.runs if run.hindsight]
    for place, run in enumerate(runs):
        for made in run.hindsight:
            column = SHARES.index(made.share)
            x = column + 0.15 + 0.7 * (place + 0.5) / len(runs)
            side = "inside" if made.inside(0.88) else "outside"
            at = axes.x(np.array(x)), axes.y(np.array(made.rank))
            drawn.append(f'<path class="dot {side}" d="{_dot(*map(float, at))}"/>')
    words = (
        "Where each final value fell in its forecast, one dot a run, after 10, 20, 40 and 80 % of "
        "the run. The shaded band is the interval of 88 %."
    )
    marks = [
        f'<span class="tick x" style="left:{100 * (column + 0.5) / len(SHARES):g}%">'
        f"{100 * share:.0f} %</span>"
        for column, share in enumerate(SHARES)
    ]
    marks += [
        f'<span class="tick y" style="top:{100 * (1 - level):g}%">{100 * level:.0f} %</span>'
        for level in (0.06, 0.5, 0.94)
    ]
    return (
        f'<div class="plot ranks" role="img" aria-label="{safe_text(words)}">'
        f"{_svg(drawn)}{''.join(marks)}</div>"
    )


def interval_bar(low: float, median: float, high: float, *, axes: Axes) -> str:
    """A forecast as a bar on a scale that all runs share."""
    left, middle, right = (
        min(max(SIZE - float(axes.y(np.array(value))), 0.0), float(SIZE))
        for value in (min(low, high), median, max(low, high))
    )
    bar = f'<path class="interval" d="M{_number(left)} 500H{_number(max(right, left + 1))}"/>'
    return (
        '<svg class="bar" viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">'
        f'{bar}<path class="middle" d="{_dot(middle, 500)}"/></svg>'
    )


def in_words(run: ReportedRun) -> str:
    """How a run stands, for those who do not see the picture."""
    watched = run.watched
    at = f"{write_step(watched.step)} {watched.value:.4g}"
    if run.fate == "finished" or not math.isfinite(watched.median):
        return f"{run.fate}, at {watched.step_name} {at}"
    return (
        f"{run.fate}, at {watched.step_name} {at}; forecast to end at {watched.median:.4g}, "
        f"with 88 % between {watched.low:.4g} and {watched.high:.4g}"
    )


def thinned(steps: Array, values: Array, most: int) -> tuple[Array, Array]:
    """At most about so many records, the extremes of each part among them."""
    present = np.isfinite(values)
    steps, values = steps[present], values[present]
    if len(values) <= most:
        return steps, values
    kept = {0, len(values) - 1}
    for part in np.array_split(np.arange(len(values)), most // 2):
        kept |= {int(part[values[part].argmin()]), int(part[values[part].argmax()])}
    chosen = np.array(sorted(kept))
    return steps[chosen], values[chosen]


def _sound(run: ReportedRun, steps: Array) -> tuple[Array, Array]:
    """The records by which a picture is measured: not the one on which a run broke down."""
    kept = len(steps) - (1 if run.fate == "diverged" and len(steps) > 1 else 0)
    return steps[:kept], run.values[:kept]


def _first_shown(fans: Sequence[Fan]) -> Fan | None:
    """The fan that is seen at first: of the present, or from the part of the run named above."""
    if not fans:
        return None
    return min(fans, key=lambda fan: 0 if fan.share is None else abs(fan.share - _SHOWN_FIRST))


def _key(fan: Fan) -> str:
    return "now" if fan.share is None else f"{100 * fan.share:.0f}"


def _grid(axes: Axes) -> Iterable[str]:
    marks = "".join(f"M0 {_number(place)}H{SIZE}" for place, _ in axes.values)
    yield f'<path class="grid" d="{marks}"/>'


def _fan(fan: Fan, axes: Axes) -> Iterable[str]:
    x = axes.x(fan.steps)
    for low, high, kind in _BANDS:
        upper = _points(x, axes.y(fan.quantiles[high]))
        lower = _points(x[::-1], axes.y(fan.quantiles[low])[::-1])
        yield f'<path class="{kind}" d="M{upper}L{lower}Z"/>'
    yield f'<path class="median" d="M{_points(x, axes.y(fan.quantiles[_MEDIAN]))}"/>'


def _records(steps: Array, values: Array, axes: Axes) -> list[str]:
    drawn = [f'<path class="record" d="{_line(steps, values, axes)}"/>']
    if len(steps) <= _DOTS:
        places = zip(axes.x(steps).tolist(), axes.y(values).tolist(), strict=True)
        dots = "".join(_dot(x, y) for x, y in places)
        drawn.append(f'<path class="record-dot" d="{dots}"/>')
    return drawn


def _whisker(share: float, value: float, run: ReportedRun, axes: Axes) -> str:
    """The way from the newest record to the median at the end, and the interval there."""
    place = float(axes.x(np.array(share)))
    at, low, median, high = (
        _number(float(axes.y(np.array(number))))
        for number in (value, run.watched.low, run.watched.median, run.watched.high)
    )
    return (
        f'<path class="way" d="M{_number(place)} {at}L{SIZE} {median}"/>'
        f'<path class="whisker" d="M{SIZE} {low}V{high}"/>'
    )


def _line(steps: Array, values: Array, axes: Axes) -> str:
    if not len(steps):
        return ""
    return f"M{_points(axes.x(steps), axes.y(values))}"


def _points(x: Array, y: Array) -> str:
    pairs = zip(x.tolist(), y.tolist(), strict=True)
    return "L".join(f"{_number(across)} {_number(down)}" for across, down in pairs)


def _dot(x: float, y: float) -> str:
    return f"M{_number(x)} {_number(y)}h0"


def _number(place: float) -> str:
    return f"{place:.1f}".removesuffix(".0")


def _plain(values: Array) -> list[float | None]:
    """Numbers short enough to be written many times; None for what is none."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]


def _decimals(written: str) -> int:
    """How many decimals a writer of numbers writes."""
    return len(written.partition(".")[2]) if "e" not in written else 6


def _svg(drawn: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {SIZE} {SIZE}" preserveAspectRatio="none" aria-hidden="true" '
        f'focusable="false">{"".join(drawn)}</svg>'
    )


def _plot(
    kind: str,
    axes: Axes,
    drawn: Iterable[str],
    words: str,
    about: dict[str, object],
    percent: bool = False,
) -> str:
    """A picture with its marks, and what a script needs to tell its numbers."""
    marks = [
        f'<span class="tick y" style="top:{place / 10:.2f}%">{safe_text(text)}</span>'
        for place, text in axes.values
    ]
    unit = " %" if percent else ""
    marks += [
        f'<span class="tick x" style="left:{place / 10:.2f}%">{text}{unit}</span>'
        for place, text in axes.steps
    ]
    return (
        f'<div class="plot {kind}" role="img" tabindex="0" aria-label="{safe_text(words)}">'
        f"{_svg(drawn)}{''.join(marks)}"
        f'<script type="application/json">{safe_json(about)}</script></div>'
    )
