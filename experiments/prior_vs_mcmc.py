"""The trained model against samplers of the same posterior, on the same fresh prior curves.

    python experiments/prior_vs_mcmc.py [--curves 200] [--jobs 1] [--engines model,ensemble,...]

For every curve and every cutoff (10, 20, 40, 80 of 100): the mean log-density of the noisy unseen
points, the seconds a forecast took, whether the sampler converged, and what calibration needs.
Every curve and engine leaves one small file under --records, so a run that was stopped goes on
where it was; the table and the figure are made of all files there are. Nothing is dropped: a
sampler that did not converge is counted, and scored like any other.

NUTS and SMC, far slower, get the first --slow-curves of the curves. Times are CPU seconds of one
core, so that other work on the machine does not count.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console

import lcpfn

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.support.means import with_error
from lcpfn.atomic import write_atomically
from lcpfn.mcmc import (
    ConvergenceWarning,
    EnsembleSampler,
    ImportanceSampler,
    PriorBank,
    SamplingModel,
)
from lcpfn.priors import ReferencePrior

Array = NDArray[np.float64]
Record = dict[str, Any]

CUTOFFS = (10, 20, 40, 80)
SHORT = (10, 20)
# A plausible rank needs joint trajectories, which are dear: one cutoff has to do.
RANKED_CUTOFF = 20
# A forecast of milliseconds is timed several times, and the median counts.
REPEATS = 15
TRAJECTORIES = 99
ENGINES = ("model", "importance", "ensemble", "nuts", "smc")
SLOW = ("nuts", "smc")
NAMES = {
    "model": "PFN (`reference`)",
    "importance": "importance sampling",
    "ensemble": "ensemble (emcee)",
    "nuts": "NUTS (PyMC, nutpie)",
    "smc": "SMC (PyMC)",
}
STATISTICS: dict[str, Callable[[Array], Array]] = {
    "final value": lambda curves: curves[:, -1],
    "mean": lambda curves: curves.mean(1),
    "lowest": lambda curves: curves.min(1),
    "roughness": lambda curves: np.diff(curves, axis=1).std(1),
}


@dataclass(frozen=True)
class Setting:
    """What all workers share."""

    records: Path
    values: Array
    bank: PriorBank
    seed: int


# Global so that forked workers inherit it without copying the bank.
_SETTING: Setting | None = None


def fresh_curves(count: int, seed: int) -> Array:
    """Noisy curves (count, 100) of the reference prior."""
    batch = ReferencePrior().sample(count, torch.Generator().manual_seed(seed))
    return np.asarray(batch.values.double().numpy())


@lru_cache(maxsize=len(ENGINES))
def forecaster(engine: str) -> Any:
    """The model or sampler of a name, with `extrapolate`; one in a process, compiled once."""
    assert _SETTING is not None
    bank = _SETTING.bank
    if engine == "model":
        return lcpfn.load("reference")
    if engine == "importance":
        return SamplingModel(ImportanceSampler(), bank)
    start = bank.first(200_000)
    if engine == "ensemble":
        return SamplingModel(EnsembleSampler(), start)
    from lcpfn.mcmc import NUTS, SMC

    return SamplingModel(NUTS() if engine == "nuts" else SMC(), start)


def score(engine: str, index: int, setting: Setting) -> Record:
    """One engine's forecasts of one curve from every cutoff."""
    model = forecaster(engine)
    curve = setting.values[index]
    incumbent = float(setting.values[(index + 1) % len(setting.values), -1])
    results = []
    for cutoff in SHORT if engine == "importance" else CUTOFFS:
        generator = np.random.default_rng([setting.seed, index, cutoff])
        options = {} if engine == "model" else {"generator": generator}

        def ask(
            cutoff: int = cutoff, options: dict[str, Any] = options
        ) -> tuple[lcpfn.Extrapolation, float]:
            post = model.extrapolate(curve[:cutoff], bounds=None, **options)
            return post, post.prob_better(incumbent)

        if engine in ("model", "nuts") and cutoff == CUTOFFS[0]:
            # The first forecast of a process compiles or warms caches.
            ask()
        times = []
        for _ in range(REPEATS if engine == "model" else 1):
            started = time.process_time(), time.perf_counter()
            post, better = ask()
            times.append((time.process_time() - started[0], time.perf_counter() - started[1]))
        cpu, wall = (float(np.median(column)) for column in zip(*times, strict=True))
        result: Record = {
            "cutoff": cutoff,
            "log_prob": float(post.log_prob(curve[cutoff:]).mean()),
            "cpu_seconds": cpu,
            "wall_seconds": wall,
            "transform": 1 - post.prob_better(float(curve[-1])),
            "prob_better": better,
            "better": bool(curve[-1] > incumbent),
        }
        diagnostics = getattr(post, "diagnostics", None)
        if diagnostics is not None:
            result |= {
                "r_hat": diagnostics.r_hat,
                "effective": diagnostics.effective,
                "divergences": diagnostics.divergences,
                "problem": diagnostics.problem,
            }
        if cutoff == RANKED_CUTOFF:
            drawn = post.sample(TRAJECTORIES, generator)
            truth = curve[None, cutoff:]
            result["ranks"] = {
                name: int((statistic(drawn) < statistic(truth)).sum())
                for name, statistic in STATISTICS.items()
            }
        results.append(result)
    record: Record = {"engine": engine, "curve": index, "results": results}
    if engine == "model":
        record |= streamed_and_backtested(model, curve)
    return record


