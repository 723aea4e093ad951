from pathlib import Path

import numpy as np
import pytest
import torch
import typer

from experiments.collect_curves import (
    EPOCHS,
    SETS,
    Configuration,
    collect,
    funnel,
    main,
    read_split,
    run_once,
)

CURVES = Path(__file__).parents[2] / "experiments" / "curves"


def test_configurations_lie_in_the_search_space() -> None:
    generator = np.random.default_rng(0)
    drawn = [Configuration.draw(generator) for _ in range(500)]
    assert all(16 <= one.batch_size <= 512 and 64 <= one.max_units <= 1024 for one in drawn)
    assert all(1e-4 <= one.learning_rate <= 1e-1 and 1 <= one.num_layers <= 5 for one in drawn)
    assert 1e-3 < np.median([one.learning_rate for one in drawn]) < 1e-2
    assert {one.num_layers for one in drawn} == {1, 2, 3, 4, 5}


def test_the_network_narrows_to_the_classes() -> None:
    configuration = Configuration(32, 0.01, 0.9, 1e-4, 3, 100, 0.6)
    network = funnel(configuration, inputs=20, classes=10)
    linear = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in linear] == [100, 70, 40, 10]
    dropout = [layer.p for layer in network if isinstance(layer, torch.nn.Dropout)]
    assert dropout == pytest.approx([0.6, 0.4, 0.2])


def test_a_run_depends_on_its_number_alone_and_learns() -> None:
    split = read_split("wine", seed=0)
    before = torch.get_rng_state()
    configuration, run = run_once("wine", split, number=8, seed=0)
    assert (torch.get_rng_state() == before).all()
    again_configuration, again = run_once("wine", split, number=8, seed=0)
    assert again_configuration == configuration
    assert (again.val_loss == run.val_loss).all()
    assert run.val_loss.shape == run.val_accuracy.shape == run.seconds.shape == (EPOCHS + 1,)
    assert run.seconds[0] == 0 and (np.diff(run.seconds) > 0).all()


@pytest.mark.parametrize("name", ["digits", "clusters"])
def test_data_are_split_and_standardised(name: str) -> None:
    split = read_split(name, seed=0)
    assert len(split.inputs) <= 640 and len(split.unseen_inputs) >= len(split.inputs)
    assert split.inputs.mean().abs() < 1e-5
    assert set(split.labels.tolist()) == set(range(split.classes))


def test_a_collection_goes_on_where_it_was(tmp_path: Path) -> None:
    path, whole = tmp_path / "wine.npz", tmp_path / "whole.npz"
    collect(path, "wine", runs=1, seed=0)
    collect(path, "wine", runs=2, seed=0)
    collect(whole, "wine", runs=2, seed=0)
    with np.load(path) as parts, np.load(whole) as together:
        assert parts["config"].shape == (2, 7)
        assert parts["config_names"].tolist()[0] == "batch_size"
        for name in ("config", "val_loss", "val_accuracy"):
            assert (parts[name] == together[name]).all()


def test_an_unknown_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="only is 'iris', but must be one of digits"):
        main(tmp_path, only="iris")


@pytest.mark.parametrize("path", sorted(CURVES.glob("*.npz")), ids=lambda path: path.stem)
def test_the_committed_curves_are_complete(path: Path) -> None:
    assert path.stem in SETS
    with np.load(path) as arrays:
        assert arrays["config"].shape == (100, 7)
        for name in ("val_loss", "val_accuracy", "seconds"):
            assert arrays[name].shape == (100, EPOCHS + 1) and arrays[name].dtype == np.float32
