from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer import BadParameter

import lcpfn
from experiments import peers, train_peers
from experiments.support.peer_episodes import Bias, Pool, draw
from experiments.support.peer_scores import (
    Scored,
    cases,
    corrections,
    cumulated,
    pooled,
    score,
    singles,
)
from experiments.support.recorded_runs import FOLDS, SIXTHS
from experiments.support.searches import (
    bounds_of,
    drawn_searches,
    fold_of,
    left_out_of,
    load_tables,
    make_table,
    save_tables,
)
from lcpfn.network.comparison import OWN
from lcpfn.network.correction import BINS, EDGES, WIDTHS
from lcpfn.network.gate import GATE
from lcpfn.network.outcomes import EXPECTED, REGRESSIONS
from lcpfn.network.peer_description import PEER
from lcpfn.network.peers import PeerNetwork
from lcpfn.peer_weights import load_peer_network, save_peer_network


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "prior.npz"
    model = lcpfn.load()
    save_tables(path, [make_table(model, search) for search in drawn_searches(3, 5, seed=1)])
    return path


def test_tables_hold_what_became_of_forecasts(made: Path):
    for table in load_tables(made):
        met = table.ends[..., 3]
        known = ~np.isnan(met)
        assert ((met[known] >= 0) & (met[known] <= 1)).all()
        assert (np.diff(table.edges[known], axis=-1) >= 0).all()
        place = np.interp(table.final[0], table.edges[0, -1], EDGES)
        assert place == pytest.approx(met[0, -1], abs=0.02)


def test_trained_networks_are_judged(made: Path, tmp_path: Path, monkeypatch):
    out = tmp_path / "peers.safetensors"
    monkeypatch.setattr(train_peers, "_BATCHES", (((1, 4), 4, 0.5), ((5, 8), 2, 0.5)))
    monkeypatch.setattr(peers, "COUNTS", (0, 2))
    monkeypatch.setattr(peers, "_LOOKED_AT", 2)
    train_peers.train(out, [made], steps=3)
    network = load_peer_network(out)
    tables = load_tables(made)
    pool = Pool(tables)
    every = []
    for count, case in cases(tables[0], pool, (0, 2)):
        scored = score(case, corrections(case, pool, network, settings=True))
        every.append(scored)
        assert len(scored.crps) == len(case.runs)
        assert case.peers.shape[1] == count
        if not count:
            assert np.array_equal(scored.gain, np.zeros(len(case.runs)))
    assert pooled(every[:1], every[:1], by_run=False).change == 1
    report = tmp_path / "peers.md"
    peers.judge(made, [out, out], runs=2, markdown=report)
    assert "finished peers" in report.read_text()


def test_a_gate_that_is_closed_tells_less(made: Path, tmp_path: Path, capsys, monkeypatch):
    known = load_peer_network()
    asked = np.random.default_rng(0).normal(size=(1, 6, len(PEER))).astype(np.float32)
    own = np.zeros((1, len(OWN)), np.float32)
    told = [
        np.abs(np.exp(peers._doubting(known, lowered)(asked, own)) - WIDTHS).sum()
        for lowered in (0.0, 5.0)
    ]
    assert told[1] < told[0]
    monkeypatch.setattr(peers, "_LOWERED", (0.0, 1.0))
    peers.closing(
        made, [Path(peers.__file__).parents[1] / "lcpfn/bundled/peers.safetensors"], runs=2
    )
    rows = [row for row in capsys.readouterr().out.splitlines() if row.startswith("| prior")]
    assert [row.split("|")[2].strip() for row in rows] == ["0", "1"]


def test_each_source_is_read_by_the_network_that_has_not_seen_it():
    (drawn,) = drawn_searches(1, 2, seed=2)
    sources = [
        ("lcbench", "adult"),
        ("lcbench", "segment"),
        ("world", "wmt"),
        ("world", "gpt"),
        ("own_unseen", "digits"),
        ("wild", "owner/repository"),
    ]
    sixths = set()
    for family, source in sources:
        search = replace(drawn, family=family, source=source)
        half, sixth = fold_of(search), fold_of(search, SIXTHS)
        assert left_out_of(search, ["all"]) == "all"
        assert left_out_of(search, range(FOLDS)) == half
        assert left_out_of(search, range(SIXTHS)) == sixth
        assert sixth % FOLDS == half
        sixths.add(sixth)
    assert len(sixths) > FOLDS
    with pytest.raises(BadParameter, match="3 networks"):
        left_out_of(drawn, range(3))


def test_a_part_of_the_sources_is_left_out_of_training(tmp_path: Path):
    (drawn,) = drawn_searches(1, 2, seed=2)
    table = make_table(lcpfn.load(), drawn)
    sources = ("adult", "segment", "higgs", "volkert")
    path = tmp_path / "tables.npz"
    tables = [replace(table, family="lcbench", source=source, name=source) for source in sources]
    save_tables(path, tables)
    (everything,) = train_peers._pools([path], None)
    assert everything.names == list(sources)
    for parts in (FOLDS, SIXTHS):
        part = fold_of(tables[0], parts)
        (left,) = train_peers._pools([path], f"{part}/{parts}")
        assert left.names == [one.source for one in tables if fold_of(one, parts) != part]
    with pytest.raises(BadParameter, match="--leave-out is 2, but must be one of 0/2, 1/2, 0/6"):
        train_peers._pools([path], "2")


def test_a_run_that_decides_a_mean_is_found():
    alone = [
        Scored(np.ones(count), np.ones(count), np.zeros(count), np.zeros(count))
        for count in (4, 3, 3)
    ]
    ours = [replace(one, crps=0.9 * one.crps) for one in alone]
    ours[1].crps[:2] = 9.0, 0.1
    assert pooled(ours, alone, by_run=True).change > 1.5
    found = singles(ours, alone, by_run=True)
    assert found.median == pytest.approx(0.9)
    assert found.worse == pytest.approx(1 / 3)
    assert found.without_loser == pytest.approx((7 * 0.9 + 0.1 + 0.9) / 9)
    assert found.without_both == pytest.approx(0.9)


