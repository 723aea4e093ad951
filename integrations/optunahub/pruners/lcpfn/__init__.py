"""LCPFNPruner for OptunaHub; the pruner itself is part of the distribution lcpfn-stopping."""

try:
    from lcpfn.integrations.optuna import LCPFNPruner
except ImportError as error:
    # The name `lcpfn` on the package index is another project's.
    raise ImportError(
        'pruners/lcpfn needs lcpfn-stopping: pip install "lcpfn-stopping[optuna]"'
    ) from error

__all__ = ["LCPFNPruner"]
