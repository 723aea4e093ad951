import json
from pathlib import Path

import numpy as np
import pytest

import lcpfn
from lcpfn.network.transformer import Network
from lcpfn.weights import read_card, save_weights


@pytest.fixture
def saved(tmp_path: Path, small_network: Network) -> Path:
    return save_weights(
        tmp_path, "mine", small_network.engine(), {"resolution": 100, "note": "a test"}
    )


def test_round_trip(saved: Path, small_network: Network) -> None:
    model = lcpfn.load(saved)
    assert model.name == "mine" and model.card["note"] == "a test"
    for name, tensor in small_network.state_dict().items():
        assert np.array_equal(model.network.weights[name], tensor.numpy())
    assert model.extrapolate([0.1, 0.2]).mean.shape == (98,)


def test_bundled_models_verify_and_tell_how_they_were_made() -> None:
    assert "reference" in lcpfn.available()
    for name in lcpfn.available():
        card = lcpfn.load(name).card
        assert card["name"] == name
        assert card["curves"] >= (1_000_000 if name == "reference" else 1)
        for entry in ("prior", "steps", "seconds", "hardware", "validation", "sha256"):
            assert card[entry], entry


def test_default_is_first() -> None:
    assert lcpfn.load().name == lcpfn.available()[0]


def test_truncated_weights_are_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(lcpfn.WeightsError, match=r"has SHA-256 .*, but its card says .*truncated"):
        lcpfn.load(saved)


def test_tampered_weights_are_refused(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(bytes(content))
    with pytest.raises(lcpfn.WeightsError, match="has SHA-256"):
        lcpfn.load(saved)


def change_card(weights: Path, **entries: object) -> None:
    path = weights.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"format": 99}, "has format 99, but this version reads format 1"),
        ({"network": {"depth": 3}}, "describes the network as"),
        (
            {"network": {"width": 64, "layers": 2, "heads": 2, "bins": 16}},
            "does not hold the network of its card",
        ),
    ],
)
def test_cards_that_do_not_fit_are_refused(
    saved: Path, entries: dict[str, object], message: str
) -> None:
    change_card(saved, **entries)
    with pytest.raises(lcpfn.WeightsError, match=message):
        lcpfn.load(saved)


def test_missing_and_broken_files(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(
        lcpfn.WeightsError, match=r"there is no model 'best': bundled are .*reference"
    ):
        lcpfn.load("best")
    with pytest.raises(lcpfn.WeightsError, match="cannot read"):
        lcpfn.load(tmp_path / "absent.safetensors")
    card = saved.with_suffix(".json")
    card.write_text("{}")
    with pytest.raises(lcpfn.WeightsError, match="it lacks format, name, sha256"):
        read_card(saved)
    card.write_text("not json")
    with pytest.raises(lcpfn.WeightsError, match="is not a model card"):
        read_card(saved)
    card.unlink()
    with pytest.raises(lcpfn.WeightsError, match="cannot read"):
        lcpfn.load(saved)
