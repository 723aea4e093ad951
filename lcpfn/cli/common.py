"""What the commands share: their options, how they report, how they write numbers."""

from __future__ import annotations

import errno
import functools
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec

from lcpfn.cli.options import Argument, Option
from lcpfn.errors import GoalWarning, InputError, LCPFNError

if TYPE_CHECKING:
    from rich.console import Console

    from lcpfn.forecast.bounds import BoundsLike
    from lcpfn.forecast.extrapolation import Extrapolation
    from lcpfn.forecast.model import LCPFN
    from lcpfn.logs.run import RunLog

BAD_INPUT = 2
# Wide enough for every table where the output is no terminal.
_WIDTH_WITHOUT_TERMINAL = 110

Parameters = ParamSpec("Parameters")


class Goal(str, Enum):
    """Which way the metric should go."""

    maximize = "maximize"
    minimize = "minimize"


class Missing(str, Enum):
    """What a newest record of NaN says."""

    missing = "missing"
    stop = "stop"


class Worth(str, Enum):
    """What a run is worth."""

    last = "last"
    best = "best"


class AnnealedRate(str, Enum):
    """The shape of a learning rate over a run."""

    constant = "constant"
    linear = "linear"
    cosine = "cosine"


RunArgument = Annotated[
    str,
    Argument(
        metavar="RUN",
        help="Log of the run in any common format, told by its content, or a folder that a "
        "trainer wrote; '-' reads standard input.",
    ),
]
MetricOption = Annotated[
    str | None,
    Option(
        (
            "--metric",
            "-m",
        ),
        help="Metric to forecast: its name, the end of it, or the same in other words, such as "
        "val_loss for eval/loss. Default: the only column of numbers that is no step or time.",
        show_default=False,
    ),
]
StepsColumnOption = Annotated[
    str | None,
    Option(
        (
            "--steps-column",
            "--step",
        ),
        help="Column that counts the steps. Default: epoch, iteration, step, ..., whichever "
        "tells the records apart and the horizon fits.",
        show_default=False,
    ),
]
GoalOption = Annotated[
    Goal | None,
    Option(
        (
            "--goal",
            "-g",
        ),
        help="Which way is better. Default: as the name of the metric says, such as minimize for "
        "val_loss.",
        show_default=False,
    ),
]
HorizonOption = Annotated[
    float | None,
    Option(
        (
            "--horizon",
            "-n",
        ),
        help="Length of the full run in the unit of the steps, such as 100 for 100 epochs. "
        "Default: as the log says, such as 60 where it has 'Epoch 3/60'.",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str | None,
    Option(
        help="Name of a bundled model (see `lcpfn info`), or path of a .safetensors file. "
        "Default: the model for any metric.",
        show_default=False,
    ),
]
BoundsOption = Annotated[
    str,
    Option(
        metavar="auto|open|LOW,HIGH",
        help="Values the metric can never pass; leave an end empty where it is open, as in '0,'. "
        "auto guesses them from the values, but takes what is called a reward as open.",
    ),
]
ScheduleOption = Annotated[
    AnnealedRate | None,
    Option(
        help="The learning rate of the run, where known: constant, or falling along a line or "
        "a cosine to zero at the horizon. Makes the forecast sharper.",
        show_default=False,
    ),
]
MinStepsOption = Annotated[
    int | None,
    Option(
        help="Records before any decision; by default 4, and fewer for a run that trails its "
        "peers.",
        show_default=False,
    ),
]
NanOption = Annotated[
    Missing,
    Option(help="What a newest record of NaN says: nothing, or that the run diverged."),
]
WorthOption = Annotated[
    Worth, Option(help="What counts of a run: its last record, or its best one.")
]
ObserveOption = Annotated[
    int | None,
    Option(
        help="Use the first so many records only, and show what then happened.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, Option(("--json",), help="Print one JSON object instead of a table.")]


def reports_errors(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Turns the errors that users can cause into one line on standard error and exit code 2."""

    @functools.wraps(command)
    def reporting(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            with warnings.catch_warnings():
                # Said in a note where a log is read.
                warnings.simplefilter("ignore", GoalWarning)
                command(*args, **kwargs)
        except LCPFNError as error:
            _fail(str(error))
        except OSError as error:
            # Somebody closed the pipe that is written to: who called leaves quietly.
            if error.errno == errno.EPIPE:
                raise
            _fail(str(error))

    return reporting


def _fail(message: str) -> NoReturn:
    print(f"lcpfn: {' '.join(message.split())}", file=sys.stderr, flush=True)
    raise SystemExit(BAD_INPUT)


def show_notes(notes: Iterable[str]) -> None:
    """Prints remarks on standard error, where they do not disturb the output."""
    for note in notes:
        print(f"lcpfn: note: {note}", file=sys.stderr, flush=True)


def output() -> Console:
    """Where tables and sentences go: standard output."""
    from rich.console import Console

    # A table folded to a narrow pipe is of no use to anyone.
    width = None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(highlight=False, width=width)


def print_json(content: Mapping[str, Any]) -> None:
    """Prints one JSON object; numbers that are not finite become null.

    Flushed here, so that a closed pipe shows while it can still be handled.
    """
    print(json.dumps(finite(content), indent=2, allow_nan=False), flush=True)


def finite(content: Any) -> Any:
    """Content for JSON: numbers that are not finite become null."""
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    return content


def parse_bounds(text: str) -> BoundsLike:
    """Reads `auto`, `open` or `LOW,HIGH`, whose ends may be empty or `open`."""
    if text == "auto":
        return "auto"
    if text == "open":
        return None
    ends = [end.strip() for end in text.split(",")]
    if len(ends) != 2:
        raise InputError(f"--bounds is {text!r}, but must be auto, open or LOW,HIGH")
    low, high = (_parse_end(end, text) for end in ends)
    return low, high


def _parse_end(end: str, text: str) -> float | None:
    if end in ("", "open"):
        return None
    try:
        return float(end)
    except ValueError:
        raise InputError(
            f"--bounds is {text!r}, but {end!r} is neither a number nor 'open'"
        ) from None


def forecast(
    model: LCPFN,
    log: RunLog,
    horizon: float,
    goal: Goal,
    bounds: BoundsLike,
    schedule: AnnealedRate | None = None,
    of: Worth = Worth.last,
) -> Extrapolation:
    """The forecast of a log, to a horizon as a person states it.

    Steps of the result are the model's; `log.own_steps` converts them.
    """
    return model.extrapolate(
        log.values,
        log.model_steps,
        horizon=log.model_horizon(horizon),
        goal=goal.value,
        bounds=bounds,
        schedule=None if schedule is None else schedule.value,
        rates=model.told_rates(log.rates, schedule),
        of=of.value,
    )


def note_on_rates(model: LCPFN, log: RunLog, schedule: AnnealedRate | None) -> list[str]:
    """That a column of learning rates is read, where it is."""
    if model.told_rates(log.rates, schedule) is None:
        return []
    return [f"learning rates are read from column {log.rates_column!r}"]


def observed_summary(log: RunLog, post: Extrapolation) -> dict[str, Any]:
    """What a JSON answer says about the observed records."""
    return {
        "records": len(post.observed_values),
        "missing": len(log.values) - len(post.observed_values),
        "last_step": float(log.own_steps(post.observed_steps[-1:])[0]),
        "last_value": float(post.observed_values[-1]),
    }