def test_training_goes_on_from_a_network_that_was_shown_less(made: Path, tmp_path: Path):
    out, begun = tmp_path / "out.safetensors", tmp_path / "begun.safetensors"
    known = load_peer_network()
    weights = dict(known.weights)
    weights["own.in"] = weights["own.in"][: -len(REGRESSIONS) * len(EXPECTED)]
    for name in ("head", "head_bias"):
        weights[name] = np.ascontiguousarray(weights[name][..., : BINS + 1])
    save_peer_network(begun, PeerNetwork(known.config, weights), {"stages": []})
    train_peers.train(out, [made], start=begun, steps=1, rate=0.0)
    trained = load_peer_network(out).weights
    assert np.allclose(trained["head"][:, : BINS + 1], weights["head"])
    assert not trained["head"][:, BINS + 1 :].any()


def test_stages_are_averaged(made: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(train_peers, "_BATCHES", (((1, 4), 4, 1.0),))
    begun, *paths = (tmp_path / f"{name}.safetensors" for name in ("begun", "one", "other"))
    train_peers.train(begun, [made], steps=1)
    for seed, path in enumerate(paths, 1):
        train_peers.train(path, [made], start=begun, steps=2, seed=seed)
    train_peers.average(tmp_path / "mean.safetensors", paths)
    mean, *each = (
        load_peer_network(path).weights["head"] for path in (tmp_path / "mean.safetensors", *paths)
    )
    assert np.allclose(mean, (each[0] + each[1]) / 2, atol=1e-6)
    card = json.loads((tmp_path / "mean.json").read_text())
    assert [stage["seed"] for stage in card["stages"]] == [0, 1, 2]


def test_a_gate_is_all_that_is_trained_of_a_network(made: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(train_peers, "_BATCHES", (((1, 4), 8, 0.5), ((5, 8), 4, 0.5)))
    monkeypatch.setattr(train_peers, "_GATE_BATCH", 8)
    begun, gated = tmp_path / "begun.safetensors", tmp_path / "gated.safetensors"
    train_peers.train(begun, [made], steps=1)
    train_peers.gate(gated, [made, made], network=begun, questions=30, steps=3)
    before, after = load_peer_network(begun).weights, load_peer_network(gated).weights
    assert all(np.array_equal(before[name], after[name]) for name in before if name not in GATE)
    assert after["gate.out"].any()
    assert not before["gate.out"].any()
    card = json.loads(gated.with_suffix(".json").read_text())
    assert [stage["questions"] for stage in card["stages"]][1:] == [30]


def test_peers_of_other_tasks_are_drawn_anew_for_each_draw(made: Path):
    tables = load_tables(made)
    pool, others = Pool(tables), [table.name for table in tables[1:]]
    first, again, other = (
        [case.peers for _, case in cases(tables[0], pool, (2,), "finished", others, 60, number)]
        for number in (0, 0, 1)
    )
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(first, other, strict=True))


def test_tables_say_what_the_model_says():
    (search, *_) = drawn_searches(1, 6, seed=5)
    model, network = lcpfn.load(), load_peer_network()
    table = make_table(model, search)
    pool = Pool([table])
    for _, case in cases(table, pool, (4,)):
        answers = cumulated(corrections(case, pool, network, settings=False))
        for place, run in enumerate(case.runs.tolist()):
            steps, values = search.steps[run], search.values[run]
            shares = steps / steps[-1]
            seen = int((shares <= table.shares[run, case.landmark] + 1e-6).sum())
            post = model.extrapolate(
                values[:seen],
                steps=steps[:seen],
                horizon=steps[-1],
                goal=search.goal,
                bounds=bounds_of(search),
                peers=[
                    lcpfn.Peer(search.steps[peer], search.values[peer], stopped=False)
                    for peer in case.peers[place]
                ],
            )
            levels = np.array([0.1, 0.5, 0.9])
            inside = np.interp(levels, answers[place], EDGES)
            expected = np.interp(inside, EDGES, case.edges[place])
            sign = 1 if search.goal == "maximize" else -1
            found = sign * post.at_horizon().quantile(levels if sign > 0 else 1 - levels)[:, 0]
            size = expected[2] - expected[0]
            assert np.allclose(found, expected, atol=0.25 * size)


def test_no_question_is_about_its_own_peer(made: Path):
    pool = Pool(load_tables(made))
    asked = draw(pool, {"prior": 1.0}, 64, (1, 8), np.random.default_rng(0))
    assert np.isfinite(asked.peers).all()
    assert np.isfinite(asked.own).all()
    assert 0 < asked.foreign.mean() < 1
    assert ((asked.met >= 0) & (asked.met <= 1)).all()


def test_a_bias_moves_forecasts_and_what_was_met_alike():
    bias = Bias(np.array([0.7]), np.array([1.3]))
    met = np.array([0.2])
    edges = np.linspace(-3, 3, len(EDGES))[None]
    value = np.interp(met, EDGES, edges[0])
    moved = np.interp(value, bias.edges(edges)[0], EDGES)
    assert moved == pytest.approx(bias.met(met), abs=0.02)


def test_what_peers_cost_is_told(capsys):
    peers.cost(count=3, repeats=2)
    rows = capsys.readouterr().out.splitlines()
    assert [row.split("|")[1].strip() for row in rows if row.startswith("| ")][2:] == [
        "5",
        "10",
        "20",
        "40",
    ]
