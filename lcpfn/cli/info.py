"""`lcpfn info`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lcpfn.cli.common import BAD_INPUT, JsonOption, output, print_json, reports_errors
from lcpfn.errors import WeightsError

if TYPE_CHECKING:
    from rich.table import Table


@reports_errors
def info(
    model: Annotated[
        str | None,
        typer.Option(
            help="Show one model: a bundled name or the path of a .safetensors file. Default: all "
            "bundled ones.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Shows versions, the machine, and the models with their cards, checksums verified."""
    import lcpfn

    names = lcpfn.available() if model is None else [model]
    cards = [_checked_card(name) for name in names]
    system = _system()
    if as_json:
        print_json({**system, "models": cards})
    else:
        console = output()
        for key, value in system.items():
            console.print(f"{key:10} {value}", soft_wrap=True, markup=False)
        for card in cards:
            console.print()
            console.print(_card_table(card))
        if not cards:
            console.print("no models are bundled: the installation is incomplete")
    if not cards or not all(card["checksum_verified"] for card in cards):
        raise typer.Exit(BAD_INPUT)


def _checked_card(name: str) -> dict[str, Any]:
    """The card, whether its weights are the ones it describes, and what is wrong if not."""
    import lcpfn
    from lcpfn.weights import read_card

    card = read_card(name)
    try:
        lcpfn.load(name)
    except WeightsError as error:
        return {**card, "checksum_verified": False, "problem": str(error)}
    return {**card, "checksum_verified": True}


def _system() -> dict[str, str]:
    import os
    import platform

    import numpy

    import lcpfn

    return {
        "lcpfn": lcpfn.__version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        **_for_training(),
    }


def _for_training() -> dict[str, str]:
    """What a training would run on."""
    try:
        import torch
    except ModuleNotFoundError:
        return {"torch": "none; only training needs it: pip install 'lcpfn-stopping[train]'"}
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"torch": torch.__version__, "gpu": ", ".join(devices) or "none"}


def _card_table(card: dict[str, Any]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    verdict = "checksum verified" if card["checksum_verified"] else "DAMAGED"
    table = Table(
        title=Text(f"{card['name']} ({verdict})"),
        title_justify="left",
        box=SIMPLE_HEAD,
        show_header=False,
        pad_edge=False,
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in card.items():
        if key not in ("name", "checksum_verified"):
            table.add_row(Text(key.replace("_", " ")), Text(_as_text(value)))
    return table


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_as_text(entry)}" for key, entry in value.items())
    if isinstance(value, list):
        return ", ".join(_as_text(entry) for entry in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.5g}"
