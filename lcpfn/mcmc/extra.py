"""Importing the samplers' packages when they are first needed."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

from lcpfn.errors import MissingExtraError


def import_extra(name: str) -> Any:
    """The package `name`, which the extra `mcmc` brings.

    Raises:
        MissingExtraError: it is not installed; the message says what to install.
    """
    try:
        with warnings.catch_warnings():
            # ArviZ announces its next major version at every import.
            warnings.simplefilter("ignore", FutureWarning)
            return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name:
            raise
        raise MissingExtraError(
            f"this sampler needs {name}: pip install 'lcpfn-stopping[mcmc]'"
        ) from error
