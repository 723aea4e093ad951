"""Importing the samplers' packages when they are first needed."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

from lcpfn.extras import missing


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
        raise missing(error, "this sampler", "mcmc", name) from error
