"""`lcpfn evaluate`: how good are the forecasts, on a prior's curves or on logs of your own?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lcpfn.cli.common import (
    BoundsOption,
    Goal,
    JsonOption,
    MetricOption,
    ModelOption,
    StepsColumnOption,
    number_writer,
    output,
    parse_bounds,
    print_json,
    reports_errors,
    show_notes,
    write_step,
)
from lcpfn.cli.training import PriorOption, load_prior
from lcpfn.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from lcpfn.curve_files import RunLog
    from lcpfn.model import LCPFN
    from lcpfn.priors import Prior

_SHARES = (0.1, 0.2, 0.4, 0.8)
_INTERVALS = (0.50, 0.88, 0.96)
_CHUNK = 200
_LEAST_RECORDS = 4


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
    goal: Annotated[
        Goal | None,
        typer.Option("--goal", "-g", help="For logs: which way is better.", show_default=False),
    ] = None,
    metric: MetricOption = None,
    steps_column: StepsColumnOption = None,
    bounds: BoundsOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Scores a model on curves of a prior, or in hindsight on your own finished runs.

    [bold]lcpfn evaluate --model reference --prior reference --curves 1000[/bold]

    [bold]lcpfn evaluate RUN.csv --metric val_loss --goal minimize[/bold]
    """
    import numpy as np

    import lcpfn

    if not runs:
        if curves < 2:
            raise InputError(f"--curves is {curves}, but must be at least 2 for a standard error")
        loaded = lcpfn.load(model)
        _report_prior(loaded, prior, load_prior(prior), curves, seed, as_json)
        return
    if goal is None:
        raise InputError("--goal is missing, but logs need it: maximize or minimize")
    from lcpfn.curve_files import read_run

    # All logs in the metric of the first, or their scores would be of different things.
    first = read_run(runs[0], metric, steps_column)
    logs = [first, *(read_run(run, first.metric, steps_column) for run in runs[1:])]
    loaded = lcpfn.load(model)
    hindsight = [
        forecast
        for run, log in zip(runs, logs, strict=True)
        for forecast in _hindsight(loaded, run, log, goal, bounds)
    ]
    if len(logs) == 1:
        show_notes(logs[0].notes)
    for run, log in zip(runs, logs, strict=True):
        count = int(np.isinf(log.values).sum())
        if count:
            show_notes([f"{run}: {count} infinite record{'s' if count != 1 else ''} left out"])
    _report_logs(loaded, logs, hindsight, as_json)


@dataclass(frozen=True)
class PriorScore:
    """Scores of the forecasts from one share of each curve.

    Args:
        share: of each curve that was observed.
        log_likelihood: mean log-density of the later, noisy points, in nats.
        standard_error: of that mean, over curves.
        coverage: by central interval, the share of later points inside it.
    """

    share: float
    log_likelihood: float
    standard_error: float
    coverage: dict[float, float]


