"""The page of a report: one HTML file that needs nothing else, and asks nobody for anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib import resources

import numpy as np

from lcpfn.forecast.arguments import Goal
from lcpfn.numbers import number_writer, write_probability, write_step
from lcpfn.report.axes import Axes, fit_axes
from lcpfn.report.charts import (
    interval_bar,
    overview_chart,
    rank_chart,
    run_chart,
)
from lcpfn.report.content import Accuracy, Fate, Report, ReportedRun
from lcpfn.report.safety import safe_text

# Nothing but what stands in the file may be loaded or run.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_BETTER: dict[Goal, str] = {"minimize": "lower is better", "maximize": "higher is better"}
_FATES: tuple[Fate, ...] = ("finished", "running", "stopped", "diverged")
_GROUPED = 2


def write_page(report: Report, title: str, made: datetime, version: str) -> str:
    """The whole page.

    Args:
        report: what it says.
        title: its heading.
        made: when.
        version: of lcpfn.
    """
    writer = _Writer(report)
    body = [
        _header(report, title, made),
        "<main id='content'>",
        writer.tiles(),
        writer.overview(),
        writer.ranking(),
        writer.savings(),
        writer.hindsight(),
        writer.cards(),
        writer.remarks(),
        "</main>",
        _footer(report, version),
        '<div id="live" class="skip" role="status" aria-live="polite"></div>',
        f"<script>{_file('script.js')}</script>",
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>{safe_text(title)}</title>",
            f"<style>{_file('style.css')}</style>",
            "</head>",
            "<body>",
            '<a class="skip" href="#content">To the content</a>',
            *body,
            "</body>",
            "</html>",
            "",
        ]
    )


class _Writer:
    """Writes the sections of one report."""

    def __init__(self, report: Report) -> None:
        self.report = report
        runs = [run.watched for run in report.runs]
        known = [number for run in runs for number in (run.median, run.value)]
        widths = [abs(run.high - run.low) for run in runs]
        self.value = number_writer(_finite(known), _finite(widths))
        leader = report.leader
        own = None if leader is None else leader.worth
        better = max if report.goal == "maximize" else min
        rivals = [value for value in (own, report.best) if value is not None]
        self.to_beat = better(rivals) if rivals else None

    def tiles(self) -> str:
        """What matters, at a glance."""
        report = self.report
        counts = [f"{len(report.of_fate(fate))} {fate}" for fate in _FATES if report.of_fate(fate)]
        tiles = [(_count(len(report.runs), "run"), ", ".join(counts))]
        leader = report.leader
        if leader is not None:
            tiles.append((self.value(leader.worth), f"best final value: {leader.name}"))
        elif report.best is not None:
            tiles.append((self.value(report.best), "best final value, as stated"))
        hopeful = [run for run in report.runs if math.isfinite(run.watched.chance)]
        if hopeful and report.of_fate("running"):
            likely = max(hopeful, key=lambda run: run.watched.chance)
            words = "to stay the best" if likely is leader else "to end best"
            tiles.append(
                (write_probability(likely.watched.chance), f"chance {words}: {likely.name}")
            )
        share = _share_untrained(report.of_fate("stopped", "diverged"), report.runs)
        if share is not None:
            tiles.append((_percent(share), "of all steps not trained, as runs ended early"))
        accuracy = [each for each in report.accuracy if each.share == 0.4] or report.accuracy[-1:]
        if accuracy:
            kept = f"{accuracy[0].inside} of {accuracy[0].runs}"
            told = (
                f"ended within the 88 % band forecast at {_percent(accuracy[0].share)} of the run"
            )
            tiles.append((kept, told))
        listed = "".join(
            f"<li><b>{safe_text(big)}</b><span>{safe_text(by)}</span></li>" for big, by in tiles
        )
        return f"<ul class='tiles'>{listed}</ul>"

    def overview(self) -> str:
        """All curves in one picture."""
        if not any(run.last_step is not None for run in self.report.runs):
            return ""
        kinds = []
        if self.report.leader is not None:
            kinds.append(("l-lead", "best that has ended"))
        if self.report.of_fate("running"):
            kinds.append(("l-running", "running, to its forecast"))
        if self.report.of_fate("diverged"):
            kinds.append(("l-diverged", "diverged"))
        kinds.append(("l-other", "others"))
        legend = "".join(f'<li class="{kind}"><i></i>{words}</li>' for kind, words in kinds)
        return (
            "<section aria-labelledby='all'><h2 id='all'>All runs</h2>"
            f"<p class='quiet'>{safe_text(' / '.join(self.report.metrics))} over the share of each "
            "run that is trained. Point at a curve to see which it is.</p>"
            f"<div class='panel'><ul class='legend'>{legend}</ul>"
            f"{overview_chart(self.report)}</div></section>"
        )

    def ranking(self) -> str:
        """The runs, the most promising first."""
        axes = self._scale()
        rows = "".join(
            self._rank_row(rank, run, axes) for rank, run in enumerate(self.report.runs, start=1)
        )
        scale = "".join(
            f"<span style='left:{100 - place / 10:.1f}%'>{safe_text(words)}</span>"
            for place, words in axes.values
        )
        return (
            "<section aria-labelledby='ranking'><h2 id='ranking'>Ranking</h2>"
            "<p class='quiet'>The most promising first. A final value lies in the band with a "
            "probability of 88 %; the mark is the median, and where a run has ended, its final "
            "value.</p><div class='panel'><table class='stacks'><thead><tr>"
            "<th scope='col' class='number'>#</th><th scope='col'>Run</th><th scope='col'></th>"
            "<th scope='col' class='number'>At</th><th scope='col' class='number'>Last</th>"
            "<th scope='col' class='number'>End</th>"
            f"<th scope='col'><span class='skip'>Band</span><div class='scale'>{scale}</div></th>"
            "<th scope='col' class='number'>Ends best</th></tr></thead>"
            f"<tbody>{rows}</tbody></table></div></section>"
        )

    def savings(self) -> str:
        """What was stopped, and what that saved."""
        report = self.report
        gone, hopeless = report.of_fate("stopped", "diverged"), self._hopeless()
        parts = [f"<p>{safe_text(' '.join(self._saved_words(gone, hopeless)))}</p>"]
        if gone or hopeless:
            rows = "".join(self._stopped_row(run) for run in [*gone, *hopeless])
            parts.append(
                "<div class='panel'><table class='stacks'><thead><tr><th scope='col'>Run</th>"
                "<th scope='col'></th><th scope='col' class='number'>At</th>"
                "<th scope='col' class='number'>Not trained</th>"
                "<th scope='col' class='number'>Would have ended</th><th scope='col'>Why</th>"
                f"</tr></thead><tbody>{rows}</tbody></table></div>"
            )
        return (
            "<section aria-labelledby='saved'><h2 id='saved'>What was stopped, and what it saved"
            f"</h2>{''.join(parts)}</section>"
        )

    def hindsight(self) -> str:
        """How good the forecasts had been."""
        accuracy = self.report.accuracy
        begin = (
            "<section aria-labelledby='hindsight'>"
            "<h2 id='hindsight'>How good the forecasts had been</h2>"
        )
        if not accuracy:
            return (
                f"{begin}<p class='quiet'>No run with at least four records has come to its end "
                "yet, so there is nothing to compare forecasts with.</p></section>"
            )
        rows = "".join(self._accuracy_row(each) for each in accuracy)
        runs = max(each.runs for each in accuracy)
        few = " So few runs say little." if runs < 10 else ""
        return (
            f"{begin}<p class='quiet'>The final values of the {_count(runs, 'finished run')}, "
            "forecast from the first records of each alone, as it would have been done at the "
            "time. 88 of 100 should end within the band; an error below 100 % is smaller than that "
            f"of taking the last value for the final one.{few}</p><div class='pair'>"
            "<div class='panel'><table><thead><tr><th scope='col'>Observed</th>"
            "<th scope='col' class='number'>Within 88 %</th>"
            "<th scope='col' class='number'>Error</th>"
            "<th scope='col' class='number'>Of the last value's</th></tr></thead>"
            f"<tbody>{rows}</tbody></table></div><div class='panel'>"
            "<p class='small quiet'>Where each final value fell in its forecast, by the part of "
            f"the run that was observed</p>{rank_chart(self.report)}</div></div></section>"
        )

    def cards(self) -> str:
        """Every run with its picture."""
        kinds = [
            ("l-record", "recorded"),
            ("l-median", "median of the forecast"),
            ("l-narrow", "50 %"),
            ("l-wide", "88 %"),
        ]
        if self.to_beat is not None:
            kinds.append(("l-best", "best final value"))
        legend = "".join(f'<li class="{kind}"><i></i>{words}</li>' for kind, words in kinds)
        cards = "".join(self._card(rank, run) for rank, run in enumerate(self.report.runs, start=1))
        return (
            "<section aria-labelledby='runs'><h2 id='runs'>Every run</h2>"
            "<p class='quiet'>Point at a picture, or go to it with the tab key and use the arrow "
            "keys, to see the numbers. Of a run that has ended the forecast from its first 40 % is "
            "shown, and others can be chosen.</p>"
            f"<ul class='legend'>{legend}</ul><div class='cards'>{cards}</div></section>"
        )

    def remarks(self) -> str:
        """How the logs were read, and which could not be."""
        report = self.report
        parts = []
        if report.problems:
            listed = "".join(f"<li>{safe_text(words)}</li>" for words in report.problems.values())
            title = _count(len(report.problems), "log could", "logs could")
            parts.append(
                f"<details open><summary>{title} not be read</summary><ul>{listed}</ul></details>"
            )
        notes: dict[str, list[str]] = {}
        for run in report.runs:
            for note in run.watched.notes:
                notes.setdefault(note, []).append(run.name)
        told = [safe_text(notice) for notice in report.notices]
        told += [
            safe_text(f"{names[0] if len(names) == 1 else _count(len(names), 'run')}: {note}")
            for note, names in notes.items()
        ]
        if told:
            listed = "".join(f"<li>{words}</li>" for words in told)
            parts.append(
                f"<details><summary>How the logs were read</summary><ul>{listed}</ul></details>"
            )
        return "".join(parts)

    def _scale(self) -> Axes:
        """One scale for the final values of all runs."""
        runs = [run.watched for run in self.report.runs if run.fate != "diverged"]
        ends = [run.median for run in runs]
        # Of those that promise less, a wide band must not hide how the others differ.
        for run in runs[: math.ceil(len(runs) / 2)]:
            ends += [run.low, run.high]
        return fit_axes(0.0, 1.0, [(np.ones(len(ends)), np.array(ends))])

    def _rank_row(self, rank: int, run: ReportedRun, axes: Axes) -> str:
        watched = run.watched
        ends = [watched.low, watched.median, watched.high]
        known = all(map(math.isfinite, ends)) and run.fate != "diverged"
        band = self._band(run) if known else ""
        bar = interval_bar(*ends, axes=axes) if known else ""
        chance = write_probability(watched.chance) if math.isfinite(watched.chance) else ""
        end = f"<b>{safe_text(self.value(watched.median))}</b>" if known else ""
        return (
            f"<tr><td class='number rank' data-label='Rank'>{rank}</td>"
            f"<td class='name'><a href='#run-{rank}'>{safe_text(run.name)}</a></td>"
            f"<td>{_chip(run)}</td><td class='number' data-label='At'>{safe_text(_place(run))}</td>"
            f"<td class='number' data-label='Last'>{safe_text(self._last(run))}</td>"
            f"<td class='number' data-label='End'>{end}</td>"
            f"<td class='spread'>{bar}<span class='skip'>{safe_text(band)}</span></td>"
            f"<td class='number' data-label='Ends best'>{safe_text(chance)}</td></tr>"
        )

    def _stopped_row(self, run: ReportedRun) -> str:
        fan = run.fans[0] if run.fans else None
        known = fan is not None and run.fate != "diverged" and math.isfinite(run.watched.median)
        end = f"{self.value(run.watched.median)} ({self._band(run)})" if known else ""
        left = ""
        if math.isfinite(run.untrained):
            left = f"{write_step(run.untrained)} ({_percent(run.untrained / run.length)})"
        rank = self.report.runs.index(run) + 1
        return (
            f"<tr><td class='name'><a href='#run-{rank}'>{safe_text(run.name)}</a></td>"
            f"<td>{_chip(run)}</td><td class='number' data-label='At'>{safe_text(_place(run))}</td>"
            f"<td class='number' data-label='Not trained'>{safe_text(left)}</td>"
            f"<td class='number' data-label='Would have ended'>{safe_text(end)}</td>"
            f"<td class='why'>{safe_text(run.watched.verdict.reason)}</td></tr>"
        )

    def _accuracy_row(self, each: Accuracy) -> str:
        ratio = "" if math.isnan(each.ratio) else f"{100 * each.ratio:.0f} %"
        if math.isfinite(each.ratio_error):
            ratio = f"{100 * each.ratio:.0f} ± {100 * each.ratio_error:.0f} %"
        return (
            f"<tr><td class='part'>first {_percent(each.share)}</td>"
            f"<td class='number'>{each.inside} of {each.runs}</td>"
            f"<td class='number'>{each.error:.3g}</td><td class='number'>{ratio}</td></tr>"
        )

    def _hopeless(self) -> list[ReportedRun]:
        """Runs that go on, but are to be stopped."""
        return [run for run in self.report.of_fate("running") if run.watched.verdict.stop]

    def _saved_words(
        self, gone: Sequence[ReportedRun], hopeless: Sequence[ReportedRun]
    ) -> Iterable[str]:
        every = self.report.runs
        if gone:
            share = _share_untrained(gone, every)
            saved = "" if share is None else f", which saved {_percent(share)} of the steps of all"
            yield f"{_count(len(gone), 'run')} ended before the last step{saved}."
            chances = _finite([run.watched.verdict.prob_better for run in gone])
            if chances:
                chance = write_probability(1 - math.prod(1 - chance for chance in chances))
                yield f"The chance that one of them would have beaten the best was {chance}."
        else:
            yield "No run has ended before its last step."
        if hopeless:
            share = _share_untrained(hopeless, every)
            saved = "" if share is None else f", which would save {_percent(share)} more"
            more = _count(len(hopeless), "more run is", "more runs are")
            yield f"{more} to be stopped now{saved}."
        finished = [run for run in self.report.of_fate("finished") if math.isfinite(run.length)]
        if self.to_beat is not None and len(finished) >= _GROUPED:
            yield from self._rule_words(finished)

    def _rule_words(self, finished: Sequence[ReportedRun]) -> Iterable[str]:
        """What the rule would have made of the finished runs."""
        stopped = [run for run in finished if run.would_stop is not None]
        saved = sum((run.last_step or 0.0) - (run.would_stop or 0.0) for run in stopped) / sum(
            run.length for run in finished
        )
        yield (
            "In hindsight: had the final value of the best other run been known from the start, "
            f"the rule would have stopped {len(stopped)} of the "
            f"{_count(len(finished), 'finished run')} and saved {_percent(saved)} of their steps."
        )
        leader = self.report.leader
        if leader is not None and leader in stopped:
            at = write_step(leader.would_stop or 0.0)
            yield f"It would have lost the best one, at {leader.watched.step_name} {at}."
        elif leader is not None and stopped:
            yield "It would have kept the best one."

    def _card(self, rank: int, run: ReportedRun) -> str:
        picture = run_chart(run, self.to_beat)
        choices = ""
        if len(run.fans) > 1:
            shown = min(run.fans, key=lambda fan: abs((fan.share or 0) - 0.4))
            buttons = "".join(
                f"<button type='button' value='{100 * (fan.share or 0):.0f}' "
                f"aria-pressed='{str(fan is shown).lower()}'>{_percent(fan.share or 0)}</button>"
                for fan in run.fans
            )
            choices = (
                "<div class='choices' role='group' aria-label='Forecast after a share of the run'>"
                f"Forecast after {buttons}</div>"
            )
        return (
            f"<article class='panel card' id='run-{rank}' aria-labelledby='name-{rank}'><header>"
            f"<h3 id='name-{rank}'><span class='quiet'>{rank}.</span> {safe_text(run.name)}</h3>"
            f"{_chip(run)}</header>{choices}{picture}"
            f"<p class='foot'>{safe_text(self._foot(run))}</p></article>"
        )

    def _foot(self, run: ReportedRun) -> str:
        """What there is to say below a picture."""
        watched, why = run.watched, _sentence(run.watched.verdict.reason)
        at = _sentence(f"{watched.step_name} {_place(run)}: {self._last(run)}")
        if run.fate == "finished":
            if run.would_stop is None:
                return at
            return f"{at} The rule would have stopped it at {write_step(run.would_stop)}."
        if run.fate == "diverged" or not math.isfinite(watched.median):
            return f"{at} {why}"
        end = f"Forecast to end at {self.value(watched.median)} (88 %: {self._band(run)})."
        return f"{at} {end} {why}"

    def _band(self, run: ReportedRun) -> str:
        low, high = sorted((run.watched.low, run.watched.high))
        if run.fate == "finished" or low == high:
            return self.value(low)
        return f"{self.value(low)} to {self.value(high)}"

    def _last(self, run: ReportedRun) -> str:
        value = run.watched.value
        usual = math.isfinite(value) and run.fate != "diverged"
        return self.value(value) if usual else f"{value:.4g}"


def _header(report: Report, title: str, made: datetime) -> str:
    about = f"{' / '.join(report.metrics)}, {_BETTER[report.goal]}"
    when = made.strftime("%d %B %Y, %H:%M").lstrip("0")
    return (
        f"<header><div><h1>{safe_text(title)}</h1><p class='quiet'>{safe_text(about)} &middot; "
        f"<time datetime='{made.isoformat(timespec='minutes')}'>{when}</time></p></div>"
        "<button id='theme' type='button' aria-label='Switch between light and dark' hidden>"
        "</button></header>"
    )


def _footer(report: Report, version: str) -> str:
    better = "lower" if report.goal == "minimize" else "higher"
    return (
        "<footer><h2>How to read this</h2><dl>"
        "<dt>88 %</dt><dd>The final value should lie in the band in 88 of 100 runs. The steps of "
        "one run miss together: a run that leaves its band tends to stay out.</dd>"
        "<dt>Ends best</dt><dd>The probability that the run ends better than all others, those "
        f"that have ended included; {better} is better.</dd>"
        "<dt>Stopped</dt><dd>The run ended before its last step, by whoever's hand. What the rule "
        "says is advice; nothing is stopped by this page.</dd></dl>"
        f"<p>Written by lcpfn-stopping {safe_text(version)} with the model "
        f"{safe_text(report.model)}. The page holds all it needs and loads nothing.</p></footer>"
    )


def _chip(run: ReportedRun) -> str:
    stop = run.fate == "running" and run.watched.verdict.stop
    kind, words = ("stop", "to be stopped") if stop else (run.fate, run.fate)
    return f"<span class='chip {kind}'>{words}</span>"


def _place(run: ReportedRun) -> str:
    """How far a run is: 40 of 100."""
    of = "" if run.watched.horizon is None else f" of {write_step(run.watched.horizon)}"
    return f"{write_step(run.watched.step)}{of}"


def _share_untrained(some: Sequence[ReportedRun], every: Sequence[ReportedRun]) -> float | None:
    """The share of the steps of all runs that some did not train; of runs of all lengths alike."""
    shares = _finite([run.untrained / run.length for run in some])
    lengths = _finite([run.length for run in every])
    return sum(shares) / len(lengths) if lengths else None


def _finite(numbers: Iterable[float]) -> list[float]:
    return [number for number in numbers if math.isfinite(number)]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.1 else f"{100 * share:.1f} %"


def _count(number: int, one: str, more: str | None = None) -> str:
    """A number of things: 1 run, 2 runs."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _file(name: str) -> str:
    return resources.files("lcpfn.report").joinpath(name).read_text(encoding="utf-8")
