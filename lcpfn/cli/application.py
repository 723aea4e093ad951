"""The command line as typer knows it: all commands, help, and what to say of mistakes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from importlib import import_module
from inspect import signature
from typing import Annotated, Any, get_type_hints

import typer

from lcpfn import __version__
from lcpfn.cli.options import Argument, Option, declaration


def application(commands: Iterable[str]) -> typer.Typer:
    """The application with some commands, each the function of its name in its module."""
    app = typer.Typer(
        name="lcpfn",
        help="Forecasts learning curves from their first records, and says when a run is not "
        "worth going on with.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        # A full traceback of a bug serves its report better than a decorated one.
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(_application)
    for command in commands:
        name = command.replace("-", "_")
        function = getattr(import_module(f"lcpfn.cli.{name}"), name)
        app.command(command)(_in_typers_terms(function))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lcpfn-stopping {__version__}")
        raise typer.Exit


def _application(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def _in_typers_terms(command: Callable[..., None]) -> Callable[..., None]:
    """The command, its options and arguments declared to typer."""

    @functools.wraps(command)
    def declared(*args: Any, **kwargs: Any) -> None:
        command(*args, **kwargs)

    hints = get_type_hints(command, include_extras=True)
    own = signature(command)
    parameters = [
        parameter.replace(annotation=_annotation(hints[parameter.name]))
        for parameter in own.parameters.values()
    ]
    declared.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=None
    )
    declared.__annotations__ = {each.name: each.annotation for each in parameters}
    return declared


def _annotation(hint: Any) -> Any:
    kind, found = declaration(hint)
    if isinstance(found, Option):
        return Annotated[
            kind,
            typer.Option(
                *found.names,
                help=found.help,
                metavar=found.metavar,
                show_default=found.show_default,
            ),
        ]
    if isinstance(found, Argument):
        return Annotated[
            kind, typer.Argument(help=found.help, metavar=found.metavar, show_default=False)
        ]
    return hint
