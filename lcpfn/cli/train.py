"""`lcpfn train`."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from lcpfn.cli.common import reports_errors
from lcpfn.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from lcpfn.network.views import Frame
    from lcpfn.priors import Prior
    from lcpfn.training import Progress, TrainingConfig, TrainingResult

INTERRUPTED = 130
_SCALARS_EVERY = 10
# The smallest noise that a network resolves, in its prior's unit or in ranges of the curve.
_UNIT_FLOORS = {"absolute": 1e-3, "relative": 3e-5}

PriorOption = Annotated[
    str,
    typer.Option(
        metavar="NAME|MODULE:ATTRIBUTE",
        help="'reference' (rising accuracies, as published), 'broad' (any metric), 'realistic' "
        "(those of its curves that resemble real ones), or a prior of your own: any object with "
        "the method `sample` of lcpfn.priors.Prior, or a class of such objects. Modules are also "
        "found in the current folder.",
    ),
]


@reports_errors
def train(
    out: Annotated[
        Path,
        typer.Option(help="Folder for checkpoints and weights.", show_default=False),
    ],
    prior: PriorOption = "reference",
    name: Annotated[
        str, typer.Option(help="Name of the model; its weights become OUT/NAME.safetensors.")
    ] = "model",
    curves: Annotated[int, typer.Option(help="Prior curves to train on.")] = 1_000_000,
    batch: Annotated[int, typer.Option(help="Curves a step, over all processes.")] = 64,
    queries: Annotated[int, typer.Option(help="Questions asked about each curve.")] = 48,
    width: Annotated[
        int | None,
        typer.Option(help="Channels of a token. Default: START's, else 128.", show_default=False),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(help="Transformer blocks. Default: START's, else 4.", show_default=False),
    ] = None,
    heads: Annotated[
        int | None,
        typer.Option(
            help="Attention heads; divides the width. Default: START's, else 4.",
            show_default=False,
        ),
    ] = None,
    frame: Annotated[
        str | None,
        typer.Option(
            metavar="absolute|relative",
            help="'absolute' for values in the prior's own unit, 'relative' for metrics of any "
            "unit. Default: relative for the broad and the realistic prior, else absolute.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Weights to begin with, a bundled model or your own, of the same shape or with "
            "fewer layers. Default: random ones.",
            show_default=False,
        ),
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    optimiser: Annotated[str, typer.Option(help="'muon' or 'adamw'.")] = "muon",
    crps: Annotated[
        float,
        typer.Option(help="Weight of the ranked probability score beside the log-density."),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of weights, curves and questions.")] = 0,
    device: Annotated[
        str, typer.Option(help="'cpu', 'cuda', ..., or 'auto' for the best there is.")
    ] = "auto",
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="Use torch.compile. Default: where it pays.",
            show_default=False,
        ),
    ] = None,
    checkpoint_seconds: Annotated[
        float, typer.Option(help="Time between checkpoints: what a kill loses at most.")
    ] = 60.0,
    validate_every: Annotated[int, typer.Option(help="Steps between validations.")] = 500,
    log_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder for TensorBoard. Default: OUT/tensorboard, where tensorboard is "
            "installed.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Trains a model on a prior. The same command goes on where it was interrupted or killed.

    [bold]lcpfn train --prior reference --curves 1000000 --out runs/mine[/bold]

    Several GPUs: [bold]torchrun --nproc-per-node 4 -m lcpfn.cli train --out runs/mine[/bold]
    """
    from lcpfn import training  # isort: skip  # says so where torch is missing
    import torch

    from lcpfn.network.config import NetworkConfig
    from lcpfn.network.transformer import Network
    from lcpfn.weights import load

    begin = None if start is None else Network.of(load(start).network)
    shape = NetworkConfig() if begin is None else begin.config
    width, layers, heads = (
        getattr(shape, name) if size is None else size
        for name, size in (("width", width), ("layers", layers), ("heads", heads))
    )
    _check(name, width, layers, heads)
    execution = training.Execution(device, compile, checkpoint_seconds, validate_every)
    _check_device(device)
    chosen = load_prior(prior)
    chosen_frame = _frame(frame, prior)
    drawn = chosen.sample(1, torch.Generator().manual_seed(0))
    config = training.TrainingConfig(
        curves=curves,
        batch=batch,
        queries=queries,
        optimiser=optimiser,
        learning_rate=learning_rate,
        crps=crps,
        seed=seed,
        network=NetworkConfig(
            width=width,
            layers=layers,
            heads=heads,
            frame=chosen_frame,
            unit_floor=_UNIT_FLOORS[chosen_frame],
            schedule=chosen_frame == "relative" and drawn.schedule is not None,
            floor=chosen_frame == "relative" and drawn.floor is not None,
            rates=chosen_frame == "relative" and drawn.schedule is not None,
            best=chosen_frame == "relative",
        ),
    )
    first = int(os.environ.get("RANK", 0)) == 0
    try:
        with _Display(out, log_dir, shown=first) as display:
            result = training.train(
                chosen,
                config,
                out,
                execution=execution,
                observer=display.show,
                start=begin,
                origin={"prior": prior, "start": start},
            )
    except KeyboardInterrupt:
        if first:
            typer.echo("interrupted; the same command goes on from the last checkpoint", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if first:
        _export(out, name, prior, start, chosen, config, result)


def load_prior(name: str) -> Prior:
    """The prior of a name: `reference`, `broad`, `realistic`, or `module:attribute` for one's own.

    Raises:
        InputError: there is no such prior, or it is none.
    """
    from lcpfn.priors import BroadPrior, RealisticPrior, ReferencePrior

    own = {"reference": ReferencePrior, "broad": BroadPrior, "realistic": RealisticPrior}
    if name in own:
        made: Prior = own[name]()
        return made
    module_name, colon, attribute = name.partition(":")
    if not (colon and module_name and attribute):
        raise InputError(
            f"--prior is {name!r}, but must be 'reference', 'broad', 'realistic' or "
            "MODULE:ATTRIBUTE"
        )
    # A console script does not look into the current folder by itself.
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"--prior is {name!r}, but {error}") from error
    prior = found() if isinstance(found, type) else found
    if not callable(getattr(prior, "sample", None)):
        raise InputError(
            f"--prior is {name!r}, which is {type(prior).__name__}, but must have a method "
            "`sample`: see lcpfn.priors.Prior"
        )
    return prior  # type: ignore[no-any-return]


