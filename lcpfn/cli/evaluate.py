"""`lcpfn evaluate`: how good are the forecasts, on a prior's curves or on logs of your own?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lcpfn.cli.common import (
    BoundsOption,
    Goal,
    GoalOption,
    JsonOption,
    MetricOption,
    ModelOption,
    StepsColumnOption,
    output,
    parse_bounds,
    print_json,
    reports_errors,
    show_notes,
)
from lcpfn.cli.question import settle_goal
from lcpfn.cli.train import PriorOption, load_prior
from lcpfn.errors import InputError
from lcpfn.numbers import number_writer, write_step

if TYPE_CHECKING:
    from rich.table import Table

    from lcpfn.evaluation import Hindsight
    from lcpfn.forecast.model import LCPFN
    from lcpfn.logs.run import RunLog


@reports_errors
def evaluate(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="Logs of finished runs to forecast in hindsight. Without any, fresh curves of "
            "the prior are forecast.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    prior: PriorOption = "reference",
    curves: Annotated[int, typer.Option(help="Prior curves to score.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the prior curves.")] = 1,
    goal: GoalOption = None,
    metric: MetricOption = None,
    steps_column: StepsColumnOption = None,
    bounds: BoundsOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Scores a model on curves of a prior, or in hindsight on your own finished runs.

    [bold]lcpfn evaluate --model reference --prior reference --curves 1000[/bold]

    [bold]lcpfn evaluate RUN.csv --metric val_loss[/bold]
    """
    import numpy as np

    import lcpfn

    if not runs:
        if curves < 2:
            raise InputError(f"--curves is {curves}, but must be at least 2 for a standard error")
        loaded = lcpfn.load(model)
        _report_prior(loaded, prior, curves, seed, as_json)
        return
    from lcpfn.logs.run import read_runs

    # All logs in the metric of the first, or their scores would be of different things.
    found = [(runs[0], log) for log in read_runs(runs[0], metric, steps_column)]
    first = found[0][1]
    for run in runs[1:]:
        found += [(run, log) for log in read_runs(run, first.metric, first.steps_column)]
    names = [run if log.run is None else f"{run}: {log.run}" for run, log in found]
    logs = [log for _, log in found]
    chosen, on_goal = settle_goal(first, goal)
    loaded = lcpfn.load(model)
    told = [
        (name, one)
        for name, log in zip(names, logs, strict=True)
        for one in _in_hindsight(loaded, name, log, chosen, bounds)
    ]
    if len(logs) == 1:
        show_notes((*first.notes, *first.notes_on_steps))
    show_notes(on_goal)
    for name, log in zip(names, logs, strict=True):
        count = int(np.isinf(log.values).sum())
        if count:
            show_notes([f"{name}: {count} infinite record{'s' if count != 1 else ''} left out"])
    _report_logs(loaded, logs, told, as_json)


def _report_prior(model: LCPFN, prior_name: str, curves: int, seed: int, as_json: bool) -> None:
    from lcpfn.evaluation import INTERVALS
    from lcpfn.training import score_on_prior

    scores = score_on_prior(model, load_prior(prior_name), curves, seed)
    if as_json:
        print_json(
            {
                "model": model.name,
                "prior": prior_name,
                "curves": curves,
                "seed": seed,
                "scores": [
                    {
                        "observed": score.share,
                        "log_likelihood": score.log_likelihood,
                        "standard_error": score.standard_error,
                        "coverage": {f"{k:g}": v for k, v in score.coverage.items()},
                    }
                    for score in scores
                ],
            }
        )
        return
    table = _table(f"Model {model.name} on {curves:,} curves of the prior {prior_name}")
    for heading in ("observed", "log-likelihood", "± s.e.", *_interval_headings()):
        table.add_column(heading, justify="right")
    for score in scores:
        table.add_row(
            f"{100 * score.share:.0f} %",
            f"{score.log_likelihood:.3f}",
            f"{score.standard_error:.3f}",
            *(f"{100 * score.coverage[level]:.1f} %" for level in INTERVALS),
        )
    console = output()
    console.print(table)
    console.print(
        "Log-likelihood: mean log-density of the later, noisy points, in nats (higher is better). "
        "An interval should hold the share of points that it is named after.",
        soft_wrap=True,
    )


