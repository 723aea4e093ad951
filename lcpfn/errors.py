"""Every error this package raises on purpose, and what it warns of."""

from __future__ import annotations


class LCPFNError(Exception):
    """Base of all errors raised on purpose: catch this to catch them all."""


class InputError(LCPFNError, ValueError):
    """An argument or an observed value breaks a rule; the message names both."""


class WeightsError(LCPFNError):
    """Weights or their model card are missing, truncated, tampered with or of another format."""


class CheckpointError(LCPFNError):
    """A training checkpoint cannot be read or belongs to another configuration."""


class TrainingError(LCPFNError):
    """Training broke down; a checkpoint, where there is one, is of a step before."""


class MissingExtraError(LCPFNError, ImportError):
    """An optional dependency is not installed; the message says which extra brings it."""


class GoalWarning(UserWarning):
    """Values fall as those of a loss do, but are to be maximized."""