def score_on_prior(model: LCPFN, prior: Prior, curves: int, seed: int) -> list[PriorScore]:
    """Scores a model on fresh curves of a prior, in the prior's own unit, without any bounds."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    batches = [
        prior.sample(min(_CHUNK, curves - begin), generator) for begin in range(0, curves, _CHUNK)
    ]
    scores = []
    for share in _SHARES:
        likelihoods: list[Tensor] = []
        inside: dict[float, list[Tensor]] = {level: [] for level in _INTERVALS}
        for batch in batches:
            values = batch.values
            fractions = batch.fractions.expand_as(values).contiguous()
            seen = max(1, round(share * values.shape[1]))
            with torch.inference_mode():
                forecast, _ = model.network.extend(
                    None,
                    fractions[:, :seen],
                    values[:, :seen],
                    fractions[:, seen:],
                    batch.limits,
                )
                likelihoods.append(forecast.log_prob(values[:, seen:]).double().mean(1))
                distance = 2 * (forecast.cdf(values[:, seen:]) - 0.5).abs()
            for level in _INTERVALS:
                inside[level].append((distance < level).double().mean(1))
        likelihood = torch.cat(likelihoods)
        scores.append(
            PriorScore(
                share,
                float(likelihood.mean()),
                float(likelihood.std()) / math.sqrt(curves),
                {level: float(torch.cat(shares).mean()) for level, shares in inside.items()},
            )
        )
    return scores


def _report_prior(
    model: LCPFN, prior_name: str, prior: Prior, curves: int, seed: int, as_json: bool
) -> None:
    scores = score_on_prior(model, prior, curves, seed)
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
            *(f"{100 * score.coverage[level]:.1f} %" for level in _INTERVALS),
        )
    console = output()
    console.print(table)
    console.print(
        "Log-likelihood: mean log-density of the later, noisy points, in nats (higher is better). "
        "An interval should hold the share of points that it is named after.",
        soft_wrap=True,
    )


def _interval_headings() -> list[str]:
    return [f"in {100 * level:.0f} %" for level in _INTERVALS]


@dataclass(frozen=True)
class Hindsight:
    """One forecast of a run's final value, beside what happened.

    Args:
        run: where the log came from.
        share: of the records that was observed.
        records: how many these were.
        last_value: the last of them.
        low, median, high: 6 %, 50 % and 94 % quantiles of the forecast.
        final: the value that was forecast.
        rank: probability that the forecast gave to values below the final one.
    """

    run: str
    share: float
    records: int
    last_value: float
    low: float
    median: float
    high: float
    final: float
    rank: float

    def inside(self, level: float) -> bool:
        """Whether the final value lies in the central interval of this probability."""
        return 2 * abs(self.rank - 0.5) < level


def _hindsight(model: LCPFN, run: str, log: RunLog, goal: Goal, bounds: str) -> list[Hindsight]:
    """Forecasts of the last record from 10, 20, 40 and 80 % of the records before it."""
    import numpy as np

    present = np.isfinite(log.values)
    values, steps = log.values[present], log.model_steps[present]
    if len(values) < _LEAST_RECORDS:
        raise InputError(
            f"{run} has {len(values)} records of {log.metric}, but must have at least "
            f"{_LEAST_RECORDS} to be forecast in hindsight"
        )
    counts = {share: max(2, round(share * len(values))) for share in _SHARES}
    # As it would have been at the time: bounds are guessed from the records observed by then.
    posts = {
        share: model.extrapolate(
            values[:count],
            steps[:count],
            horizon=float(steps[-1]),
            goal=goal.value,
            bounds=parse_bounds(bounds),
            query=steps[-1:],
        )
        for share, count in counts.items()
        if count < len(values)
    }
    hindsight = []
    for share, post in posts.items():
        low, median, high = post.quantile([0.06, 0.5, 0.94])[:, -1].tolist()
        last_value, final = float(values[counts[share] - 1]), float(values[-1])
        rank = float(post.cdf(final)[-1])
        hindsight.append(
            Hindsight(run, share, counts[share], last_value, low, median, high, final, rank)
        )
    return hindsight


def _report_logs(
    model: LCPFN, logs: list[RunLog], hindsight: list[Hindsight], as_json: bool
) -> None:
    if as_json:
        print_json(
            {
                "model": model.name,
                "metric": logs[0].metric,
                "forecasts": [
                    {
                        "run": one.run,
                        "observed": one.share,
                        "records": one.records,
                        "last_value": one.last_value,
                        "median": one.median,
                        "low": one.low,
                        "high": one.high,
                        "final": one.final,
                        "rank": one.rank,
                    }
                    for one in hindsight
                ],
            }
        )
        return
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
    table = _table(f"Final {logs[0].metric} of {len(logs)} runs, forecast by model {model.name}")
    for heading in ("observed", "runs", "error", "last value's", *_interval_headings()):
        table.add_column(heading, justify="right")
    for share in _SHARES:
        group = [one for one in hindsight if one.share == share]
        if not group:
            continue
        table.add_row(
            f"{100 * share:.0f} %",
            str(len(group)),
            f"{_mean(abs(one.median - one.final) for one in group):.4g}",
            f"{_mean(abs(one.last_value - one.final) for one in group):.4g}",
            *(f"{100 * _mean(one.inside(level) for one in group):.0f} %" for level in _INTERVALS),
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