def streamed_and_backtested(model: lcpfn.LCPFN, curve: Array) -> Record:
    """Median CPU seconds of a streamed update, without and with a question, and of a backtest.

    The backtest's are those of one pass over all 100 prefixes and the median of the first, as
    all outputs are read when one of them is asked for; per forecast.
    """
    updates, decisions = [], []
    stream = model.stream(bounds=None)
    for value in curve[:99]:
        start = time.process_time()
        post = stream.update(value)
        middle = time.process_time()
        post.prob_better(0.5)
        updates.append(middle - start)
        decisions.append(time.process_time() - start)
    passes = []
    for _ in range(REPEATS):
        start = time.process_time()
        _ = model.backtest(curve, bounds=None)[0].median
        passes.append((time.process_time() - start) / len(curve))
    return {
        "update": float(np.median(updates)),
        "update_and_question": float(np.median(decisions)),
        "backtest": float(np.median(passes)),
    }


def path_of(records: Path, engine: str, index: int) -> Path:
    """Where a record lies."""
    return records / engine / f"{index:04d}.json"


def work(task: tuple[str, int]) -> str:
    """Computes and stores one record, in a worker."""
    assert _SETTING is not None
    engine, index = task
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        record = score(engine, index, _SETTING)
    content = json.dumps(record, indent=1).encode()
    write_atomically(path_of(_SETTING.records, engine, index), content)
    return f"{engine} {index}"


def open_tasks(
    records: Path, engines: list[str], curves: int, slow_curves: int
) -> Iterator[tuple[str, int]]:
    """What has no record yet: all fast engines of a curve first, then the slow ones."""
    for group in ([e for e in engines if e not in SLOW], *[[e] for e in engines if e in SLOW]):
        for index in range(slow_curves if group and group[0] in SLOW else curves):
            for engine in group:
                if not path_of(records, engine, index).exists():
                    yield engine, index


def read_records(records: Path) -> dict[str, dict[int, Record]]:
    """Engine to curve to record, of all there are."""
    found: dict[str, dict[int, Record]] = {}
    for engine in ENGINES:
        for path in sorted((records / engine).glob("*.json")):
            found.setdefault(engine, {})[int(path.stem)] = json.loads(path.read_text())
    return found


def entries(record: dict[int, Record], cutoff: int) -> dict[int, Record]:
    """Curve to result at a cutoff."""
    return {
        index: result
        for index, whole in record.items()
        for result in whole["results"]
        if result["cutoff"] == cutoff
    }


def paired(
    first: dict[int, Record], second: dict[int, Record], keep: Callable[[Record], bool]
) -> Array:
    """Differences of log-density on the curves that both have, where `keep` holds of the second."""
    shared = sorted(set(first) & set(second))
    return np.array(
        [
            first[index]["log_prob"] - second[index]["log_prob"]
            for index in shared
            if keep(second[index])
        ]
    )


