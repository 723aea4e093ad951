"""What is asked of a log: which metric of it, which way is better, to which horizon.

What a person leaves out is taken from the log where it says so, and said aloud.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lcpfn.cli.common import Goal, parse_bounds
from lcpfn.errors import InputError
from lcpfn.numbers import write_step

if TYPE_CHECKING:
    from lcpfn.forecast.bounds import BoundsLike
    from lcpfn.logs.run import RunLog


@dataclass(frozen=True)
class Question:
    """A log and what is asked of it.

    Args:
        log: of the run.
        goal: which way its metric is better.
        horizon: length of the full run as a person states it.
        notes: how the log was read and what was taken from it, each a sentence.
    """

    log: RunLog
    goal: Goal
    horizon: float
    notes: tuple[str, ...]


def read_question(
    run: str,
    metric: str | None,
    steps_column: str | None,
    goal: Goal | None,
    horizon: float | None,
) -> Question:
    """Reads a log, and from it the goal and the horizon where they were not given.

    Raises:
        InputError: the log cannot be read, or does not say what was left out.
    """
    from lcpfn.logs.run import read_run

    log = read_run(run, metric, steps_column, horizon)
    chosen, on_goal = settle_goal(log, goal)
    length, on_horizon = _settle_horizon(log, horizon)
    return Question(log, chosen, length, (*log.notes, *log.notes_on_steps, *on_goal, *on_horizon))


def check_some_value(run: str, log: RunLog) -> None:
    """Checks that there is something to forecast from; a rule may take NaN for divergence.

    Raises:
        InputError: all values are NaN.
    """
    import numpy as np

    if np.isnan(log.values).all():
        raise InputError(
            f"{run}: all {len(log.values)} values are NaN in column {log.metric!r}, but at least "
            "one must be a number"
        )


def check_unit(question: Question, best: float | None, bounds: BoundsLike) -> None:
    """Checks that a value to beat is in percent where the metric is, unless bounds are stated.

    Raises:
        InputError: it is not.
    """
    from lcpfn.logs.shares import other_unit

    log = question.log
    doubt = other_unit(log.metric, question.goal.value, log.values.tolist(), best)
    if bounds == "auto" and doubt is not None:
        raise InputError(f"--{doubt}, as in --bounds open")


def settle_bounds(question: Question, text: str) -> BoundsLike:
    """The bounds that were given as `text`, or else what the metric's name says of them."""
    from lcpfn.logs.name_bounds import bounds_by_name

    return bounds_by_name(parse_bounds(text), question.log.metric, question.goal.value)


def settle_goal(log: RunLog, goal: Goal | None) -> tuple[Goal, list[str]]:
    """The goal that was given, or else the one that the metric's name tells, with a note.

    Another note says where the values fall as those of a loss do, and are to be maximized.

    Raises:
        InputError: the name does not tell.
    """
    doubts = _doubts(log) if Goal.maximize in (goal, log.stated_goal) else []
    if goal is not None:
        return goal, doubts if goal is Goal.maximize else []
    if log.stated_goal is None:
        raise InputError(
            f"--goal is missing, and the name {log.metric!r} does not say which way is better: "
            "add --goal maximize or --goal minimize"
        )
    said = f"goal {log.stated_goal}, as the name {log.metric!r} says"
    return Goal(log.stated_goal), [said, *doubts]


def _doubts(log: RunLog) -> list[str]:
    import numpy as np

    from lcpfn.forecast.direction import falls_like_a_loss

    if not falls_like_a_loss(log.values[np.isfinite(log.values)]):
        return []
    return [f"{log.metric} falls as a loss does: say --goal minimize if lower is better"]


def _settle_horizon(log: RunLog, horizon: float | None) -> tuple[float, list[str]]:
    if horizon is not None:
        return horizon, []
    if log.stated_horizon is None:
        last = write_step(float(log.logged_steps[-1]))
        raise InputError(
            "--horizon is missing, and the log does not say how long the run will be: add the "
            f"length of the full run, as in --horizon 100, in the unit of {log.step_name} (the "
            f"last one so far is {last})"
        )
    return log.stated_horizon, [
        f"horizon {write_step(log.stated_horizon)} in {log.step_name}, as the log says"
    ]
