"""Does the sampler find the best of a space where categories decide? Values alone, no curves.

    python -m experiments.sampler_functions

Made-up objectives whose best value is known, 0, for Optuna's samplers with their own defaults:

- "numbers": six numbers, each with a place of its own that is best, some of them steeper.
- "categories": four numbers and two choices of three, each option better or worse than the others
  by some amount; where the best numbers are depends on one of the choices, a little.
- "other places": the same, and it depends on it much.

Seeds draw the objective and what the sampler draws. What counts is the regret of the best of so
many trials; the standard error is over seeds. How far apart categories are, the smallest margin
where no run waits (`lcpfn.search.proposals`) and the number of candidates were chosen on objectives
of the same kinds that were drawn otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import optuna
import typer
from optuna.samplers import BaseSampler
from rich.table import Table

from experiments.support.score_tables import write
from lcpfn.integrations.optuna import LCPFNSampler

COUNTS = (15, 20, 25, 36)
KINDS = ("numbers", "categories", "other places")
_OPTIONS = 3
_STEEP = (14.0, 3.0, 3.0, 5.0)
# How much the options of the two choices differ.
_OFFSETS = (0.2, 0.12)
# What lies above this on the first number fails more and more, as with too high a learning rate.
_CLIFF, _FALL = 0.85, 20.0

Objective = Callable[[optuna.Trial], float]


def samplers(seed: int) -> dict[str, BaseSampler]:
    """By name, with their own defaults."""
    return {
        "LCPFNSampler": LCPFNSampler(seed=seed),
        "TPE": optuna.samplers.TPESampler(seed=seed),
        "random": optuna.samplers.RandomSampler(seed),
    }


def objective(kind: str, seed: int) -> Objective:
    """One of `KINDS`: the regret, 0 at the best of the space."""
    generator = np.random.default_rng([seed, KINDS.index(kind)])
    drawn = generator.normal(size=(2, _OPTIONS)) * np.array(_OFFSETS)[:, None]
    worse = drawn - drawn.min(1, keepdims=True)
    common = generator.uniform(0.2, 0.8, 4)
    own = generator.uniform(0.2, 0.8, (_OPTIONS, 4))
    places = common + (own - common) * (1.0 if kind == "other places" else 0.4)
    steep = np.array(_STEEP) * np.exp(0.7 * generator.normal(size=4))
    more = generator.uniform(0.2, 0.8, 2)

    def regret(trial: optuna.Trial) -> float:
        numbers = np.array([trial.suggest_float(f"number_{index}", 0, 1) for index in range(4)])
        if kind == "numbers":
            others = [trial.suggest_float(f"number_{index}", 0, 1) for index in (4, 5)]
            first, lost = 0, 3 * float(((np.array(others) - more) ** 2).sum())
        else:
            first = trial.suggest_categorical("first", range(_OPTIONS))
            second = trial.suggest_categorical("second", list("abc"))
            lost = float(worse[0, first] + worse[1, "abc".index(second)])
        away = float((steep * (numbers - places[first]) ** 2).sum())
        return float(np.log1p(away + _FALL * max(0.0, numbers[0] - _CLIFF))) + lost

    return regret


def best_so_far(sampler: BaseSampler, sought: Objective) -> list[float]:
    """The best value after each of `COUNTS` trials."""
    study = optuna.create_study(sampler=sampler)
    study.optimize(sought, n_trials=COUNTS[-1])
    values = np.minimum.accumulate([trial.value for trial in study.trials])
    return [float(values[count - 1]) for count in COUNTS]


def main(
    seeds: Annotated[int, typer.Option(help="objectives of each kind", min=2)] = 20,
    first: Annotated[int, typer.Option(help="the first seed", min=0)] = 0,
    markdown: Annotated[Path | None, typer.Option(help="write the table here as well")] = None,
) -> None:
    """Prints a table: mean regrets after some trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = Table(title=f"regret after so many trials, {seeds} seeds")
    for heading in ("objective", "sampler", *map(str, COUNTS)):
        table.add_column(heading, justify="right" if heading.isdigit() else "left")
    for kind in KINDS:
        found: dict[str, list[list[float]]] = {}
        for seed in range(first, first + seeds):
            for name, sampler in samplers(seed).items():
                found.setdefault(name, []).append(best_so_far(sampler, objective(kind, seed)))
        for name, rows in found.items():
            values = np.array(rows)
            errors = values.std(0, ddof=1) / np.sqrt(len(values))
            shown = [f"{m:.3f} ± {e:.3f}" for m, e in zip(values.mean(0), errors, strict=True)]
            table.add_row(kind, name, *shown)
    write([table], [], markdown)


if __name__ == "__main__":
    typer.run(main)
