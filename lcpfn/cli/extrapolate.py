"""`lcpfn extrapolate`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from lcpfn.cli.common import (
    BoundsOption,
    GoalOption,
    HorizonOption,
    JsonOption,
    MetricOption,
    ModelOption,
    ObserveOption,
    RunArgument,
    ScheduleOption,
    StepsColumnOption,
    Worth,
    WorthOption,
    forecast,
    note_on_rates,
    observed_summary,
    output,
    print_json,
    reports_errors,
    show_notes,
)
from lcpfn.cli.options import Option
from lcpfn.cli.peers import PeerOption, as_peer, read_peers
from lcpfn.cli.question import check_some_value, check_unit, read_question, settle_bounds
from lcpfn.errors import InputError
from lcpfn.numbers import number_writer, write_probability, write_step

if TYPE_CHECKING:
    from rich.table import Table

    from lcpfn.forecast.arguments import Array
    from lcpfn.forecast.best import Of
    from lcpfn.forecast.extrapolation import Extrapolation
    from lcpfn.forecast.model import LCPFN
    from lcpfn.logs.run import RunLog

# The ends of the central intervals of 50, 88 and 96 %, and the median.
_QUANTILES = (0.02, 0.06, 0.25, 0.5, 0.75, 0.94, 0.98)
_TABLE_QUANTILES = (0.06, 0.25, 0.5, 0.75, 0.94)
_TABLE_ROWS = 10
_SHOWN = 0.05


@reports_errors
def extrapolate(
    run: RunArgument,
    goal: GoalOption = None,
    horizon: HorizonOption = None,
    metric: MetricOption = None,
    steps_column: StepsColumnOption = None,
    model: ModelOption = None,
    bounds: BoundsOption = "auto",
    schedule: ScheduleOption = None,
    of: WorthOption = Worth.last,
    observe: ObserveOption = None,
    peer: PeerOption = None,
    best: Annotated[
        float | None,
        Option(
            help="Final value to beat: also print the probability that this run beats it.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    plot: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Also draw the forecast; .png, .pdf or .svg.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Forecasts a run's metric from its log so far.

    [bold]lcpfn extrapolate RUN.csv --metric val_loss --horizon 100[/bold]
    """
    import lcpfn

    asked = read_question(run, metric, steps_column, goal, horizon)
    check_some_value(run, asked.log)
    log = asked.log
    observed = log if observe is None else log.first(observe)
    loaded = lcpfn.load(model)
    allowed = settle_bounds(asked, bounds)
    check_unit(asked, best, allowed)
    others = read_peers(peer or (), log, asked.horizon)
    post = forecast(loaded, observed, asked.horizon, asked.goal, allowed, schedule, of)
    post = loaded.accompanied(
        post,
        [as_peer(other, log, asked.horizon) for other in others],
        bounds=allowed,
        schedule=None if schedule is None else schedule.value,
    )
    # Before anything is written, so that bad input leaves no half an answer.
    prob_better = None if best is None else _prob_better(post, best)
    if plot is not None:
        _draw(post, log, observed, best, plot)
    show_notes((*asked.notes, *note_on_rates(loaded, observed, schedule)))
    if as_json:
        content = _as_json(post, observed, loaded, asked.horizon)
        print_json({**content, "peers": len(others), "best": best, "prob_better": prob_better})
        return
    _print_forecast(post, log, observed, loaded, len(others))
    if prob_better is not None:
        output().print(
            f"Probability of ending better than {best:g}: {write_probability(prob_better)}.",
            soft_wrap=True,
        )
    if plot is not None:
        output().print(f"Picture: {plot}", soft_wrap=True, markup=False)


def _as_json(post: Extrapolation, log: RunLog, model: LCPFN, horizon: float) -> dict[str, Any]:
    quantiles = post.quantile(_QUANTILES)
    steps = log.own_steps(post.steps)
    return {
        "model": model.name,
        "metric": log.metric,
        "goal": post.goal,
        "of": post.of,
        "bounds": list(post.bounds),
        "steps_column": log.steps_column,
        "observed": observed_summary(log, post),
        "horizon": horizon,
        "final_step": float(steps[-1]),
        "steps": steps.tolist(),
        "median": post.median.tolist(),
        "mean": post.mean.tolist(),
        "std": post.std.tolist(),
        "quantiles": {f"{q:g}": row.tolist() for q, row in zip(_QUANTILES, quantiles, strict=True)},
    }


