"""The weights of the second network, which hears the other runs of a search, and their card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors

from lcpfn.errors import WeightsError
from lcpfn.network.peers import PeerConfig, PeerNetwork
from lcpfn.weight_files import BUNDLED, FORMAT, PEERS, read_file, read_weights, write_weights


def load_peer_network(path: Path | None = None) -> PeerNetwork:
    """Loads the second network. Offline; the checksum in the card is verified.

    Args:
        path: of a .safetensors file with its .json card beside it; None for the bundled one, which
            is read once.

    Raises:
        WeightsError: the files are missing, truncated, tampered with, or of something else.
    """
    return _bundled() if path is None else _load(path)


def save_peer_network(path: Path, network: PeerNetwork, card: Mapping[str, Any]) -> None:
    """Writes the weights and their card.

    Args:
        path: ends in .safetensors; the card comes beside it.
        network: weights in numpy.
        card: what to say of them; format, shape and checksum are added.
    """
    write_weights(path, network.weights, {}, {"network": network.config.as_dict(), **card})


@lru_cache(maxsize=1)
def _bundled() -> PeerNetwork:
    return _load(BUNDLED / f"{PEERS}.safetensors")


def _load(path: Path) -> PeerNetwork:
    try:
        card = json.loads(read_file(path.with_suffix(".json")))
    except ValueError as error:
        raise WeightsError(f"{path.with_suffix('.json')} is not a card: {error}") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise WeightsError(f"{path.with_suffix('.json')} is not a card of format {FORMAT}")
    content = read_weights(path, card.get("sha256"))
    try:
        config = PeerConfig(**card["network"])
        weights = parse_tensors(content)
    except (KeyError, TypeError, SafetensorError) as error:
        raise WeightsError(f"{path} does not hold the network of its card: {error}") from error
    found = {name: weight.shape for name, weight in weights.items()}
    if found != config.shapes():
        raise WeightsError(f"{path} does not hold the network of its card: its tensors differ")
    return PeerNetwork(config, {name: np.ascontiguousarray(w) for name, w in weights.items()})
