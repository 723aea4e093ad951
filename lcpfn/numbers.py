"""Numbers as a person wants to read them: steps, values of a metric, probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def write_step(step: float) -> str:
    """A step for a person: 40, 200,000 or 1.5. Beyond 1,000 a fraction says nothing."""
    return f"{step:,.0f}" if float(step).is_integer() or step >= 1000 else f"{step:.6g}"


def number_writer(values: Sequence[float], widths: Sequence[float]) -> Callable[[float], str]:
    """A function that writes the values of one table with as many decimals as say something.

    Args:
        values: what will be written.
        widths: of the intervals that say how exactly the values are known.
    """
    largest = max((abs(value) for value in values), default=0.0)
    narrow = sorted(width for width in widths if width > 0)
    width = narrow[len(narrow) // 2] if narrow else largest
    # A thirtieth of an interval is the least that anyone would tell apart.
    decimals = max(0, math.ceil(math.log10(30 / width))) if width else 2
    # Very large, or known to very many digits: neither fits a column.
    if largest >= 1e7 or decimals > 7:
        return lambda value: f"{value:.4g}"
    return lambda value: f"{value:,.{decimals}f}"


def write_probability(probability: float) -> str:
    """A probability in percent: 42 %, 3.1 %, < 0.1 %."""
    if probability < 0.001:
        return "< 0.1 %"
    if probability > 0.999:
        return "> 99.9 %"
    return f"{100 * probability:.2g} %" if probability < 0.995 else f"{100 * probability:.1f} %"