def _prob_better(post: Extrapolation, best: float) -> float:
    if math.isnan(best):
        raise InputError("--best is nan, but must be a number to compare with")
    return post.prob_better(best)


def _print_forecast(
    post: Extrapolation, log: RunLog, observed: RunLog, model: LCPFN, heard: int
) -> None:
    import numpy as np

    rows = np.unique(np.linspace(0, len(post.steps) - 1, _TABLE_ROWS).round().astype(int))
    steps = observed.own_steps(post.steps[rows])
    quantiles = post.quantile(_TABLE_QUANTILES)[:, rows]
    logged = log.values if post.of == "last" else _best_so_far(log.values, post.goal)
    later = dict(zip(log.model_steps.tolist(), logged.tolist(), strict=True))
    happened = [later.get(step) for step in post.steps[rows].tolist()]
    low, middle, high = quantiles[0], quantiles[2], quantiles[-1]
    write = number_writer(middle.tolist(), (high - low).tolist())
    compared = any(value is not None for value in happened)
    table = _table(observed, compared, post.of)
    for step, row, value in zip(steps, quantiles.T, happened, strict=True):
        cells = [write_step(step), *(write(quantile) for quantile in row)]
        if compared:
            cells.append("" if value is None else write(value))
        table.add_row(*cells)
    console = output()
    console.print(table)
    console.print(_sentence(post, observed, model, write, heard), soft_wrap=True, markup=False)


def _best_so_far(values: Array, goal: str) -> Array:
    """(n,) the best of each and all before it; a missing one changes nothing."""
    import numpy as np

    better = np.fmax if goal == "maximize" else np.fmin
    so_far: Array = better.accumulate(values)
    return so_far


def _table(log: RunLog, compared: bool, of: Of) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(f"Forecast of {_words(of)}{log.metric}"),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column(Text(log.step_name), justify="right")
    for quantile in _TABLE_QUANTILES:
        if quantile == 0.5:
            table.add_column("median", justify="right", style="bold")
        else:
            table.add_column(f"{100 * quantile:g} %", justify="right")
    if compared:
        table.add_column("happened", justify="right")
    return table


def _words(of: Of) -> str:
    return "the best " if of == "best" else ""


def _sentence(
    post: Extrapolation, log: RunLog, model: LCPFN, write: Callable[[float], str], heard: int
) -> str:
    import numpy as np

    low, middle, high = (write(value) for value in post.quantile([0.06, 0.5, 0.94])[:, -1])
    count = len(post.observed_values)
    last, final = log.own_steps(np.array([post.observed_steps[-1], post.steps[-1]]))
    by = "by" if post.of == "best" else "at"
    metric = f"{_words(post.of)}{log.metric}"
    told = f" and {heard} peer{'s' if heard != 1 else ''}" if heard else ""
    if post.curve.finished:
        return (
            f"The run is complete: {metric} {by} {log.step_name} {write_step(last)} is "
            f"{middle if post.of == 'best' else _exactly(post.observed_values[-1], write)}."
        )
    return (
        f"{metric} {by} {log.step_name} {write_step(final)} will be about {middle}, with 88 % "
        f"probability between {low} and {high} (model {model.name}; {count} "
        f"record{'s' if count != 1 else ''}{told}, the last one "
        f"{_exactly(post.observed_values[-1], write)} at {log.step_name} {write_step(last)})."
    )


def _exactly(value: float, write: Callable[[float], str]) -> str:
    """A value that is known, in more digits where those of the forecast would not show it."""
    text = write(value)
    if not math.isfinite(value):
        return text
    shown = float(text.replace(",", ""))
    return text if abs(shown - value) <= _SHOWN * abs(value) else f"{value:.4g}"


def _draw(
    post: Extrapolation, log: RunLog, observed: RunLog, best: float | None, path: Path
) -> None:
    from lcpfn.forecast.plotting import write_picture

    count = len(observed.values)
    later = (log.model_steps[count:], log.values[count:]) if count < len(log.values) else None
    axes = post.plot(
        metric=log.metric,
        step_name=log.step_name,
        shift=log.shift,
        incumbent=best,
        truth=later,
    )
    write_picture(axes, path)
