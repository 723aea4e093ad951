"""The weights of the second network, which hears the other runs of a search, and their card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as serialise_tensors

from lcpfn.atomic import write_atomically
from lcpfn.errors import WeightsError
from lcpfn.network.peers import PeerConfig, PeerNetwork

FORMAT = 1
NAME = "peers"
"""The name of the bundled ones, in the folder of the models."""


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
    content = serialise_tensors(dict(network.weights))
    full = {
        "format": FORMAT,
        "sha256": hashlib.sha256(content).hexdigest(),
        "parameters": int(sum(weight.size for weight in network.weights.values())),
        "network": network.config.as_dict(),
        **card,
    }
    write_atomically(path, content)
    write_atomically(path.with_suffix(".json"), (json.dumps(full, indent=2) + "\n").encode())


@lru_cache(maxsize=1)
def _bundled() -> PeerNetwork:
    return _load(Path(str(files("lcpfn"))) / "bundled" / f"{NAME}.safetensors")


def _load(path: Path) -> PeerNetwork:
    try:
        card = json.loads(path.with_suffix(".json").read_bytes())
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise WeightsError(f"{path.with_suffix('.json')} is not a card: {error}") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise WeightsError(f"{path.with_suffix('.json')} is not a card of format {FORMAT}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.get("sha256"):
        raise WeightsError(
            f"{path} has SHA-256 {digest}, but its card says {card.get('sha256')}: the file is "
            "truncated or not the one the card describes"
        )
    try:
        config = PeerConfig(**card["network"])
        weights = parse_tensors(content)
    except (KeyError, TypeError, SafetensorError) as error:
        raise WeightsError(f"{path} does not hold the network of its card: {error}") from error
    found = {name: weight.shape for name, weight in weights.items()}
    if found != config.shapes():
        raise WeightsError(f"{path} does not hold the network of its card: its tensors differ")
    return PeerNetwork(config, {name: np.ascontiguousarray(w) for name, w in weights.items()})
