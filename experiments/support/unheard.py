"""Networks that lack a sixth of the sources each, as an option of several scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import lcpfn
from experiments.support.recorded_runs import SIXTHS
from lcpfn.forecast.model import LCPFN

Unheard = Annotated[
    list[Path] | None, typer.Option(help="weights that lack a sixth each, six times, in order")
]


def load_unheard(paths: Sequence[Path] | None) -> list[LCPFN]:
    """The models of an option `--unheard`, none or one for each sixth of the sources.

    Raises:
        BadParameter: there are more or fewer.
    """
    if paths and len(paths) != SIXTHS:
        raise typer.BadParameter(f"--unheard is given {len(paths)} times, but must be {SIXTHS}")
    return [lcpfn.load(path) for path in paths or ()]
