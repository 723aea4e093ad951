"""The first configurations of a search: far from one another, so that little is left unseen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lcpfn.search.configurations import Config, encode
from lcpfn.search.spaces import Space

# Of so many candidates at random the farthest one begins.
_DRAWN = 32


def far_from(
    begun: Sequence[Config],
    candidates: Sequence[Config],
    generator: np.random.Generator,
    space: Space | None = None,
) -> Config:
    """A random candidate; where something was begun before, of several the one farthest from that.

    Of a few random draws some lie next to each other and teach the same. After maximin designs
    (Johnson, Moore and Ylvisaker 1990), one point at a time; and both ends of a number count as
    neighbours, else all would lie at the edges of the space.

    >>> rates = [{"rate": rate} for rate in (0.1, 0.2, 0.3, 0.4)]
    >>> far_from(rates[:1], rates[1:], np.random.default_rng(0))
    {'rate': 0.3}

    Args:
        begun: configurations that were begun.
        candidates: that one is chosen of, at least one.
        generator: source of randomness.
        space: that they were drawn from, as far as it is known.
    """
    if not begun:
        return candidates[int(generator.integers(len(candidates)))]
    drawn = generator.choice(len(candidates), min(_DRAWN, len(candidates)), replace=False)
    settings = encode([*begun, *candidates], space)
    known, asked = settings[: len(begun)], settings[len(begun) :][drawn]
    apart = np.abs(asked[:, None] - known)
    nearest = (np.minimum(apart, 1 - apart) ** 2).sum(2).min(1)
    return candidates[int(drawn[nearest.argmax()])]
