r"""What do the other runs of a search say of a run? Scores on sources left out of all fitting.

    python experiments/peers.py judge --tables runs/peers/unseen.npz \
        --network runs/peers/fold0.safetensors --network runs/peers/fold1.safetensors \
        --markdown docs/results/peers.md

Each half of the sources is judged by the network that was trained without it, or each sixth by one
of six, on forecasts of a model that had not seen it either; see `experiments/train_peers.py` for
how tables and networks are made. CRPS of the final value over that of repeating the last value; in
brackets over that of the same forecast alone, with its standard error over searches; then the share
within the central 88 %. `rivals` scores what else could be learned from finished peers, `draw`
draws one run forecast with more and more peers, `along` says how far a run's own earlier forecasts
tell of its later ones, `common` how much there is to be had from what all runs of a search have in
common, `claims` what becomes of forecasts of which peers claim to know much, `closing` what it
would cost to keep those of other tasks out, and `cost` what hearing peers costs.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.support import peer_rivals
from experiments.support.peer_episodes import Pool
from experiments.support.peer_scores import (
    CUTOFFS,
    Case,
    Mean,
    Scored,
    by_all_ends,
    cases,
    chances,
    corrections,
    nats_claimed,
    pooled,
    score,
    score_quantiles,
    singles,
    together,
)
from experiments.support.searches import (
    RecordedSearch,
    SearchTable,
    left_out_of,
    load_tables,
    recorded_searches,
)
from lcpfn.forecast.landmarks import SHARES
from lcpfn.network.blas import BlasThreads
from lcpfn.network.correction import WIDTHS
from lcpfn.network.gate import KINSHIP
from lcpfn.network.peers import PeerNetwork
from lcpfn.peer_weights import load_peer_network

Array = NDArray[Any]
ByCount = dict[tuple[str, float, int], list[Scored]]
COUNTS = (0, 1, 4, 16, 64)
# With how many peers single searches are looked at.
_LOOKED_AT = 4
# Which task peers of others are of decides what they do, so that each run has several draws of it.
FOREIGN_DRAWS = 4
_BINS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
_LOWERED = (0.0, 1.0, 2.0)
_TAIL = (0.01, 0.02, 0.05, 0.1)
_RIVALS = {
    "Gaussian process on residuals": peer_rivals.residual_process,
    "finished curves, mapped": peer_rivals.affine_map,
    "pooled power laws": peer_rivals.pooled_power_law,
}

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode="rich")
Tables = Annotated[Path, typer.Option(help="made by experiments/train_peers.py")]
Networks = Annotated[
    list[Path], typer.Option(help="without the first half, the second; or of sixths")
]
Runs = Annotated[int, typer.Option(help="judged of each search")]
Markdown = Annotated[Path | None, typer.Option(help="write the tables here as well")]


@app.command()
def judge(tables: Tables, network: Networks, runs: Runs = 120, markdown: Markdown = None) -> None:
    """Scores by number of peers: finished and unfinished, own and foreign, with hyperparameters."""
    made = [table for table in load_tables(tables) if len(table.final) > 1]
    networks = [load_peer_network(path) for path in network]
    pool = Pool(made)
    finished = _scores(made, pool, networks, runs)
    lines = _by_count("finished peers", finished) + _by_search(finished)
    known = [table for table in made if table.settings.shape[1]]
    told = _scores(known, pool, networks, runs, settings=True)
    lines += _by_count("finished peers, hyperparameters known", told)
    beside = _scores(made, pool, networks, runs, kind="beside")
    lines += _by_count("unfinished peers, as far as the run", beside)
    for name, family in (("of the same benchmark", True), ("of any other", False)):
        foreign = _scores(made, pool, networks, runs, alien=family)
        lines += _by_count(f"finished peers of another task {name}", foreign)
    lines += _reliability(made, pool, networks, runs)
    if markdown is not None:
        markdown.write_text("\n".join(lines) + "\n")


def _others(table: SearchTable, made: Sequence[SearchTable], alien: bool | None) -> list[str]:
    """Names of searches of other tasks: of the same family, or of any."""
    if alien is None:
        return []
    found = [
        other.name
        for other in made
        if other.source != table.source and (other.family == table.family) is alien
    ]
    return found or [other.name for other in made if other.source != table.source]


def _scores(
    made: Sequence[SearchTable],
    pool: Pool,
    networks: Sequence[PeerNetwork],
    runs: int,
    settings: bool = False,
    kind: Any = "finished",
    alien: bool | None = None,
) -> ByCount:
    """Scores of each search by family, cutoff and number of peers."""
    found: ByCount = defaultdict(list)
    for table in made:
        others = _others(table, made, alien)
        scored: dict[tuple[float, int], list[Scored]] = defaultdict(list)
        for draw in range(1 if alien is None else FOREIGN_DRAWS):
            for count, case in cases(table, pool, COUNTS, kind, others, runs, draw):
                answers = corrections(case, pool, left_out_of(table, networks), settings)
                scored[case.cutoff, count].append(score(case, answers))
        for (cutoff, count), parts in scored.items():
            found[table.family, cutoff, count].append(together(parts))
    return found


def _by_count(title: str, found: ByCount) -> list[str]:
    rows = []
    for family, cutoff, named in _judged(found):
        alone = found[family, cutoff, 0]
        means = [pooled(found[family, cutoff, count], alone, family == "wild") for count in COUNTS]
        rows.append([named, f"{cutoff:.0%}", *(_cell(mean) for mean in means)])
    return _table(title, ["", "after", "alone", *(f"{count}" for count in COUNTS[1:])], rows)


def _by_search(found: ByCount) -> list[str]:
    """Whether means go by single searches and runs."""
    rows = []
    for family, cutoff, named in _judged(found):
        pairs = found[family, cutoff, _LOOKED_AT], found[family, cutoff, 0]
        mean, single = (look(*pairs, family == "wild") for look in (pooled, singles))
        shown = mean.change, single.median, single.worse, single.without_loser, single.without_both
        rows.append([named, f"{cutoff:.0%}", *(f"{number:.2f}" for number in shown)])
    heading = ["", "after", "mean", "median of searches", "share of searches worse"]
    heading += ["without the run that loses most", "and the one that gains most"]
    return _table(f"{_LOOKED_AT} finished peers, by single searches and runs", heading, rows)


def _judged(found: ByCount) -> list[tuple[str, float, str]]:
    """Families and cutoffs of which there are scores, and how the former are named."""
    families = sorted({family for family, _, _ in found})
    return [
        (family, cutoff, f"{family} ({len(found[family, cutoff, 0])})")
        for family in families
        for cutoff in CUTOFFS
        if found[family, cutoff, 0]
    ]


def _cell(mean: Mean) -> str:
    error = "" if np.isnan(mean.error) or mean.error == 0 else f" ± {mean.error:.2f}"
    change = "" if mean.change == 1 else f" ({mean.change:.2f}{error})"
    return f"{mean.ratio:.3f}{change}, {mean.inside:.2f}"


def _reliability(
    made: Sequence[SearchTable], pool: Pool, networks: Sequence[PeerNetwork], runs: int
) -> list[str]:
    """How often runs ended better than the best finished peer, and in either tail."""
    said: dict[str, list[tuple[Array, Array]]] = defaultdict(list)
    places: dict[str, list[Array]] = defaultdict(list)
    for table in made:
        for count, case in cases(table, pool, (1, 4, 16, 64), most_runs=runs):
            answers = corrections(case, pool, left_out_of(table, networks), settings=False)
            nothing = corrections(_alone(case), pool, left_out_of(table, networks), settings=False)
            said[f"{count} peers"].append(chances(case, answers, pool))
            said[f"alone, best of {count}"].append(chances(case, nothing, pool))
            places[f"{count} peers"].append(score(case, answers).place)
            if count == 1:
                places["alone"].append(score(case, nothing).place)
    rows = []
    for name, pairs in said.items():
        chance, came = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        least = chance <= 0.05
        cells = [name, f"{came[least].mean():.3f} of {least.sum()}"]
        for low, high in pairwise(_BINS):
            inside = (chance > low) & (chance <= high) if low else chance <= high
            cells.append(f"{came[inside].mean():.2f}" if inside.sum() > 20 else "")
        rows.append(cells)
    heading = ["", "at most 0.05", *(f"to {high:g}" for high in _BINS[1:])]
    lines = _table("P(better than the best finished peer): how often it came so", heading, rows)
    rows = []
    for name, parts in places.items():
        place = np.concatenate(parts)
        shares = [(place < level).mean() for level in _TAIL]
        shares += [(place > 1 - level).mean() for level in reversed(_TAIL)]
        rows.append([name, *(f"{share:.3f}" for share in shares)])
    heading = ["", *(f"below {level:g}" for level in _TAIL)]
    heading += [f"above {1 - level:g}" for level in reversed(_TAIL)]
    return lines + _table("Share of final values in the tails of forecasts", heading, rows)


def _alone(case: Case) -> Case:
    nobody = case.peers[:, :0]
    return Case(case.table, case.cutoff, case.landmark, case.runs, nobody, nobody, case.begin)


@app.command()
def rivals(
    tables: Tables,
    network: Networks,
    data: Annotated[Path, typer.Option(help="the recorded searches")] = Path("../shared/data"),
    per_set: Annotated[int, typer.Option(help="as the tables were made")] = 150,
    runs: Runs = 12,
    count: Annotated[int, typer.Option(help="of finished peers")] = 16,
    latent: Annotated[
        int, typer.Option(help="LCBench searches for BoTorch's latent-Kronecker GP, a run of each")
    ] = 0,
    markdown: Markdown = None,
) -> None:
    """Scores what else could be learned from finished peers.

    The latent-Kronecker GP takes ten seconds for a forecast, so it is scored apart, on few runs
    after 10 and 40 %; it needs `pip install botorch`.
    """
    made = [table for table in load_tables(tables) if len(table.final) > 1]
    networks = [load_peer_network(path) for path in network]
    pool, searches = Pool(made), {one.name: one for one in recorded_searches(data, per_set)}
    found: dict[tuple[str, str, float], list[Scored]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    for table in made:
        for _, case in cases(table, pool, (count,), most_runs=runs):
            family, cutoff = table.family, case.cutoff
            hears = left_out_of(table, networks)
            found["alone", family, cutoff].append(
                score(case, corrections(_alone(case), pool, hears, False))
            )
            for name, told in (("peers", False), ("peers, hyperparameters known", True)):
                answers = corrections(case, pool, hears, told)
                found[name, family, cutoff].append(score(case, answers))
            for name, rival in _RIVALS.items():
                begin = time.process_time()
                quantiles = np.stack(
                    [rival(case, searches[table.name], place) for place in range(len(case.runs))]
                )
                seconds[name].append((time.process_time() - begin) / len(case.runs))
                found[name, family, cutoff].append(score_quantiles(case, quantiles))
    rows = []
    names = list(dict.fromkeys(name for name, _, _ in found))
    for family in sorted({table.family for table in made}):
        for cutoff in CUTOFFS:
            alone = found["alone", family, cutoff]
            if alone:
                means = [
                    pooled(found[name, family, cutoff], alone, family == "wild") for name in names
                ]
                rows.append(
                    [
                        f"{family} ({len(alone)})",
                        f"{cutoff:.0%}",
                        *(f"{mean.ratio:.3f}, {mean.inside:.2f}" for mean in means),
                    ]
                )
    lines = _table(f"{count} finished peers", ["", "after", *names], rows)
    told = "; ".join(f"{name} {np.mean(spent):.3f}" for name, spent in seconds.items())
    lines += [f"Seconds for a forecast on one core: {told}.", ""]
    print(lines[-2])
    if latent:
        lines += _against_latent(made, pool, searches, networks, latent)
    if markdown is not None:
        markdown.write_text("\n".join(lines) + "\n")


def _against_latent(
    made: Sequence[SearchTable],
    pool: Pool,
    searches: Mapping[str, RecordedSearch],
    networks: Sequence[PeerNetwork],
    count: int,
) -> list[str]:
    """The latent-Kronecker GP and our forecasts, on one run of each of some searches."""
    found: dict[tuple[str, float], list[Scored]] = defaultdict(list)
    spent: list[float] = []
    for table in [one for one in made if one.family == "lcbench"][:count]:
        for _, case in cases(table, pool, (16,), most_runs=1):
            if case.cutoff not in (0.1, 0.4):
                continue
            hears = left_out_of(table, networks)
            nobody = corrections(_alone(case), pool, hears, settings=False)
            found["alone", case.cutoff].append(score(case, nobody))
            answers = corrections(case, pool, hears, settings=True)
            found["peers, hyperparameters known", case.cutoff].append(score(case, answers))
            begin = time.process_time()
            places = range(len(case.runs))
            quantiles = np.stack(
                [
                    peer_rivals.latent_kronecker(case, searches[table.name], place)
                    for place in places
                ]
            )
            spent.append((time.process_time() - begin) / len(case.runs))
            found["latent-Kronecker GP", case.cutoff].append(score_quantiles(case, quantiles))
    names = list(dict.fromkeys(name for name, _ in found))
    rows = []
    for cutoff in (0.1, 0.4):
        alone = found["alone", cutoff]
        means = [pooled(found[name, cutoff], alone, by_run=False) for name in names]
        rows.append([f"{cutoff:.0%}", *(_cell(mean) for mean in means)])
    title = f"16 finished peers, one run of each of {count} LCBench sets"
    told = f"The latent-Kronecker GP took {np.mean(spent):.1f} seconds for a forecast on one core."
    print(told)
    return [*_table(title, ["after", *names], rows), told]


@app.command()
def along(
    tables: Tables,
    fewest: Annotated[int, typer.Option(help="runs of a search that counts")] = 8,
) -> None:
    """Does where a run's record lay in a forecast tell where its end lies in a later one?

    Correlations of the normal scores of both, of the record at a landmark in the forecast from half
    as far, and of the end in that from the landmark: of runs within searches, and of the means of
    searches, which is what peers under way could tell.
    """
    pairs: dict[tuple[str, float], list[Array]] = defaultdict(list)
    means: dict[tuple[str, float], list[Array]] = defaultdict(list)
    for table in load_tables(tables):
        for cutoff in CUTOFFS:
            landmark = int(np.argmin(np.abs(np.array(SHARES) - cutoff)))
            both = np.stack([table.halves[:, landmark], table.ends[:, landmark, 3]])
            both = both[:, np.isfinite(both).all(0)]
            if both.shape[1] >= fewest:
                score = np.vectorize(NormalDist().inv_cdf)(both.clip(1e-3, 1 - 1e-3))
                mean = score.mean(1, keepdims=True)
                pairs[table.family, cutoff].append(score - mean)
                means[table.family, cutoff].append(mean)
    rows = []
    for (family, cutoff), found in sorted(pairs.items()):
        within, between = (
            f"{np.corrcoef(np.concatenate(part, axis=1))[0, 1]:.2f}" if len(part) > 2 else ""
            for part in (found, means[family, cutoff])
        )
        rows.append([f"{family} ({len(found)})", f"{cutoff:.0%}", within, between])
    heading = ["", "after", "of runs within a search", "of the means of searches"]
    _table("Correlation of the last record's score and the end's", heading, rows)


@app.command()
def claims(tables: Tables, network: Networks, runs: Runs = 120) -> None:
    """What becomes of forecasts, by how much peers claim to know: after a tenth of the run.

    By nats of that, the share of runs and what it adds to the change of the mean CRPS; of peers of
    the same task, and of others.
    """
    made = [table for table in load_tables(tables) if len(table.final) > 1]
    networks, pool = [load_peer_network(path) for path in network], Pool(made)
    rows = []
    for name, alien in (("same task", None), ("same benchmark", True), ("any other", False)):
        found: dict[tuple[str, int], list[tuple[Array, Array]]] = defaultdict(list)
        for table in made:
            others, hears = _others(table, made, alien), left_out_of(table, networks)
            for draw in range(1 if alien is None else FOREIGN_DRAWS):
                for count, case in cases(table, pool, (1, 16), "finished", others, runs, draw):
                    if case.cutoff == CUTOFFS[0]:
                        ours = score(case, corrections(case, pool, hears, settings=False)).crps
                        alone = score(case, corrections(_alone(case), pool, hears, False)).crps
                        change = (ours - alone) / alone.mean()
                        found[table.family, count].append((nats_claimed(case, pool, hears), change))
        for (family, count), parts in sorted(found.items()):
            nats, change = (np.concatenate(part) for part in zip(*parts, strict=True))
            cells = [f"{family}, {name}", f"{count}"]
            for low, high in pairwise((0.0, 0.5, 1.0, 1.5, np.inf)):
                inside = (nats >= low) & (nats < high)
                cells.append(f"{inside.mean():.2f}: {change[inside].sum() / len(nats):+.3f}")
            rows.append(cells)
    heading = ["", "peers", "up to 0.5", "to 1", "to 1.5", "more"]
    _table("Share of runs and change of CRPS by nats claimed", heading, rows)


@app.command()
def closing(tables: Tables, network: Networks, runs: Runs = 60) -> None:
    """What it would cost to keep peers of a benchmark's other tasks out: after a tenth of the run.

    CRPS over that of the forecast alone, with own peers and with such, where the log-odds that
    peers are of the task are lowered by so much.
    """
    made = [table for table in load_tables(tables) if len(table.final) > 1]
    networks, pool = [load_peer_network(path) for path in network], Pool(made)
    counts = (0, 4, 16, 64)
    found: dict[tuple[str, float, bool | None, int], list[Scored]] = defaultdict(list)
    for table in made:
        for lowered in _LOWERED:
            hears = _doubting(left_out_of(table, networks), lowered)
            for alien in (None, True):
                others = _others(table, made, alien)
                for count, case in cases(table, pool, counts, "finished", others, runs):
                    if case.cutoff == CUTOFFS[0]:
                        scored = score(case, corrections(case, pool, hears, settings=False))
                        found[table.family, lowered, alien, count].append(scored)
    rows = []
    for family in sorted({table.family for table in made}):
        for lowered in _LOWERED:
            cells = [family, f"{lowered:g}"]
            for alien in (None, True):
                alone = found[family, lowered, alien, 0]
                for count in counts[1:]:
                    scored = found[family, lowered, alien, count]
                    mean = pooled(scored, alone, family == "wild")
                    cells.append(f"{mean.change:.3f} ± {mean.error:.3f}")
            rows.append(cells)
    heading = ["", "lowered by", *(f"{count} own" for count in counts[1:])]
    heading += [f"{count} of others" for count in counts[1:]]
    _table("What own peers and those of other tasks do", heading, rows)


def _doubting(network: PeerNetwork, lowered: float) -> PeerNetwork:
    """A network whose gate takes peers for so much less likely to be of the run's task."""
    bias = network.weights["gate.out_bias"].copy()
    bias[KINSHIP] -= lowered
    return PeerNetwork(network.config, {**network.weights, "gate.out_bias": bias})


