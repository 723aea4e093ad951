"""Options of commands as data, and a reader of command lines that are as they should be.

Typer takes longer to import than a forecast takes. So a command says what its options are in the
terms below, which the application (`lcpfn.cli.application`) hands to typer; and a command line in
which everything is plain is read here. Whatever is not (help, a mistake, an unknown option) is
typer's to answer: `read` then returns None.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Option:
    """An option of a command; stands in the annotation of its parameter.

    Args:
        names: such as ("--metric", "-m"); default the parameter's own.
        help: what it does.
        metavar: what its value is called.
        show_default: name the default in the help, too.
    """

    names: tuple[str, ...] = ()
    help: str = ""
    metavar: str | None = None
    show_default: bool = True


@dataclass(frozen=True)
class Argument:
    """A positional argument of a command, likewise."""

    help: str = ""
    metavar: str | None = None


@dataclass(frozen=True)
class _Known:
    """A parameter of a command, as the reader needs it."""

    name: str
    kind: type[Any]
    repeated: bool
    required: bool


def read(command: Callable[..., None], words: Sequence[str]) -> dict[str, Any] | None:
    """The arguments of a command on a command line; None where typer has to look at it.

    Args:
        command: whose parameters are annotated with `Option` and `Argument`.
        words: of the command line, after the command's name.
    """
    try:
        options, positional = _known(command)
        return _read(options, positional, list(words))
    except (LookupError, ValueError):
        return None


def _read(options: dict[str, _Known], positional: list[_Known], words: list[str]) -> dict[str, Any]:
    """Raises LookupError or ValueError for anything that is not plain."""
    found: dict[str, Any] = {}
    waiting = list(positional)
    while words:
        word = words.pop(0)
        if word == "-" or not word.startswith("-"):
            known = waiting.pop(0)
            found[known.name] = known.kind(word)
            continue
        name, given, value = word.partition("=") if word.startswith("--") else (word, "", "")
        known = options[name]
        if known.kind is bool:
            if given:
                raise ValueError(word)
            found[known.name] = True
            continue
        read = known.kind(value if given else words.pop(0))
        found[known.name] = [*found.get(known.name, ()), read] if known.repeated else read
    missing = [known.name for known in (*options.values(), *positional) if known.required]
    if not set(missing) <= found.keys():
        raise LookupError(missing)
    return found


def _known(command: Callable[..., None]) -> tuple[dict[str, _Known], list[_Known]]:
    """The options of a command by their names, and its positional arguments."""
    options: dict[str, _Known] = {}
    positional: list[_Known] = []
    hints = get_type_hints(command, include_extras=True)
    for parameter in signature(command).parameters.values():
        annotated, declared = declaration(hints[parameter.name])
        known = _of(parameter, annotated)
        if isinstance(declared, Argument):
            positional.append(known)
        elif isinstance(declared, Option):
            names = declared.names or (f"--{parameter.name.replace('_', '-')}",)
            options.update({name: known for name in names})
        else:
            raise LookupError(parameter.name)
    return options, positional


def declaration(annotation: Any) -> tuple[Any, Any]:
    """An annotation's type, and the option or argument that it declares; None for neither."""
    if get_origin(annotation) is not Annotated:
        return annotation, None
    kind, *rest = get_args(annotation)
    declared = [each for each in rest if isinstance(each, Option | Argument)]
    return kind, declared[0] if declared else None


def _of(parameter: Parameter, annotated: Any) -> _Known:
    """Raises LookupError for a type that is not read here."""
    if get_origin(annotated) in (Union, types.UnionType):
        (annotated,) = [each for each in get_args(annotated) if each is not type(None)]
    repeated = get_origin(annotated) is list
    if repeated:
        (annotated,) = get_args(annotated)
    plain = annotated in (str, int, float, bool, Path) or issubclass(annotated, Enum)
    if not plain:
        raise LookupError(parameter.name)
    return _Known(parameter.name, annotated, repeated, parameter.default is Parameter.empty)
