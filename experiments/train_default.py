r"""Makes the default model, and judges it by leaving sources out.

In two stages, from the default model before it (which saw draws of `RealisticPrior` alone):

    python experiments/train_default.py prior runs/base --curves 600000
    python experiments/train_default.py recorded runs/default --start runs/base/base.safetensors

The first trains on draws of priors: long annealed runs, and curves that resemble those of small
networks. The second mixes varied copies of recorded runs with them; each source counts alike, a
benchmark's data set, a workload, a repository. A longer training on a GPU followed, beside two
networks that each saw one half of the sources (`experiments/train_side_by_side.py`), and the
bundled weights are an average over these stages:

    python experiments/train_default.py average runs/average default \
        --model runs/side/default.safetensors --share 0.82 \
        --model runs/default/default.safetensors --share 0.13 \
        --model BEFORE.safetensors --share 0.05
    for fold in 0 1; do
        python experiments/train_default.py average runs/average fold$fold \
            --model runs/side/fold$fold.safetensors --share 0.85 \
            --model BEFORE.safetensors --share 0.15
    done
    python experiments/train_default.py judge \
        runs/average/default.safetensors runs/average/fold?.safetensors

Training can be killed and resumes; `judge` scores each source by the network that has not seen it
and prints the table of docs/results/sources.md.
"""

from __future__ import annotations

import copy
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.real_runs import table
from experiments.support.recorded_runs import (
    FOLDS,
    SIXTHS,
    own_accuracies,
    part_of,
    read_even,
    read_ragged,
)
from experiments.support.run_scores import CUTOFFS, RunScores, pool, score_runs
from lcpfn.forecast.model import LCPFN
from lcpfn.network.transformer import Network
from lcpfn.priors import (
    AnnealedPrior,
    Augmentation,
    MixturePrior,
    Prior,
    RealisticPrior,
    RecordedPrior,
)
from lcpfn.priors.recorded import RecordedRun
from lcpfn.training import Execution, Progress, TrainingConfig, train
from lcpfn.weights import save_weights

# How often recorded runs of a family are drawn among those of their kind.
_FAMILY_WEIGHTS = {
    "lcbench": 0.48,
    "taskset": 0.16,
    "lcbench_surrogate": 0.12,
    "own": 0.24,
    "world": 0.45,
    "wild": 0.55,
    "public": 0.55,
}
_RAGGED = ("world", "wild", "public")
# Shares of annealed and realistic draws, of benchmarks and of ragged recordings.
_SHARES = {"prior": (0.62, 0.38), "recorded": (0.25, 0.35, 0.2, 0.2)}
_RUNS_PER_SET = 1000
# Benchmarks hold thousands of runs, which need less variation than the few of a repository.
_MILD = Augmentation(
    bent_rate=0.15,
    shifted_rate=0.1,
    mixed_rate=0.1,
    noisy_rate=0.1,
    smooth_rate=0.05,
    stretched_rate=0.15,
    cut_rate=0.05,
    scattered_rate=0.15,
    unbounded_rate=0.1,
)

# Varied more than the defaults.
_STRONG = Augmentation(
    bent_rate=0.6,
    bent=(0.4, 2.5),
    shifted_rate=0.3,
    scaled_rate=0.35,
    mixed_rate=0.4,
    noisy_rate=0.3,
    smooth_rate=0.15,
    stretched_rate=0.6,
    stretched=(0.65, 1.5),
    cut_rate=0.25,
    cut=(0.4, 1.0),
    unbounded_rate=0.3,
)
# Tables hold runs of 50 to 52 records; real ones have any number.
_OTHER_LENGTHS = (12, 14, 17, 20, 24, 28, 32, 36, 40, 45, 50, 56, 64, 72, 80, 90, 100, 120, 150)

