from pathlib import Path

import numpy as np

import lcpfn
from experiments.what_it_learned import draw, probes


def test_a_page_of_panels(reference: lcpfn.LCPFN, tmp_path: Path) -> None:
    runs = probes(np.random.default_rng(0))
    assert len({run.name for run in runs}) == len(runs) >= 6
    assert all(np.isfinite(run.values).all() and run.observed < 100 for run in runs)
    draw([reference], runs, tmp_path / "page.png")
    assert 20_000 < (tmp_path / "page.png").stat().st_size < 200_000