@app.command()
def common(tables: Tables, runs: Runs = 120) -> None:
    """How much is to be had from what all runs of a search have in common.

    CRPS over that of the forecast alone, of forecasts that are told the mean and the variance of
    the scores of the ends of all other runs: an oracle, which peers under way cannot be.
    """
    made = [table for table in load_tables(tables) if len(table.final) > 1]
    pool = Pool(made)
    found: dict[tuple[str, float], list[tuple[Scored, Scored]]] = defaultdict(list)
    for table in made:
        for _, case in cases(table, pool, (0,), most_runs=runs):
            alone = np.tile(np.log(WIDTHS), (len(case.runs), 1))
            pair = score(case, by_all_ends(case)), score(case, alone)
            found[table.family, case.cutoff].append(pair)
    rows = []
    for (family, cutoff), pairs in sorted(found.items()):
        told, alone_scores = zip(*pairs, strict=True)
        mean = pooled(told, alone_scores, family == "wild")
        rows.append([f"{family} ({len(pairs)})", f"{cutoff:.0%}", _cell(mean)])
    _table("Told the ends of all other runs together", ["", "after", "CRPS"], rows)


@app.command()
def draw(
    out: Annotated[Path, typer.Argument(help="a .png to write")],
    data: Annotated[Path, typer.Option(help="an .npz of LCBench")] = Path(
        "../shared/data/lcbench/segment.npz"
    ),
    run: int = 18,
    observed: int = 6,
) -> None:
    """Draws one run forecast with 0, 1, 4 and 16 finished peers."""
    import matplotlib.pyplot as plt

    with np.load(data) as stored:
        curves = stored["val_loss"].astype(np.float64)
    order = np.random.default_rng(zlib.crc32(data.stem.encode())).permutation(len(curves))
    order = order[order != run][:16]
    model = lcpfn.load()
    steps = np.arange(1, curves.shape[1] + 1)
    figure, panels = plt.subplots(1, 4, figsize=(14, 3.4), sharey=True, layout="constrained")
    for count, panel in zip((0, 1, 4, 16), panels, strict=True):
        peers = [lcpfn.Peer(steps, curves[index], stopped=False) for index in order[:count]]
        post = model.extrapolate(
            curves[run, :observed], horizon=len(steps), goal="minimize", peers=peers
        )
        for peer in peers:
            panel.plot(peer.steps, peer.values, color="0.8", lw=0.8, zorder=0)
        later = steps[observed:], curves[run, observed:]
        post.plot(panel, metric="val_loss", step_name="epoch", truth=later)
        panel.set_title(f"{count} peer{'' if count == 1 else 's'}")
        panel.set_ylim(0.4, 2.2)
    figure.savefig(out, dpi=110)