# What a card says of one network's weights.
_OF_ONE = ("format", "name", "sha256", "parameters", "network", "validation", "validation_note")

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode="rich")
Out = Annotated[Path, typer.Argument(help="folder for checkpoints and weights")]
Data = Annotated[Path, typer.Option(help="folder with one folder of .npz per family")]
Start = Annotated[str, typer.Option(help="name or path of the weights to begin with")]
Curves = Annotated[int, typer.Option(help="curves to train on")]
Rate = Annotated[float, typer.Option(help="peak learning rate")]

_DATA = Path("../shared/data")


def recorded_runs(data: Path) -> list[RecordedRun]:
    """The usable runs of all families below a folder."""
    runs: list[RecordedRun] = []
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        ragged = folder.name in _RAGGED
        runs += read_ragged(folder) if ragged else read_even(folder, _RUNS_PER_SET)
    return [*runs, *own_accuracies()]


def fold_of(run: RecordedRun, folds: int = FOLDS) -> int:
    """Which half of the sources a run belongs to, or which sixth; each of these lies in a half."""
    return part_of(run.group, run.source, folds)


def is_ragged(run: RecordedRun) -> bool:
    """Whether a run comes from logs of any length rather than from a table of runs."""
    return _family(run.group) in _RAGGED


def group_weights(runs: Iterable[RecordedRun]) -> dict[str, float]:
    """How often each group is drawn: by its family's weight, the groups of a family alike."""
    groups = defaultdict(set)
    for run in runs:
        groups[_family(run.group)].add(run.group)
    return {
        group: _FAMILY_WEIGHTS[family] / len(members)
        for family, members in groups.items()
        for group in members
    }


def weights_by_fold(runs: Sequence[RecordedRun], folds: int) -> list[dict[str, float]]:
    """How often each group is drawn by way of each fold: as many of its sources lie there."""
    sources = defaultdict(set)
    for run in runs:
        sources[run.group].add((run.source, fold_of(run, folds)))
    weights = group_weights(runs)
    total = sum(weights.values())
    found: list[dict[str, float]] = [{} for _ in range(folds)]
    for group, members in sources.items():
        for fold in range(folds):
            count = sum(of == fold for _, of in members)
            if count:
                found[fold][group] = weights[group] / total * count / len(members)
    return found


def strongly_varied(runs: Sequence[RecordedRun], weights: dict[str, float]) -> RecordedPrior:
    """Draws of ragged runs, bent, mixed and stretched most of the time."""
    return RecordedPrior(runs, weights, augmentation=_STRONG)


def benchmark_prior(runs: Sequence[RecordedRun], weights: dict[str, float]) -> RecordedPrior:
    """Draws of benchmarks' runs, whose logs are of few lengths and which there are thousands of."""
    return RecordedPrior(
        runs,
        weights,
        lengths=(13, 26, 51, 52),
        length_weights=(0.12, 0.23, 0.35, 0.3),
        augmentation=_MILD,
    )


def at_other_lengths(runs: Sequence[RecordedRun]) -> RecordedPrior:
    """Draws of benchmarks' runs as if they had been of any other length."""
    return RecordedPrior(
        runs,
        group_weights(runs),
        lengths=_OTHER_LENGTHS,
        length_weights=(1 / len(_OTHER_LENGTHS),) * len(_OTHER_LENGTHS),
        augmentation=_MILD,
        resampled=True,
    )


def runs_without(data: Path, leave_out: int | None) -> list[RecordedRun]:
    """The usable runs of all families below a folder.

    Args:
        data: folder with one folder of .npz per family.
        leave_out: a half of the sources; None keeps both.

    Raises:
        typer.BadParameter: there is no such half.
    """
    if leave_out is not None and not 0 <= leave_out < FOLDS:
        raise typer.BadParameter(f"--leave-out is {leave_out}, but must be 0 to {FOLDS - 1}")
    return [run for run in recorded_runs(data) if fold_of(run) != leave_out]