def _check(name: str, width: int, layers: int, heads: int) -> None:
    if not name or Path(name).name != name:
        raise InputError(f"--name is {name!r}, but must be the name of a file without a folder")
    sizes = {"--width": width, "--layers": layers, "--heads": heads}
    for option, size in sizes.items():
        if size < 1:
            raise InputError(f"{option} is {size}, but must be at least 1")
    if width % heads:
        raise InputError(f"--heads is {heads}, but must divide --width, {width}")


def _frame(name: str | None, prior: str) -> Frame:
    if name is None:
        return "relative" if prior in ("broad", "realistic") else "absolute"
    if name not in ("absolute", "relative"):
        raise InputError(f"--frame is {name!r}, but must be 'absolute' or 'relative'")
    return cast("Frame", name)


def _check_device(device: str) -> None:
    import torch

    if device == "auto":
        return
    try:
        torch.empty(0, device=device)
    # Builds of torch without a GPU say so by an assertion.
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device is {device!r}, which cannot be used: {reason}") from None


def _export(
    out: Path,
    name: str,
    prior_name: str,
    start: str | None,
    prior: Prior,
    config: TrainingConfig,
    result: TrainingResult,
) -> None:
    """Writes the weights and their card, and says how to use them."""
    from lcpfn.weights import how_read, read_card, save_weights

    card = {
        **({} if start is None else how_read(read_card(start))),
        "frame": config.network.frame,
        "resolution": _resolution(prior),
        "prior": prior_name,
        "started_from": start,
        "curves": result.curves,
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "hardware": result.hardware,
        "training": {
            key: value for key, value in asdict(config).items() if key not in ("network", "curves")
        },
        "validation": result.validation,
    }
    path = save_weights(out, name, result.network.engine(), card)
    typer.echo(f"Trained on {result.curves:,} curves in {result.seconds:,.0f} s.")
    typer.echo(f"Validation, mean log-likelihood in nats: {_written(result.validation)}")
    typer.echo(f"Weights: {path}")
    typer.echo(f"Use them: lcpfn.load({str(path)!r}), or `lcpfn extrapolate --model {path} ...`")


def _resolution(prior: Prior) -> int:
    """Records of the longest curves that a prior draws; it may draw several lengths in turn."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return max(prior.sample(1, generator).values.shape[1] for _ in range(64))


def _written(validation: dict[str, float]) -> str:
    return ", ".join(f"{score:.3f} at {share}" for share, score in validation.items())


class _Display:
    """Progress on standard error and in TensorBoard; nothing where not `shown`."""

    def __init__(self, out: Path, log_dir: Path | None, shown: bool):
        self._shown = shown
        self._bar: Bar | None = None
        self._task: Any = None
        self._writer: Any = None
        self._open_writer = _writer_class(required=log_dir is not None) if shown else None
        self._log_dir = out / "tensorboard" if log_dir is None else log_dir

    def __enter__(self) -> _Display:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._writer is not None:
            self._writer.close()

    def show(self, progress: Progress) -> None:
        """Takes in one training step."""
        if not self._shown:
            return
        if self._bar is None:
            # Not before there is progress to show: a bad configuration fails without a bar.
            self._bar = _progress_bar()
            self._task = self._bar.add_task("", total=progress.steps, speed="", score="")
            self._bar.start()
        self._bar.update(
            self._task,
            completed=progress.step,
            speed=f"{progress.curves_per_second:,.0f} curves/s",
            score=f"objective {progress.objective:.3f}",
        )
        if progress.validation is not None:
            self._bar.console.print(
                f"step {progress.step:,} of {progress.steps:,}, "
                f"{progress.curves_per_second:,.0f} curves/s, "
                f"validation {_written(progress.validation)}",
                soft_wrap=True,
            )
        self._write_scalars(progress)

    def _write_scalars(self, progress: Progress) -> None:
        if self._open_writer is None:
            return
        if self._writer is None:
            # A run that goes on from a checkpoint draws over what came after it.
            self._writer = self._open_writer(str(self._log_dir), purge_step=progress.step)
        last = progress.step == progress.steps
        if progress.step % _SCALARS_EVERY == 0 or progress.validation is not None or last:
            scalars = {
                "objective": progress.objective,
                "learning_rate": progress.learning_rate,
                "curves_per_second": progress.curves_per_second,
            }
            for share, score in (progress.validation or {}).items():
                scalars[f"validation/{share}"] = score
            for tag, value in scalars.items():
                self._writer.add_scalar(tag, value, progress.step)


def _writer_class(required: bool) -> Any:
    """TensorBoard's writer, or None where tensorboard is not installed and not asked for."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        if required:
            raise MissingExtraError(
                "--log-dir needs tensorboard, which is not installed: "
                'pip install "lcpfn-stopping[logs]"'
            ) from error
        return None
    return SummaryWriter


def _progress_bar() -> Bar:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[score]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
    )
