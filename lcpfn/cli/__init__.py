"""The command line: `lcpfn extrapolate`, `should-stop`, `watch`, `report`, `train`, ...

Exit codes: 0 done (for `should-stop`: go on), 10 stop, 2 bad input with one line on standard error
that names the value and the rule, 130 interrupted.

numpy and torch are imported inside the commands, so that `lcpfn --help` answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from lcpfn import __version__
from lcpfn.cli import evaluate, extrapolate, info, report, should_stop, train, watch

app = typer.Typer(
    name="lcpfn",
    help="Forecasts learning curves from their first records, and says when a run is not worth "
    "going on with.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    # A full traceback of a bug serves its report better than a decorated one.
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("extrapolate")(extrapolate.extrapolate)
app.command("should-stop")(should_stop.should_stop)
app.command("watch")(watch.watch)
app.command("report")(report.report)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("info")(info.info)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lcpfn-stopping {__version__}")
        raise typer.Exit


@app.callback()
def _application(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the console script `lcpfn`."""
    app(prog_name="lcpfn")