def recorded_priors(runs: Sequence[RecordedRun]) -> list[Prior]:
    """Draws of the runs of benchmarks, and of all other recorded ones."""
    ragged = [run for run in runs if is_ragged(run)]
    even = [run for run in runs if not is_ragged(run)]
    return [
        benchmark_prior(even, group_weights(even)),
        RecordedPrior(ragged, group_weights(ragged)),
    ]


def shared_card(card: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says that also holds of weights which are made from these."""
    return {key: entry for key, entry in card.items() if key not in _OF_ONE}


def _family(group: str) -> str:
    return group.split("/")[0]


@app.command()
def prior(
    out: Out, start: Start = "default", curves: Curves = 600_000, rate: Rate = 1e-3, seed: int = 13
) -> None:
    """Trains on draws of priors alone."""
    _train(out, "base", _mixture("prior", []), start, curves, rate, seed)


@app.command()
def recorded(
    out: Out,
    start: Start,
    curves: Curves = 200_000,
    rate: Rate = 6e-4,
    seed: int = 7,
    leave_out: Annotated[int | None, typer.Option(help="a half of the sources, 0 or 1")] = None,
    data: Data = _DATA,
) -> None:
    """Trains on recorded runs mixed with draws of priors."""
    name = "default" if leave_out is None else f"fold{leave_out}"
    mixture = _mixture("recorded", recorded_priors(runs_without(data, leave_out)))
    _train(out, name, mixture, start, curves, rate, seed)


def _mixture(stage: str, recordings: Sequence[Prior]) -> MixturePrior:
    priors: list[Prior] = [AnnealedPrior(), RealisticPrior(), *recordings]
    return MixturePrior(list(zip(_SHARES[stage], priors, strict=True)))


def _train(
    out: Path, name: str, mixture: Prior, start: str, curves: int, rate: float, seed: int
) -> None:
    torch.set_num_threads(1)
    begin = lcpfn.load(start)
    config = TrainingConfig(
        curves=curves,
        queries=24,
        learning_rate=rate,
        warmup=0.03,
        seed=seed,
        network=replace(begin.network.config, rates=True, best=True),
    )

    def report(progress: Progress) -> None:
        if progress.step % 100 == 0:
            line = f"{progress.step} of {progress.steps}: {progress.objective:.3f}"
            print(line, f"{progress.curves_per_second:.0f} curves/s", flush=True)

    result = train(
        mixture,
        config,
        out,
        execution=Execution(compile=False, validate_every=config.steps),
        observer=report,
        start=Network.of(begin.network),
    )
    kept = ("prior", "fitted_to", "resolution")
    card = {key: begin.card[key] for key in kept if key in begin.card}
    made = {
        "started_from": begin.card["sha256"],
        "curves": result.curves,
        "steps": result.steps,
        "seconds": round(result.seconds),
        "hardware": result.hardware,
        "validation": result.validation,
        "training": {
            "learning_rate": rate,
            "seed": seed,
            "queries": config.queries,
            "batch": config.batch,
            "optimiser": config.optimiser,
        },
    }
    print(save_weights(out, name, result.network.engine(), {**card, **made}))


@app.command()
def average(
    out: Out,
    name: Annotated[str, typer.Argument(help="of the averaged weights")],
    model: Annotated[list[str], typer.Option(help="name or path of a model; repeatable")],
    share: Annotated[list[float], typer.Option(help="of each model, in order; their sum is 1")],
) -> None:
    """Averages the weights of models that descend from one another.

    Training on recorded runs moves a network away from what it knew of all others. The average
    with where it began keeps most of both (Wortsman et al. 2022, robust fine-tuning).
    """
    if len(model) != len(share) or abs(sum(share) - 1) > 1e-9:
        raise typer.BadParameter(f"{len(model)} models have shares {share}, which must sum to 1")
    loaded = [lcpfn.load(path) for path in model]
    # What a network is not told it begins by ignoring, so all can have the shape of the first.
    shape = Network(loaded[0].network.config)
    states = [
        copy.deepcopy(shape).take_over(Network.of(one.network)).state_dict() for one in loaded
    ]
    shape.load_state_dict(
        {key: sum(s * of[key] for s, of in zip(share, states, strict=True)) for key in states[0]}
    )
    parts = [
        {"sha256": one.card["sha256"], "share": part, "curves": one.card.get("curves")}
        for one, part in zip(loaded, share, strict=True)
    ]
    card = shared_card(loaded[0].card)
    print(save_weights(out, name, shape, {**card, "average_of": parts}))


@app.command()
def judge(
    weights: Annotated[str, typer.Argument(help="name or path of the model trained on all")],
    folds: Annotated[
        list[Path] | None,
        typer.Argument(help="models trained without a half each, or without a sixth, in order"),
    ] = None,
    before: Annotated[str, typer.Option(help="name or path of another model")] = "reference",
    data: Data = _DATA,
    per_source: Annotated[int, typer.Option(help="runs of each source")] = 60,
    by_source: Annotated[bool, typer.Option(help="also print every source")] = False,
    markdown: Annotated[Path | None, typer.Option(help="write the tables here as well")] = None,
) -> None:
    """Scores forecasts of final values, source by source."""
    torch.set_num_threads(1)
    if folds and len(folds) not in (FOLDS, SIXTHS):
        raise typer.BadParameter(
            f"there are {len(folds)} folds, but {FOLDS} or {SIXTHS} are needed, or none"
        )
    sources = _sources(recorded_runs(data), per_source)
    found = {"before": _scored(lcpfn.load(before), sources)}
    found["trained on all"] = _scored(lcpfn.load(weights), sources)
    if folds:
        unseen: dict[tuple[str, str], RunScores] = {}
        for index, path in enumerate(folds):
            left_out = {
                key: runs for key, runs in sources.items() if fold_of(runs[0], len(folds)) == index
            }
            unseen |= _scored(lcpfn.load(path), left_out)
        found["source left out"] = unseen
    lines: list[str] = []
    splits = {
        family: [key for key in sources if _family(key[0]) == family]
        for family in sorted({_family(group) for group, _ in sources})
    }
    if by_source:
        splits |= {f"{group} {source}": [(group, source)] for group, source in sources}
    for title, split in splits.items():
        lines += _table(title, {name: [s[k] for k in split] for name, s in found.items()})
    if markdown is not None:
        markdown.write_text("\n".join(lines) + "\n")


def _sources(
    runs: Sequence[RecordedRun], per_source: int
) -> dict[tuple[str, str], list[RecordedRun]]:
    """A seeded choice of the runs of each source."""
    found: dict[tuple[str, str], list[RecordedRun]] = defaultdict(list)
    for run in runs:
        found[run.group, run.source].append(run)
    return {
        key: [
            members[index]
            for index in np.random.default_rng(zlib.crc32("/".join(key).encode())).permutation(
                len(members)
            )[:per_source]
        ]
        for key, members in sorted(found.items())
    }


def _scored(
    model: LCPFN, sources: Mapping[tuple[str, str], Sequence[RecordedRun]]
) -> dict[tuple[str, str], RunScores]:
    return {key: score_runs(model, runs) for key, runs in sources.items()}


def _table(title: str, rows: Mapping[str, Sequence[RunScores]]) -> list[str]:
    """Prints a table of pooled sources, and returns it in Markdown."""
    count = len(next(iter(rows.values())))
    cells = [
        [name, *(str(pool(scores, cutoff)) for cutoff in CUTOFFS)] for name, scores in rows.items()
    ]
    heading = f"{title} ({count} source{'s' if count > 1 else ''})"
    return table(heading, ["", *(f"{cutoff:.0%}" for cutoff in CUTOFFS)], cells)


if __name__ == "__main__":
    app()
