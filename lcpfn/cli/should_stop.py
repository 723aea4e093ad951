"""`lcpfn should-stop`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lcpfn.cli.common import (
    BoundsOption,
    GoalOption,
    HorizonOption,
    JsonOption,
    MetricOption,
    Missing,
    ModelOption,
    ObserveOption,
    RunArgument,
    ScheduleOption,
    StepsColumnOption,
    forecast,
    observed_summary,
    parse_bounds,
    print_json,
    reports_errors,
    show_notes,
)
from lcpfn.cli.question import read_question
from lcpfn.errors import InputError

if TYPE_CHECKING:
    from lcpfn.forecast.extrapolation import Extrapolation
    from lcpfn.logs.run import RunLog
    from lcpfn.peers import Peer
    from lcpfn.stopping import Decision, StoppingRule

STOP = 10


@reports_errors
def should_stop(
    run: RunArgument,
    best: Annotated[
        float,
        typer.Option(
            help="Final value of the best finished run; before there is one, inf to minimize and "
            "-inf to maximize.",
            show_default=False,
        ),
    ],
    goal: GoalOption = None,
    horizon: HorizonOption = None,
    metric: MetricOption = None,
    steps_column: StepsColumnOption = None,
    threshold: Annotated[
        float, typer.Option(help="Stop where the probability to beat --best is below this.")
    ] = 0.05,
    min_steps: Annotated[
        int | None,
        typer.Option(
            help="Records before any decision; by default 4, and fewer for a run that trails its "
            "peers.",
            show_default=False,
        ),
    ] = None,
    patience: Annotated[
        int, typer.Option(help="Records in a row that must say stop; needs no state.")
    ] = 1,
    min_delta: Annotated[float, typer.Option(help="By how much --best must be beaten.")] = 0.0,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Log of another run of the search, to compare with at the same step: a run "
            "that trails is judged sooner, one that leads is spared. Repeatable; counts "
            "from four on. A log that ends before --horizon counts as stopped.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    bounds: BoundsOption = "auto",
    schedule: ScheduleOption = None,
    observe: ObserveOption = None,
    nan: Annotated[
        Missing,
        typer.Option(help="What a newest record of NaN says: nothing, or that the run diverged."),
    ] = Missing.missing,
    as_json: JsonOption = False,
) -> None:
    """Says whether a run is still worth its compute. Exit code 0: go on, 10: stop, 2: bad input.

    [bold]lcpfn should-stop RUN.csv -m val_loss --horizon 100 --best 0.31[/bold]
    """
    import lcpfn
    from lcpfn.forecast.bounds import bounds_that_hold

    rule = lcpfn.StoppingRule(threshold, min_steps, patience, min_delta)
    asked = read_question(run, metric, steps_column, goal, horizon)
    log = asked.log if observe is None else asked.log.first(observe)
    loaded = lcpfn.load(model)

    if math.isnan(best):
        raise InputError("best is nan, but must be the final value of a run")
    peers = [each for path in peer or () for each in _peers(path, log, asked.horizon)]
    others = [best, *(value for other in peers for value in other.values)]
    stated = parse_bounds(bounds)

    def forecast_first(records: int) -> Extrapolation:
        seen = log.first(records)
        # Stated ones that the log passes are an error, which the model tells.
        allowed = (
            bounds_that_hold("auto", seen.values.tolist(), asked.goal.value, others)
            if stated == "auto"
            else stated
        )
        return forecast(loaded, seen, asked.horizon, asked.goal, allowed, schedule)

    decision, post = _decide(rule, log, best, forecast_first, peers, nan)
    show_notes((*asked.notes, *_note_on_missing(log, nan)))
    if as_json:
        print_json(
            {
                "stop": decision.stop,
                "prob_better": decision.prob_better,
                "reason": decision.reason,
                "threshold": threshold,
                "limit": decision.limit,
                "standing": decision.standing,
                "best": best,
                "model": loaded.name,
                "metric": log.metric,
                "goal": post.goal,
                "bounds": list(post.bounds),
                "steps_column": log.steps_column,
                "observed": observed_summary(log, post),
                "horizon": asked.horizon,
                "final_step": float(log.own_steps(post.steps[-1:])[0]),
            }
        )
    else:
        verdict = "stop" if decision.stop else "go on"
        print(f"{verdict}: {decision.reason}", flush=True)
    if decision.stop:
        raise typer.Exit(STOP)


def _note_on_missing(log: RunLog, nan: Missing) -> list[str]:
    count = len(log.values) - 1 - max(i for i, v in enumerate(log.values) if not math.isnan(v))
    if not count or nan is Missing.stop:
        return []
    count_as = (
        "the newest record is NaN and counts"
        if count == 1
        else f"the {count} newest records are NaN and count"
    )
    return [f"{count_as} as missing; where that means divergence, say --nan stop"]


def _peers(path: str, run: RunLog, horizon: float) -> list[Peer]:
    """Other runs of the search, in the metric and the steps of the one that is asked about."""
    from lcpfn.logs.run import read_runs

    logs = read_runs(path, run.metric, run.steps_column)
    # An export may hold the run itself beside its peers.
    others = [log for log in logs if log.run is None or log.run != run.run]
    return [_peer(path, log, run, horizon) for log in others]


def _peer(path: str, log: RunLog, run: RunLog, horizon: float) -> Peer:
    import numpy as np

    from lcpfn.peers import Peer

    try:
        log.model_horizon(horizon)
    except InputError as error:
        raise InputError(f"--peer {path}: {error}") from None
    # Of two logs of one search, the one that lacks its step 0 does not show that they count so.
    counted = max(log, run, key=lambda each: each.shift)
    end = counted.model_horizon(horizon) - counted.shift
    own = log.logged_steps
    present = own[~np.isnan(log.values)]
    records = zip((own + run.shift).tolist(), log.values.tolist(), strict=True)
    return Peer.of(records, stopped=not len(present) or bool(present[-1] < end))


def _decide(
    rule: StoppingRule,
    log: RunLog,
    best: float,
    forecast_first: Callable[[int], Extrapolation],
    peers: Sequence[Peer],
    nan: Missing,
) -> tuple[Decision, Extrapolation]:
    """The decision after the last record, and its forecast.

    A patience above one asks again what the rule would have said after the records before.
    """
    import numpy as np

    from lcpfn.peers import standing
    from lcpfn.stopping import diverged

    def decide(post: Extrapolation) -> Decision:
        step, value = float(post.observed_steps[-1]), float(post.observed_values[-1])
        return rule.decide(post, best, earlier, standing(step, value, peers, post.goal))

    count = len(log.values)
    earlier: list[Decision] = []
    for records in range(max(1, count - rule.patience + 1), count):
        if np.isfinite(log.values[:records]).any():
            earlier.append(decide(forecast_first(records)))
    post = forecast_first(count)
    present = log.values if nan is Missing.stop else log.values[~np.isnan(log.values)]
    broken = diverged(present.tolist(), post.goal)
    return broken or decide(post), post
