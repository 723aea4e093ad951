"""`lcpfn watch`."""

from __future__ import annotations

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    finite,
    output,
    parse_bounds,
    reports_errors,
)
from lcpfn.cli.many_runs import (
    MINUTE,
    BestOption,
    MinDeltaOption,
    PatienceOption,
    ThresholdOption,
    check_sources,
    idle_seconds,
)
from lcpfn.cli.stop_commands import STATE_FILE, StopCommands
from lcpfn.errors import InputError
from lcpfn.numbers import number_writer, write_probability, write_step

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

    from lcpfn.watching import Watch, WatchedRun

INTERRUPTED = 130
_BARS = "▁▂▃▄▅▆▇█"
_LINES = 8
_HEADING = 24
# On a terminal, a run has a line; so many are left for all else, and for runs at the least.
_AROUND, _FEWEST = 8, 4


@reports_errors
def watch(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR|FILE...",
            help="Folders below which all runs are followed, and logs of runs.",
            show_default=False,
        ),
    ],
    goal: GoalOption = None,
    horizon: HorizonOption = None,
    metric: MetricOption = None,
    steps_column: StepsColumnOption = None,
    once: Annotated[bool, typer.Option("--once", help="Print the table once, and exit.")] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object a line, for each change of a run."),
    ] = False,
    on_stop: Annotated[
        str | None,
        typer.Option(
            metavar="CMD",
            help="Shell command to run once for each run that is to be stopped, such as "
            "'touch {run}.stop'; {run} is its log, or the folder that is its own. Without it "
            "nothing is done.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Where --on-stop remembers for which runs it was run. Default: {STATE_FILE} in "
            "the first folder, or beside the first log.",
            show_default=False,
        ),
    ] = None,
    best: BestOption = None,
    threshold: ThresholdOption = 0.05,
    min_steps: MinStepsOption = None,
    patience: PatienceOption = 1,
    min_delta: MinDeltaOption = 0.0,
    idle: Annotated[
        float,
        typer.Option(help="Minutes after which a run whose log does not change is called idle."),
    ] = 30.0,
    every: Annotated[float, typer.Option(help="Seconds between two looks at the logs.")] = 2.0,
    model: ModelOption = None,
    bounds: BoundsOption = "auto",
    schedule: ScheduleOption = None,
    nan: NanOption = Missing.missing,
    of: WorthOption = Worth.last,
) -> None:
    """Follows all runs below a folder while they are being logged; Ctrl-C leaves.

    [bold]lcpfn watch runs/ --metric val_loss --horizon 100[/bold]
    """
    from lcpfn.watching import Asked, Watch

    if not 0 < every < math.inf:
        raise InputError(f"--every is {every:g}, but must be a positive number of seconds")
    if once:
        check_sources(sources)
    commands = None
    if on_stop is not None:
        commands = StopCommands(on_stop, state or _home(sources[0]) / STATE_FILE)
    asked = Asked(metric, steps_column, None if goal is None else goal.value, horizon)
    runs = Watch(
        sources,
        asked,
        best=best,
        idle=idle_seconds(idle),
        model=model,
        bounds=parse_bounds(bounds),
        schedule=None if schedule is None else schedule.value,
        nan=nan.value,
        of=of.value,
        threshold=threshold,
        min_steps=min_steps,
        patience=patience,
        min_delta=min_delta,
    )
    view: _Lines | _Tables = _Lines() if as_json else _Tables(once)
    try:
        _follow(runs, view, commands, None if once else every)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _home(source: str) -> Path:
    path = Path(source)
    return path if path.is_dir() or not path.suffix else path.parent


def _follow(
    runs: Watch, view: _Lines | _Tables, commands: StopCommands | None, every: float | None
) -> None:
    """Looks at the logs again and again, or once where `every` is None."""
    with view:
        while True:
            begun = time.monotonic()
            watched = runs.refresh()
            told = list(runs.notices())
            if commands is not None:
                for run in watched:
                    # An idle run may have ended long ago, and its process be another's.
                    if run.verdict.stop and run.state != "idle":
                        commands.start(run)
                told += commands.ended(wait=every is None)
            view.show(watched, runs.problems, told, commands)
            if every is None:
                return
            # However much there is to read, half of the time is left to the runs.
            took = time.monotonic() - begun
            time.sleep(max(took, every - took))


