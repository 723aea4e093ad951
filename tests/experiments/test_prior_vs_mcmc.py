import json
from pathlib import Path

import numpy as np
import pytest
import typer

from experiments import calibration, prior_vs_mcmc
from experiments.prior_vs_mcmc import paired, read_records, report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of two curves by the two engines that need no sampling."""
    path = tmp_path_factory.mktemp("records")
    run(path)
    return path


def run(folder: Path, **options: object) -> None:
    settings = {"curves": 2, "engines": "model,importance", "bank_curves": 20_000, "seed": 5}
    paths = {"records": folder, "out": folder / "table.md", "figure": None}
    unused = {"slow_curves": 1, "jobs": 1, "report_only": False}
    prior_vs_mcmc.main(**{**settings, **paths, **unused, **options})  # type: ignore[arg-type]


def test_records_hold_every_cutoff_and_what_calibration_needs(folder: Path) -> None:
    found = read_records(folder)
    assert set(found) == {"model", "importance"} and set(found["model"]) == {0, 1}
    record = found["model"][0]
    assert [result["cutoff"] for result in record["results"]] == [10, 20, 40, 80]
    assert record["update"] > 0 and record["backtest"] > 0
    ranked = record["results"][1]["ranks"]
    assert all(0 <= rank <= 99 for rank in ranked.values()) and len(ranked) == 4
    for result in record["results"]:
        assert 0 <= result["transform"] <= 1 and 0 <= result["prob_better"] <= 1
    assert found["importance"][0]["results"][0]["effective"] > 1


def test_a_second_run_computes_only_what_is_missing(folder: Path) -> None:
    kept, removed = folder / "model" / "0000.json", folder / "model" / "0001.json"
    before, same = kept.stat().st_mtime_ns, json.loads(removed.read_text())["results"][0]
    removed.unlink()
    run(folder)
    assert kept.stat().st_mtime_ns == before
    again = json.loads(removed.read_text())["results"][0]
    assert again["log_prob"] == pytest.approx(same["log_prob"])


def test_the_table_pairs_what_both_engines_have(folder: Path) -> None:
    text = (folder / "table.md").read_text()
    assert text == report(read_records(folder))
    assert "| PFN minus importance sampling | 2 |" in text
    assert "PFN, a streamed update" in text


def test_differences_are_paired_by_curve() -> None:
    first = {0: {"log_prob": 1.0}, 1: {"log_prob": 3.0}, 2: {"log_prob": 9.0}}
    second = {0: {"log_prob": 0.5}, 1: {"log_prob": 1.0}}
    np.testing.assert_array_equal(paired(first, second, lambda _: True), [0.5, 2.0])


def test_unknown_engines_are_named(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="engines holds gibbs"):
        run(tmp_path, engines="gibbs")


def test_calibration_reads_the_records(folder: Path, tmp_path: Path) -> None:
    calibration.main(folder, "model", tmp_path / "table.md", tmp_path / "figure.png")
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("2 curves.") and "Brier score of `prob_better`, 10 observed" in text
    assert (tmp_path / "figure.png").stat().st_size > 5000
    with pytest.raises(typer.BadParameter, match="holds no records of smc"):
        calibration.main(folder, "model,smc", tmp_path / "t.md", tmp_path / "f.png")


def test_reliability_and_brier_of_known_forecasts() -> None:
    results = [{"prob_better": 0.25, "better": happened} for happened in (1, 0, 0, 0)]
    stated, observed, count = calibration.reliability(results)
    assert stated.tolist() == [0.25] and observed.tolist() == [0.25] and count.tolist() == [4]
    assert calibration.brier(results).mean() == pytest.approx(0.1875)


def test_uniform_ranks_pass_and_biased_ones_fail() -> None:
    assert calibration.rank_uniformity(np.arange(100)) > 0.99
    assert calibration.rank_uniformity(np.arange(100) // 2) < 1e-6
    assert calibration.uniformity(np.linspace(0, 1, 101)) > 0.99
