"""Priors over learning curves.

A prior draws curves in batches (`Prior.sample`); training turns it into a model. `ReferencePrior`
is the published prior over rising accuracies; `BroadPrior` draws curves of any metric, without
units, and `RealisticPrior` keeps those of its draws that resemble real ones; `AnnealedPrior` draws
the long runs of deep networks, `RecordedPrior` varies runs that were recorded, and `MixturePrior`
joins several; `SearchPrior` draws whole searches, runs of one task side by side; `FAMILIES` holds
Domhan's eleven curve families; `CurveBatch` and `Prior` are all that a prior of your own needs.
They draw with torch: the extra `train`.
"""

try:
    from lcpfn.priors.annealed import AnnealedConfig, AnnealedPrior
    from lcpfn.priors.base import CurveBatch, Prior
    from lcpfn.priors.broad import BroadConfig, BroadPrior
    from lcpfn.priors.distributions import LogNormal, ParameterPrior, Uniform
    from lcpfn.priors.families import FAMILIES, Family
    from lcpfn.priors.gaussian_process import GaussianProcessPrior
    from lcpfn.priors.mixture import MixturePrior
    from lcpfn.priors.realistic import RealisticPrior
    from lcpfn.priors.recorded import Augmentation, RecordedPrior, RecordedRun
    from lcpfn.priors.reference import ReferencePrior
    from lcpfn.priors.resemblance import Resemblance
    from lcpfn.priors.searches import SearchBatch, SearchPrior, SearchPriorConfig
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "torch":
        raise
    raise ImportError("lcpfn.priors needs torch: pip install 'lcpfn-stopping[train]'") from error

__all__ = [
    "FAMILIES",
    "AnnealedConfig",
    "AnnealedPrior",
    "Augmentation",
    "BroadConfig",
    "BroadPrior",
    "CurveBatch",
    "Family",
    "GaussianProcessPrior",
    "LogNormal",
    "MixturePrior",
    "ParameterPrior",
    "Prior",
    "RealisticPrior",
    "RecordedPrior",
    "RecordedRun",
    "ReferencePrior",
    "Resemblance",
    "SearchBatch",
    "SearchPrior",
    "SearchPriorConfig",
    "Uniform",
]
