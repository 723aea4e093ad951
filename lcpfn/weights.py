"""Weights and their model cards: safetensors beside JSON, checksum verified, nothing unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors

from lcpfn.errors import WeightsError
from lcpfn.forecast.arguments import read_count
from lcpfn.forecast.model import LCPFN
from lcpfn.network.config import NetworkConfig
from lcpfn.network.engine import Engine, Weights
from lcpfn.weight_files import BUNDLED, FORMAT, PEERS, read_file, read_weights, write_weights

if TYPE_CHECKING:
    from lcpfn.network.peers import PeerNetwork

_PREFERENCE = ("default", "reference")
_REQUIRED = ("format", "name", "sha256", "network", "resolution")
# How forecasts are read, by `LCPFN`.
_HOW_READ = ("headroom", "keeps_beyond")


class Trained(Protocol):
    """A network that can be saved: in torch, or an engine."""

    @property
    def config(self) -> NetworkConfig:
        """Its shape."""
        ...

    @property
    def weights(self) -> Weights:
        """Its parameters by name, in numpy."""
        ...


def load(name_or_path: str | Path | None = None, threads: int = 1) -> LCPFN:
    """Loads a model. Offline; the checksum in the card is verified.

    Args:
        name_or_path: a bundled name ("default": any metric; "reference": the published prior),
            or the path of a .safetensors file with its .json card beside it. None gives
            "default" where it is bundled, else "reference".
        threads: that forecasts may use at a time, at least 1. One leaves a training beside it its
            cores; more pay for large batches.

    Raises:
        InputError: fewer threads than 1.
        WeightsError: no such model, or its files are missing, truncated or tampered with.
    """
    read_count("threads", threads)
    weights = _find(name_or_path)
    card = _read_card(weights)
    content = read_weights(weights, card["sha256"])
    config = _network_config(card["network"], weights)
    try:
        engine = Engine(config, parse_tensors(content), threads)
    except (SafetensorError, WeightsError) as error:
        raise WeightsError(f"{weights} does not hold the network of its card: {error}") from error
    return LCPFN(engine, card, _load_peer_network)


def _load_peer_network() -> PeerNetwork:
    # Its import takes a moment that forecasts without peers need not wait for.
    from lcpfn.peer_weights import load_peer_network

    return load_peer_network()


def available() -> list[str]:
    """Names of the bundled models, the one that `load()` gives first."""
    names = {entry.stem for entry in BUNDLED.glob("*.safetensors")} - {PEERS}
    return sorted(names, key=lambda name: (name not in _PREFERENCE, name))


def read_card(name_or_path: str | Path | None = None) -> dict[str, Any]:
    """The model card of a bundled name or a path, as `load` takes it.

    Raises:
        WeightsError: as `load`.
    """
    return _read_card(_find(name_or_path))


def how_read(card: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says of how forecasts are read, which also holds of weights that go on from it.

    Args:
        card: of the weights that a training began with.

    Returns:
        whether what lies beyond a run's `headroom` is drawn in, and whether what lies beyond a
        bound is kept next to it (`keeps_beyond`); only what the card says.
    """
    return {key: card[key] for key in _HOW_READ if key in card}


def save_weights(folder: Path, name: str, network: Trained, card: dict[str, Any]) -> Path:
    """Writes `name`.safetensors and its card `name`.json.

    Args:
        folder: where to; made if missing.
        name: of the model.
        network: with its trained weights, a `Network` of torch or an `Engine`.
        card: what to say of it; must hold "resolution". Name, network shape, format
            and checksum are added.

    Returns:
        the path of the weights, for `load`.
    """
    path = folder / f"{name}.safetensors"
    said = {"network": network.config.as_dict(), **card}
    write_weights(path, network.weights, {"name": name}, said)
    return path


def _find(name_or_path: str | Path | None) -> Path:
    if name_or_path is None:
        names = available()
        if not names:
            raise WeightsError(f"no bundled weights in {BUNDLED}: the installation is incomplete")
        return BUNDLED / f"{names[0]}.safetensors"
    text = str(name_or_path)
    if text in available():
        return BUNDLED / f"{text}.safetensors"
    path = Path(name_or_path)
    if path.suffix == ".safetensors" or path.exists():
        return path
    raise WeightsError(
        f"there is no model {text!r}: bundled are {', '.join(available())}; anything else must be "
        "the path of a .safetensors file"
    )


def _read_card(weights: Path) -> dict[str, Any]:
    path = weights.with_suffix(".json")
    try:
        card = json.loads(read_file(path))
    except ValueError as error:
        raise WeightsError(f"{path} is not a model card: {error}") from error
    if not isinstance(card, dict):
        raise WeightsError(f"{path} is not a model card: it must hold a JSON object")
    missing = [key for key in _REQUIRED if key not in card]
    if missing:
        raise WeightsError(f"{path} is not a model card: it lacks {', '.join(missing)}")
    if card["format"] != FORMAT:
        raise WeightsError(
            f"{path} has format {card['format']}, but this version reads format {FORMAT}"
        )
    return card


def _network_config(entries: Any, weights: Path) -> NetworkConfig:
    known = {field.name for field in fields(NetworkConfig)}
    if not isinstance(entries, dict) or set(entries) - known:
        raise WeightsError(
            f"the card of {weights} describes the network as {entries!r}, but it may only say "
            f"{', '.join(sorted(known))}"
        )
    return NetworkConfig(**entries)
