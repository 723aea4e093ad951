"""`lcpfn report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lcpfn.cli.common import (
    BoundsOption,
    GoalOption,
    HorizonOption,
    MetricOption,
    MinStepsOption,
    Missing,
    ModelOption,
    NanOption,
    ScheduleOption,
    StepsColumnOption,
    Worth,
    WorthOption,
    parse_bounds,
    reports_errors,
)
from lcpfn.cli.many_runs import (
    BestOption,
    MinDeltaOption,
    PatienceOption,
    ThresholdOption,
    check_sources,
    idle_seconds,
)
from lcpfn.errors import InputError

_LINES = 6


@reports_errors
def report(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR|FILE...",
            help="Folders below which all runs are reported, and logs of runs.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where the page goes.")
    ] = Path("report.html"),
    title: Annotated[
        str | None,
        typer.Option(help="Heading of the page. Default: the folders' names.", show_default=False),
    ] = None,
    goal: GoalOption = None,
    horizon: HorizonOption = None,
    metric: MetricOption = None,
    steps_column: StepsColumnOption = None,
    best: BestOption = None,
    ended: Annotated[
        bool,
        typer.Option(
            "--ended",
            help="No run goes on any more: those short of their horizon were stopped.",
        ),
    ] = False,
    idle: Annotated[
        float,
        typer.Option(help="Minutes after which a run whose log does not change was stopped."),
    ] = 30.0,
    threshold: ThresholdOption = 0.05,
    min_steps: MinStepsOption = None,
    patience: PatienceOption = 1,
    min_delta: MinDeltaOption = 0.0,
    model: ModelOption = None,
    bounds: BoundsOption = "auto",
    schedule: ScheduleOption = None,
    nan: NanOption = Missing.missing,
    of: WorthOption = Worth.last,
) -> None:
    """Writes a page about all runs below a folder: forecasts, ranking, savings, hindsight.

    [bold]lcpfn report runs/ --metric val_loss --horizon 100 -o report.html[/bold]
    """
    from datetime import datetime

    import lcpfn
    from lcpfn.atomic import write_atomically
    from lcpfn.report.content import Settings, gather
    from lcpfn.report.page import write_page
    from lcpfn.watching import Asked, Watch

    check_sources(sources)
    if output.is_dir():
        raise InputError(
            f"--output is {output}, a folder: name a file, such as {output}/report.html"
        )
    if not output.parent.is_dir():
        raise InputError(
            f"--output is {output}, but there is no folder {output.parent}: make it first"
        )
    loaded = lcpfn.load(model)
    about: dict[str, Any] = {
        "threshold": threshold,
        "min_steps": min_steps,
        "patience": patience,
        "min_delta": min_delta,
        "bounds": parse_bounds(bounds),
        "nan": nan.value,
    }
    shape: Any = None if schedule is None else schedule.value
    asked = Asked(metric, steps_column, None if goal is None else goal.value, horizon)
    watch = Watch(
        sources,
        asked,
        best=best,
        idle=idle_seconds(idle),
        model=loaded,
        schedule=shape,
        of=of.value,
        **about,
    )
    content = gather(watch, loaded, Settings(best, ended, shape, of.value, about))
    heading = title or ", ".join(Path(source).resolve().name for source in sources)
    page = write_page(content, heading, datetime.now().astimezone(), lcpfn.__version__)
    write_atomically(output, page.encode("utf-8"))
    reasons = list(content.problems.values())
    for reason in reasons[:_LINES]:
        typer.echo(f"lcpfn: not read: {reason}", err=True)
    if len(reasons) > _LINES:
        typer.echo(
            f"lcpfn: {len(reasons) - _LINES} more were not read: the page says why", err=True
        )
    count = len(content.runs)
    typer.echo(
        f"{output}: {count} run{'s' if count != 1 else ''}, {len(page.encode()) / 1e6:.1f} MB"
    )