def likelihood_table(found: dict[str, dict[int, Record]]) -> list[str]:
    """Markdown lines: log-density and paired differences by engine and cutoff."""
    lines = [
        "| engine | curves | " + " | ".join(f"{cutoff} observed" for cutoff in CUTOFFS) + " |",
        "| --- | --- | " + " | ".join("---" for _ in CUTOFFS) + " |",
    ]
    for engine, record in found.items():
        cells = [
            with_error(np.array([r["log_prob"] for r in entries(record, cutoff).values()]))
            for cutoff in CUTOFFS
        ]
        lines.append(f"| {NAMES[engine]} | {len(record)} | " + " | ".join(cells) + " |")
    for engine in [name for name in found if name != "model"]:
        cells = [
            with_error(
                paired(
                    entries(found["model"], cutoff), entries(found[engine], cutoff), lambda _: True
                )
            )
            for cutoff in CUTOFFS
        ]
        count = len(set(found["model"]) & set(found[engine]))
        lines.append(f"| PFN minus {NAMES[engine]} | {count} | " + " | ".join(cells) + " |")
    if "importance" in found:
        cells, counts = [], []
        for cutoff in CUTOFFS:
            trusted = paired(
                entries(found["model"], cutoff),
                entries(found["importance"], cutoff),
                lambda result: result["problem"] is None,
            )
            cells.append(with_error(trusted))
            counts.append(str(len(trusted)))
        lines.append(
            f"| PFN minus importance sampling, where it rests on 30 curves or more | "
            f"{', '.join(counts[:2])} | " + " | ".join(cells) + " |"
        )
    return lines


def convergence_table(found: dict[str, dict[int, Record]]) -> list[str]:
    """Markdown lines: how many forecasts failed R-hat or effective sample size."""
    lines = [
        "| engine | " + " | ".join(f"{cutoff} observed" for cutoff in CUTOFFS) + " |",
        "| --- | " + " | ".join("---" for _ in CUTOFFS) + " |",
    ]
    for engine, record in found.items():
        if engine == "model":
            continue
        cells = []
        for cutoff in CUTOFFS:
            results = entries(record, cutoff).values()
            failed = sum(result["problem"] is not None for result in results)
            median = np.median([result["effective"] for result in results]) if results else 0
            cells.append(f"{failed} of {len(results)} ({median:.0f})" if results else "-")
        lines.append(f"| {NAMES[engine]} | " + " | ".join(cells) + " |")
    return lines


def speed_table(found: dict[str, dict[int, Record]]) -> list[str]:
    """Markdown lines: median CPU seconds, and how many times faster than the ensemble."""

    def median(engine: str) -> float:
        results = [r for record in found[engine].values() for r in record["results"]]
        return float(np.median([r["cpu_seconds"] for r in results]))

    rows = {NAMES[engine]: median(engine) for engine in found if engine != "model"}
    model = found["model"].values()
    rows["PFN, one forecast from scratch"] = median("model")
    for key, name in (
        ("update", "PFN, a streamed update"),
        ("update_and_question", "PFN, a streamed update and its `prob_better`"),
        ("backtest", "PFN, a forecast of a `backtest`"),
    ):
        rows[name] = float(np.median([record[key] for record in model]))
    base = rows.get(NAMES["ensemble"])
    lines = ["| forecast | median CPU time | ensemble / this |", "| --- | --- | --- |"]
    for name, seconds in rows.items():
        ratio = "-" if base is None else f"{base / seconds:,.3g}"
        shown = f"{seconds:.2f} s" if seconds >= 0.1 else f"{1e3 * seconds:.3f} ms"
        lines.append(f"| {name} | {shown} | {ratio} |")
    return lines