class _Lines:
    """Prints a JSON object for each change."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[Any, ...]] = {}

    def __enter__(self) -> None: ...

    def __exit__(self, *raised: object) -> None: ...

    def show(
        self,
        watched: Sequence[WatchedRun],
        problems: dict[str, str],
        told: Sequence[str],
        commands: StopCommands | None,
    ) -> None:
        """Prints what has changed."""
        shown: dict[str, tuple[Any, ...]] = {}
        for path, reason in problems.items():
            shown[path] = ()
            if path not in self._shown:
                _print_line({"unread": path, "reason": reason})
        for words in told:
            _print_line({"note": words})
        for rank, run in enumerate(watched, start=1):
            done = commands is not None and commands.done(run)
            said = (run.records, run.step, run.value, run.state, run.verdict.action, done)
            shown[run.name] = said
            # NaN differs from itself.
            if repr(said) != repr(self._shown.get(run.name)):
                _print_line(_record(run, rank, done))
        self._shown = shown


def _print_line(content: dict[str, Any]) -> None:
    print(json.dumps(finite(content), allow_nan=False), flush=True)


def _record(run: WatchedRun, rank: int, done: bool) -> dict[str, Any]:
    """A run as a JSON object."""
    verdict = run.verdict
    return {
        "run": run.name,
        "path": str(run.path),
        "rank": rank,
        "state": run.state,
        "action": verdict.action,
        "reason": verdict.reason,
        "on_stop_done": done,
        "metric": run.metric,
        "steps_column": run.step_name,
        "records": run.records,
        "step": run.step,
        "value": run.value,
        "horizon": run.horizon,
        "low": run.low,
        "median": run.median,
        "high": run.high,
        "chance_best": run.chance,
        "prob_better": verdict.prob_better,
        "to_beat": verdict.to_beat,
        "standing": verdict.standing,
        "notes": list(run.notes),
    }


class _Tables:
    """Shows a table, on a terminal always the newest one in the same place.

    Args:
        once: whether it is shown once only.
    """

    def __init__(self, once: bool) -> None:
        from rich.live import Live

        self._console = output()
        self._live: Live | None = None
        self._shown = ""
        self._unread: set[str] = set()
        self._told: list[str] = []
        if self._console.is_terminal and not once:
            self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.__enter__()

    def __exit__(self, *raised: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*raised)

    def show(
        self,
        watched: Sequence[WatchedRun],
        problems: dict[str, str],
        told: Sequence[str],
        commands: StopCommands | None,
    ) -> None:
        """Shows what is known."""
        for path, reason in problems.items():
            if path not in self._unread:
                self._say(f"not read: {reason}")
        self._unread = set(problems)
        for words in told:
            self._say(f"note: {words}")
        if self._live is not None:
            rows = max(_FEWEST, self._console.height - _AROUND)
            self._live.update(_content(watched, commands, rows), refresh=True)
            return
        content = _content(watched, commands)
        with self._console.capture() as capture:
            self._console.print(content)
        # Where lines cannot be taken back, only a change is worth a table.
        if capture.get() != self._shown:
            self._shown = capture.get()
            sys.stdout.write(self._shown)
            sys.stdout.flush()

    def _say(self, words: str) -> None:
        words = _printable(words)
        if self._live is not None:
            self._console.print(words, markup=False, soft_wrap=True)
        else:
            typer.echo(f"lcpfn: {words}", err=True)


def _content(
    watched: Sequence[WatchedRun], commands: StopCommands | None, rows: int | None = None
) -> Group:
    """The table and what there is to say about it.

    Args:
        watched: all runs.
        commands: what is run for those that are to be stopped.
        rows: how many runs are shown, each on a line of its own; None shows all of all.
    """
    from rich.console import Group
    from rich.text import Text

    lines: list[RenderableType] = [_table(watched[:rows], commands, rows is None)]
    if rows is not None and len(watched) > rows:
        lines.append(Text(f"{len(watched) - rows} more runs, which promise less: see --once."))
    if not watched:
        lines = [Text("No run has a record yet.")]
    stop = [run for run in watched if run.verdict.stop and run.state != "idle"]
    if stop and commands is None:
        names = ", ".join(_printable(run.name) for run in stop[:_LINES])
        more = f" and {len(stop) - _LINES} more" if len(stop) > _LINES else ""
        lines.append(Text(f"To be stopped: {names}{more} (nothing is done without --on-stop)."))
    lines += [
        Text(f"{count} runs: {_printable(reason)}.")
        for reason, count in _shared_reasons(watched).items()
    ]
    notes: dict[str, list[str]] = {}
    for run in watched:
        for note in run.notes:
            notes.setdefault(note, []).append(run.name)
    lines += [
        Text(_printable(f"{names[0] if len(names) == 1 else f'{len(names)} runs'}: {note}."))
        for note, names in list(notes.items())[:_LINES]
    ]
    if len(notes) > _LINES:
        lines.append(Text(f"{len(notes) - _LINES} more notes: see --json."))
    return Group(*lines)


def _table(watched: Sequence[WatchedRun], commands: StopCommands | None, folds: bool) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("run", overflow="fold", min_width=8)
    table.add_column("at", justify="right", no_wrap=True)
    table.add_column(Text(_printable(_heading(watched))), no_wrap=True)
    table.add_column("last", justify="right", no_wrap=True)
    table.add_column("end", justify="right", style="bold", no_wrap=True)
    table.add_column("88 % within", justify="right", no_wrap=True)
    table.add_column("ends best", justify="right", no_wrap=True)
    if folds:
        # A least width would be kept by cutting what lies beyond the last column.
        table.add_column("rule")
    else:
        table.add_column("rule", overflow="ellipsis", min_width=20, no_wrap=True)
    known = [value for run in watched for value in (run.median, run.value) if _is_number(value)]
    widths = [run.high - run.low for run in watched if _is_number(run.high - run.low)]
    write = number_writer(known, widths)
    shared = _shared_reasons(watched)
    for run in watched:
        finished = run.state == "finished"
        band = (
            "" if finished or not _is_number(run.low) else f"{write(run.low)} to {write(run.high)}"
        )
        table.add_row(
            Text(_printable(run.name)),
            _place(run),
            _sparkline(run.shape),
            write(run.value) if _is_number(run.value) else f"{run.value:g}",
            write(run.median) if _is_number(run.median) else "",
            band,
            write_probability(run.chance) if _is_number(run.chance) else "",
            _rule(run, commands, run.verdict.reason not in shared),
        )
    return table


def _heading(watched: Sequence[WatchedRun]) -> str:
    """What is forecast, never much wider than the bars below it."""
    metrics = Counter(run.metric for run in watched).most_common(2)
    name = metrics[0][0] if metrics else ""
    short = name if len(name) <= _HEADING else f"…{name[1 - _HEADING :]}"
    return short if len(metrics) < 2 else f"{short}, …"


def _printable(text: str) -> str:
    """Text without what a name of a file may hold but no terminal should get."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _is_number(value: float) -> bool:
    return math.isfinite(value)