def _interval_headings() -> list[str]:
    from lcpfn.evaluation import INTERVALS

    return [f"in {100 * level:.0f} %" for level in INTERVALS]


def _in_hindsight(model: LCPFN, run: str, log: RunLog, goal: Goal, bounds: str) -> list[Hindsight]:
    from lcpfn.evaluation import hindsight
    from lcpfn.logs.name_bounds import bounds_by_name

    allowed = bounds_by_name(parse_bounds(bounds), log.metric, goal.value)
    try:
        return hindsight(model, log.values, log.model_steps, goal.value, allowed)
    except InputError as error:
        raise InputError(f"{run}, {log.metric}: {error}") from None


def _report_logs(
    model: LCPFN, logs: list[RunLog], told: list[tuple[str, Hindsight]], as_json: bool
) -> None:
    if as_json:
        print_json(
            {
                "model": model.name,
                "metric": logs[0].metric,
                "forecasts": [
                    {
                        "run": run,
                        "observed": one.share,
                        "records": one.records,
                        "last_value": one.last_value,
                        "median": one.median,
                        "low": one.low,
                        "high": one.high,
                        "final": one.final,
                        "rank": one.rank,
                    }
                    for run, one in told
                ],
            }
        )
        return
    hindsight = [one for _, one in told]
    console = output()
    console.print(
        _one_run(model, logs[0], hindsight) if len(logs) == 1 else _several(model, logs, hindsight)
    )
    if len(logs) > 1:
        console.print(
            "Errors are of the median forecast of the final value, and of the last observed value "
            "taken for it, averaged over runs.",
            soft_wrap=True,
        )


def _one_run(model: LCPFN, log: RunLog, hindsight: list[Hindsight]) -> Table:
    import numpy as np

    final_step = write_step(float(log.own_steps(log.model_steps[np.isfinite(log.values)][-1:])[0]))
    table = _table(f"{log.metric} at {log.step_name} {final_step}, forecast by model {model.name}")
    for heading in ("records", "last value", "6 %", "median", "94 %", "happened", "inside 88 %"):
        table.add_column(heading, justify="right")
    write = number_writer(
        [one.median for one in hindsight], [one.high - one.low for one in hindsight]
    )
    for one in hindsight:
        numbers = (one.last_value, one.low, one.median, one.high, one.final)
        table.add_row(
            f"{one.records} ({100 * one.share:.0f} %)",
            *(write(number) for number in numbers),
            "yes" if one.inside(0.88) else "no",
        )
    return table


def _several(model: LCPFN, logs: list[RunLog], hindsight: list[Hindsight]) -> Table:
    from lcpfn.evaluation import INTERVALS, SHARES

    table = _table(f"Final {logs[0].metric} of {len(logs)} runs, forecast by model {model.name}")
    for heading in ("observed", "runs", "error", "last value's", *_interval_headings()):
        table.add_column(heading, justify="right")
    for share in SHARES:
        group = [one for one in hindsight if one.share == share]
        if not group:
            continue
        table.add_row(
            f"{100 * share:.0f} %",
            str(len(group)),
            f"{_mean(abs(one.median - one.final) for one in group):.4g}",
            f"{_mean(abs(one.last_value - one.final) for one in group):.4g}",
            *(f"{100 * _mean(one.inside(level) for one in group):.0f} %" for level in INTERVALS),
        )
    return table


def _mean(numbers: Any) -> float:
    listed = [float(number) for number in numbers]
    return sum(listed) / len(listed)


def _table(title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    return Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
