"""Weights on disk: safetensors with a JSON card beside it, checksum verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import save as serialise_tensors

from lcpfn.atomic import write_atomically
from lcpfn.errors import WeightsError
from lcpfn.network.engine import Weights

FORMAT = 1
BUNDLED = Path(__file__).with_name("bundled")
"""The folder of the weights that the library brings."""
PEERS = "peers"
"""The name of the network there that hears the other runs of a search."""


def write_weights(
    path: Path, weights: Weights, first: Mapping[str, Any], rest: Mapping[str, Any]
) -> None:
    """Writes weights and their card.

    Args:
        path: ends in .safetensors; the card comes beside it.
        weights: by name, in numpy.
        first, rest: what the card says before and after the checksum and the number of parameters.
    """
    content = serialise_tensors(dict(weights))
    card = {
        "format": FORMAT,
        **first,
        "sha256": hashlib.sha256(content).hexdigest(),
        "parameters": int(sum(weight.size for weight in weights.values())),
        **rest,
    }
    write_atomically(path, content)
    write_atomically(path.with_suffix(".json"), (json.dumps(card, indent=2) + "\n").encode())


def read_file(path: Path) -> bytes:
    """What a file holds.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error


def read_weights(path: Path, digest: str | None) -> bytes:
    """What a file of weights holds, unparsed.

    Args:
        path: of the weights.
        digest: the SHA-256 that their card says, None where it says none.

    Raises:
        WeightsError: it cannot be read, or is of another SHA-256.
    """
    content = read_file(path)
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise WeightsError(
            f"{path} has SHA-256 {found}, but its card says {digest}: the file is "
            "truncated or not the one the card describes"
        )
    return content
