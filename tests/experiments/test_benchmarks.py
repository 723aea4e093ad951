"""The benchmark loaders, on small files written exactly as the benchmarks are published."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.benchmarks import LOADERS, folder, lcbench, nasbench201, pd1, taskset
from experiments.benchmarks.recorded import MissingDownloadError, RecordedCurves
from lcpfn.errors import InputError, LCPFNError

EPOCHS = 52


def _lcbench_run(number: int) -> dict[str, Any]:
    losses = [0.7 / (epoch + 1) + 0.01 * number for epoch in range(EPOCHS)]
    return {
        "config": {"batch_size": 71 + number, "learning_rate": 0.0018, "num_layers": 3},
        "log": {
            "time": [0.5 * epoch for epoch in range(EPOCHS)],
            "epoch": list(range(EPOCHS)),
            "Train/loss": losses,
            "Train/val_accuracy": [100 - loss for loss in losses],
            "Train/val_cross_entropy": losses,
        },
        "results": {"final_val_cross_entropy": losses[-1], "OpenML_task_id": 7592},
    }


@pytest.fixture
def lcbench_file(tmp_path: Path) -> Path:
    pytest.importorskip("json_stream")
    runs = {str(number): _lcbench_run(number) for number in range(3)}
    runs["1"]["log"]["Train/val_cross_entropy"][7] = math.nan  # written as NaN, not as null
    file = tmp_path / "data_2k_lw.json"
    file.write_text(json.dumps({"adult": runs, "blood.transfusion": {"0": _lcbench_run(9)}}))
    return file


def test_lcbench(lcbench_file: Path):
    adult, blood = lcbench.load(lcbench_file)
    assert (adult.full_name, blood.full_name) == ("lcbench/adult", "lcbench/blood.transfusion")
    assert (adult.goal, adult.bounds) == ("minimize", (0.0, None))
    assert len(adult.values) == 3
    np.testing.assert_array_equal(adult.steps[0], np.arange(52))
    np.testing.assert_allclose(adult.values[2], 0.7 / np.arange(1, 53) + 0.02)
    assert np.flatnonzero(np.isnan(adult.values[1])).tolist() == [7]
    assert [run["batch_size"] for run in adult.configurations] == [71, 72, 73]


def test_lcbench_other_metric(lcbench_file: Path):
    adult, _ = lcbench.load(lcbench_file, metric="Train/val_accuracy")
    assert (adult.metric, adult.goal) == ("Train/val_accuracy", "maximize")
    assert adult.values[0][0] == pytest.approx(99.3)
    with pytest.raises(InputError, match="run 0 of adult has no 'Train/test_result' in its log"):
        next(lcbench.load(lcbench_file, metric="Train/test_result"))
    with pytest.raises(InputError, match="metric is 'accuracy', but must be one of 'Train/val_c"):
        next(lcbench.load(lcbench_file, metric="accuracy"))


@pytest.mark.parametrize("text", ["[1, 2]", '{"adult": {"0": {"config"', "", '{"adult": 3}'])
def test_lcbench_names_a_file_of_another_format(tmp_path: Path, text: str):
    pytest.importorskip("json_stream")
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"other\.json is not LCBench .* Give data_2k_lw\.json"):
        list(lcbench.load(file))


def _taskset_folder(root: Path) -> Path:
    names = np.array([b"adam8p_wide_grid_seed0", b"adam8p_wide_grid_seed1"])
    losses = np.random.default_rng(0).uniform(0.1, 1.0, (2, 5, 51, 4)).astype(np.float32)
    losses[1, 3, 20:] = np.nan
    task = root / "taskset" / "FixedTextRNNClassification_imdb_patch32_LSTM128_bs128"
    task.mkdir(parents=True)
    file = task / "adam8p_wide_grid_1k_10000_replica5.npz"
    np.savez(file, optimizers=names, xs=np.arange(0, 10001, 200), ys=losses)
    settings = {
        f"adam8p_wide_grid_seed{seed}": [{"learning_rate": 10.0**-seed}, "adam8p_wide_grid"]
        for seed in range(2)
    }
    (root / "taskset" / "adam8p_wide_grid.json").write_text(json.dumps(settings))
    return root / "taskset"


def test_taskset(tmp_path: Path):
    path = _taskset_folder(tmp_path)
    (curves,) = taskset.load(path)
    losses = np.load(next(path.glob("*/*.npz")))["ys"].astype(np.float64)
    assert curves.name == "FixedTextRNNClassification_imdb_patch32_LSTM128_bs128"
    assert (curves.metric, curves.goal, curves.bounds) == ("valid loss", "minimize", (0.0, None))
    np.testing.assert_array_equal(curves.steps[1], np.arange(0, 10001, 200))
    np.testing.assert_allclose(curves.values[0], losses[0, :, :, 1].mean(0))
    assert np.isnan(curves.values[1][20:]).all()
    assert curves.configurations[1] == {"name": "adam8p_wide_grid_seed1", "learning_rate": 0.1}
    (single,) = taskset.load(next(path.glob("*/*.npz")), metric="test", replica=2)
    np.testing.assert_allclose(single.values[0], losses[0, 2, :, 3])


def test_taskset_as_json(tmp_path: Path):
    run = {
        "hp": {"learning_rate": 0.001, "beta1": 0.9},
        "train": {"loss": [0.7, 0.6]},
        "valid": {"loss": [0.71, float("nan")]},
        "test": {"loss": [0.72, 0.65]},
    }
    (tmp_path / "imdb_LSTM.json").write_text(json.dumps([run, run]))
    (curves,) = taskset.load(tmp_path)
    assert curves.name == "imdb_LSTM"
    np.testing.assert_array_equal(curves.steps[0], [0, 200])
    np.testing.assert_array_equal(curves.values[1], [0.71, np.nan])
    assert curves.configurations[0] == run["hp"]
    with pytest.raises(InputError, match=r"imdb_LSTM\.json is not TaskSet .*KeyError"):
        list(taskset.load(tmp_path, metric="outer_valid"))


def _pd1_trial(records: int, **changes: Any) -> dict[str, Any]:
    return {
        "dataset": "cifar10",
        "model": "wide_resnet",
        "trial_dir": f"trial{records}",
        "status": "done",
        "hps.batch_size": 256.0,
        "hps.lr_hparams.initial_value": 0.03,
        "hps.dec_num_layers": None,
        "global_step": [390 * (record + 1) for record in range(records)],
        "valid/error_rate": [0.9 / (record + 1) for record in range(records)],
        "valid/ce_loss": [2.3 / (record + 1) for record in range(records)],
        "study_group": "cifar10,wide_resnet,256",
        **changes,
    }


def _write_pd1(root: Path) -> Path:
    (root / "pd1").mkdir()
    first = [
        _pd1_trial(12),
        _pd1_trial(3, **{"status": "diverged", "valid/error_rate": [0.9, None, 0.9]}),
        _pd1_trial(0, **{"status": "diverged", "valid/error_rate": None, "global_step": None}),
    ]
    second = [_pd1_trial(12), _pd1_trial(5, dataset="lm1b", model="transformer")]
    plain = root / "pd1" / "pd1_matched_phase0_results.jsonl"
    plain.write_text("".join(json.dumps(trial) + "\n" for trial in first))
    packed = root / "pd1" / "pd1_unmatched_phase1_results.jsonl.gz"
    packed.write_bytes(gzip.compress("\n".join(map(json.dumps, second)).encode()))
    return root / "pd1"


def test_pd1(tmp_path: Path):
    path = _write_pd1(tmp_path)
    cifar, language = pd1.load(path)
    assert cifar.full_name == "pd1/cifar10_wide_resnet_batch256"
    assert language.name == "lm1b_transformer_batch256"
    assert (cifar.goal, cifar.bounds) == ("minimize", (0.0, 1.0))
    assert [len(values) for values in cifar.values] == [12, 3, 12]
    np.testing.assert_array_equal(cifar.steps[0], 390 * np.arange(1, 13))
    assert np.isnan(cifar.values[1][1])
    assert cifar.configurations[1]["status"] == "diverged"
    assert cifar.configurations[0]["lr_hparams.initial_value"] == 0.03
    assert "dec_num_layers" not in cifar.configurations[0]
    (only,) = pd1.load(path / "pd1_matched_phase0_results.jsonl", metric="valid/ce_loss")
    assert only.values[0][0] == 2.3


def test_pd1_names_the_bad_line(tmp_path: Path):
    path = _write_pd1(tmp_path) / "pd1_matched_phase0_results.jsonl"
    path.write_text(path.read_text() + '{"valid/error_rate": [0.5]\n')
    with pytest.raises(InputError, match=r"results\.jsonl is not PD1 .* line 4: JSONDecodeError"):
        list(pd1.load(path))


ARCHITECTURES = [
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|",
]


def _nasbench_results(index: int) -> dict[str, Any]:
    """What the package keeps of an architecture, made by the package itself."""
    from nats_bench.api_utils import ArchResults, ResultsCount

    kept = {}
    for setting, epochs in (("12", 12), ("200", 20)):
        trained = ArchResults(index, ARCHITECTURES[index])
        for dataset, part in (("cifar10-valid", "x-valid"), ("cifar100", "ori-test")):
            for seed in (888, 777):
                accuracy = {epoch: index + seed / 100 + epoch for epoch in range(epochs)}
                losses = {epoch: 1 / (1 + epoch) for epoch in range(epochs)}
                result = ResultsCount(
                    dataset, None, accuracy, losses, 1.0, 2.0, {}, seed, epochs, None
                )
                result.update_OLD_eval(part, accuracy, losses)
                final = {epochs - 1: 50.0}
                result.update_OLD_eval("x-test", final, final)
                trained.update(dataset, seed, result)
        kept[setting] = trained.state_dict()
    return kept


@pytest.fixture
def nasbench_paths(tmp_path: Path) -> tuple[Path, Path]:
    """The benchmark as one file and as a folder with one file per architecture."""
    api_utils = pytest.importorskip("nats_bench.api_utils")
    results = {index: _nasbench_results(index) for index in range(3)}
    whole = {
        "meta_archs": ARCHITECTURES,
        "arch2infos": results,
        "evaluated_indexes": set(results),
    }
    api_utils.pickle_save(whole, tmp_path / "NATS-tss-v1_0-3ffb9.pickle")
    unpacked = tmp_path / "NATS-tss-v1_0-3ffb9-simple"
    unpacked.mkdir()
    api_utils.pickle_save({"meta_archs": ARCHITECTURES}, unpacked / "meta.pickle")
    for index, result in results.items():
        api_utils.pickle_save(result, unpacked / f"{index:06d}.pickle")
    return tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2", unpacked


@pytest.mark.parametrize("form", [0, 1], ids=["file", "folder"])
def test_nasbench201(nasbench_paths: tuple[Path, Path], form: int):
    valid, hundred = nasbench201.load(nasbench_paths[form])
    assert (valid.full_name, hundred.name) == ("nasbench201/cifar10-valid", "cifar100")
    assert (valid.metric, hundred.metric) == ("x-valid accuracy", "ori-test accuracy")
    assert (valid.goal, valid.bounds) == ("maximize", (0.0, 100.0))
    np.testing.assert_array_equal(valid.steps[0], np.arange(1, 21))
    np.testing.assert_allclose(valid.values[2], 2 + 7.77 + np.arange(20))
    assert valid.configurations[1] == {"architecture": ARCHITECTURES[1], "seed": 777}
    short, _ = nasbench201.load(nasbench_paths[form], metric="loss", limit=2, epochs="12")
    assert [len(values) for values in short.values] == [12, 12]
    assert [run["architecture"] for run in short.configurations] == ARCHITECTURES[::2]


def test_nasbench201_names_bad_arguments(nasbench_paths: tuple[Path, Path], tmp_path: Path):
    with pytest.raises(InputError, match="epochs is '90', but must be one of '12', '200'"):
        next(nasbench201.load(nasbench_paths[0], epochs="90"))
    with pytest.raises(InputError, match="limit is 0, but must be at least 1"):
        next(nasbench201.load(nasbench_paths[0], limit=0))
    other = tmp_path / "other.pickle.pbz2"
    other.write_bytes(b"not packed")
    with pytest.raises(InputError, match=r"other\.pickle\.pbz2 is not NAS-Bench-201"):
        next(nasbench201.load(other))


def test_folder(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    curves = np.linspace(1, 0.2, 8).reshape(2, 4)
    np.savez(tmp_path / "mine" / "a.npz", val_loss=curves, config=[[1.0, 2.0], [3.0, 4.0]])
    np.savez(tmp_path / "mine" / "b.npz", val_accuracy=100 * curves)
    loss, accuracy = folder.load(tmp_path)
    assert (loss.full_name, loss.goal) == ("mine/a", "minimize")
    assert (accuracy.full_name, accuracy.goal) == ("mine/b", "maximize")
    np.testing.assert_array_equal(loss.values[1], curves[1])
    assert loss.configurations[1] == {"setting 0": 3.0, "setting 1": 4.0}
    with pytest.raises(InputError, match=r"holds no \.npz file with an array valid_loss"):
        next(folder.load(tmp_path, metric="valid_loss"))


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("lcbench", "curl -L -o data_2k_lw.zip https://figshare.com/"),
        ("taskset", "curl --create-dirs -o taskset/"),
        ("pd1", "curl -O http://storage.googleapis.com/gresearch/pint/pd1.tar.gz"),
        ("nasbench201", "pip install nats_bench"),
        ("folder", "is no folder, but must hold an .npz file per data set"),
    ],
)
def test_missing_download_says_what_to_type(tmp_path: Path, name: str, command: str):
    with pytest.raises(MissingDownloadError) as caught:
        next(LOADERS[name](tmp_path / "nowhere"))
    assert command in str(caught.value)
    assert "nowhere" in str(caught.value)
    assert isinstance(caught.value, LCPFNError)


@pytest.mark.parametrize("name", ["taskset", "pd1"])
def test_empty_folder_is_named(tmp_path: Path, name: str):
    with pytest.raises(InputError, match="it holds no"):
        next(LOADERS[name](tmp_path))


def test_lengths_must_agree():
    one = np.ones(3)
    with pytest.raises(InputError, match=r"curve 0 of x has steps of shape \(3,\)"):
        RecordedCurves("a", "x", "m", "minimize", (None, None), (one,), (one[:2],), ({},))
    with pytest.raises(InputError, match="x has 1 steps, 0 values and 1 configurations"):
        RecordedCurves("a", "x", "m", "minimize", (None, None), (one,), (), ({},))