def report(found: dict[str, dict[int, Record]]) -> str:
    """The tables as Markdown."""
    parts = [
        "Mean log-density of the noisy unseen points in nats, with standard errors over curves;",
        "differences are paired.",
        "",
        *likelihood_table(found),
        "",
        "Forecasts that failed R-hat or effective sample size, in brackets the median effective",
        "sample size (of curves for importance sampling). None were dropped.",
        "",
        *convergence_table(found),
        "",
        *speed_table(found),
    ]
    return "\n".join(parts) + "\n"


def draw_bands(values: Array, path: Path, seed: int, panels: int = 4) -> None:
    """Bands of model and ensemble on the same curves from 20 observations."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(2, panels // 2, figsize=(9, 5.5), sharex=True)
    styles = {"model": ("PFN", "#1d4f86"), "ensemble": ("MCMC ensemble", "#b8510d")}
    for index, ax in enumerate(grid.ravel()):
        curve = values[index]
        steps = np.arange(1, 101)
        ax.plot(steps, curve, ".", color="#bbbbbb", markersize=3)
        ax.plot(steps[:RANKED_CUTOFF], curve[:RANKED_CUTOFF], ".", color="#222222", markersize=4)
        for engine, (name, colour) in styles.items():
            generator = np.random.default_rng([seed, index, RANKED_CUTOFF])
            options = {} if engine == "model" else {"generator": generator}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                post = forecaster(engine).extrapolate(curve[:RANKED_CUTOFF], bounds=None, **options)
            low, median, high = post.quantile([0.06, 0.5, 0.94])
            ax.plot(post.steps, median, color=colour, linewidth=1.5, label=name)
            for side in (low, high):
                ax.plot(post.steps, side, color=colour, linewidth=1, linestyle="--")
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    grid[0, 0].legend(frameon=False, fontsize="small")
    for ax in grid[-1]:
        ax.set_xlabel("step")
    figure.suptitle("Median and 88 % band from 20 observations", fontsize="medium")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(
    curves: Annotated[int, typer.Option(help="fresh curves of the prior")] = 200,
    slow_curves: Annotated[int, typer.Option(help="of them for NUTS and SMC")] = 40,
    engines: Annotated[str, typer.Option(help="comma-separated")] = ",".join(ENGINES),
    jobs: Annotated[int, typer.Option(help="processes")] = 1,
    seed: Annotated[int, typer.Option(help="of curves and chains")] = 2025,
    bank_curves: Annotated[int, typer.Option(help="of the importance sampler")] = 2_000_000,
    records: Annotated[Path, typer.Option(help="folder of the records")] = Path(
        "runs/prior_vs_mcmc"
    ),
    out: Annotated[Path, typer.Option(help="the tables, as Markdown")] = Path(
        "docs/results/prior_vs_mcmc.md"
    ),
    figure: Annotated[Path | None, typer.Option(help="PNG of bands side by side")] = None,
    report_only: Annotated[bool, typer.Option(help="compute no new records")] = False,
) -> None:
    """Computes what is missing, prints and stores the tables."""
    global _SETTING
    chosen = engines.split(",")
    unknown = set(chosen) - set(ENGINES)
    if unknown:
        raise typer.BadParameter(
            f"engines holds {', '.join(sorted(unknown))}, but must be of {', '.join(ENGINES)}"
        )
    values = fresh_curves(curves, seed)
    tasks = list(open_tasks(records, chosen, curves, slow_curves))
    if (tasks and not report_only) or figure is not None:
        bank = PriorBank.draw(bank_curves, torch.Generator().manual_seed(seed + 1))
        _SETTING = Setting(records, values, bank, seed)
    if tasks and not report_only:
        forecaster.cache_clear()
        with ExitStack() as stack:
            run: Callable[..., Iterable[str]] = map
            if jobs > 1:
                # Forked workers share the bank's memory.
                pool = ProcessPoolExecutor(jobs, mp_context=get_context("fork"))
                run = stack.enter_context(pool).map
            for done, name in enumerate(run(work, tasks), 1):
                print(f"{done}/{len(tasks)} {name}", flush=True)
    text = report(read_records(records))
    write_atomically(out, text.encode())
    Console().print(text, markup=False)
    if figure is not None and _SETTING is not None:
        draw_bands(values, figure, seed)


if __name__ == "__main__":
    typer.run(main)