@app.command()
def cost(
    count: Annotated[int, typer.Option(help="of finished peers, forecast before")] = 64,
    horizon: Annotated[int, typer.Option(help="records of a whole run")] = 52,
    repeats: int = 400,
) -> None:
    """What a forecast with peers costs more than one without, in milliseconds of one core.

    All are made in turn; of each the fastest tenth counts, as all else on the machine adds to it.
    """
    rng = np.random.default_rng(0)
    share = np.arange(1, horizon + 1) / horizon
    runs = [
        1.5 - 0.5 * (1 - np.exp(-share * rng.uniform(2, 8))) + 0.01 * rng.normal(size=horizon)
        for _ in range(count + 1)
    ]
    configs = [{"rate": float(rng.uniform()), "layers": int(rng.integers(5))} for _ in runs]
    peers = [
        lcpfn.Peer(range(1, horizon + 1), run.tolist(), stopped=False, config=config)
        for run, config in zip(runs[1:], configs[1:], strict=True)
    ]
    model = lcpfn.load()
    kinds = ({}, {"peers": peers}, {"peers": peers, "config": configs[0]})
    rows = []
    with BlasThreads(1):
        for observed in (5, 10, 20, 40):
            spent: list[list[float]] = [[] for _ in kinds]
            for _ in range(repeats):
                for told, times in zip(kinds, spent, strict=True):
                    begin = time.process_time()
                    post = model.extrapolate(
                        runs[0][:observed], horizon=horizon, goal="minimize", **told
                    )
                    post.at_horizon().quantile([0.1, 0.5, 0.9])
                    times.append(time.process_time() - begin)
            alone, heard, configured = (1e3 * np.quantile(times, 0.1) for times in spent)
            rows.append(
                [str(observed), f"{alone:.2f}", f"{heard - alone:.2f}", f"{configured - alone:.2f}"]
            )
    heading = ["records", "alone", f"{count} peers, more", "hyperparameters known, more"]
    _table("Milliseconds of a forecast on one core", heading, rows)


def _table(title: str, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Prints a table, and returns it in Markdown."""
    lines = [f"## {title}", "", "| " + " | ".join(heading) + " |", "|" + " --- |" * len(heading)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    print("\n".join([*lines, ""]), flush=True)
    return [*lines, ""]


if __name__ == "__main__":
    app()