def _place(run: WatchedRun) -> str:
    """How far a run is: 40/100."""
    of = "" if run.horizon is None else f"/{write_step(run.horizon)}"
    return f"{write_step(run.step)}{of}"


def _sparkline(shape: Sequence[float]) -> str:
    """The values of a run as bars."""
    low, high = min(shape, default=0.0), max(shape, default=0.0)
    if not high > low:
        return _BARS[len(_BARS) // 2] * len(shape)
    top = len(_BARS) - 1
    return "".join(_BARS[round((value - low) / (high - low) * top)] for value in shape)


def _shared_reasons(watched: Sequence[WatchedRun]) -> dict[str, int]:
    """Reasons that the rule gives for several runs, said once below the table; for how many."""
    given = Counter(run.verdict.reason for run in watched if run.state != "finished")
    return {reason: count for reason, count in given.items() if count > 1}


def _rule(run: WatchedRun, commands: StopCommands | None, explained: bool) -> RenderableType:
    """What the rule says, and why where that is `explained` here."""
    from rich.text import Text

    if run.state == "finished":
        return Text("finished", style="green")
    stop = run.verdict.stop
    words = "stop" if stop else "go on"
    if commands is not None and commands.done(run):
        words = "stop, was told" if stop else "go on, but was told to stop"
    style = "red" if stop else ""
    if run.state == "idle":
        words, style = f"idle for {_duration(run.quiet)}; {words}", "dim"
    return Text(f"{words}: {run.verdict.reason}" if explained else words, style=style)


def _duration(seconds: float) -> str:
    """A time for a person: 40 min, 5 h, 3 days."""
    if seconds < 60 * MINUTE:
        return f"{seconds / MINUTE:.0f} min"
    hours = seconds / (60 * MINUTE)
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"
