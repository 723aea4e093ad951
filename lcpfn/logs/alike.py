"""Lines that are alike: what one of them says tells where the others say it.

A log repeats few lines a hundred thousand times with other digits. Where two lines differ in
nothing but digits, what patterns find in them begins and ends at the same places. So from the third
such line on the patterns are asked no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter

# Of bytes, which is quicker than of characters.
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
# Kinds of lines that are kept: a log with more of them has none that repeat.
_MOST = 20_000

Span = tuple[int, int]
"""Where a text begins and ends in a line."""


@dataclass(frozen=True)
class Plan:
    """Where a line says what.

    Args:
        steps: of each step column, where its number stands.
        totals: of each step column that says of how many, where that stands.
        cells: of each name, where its number stands.
        counter: where a number without a name stands that counts; None where there is none.
        counted: of how many it is, where that stands.
        fixed: places of the digits in names, and the digits.
        commas: whether there are commas in numbers.
        spaced: whether the line may be a row below a heading.
        general: whether lines that are alike say the same, whatever their digits.
    """

    steps: dict[str, Span]
    totals: dict[str, Span]
    cells: dict[str, Span]
    counter: Span | None = None
    counted: Span | None = None
    fixed: tuple[tuple[int, str], ...] = ()
    commas: bool = False
    spaced: bool = False
    general: bool = True

    @cached_property
    def texts(self) -> Callable[[str], Sequence[str]]:
        """Gives the texts of a line's numbers: steps, cells, totals and the counter's, in order."""
        spans = [*self.steps.values(), *self.cells.values(), *self.totals.values()]
        return _cut([*spans, *(span for span in (self.counter, self.counted) if span is not None)])

    @cached_property
    def names(self) -> tuple[str, ...] | None:
        """Names of a line's numbers: step columns, then cells; None where one is both."""
        names = (*self.steps, *self.cells)
        return names if len(set(names)) == len(names) else None

    @cached_property
    def digits(self) -> Callable[[str], Sequence[str]]:
        """Gives the digits in the names of a line."""
        return _cut([(place, place + 1) for place, _ in self.fixed])

    @cached_property
    def fixed_digits(self) -> tuple[str, ...]:
        """Those that there must be."""
        return tuple(digit for _, digit in self.fixed)

    def moved(self, places: list[int]) -> Plan | None:
        """The plan of the line as it was before something was taken out.

        Args:
            places: where each character that is left stood.

        Returns:
            None where a number was not in one piece.
        """
        whole = True

        def move(span: Span | None) -> Span | None:
            nonlocal whole
            if span is None:
                return None
            begin, last = places[span[0]], places[span[1] - 1]
            whole = whole and last + 1 - begin == span[1] - span[0]
            return begin, last + 1

        def move_all(named: dict[str, Span]) -> dict[str, Span]:
            return {name: found for name, span in named.items() if (found := move(span))}

        plan = replace(
            self,
            steps=move_all(self.steps),
            totals=move_all(self.totals),
            cells=move_all(self.cells),
            counter=move(self.counter),
            counted=move(self.counted),
            fixed=tuple((places[place], digit) for place, digit in self.fixed),
        )
        return plan if whole else None


def _cut(spans: Sequence[Span]) -> Callable[[str], Sequence[str]]:
    """What cuts pieces out of a line."""
    if len(spans) > 1:
        return itemgetter(*(slice(*span) for span in spans))
    return lambda line: tuple(line[begin:end] for begin, end in spans)


class Plans:
    """Plans by what lines look like."""

    def __init__(self) -> None:
        self._plans: dict[bytes, Plan | None] = {}

    def of(self, line: str, make: Callable[[str], Plan | None]) -> Plan | None:
        """The plan of a line; None where there is none.

        Args:
            line: as it was logged.
            make: makes one; asked at the second line that is alike.
        """
        key = line.encode(errors="surrogatepass").translate(_DIGITS)
        plan = self._plans.get(key, _UNSEEN)
        if plan is _UNSEEN:
            if len(self._plans) < _MOST:
                self._plans[key] = _SEEN
            return None
        if plan is _SEEN:
            plan = self._plans[key] = make(line)
        if plan is not None and plan.fixed and plan.digits(line) != plan.fixed_digits:
            return None
        return plan


_UNSEEN = Plan({}, {}, {})
_SEEN = Plan({}, {}, {})
