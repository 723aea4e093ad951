"""`lcpfn should-stop`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from lcpfn.cli.common import (
    BoundsOption,
    GoalOption,
    HorizonOption,
    JsonOption,
    MetricOption,
    MinStepsOption,
    Missing,
    ModelOption,
    NanOption,
    ObserveOption,
    RunArgument,
    ScheduleOption,
    StepsColumnOption,
    Worth,
    WorthOption,
    forecast,
    note_on_rates,
    print_json,
    reports_errors,
    show_notes,
)
from lcpfn.cli.options import Option
from lcpfn.cli.peers import peer_records, read_peers
from lcpfn.cli.question import check_unit, read_question, settle_bounds
from lcpfn.errors import InputError

if TYPE_CHECKING:
    from lcpfn.logs.run import RunLog
    from lcpfn.search.search import Search

STOP = 10


@reports_errors
def should_stop(
    run: RunArgument,
    best: Annotated[
        float,
        Option(
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
        float, Option(help="Stop where the probability to beat --best is below this.")
    ] = 0.05,
    min_steps: MinStepsOption = None,
    patience: Annotated[
        int, Option(help="Records in a row that must say stop; needs no state.")
    ] = 1,
    min_delta: Annotated[float, Option(help="By how much --best must be beaten.")] = 0.0,
    peer: Annotated[
        list[str] | None,
        Option(
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
    nan: NanOption = Missing.missing,
    of: WorthOption = Worth.last,
    as_json: JsonOption = False,
) -> None:
    """Says whether a run is still worth its compute. Exit code 0: go on, 10: stop, 2: bad input.

    [bold]lcpfn should-stop RUN.csv -m val_loss --horizon 100 --best 0.31[/bold]
    """
    import lcpfn

    asked = read_question(run, metric, steps_column, goal, horizon)
    log = asked.log if observe is None else asked.log.first(observe)
    if math.isnan(best):
        raise InputError("best is nan, but must be the final value of a run")
    loaded, allowed = lcpfn.load(model), settle_bounds(asked, bounds)
    check_unit(asked, best, allowed)
    if allowed not in ("auto", None):
        # Stated ones that the log passes are an error, which the model tells.
        forecast(loaded, log, asked.horizon, asked.goal, allowed, schedule)
    others = read_peers(peer or (), log, asked.horizon)
    # Of several logs of one search, one that lacks its step 0 does not show that they count so.
    counted = max((log, *others), key=lambda each: each.shift)
    search = lcpfn.Search(
        asked.goal.value,
        counted.model_horizon(asked.horizon),
        model=loaded,
        bounds=allowed,
        schedule=None if schedule is None else schedule.value,
        nan=nan.value,
        of=of.value,
        threshold=threshold,
        min_steps=min_steps,
        patience=patience,
        min_delta=min_delta,
        peers=max(1, len(others)),
    )
    search.end("best", "finished", value=best)
    for number, other in enumerate(others):
        _add_peer(search, number, other, log.shift)
    steps, rates = log.model_steps.tolist(), loaded.told_rates(log.rates, schedule)
    by_step = {} if rates is None else dict(zip(steps, rates.tolist(), strict=True))
    search.set_records("run", zip(steps, log.values.tolist(), strict=True), by_step)
    verdict = search.judge("run")
    notes = *_note_on_missing(log, nan), *note_on_rates(loaded, log, schedule)
    show_notes((*asked.notes, *notes))
    if as_json:
        print_json(
            {
                **verdict.record(),
                "stop": verdict.action == "stop",
                "threshold": threshold,
                "best": best,
                "model": loaded.name,
                "metric": log.metric,
                "goal": search.goal,
                "bounds": search.bounds("run"),
                "steps_column": log.steps_column,
                "observed": _observed(log),
                "horizon": asked.horizon,
                "final_step": counted.model_horizon(asked.horizon) - log.shift,
            }
        )
    else:
        print(f"{'stop' if verdict.action == 'stop' else 'go on'}: {verdict.reason}", flush=True)
    if verdict.action == "stop":
        raise SystemExit(STOP)


def _note_on_missing(log: RunLog, nan: Missing) -> list[str]:
    present = [index for index, value in enumerate(log.values) if not math.isnan(value)]
    count = len(log.values) - 1 - (present[-1] if present else -1)
    if not count or nan is Missing.stop:
        return []
    count_as = (
        "the newest record is NaN and counts"
        if count == 1
        else f"the {count} newest records are NaN and count"
    )
    return [f"{count_as} as missing; where that means divergence, say --nan stop"]


def _add_peer(search: Search, number: int, log: RunLog, shift: float) -> None:
    """Tells the search of a peer; one that has not reached the end was stopped."""
    search.set_records(number, peer_records(log, shift))
    # Of finished runs only --best is to beat.
    search.end(number, "finished" if search.complete(number) else "stopped", counts=False)


def _observed(log: RunLog) -> dict[str, float]:
    """What a JSON answer says about the observed records."""
    present = [index for index, value in enumerate(log.values) if not math.isnan(value)]
    newest = present[-1] if present else -1
    return {
        "records": len(present),
        "missing": len(log.values) - len(present),
        "last_step": float(log.own_steps(log.model_steps)[newest]),
        "last_value": float(log.values[newest]),
    }
