"""Lines of text in which metrics stand as `name: number`, `name=number` or `name number`.

nanoGPT, fairseq, Megatron, MMEngine, detectron2, PaddleDetection, timm, ESPnet, the progress bars
of Keras and tqdm, Hugging Face's dictionaries, XGBoost, LightGBM and CatBoost on the console,
Darknet, and most people's `print`. Time stamps, levels of loggers and places in source files are
no metrics. A line that says no step belongs to the step that was said last.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from lcpfn.errors import InputError
from lcpfn.logs.alike import Plan, Plans, Span
from lcpfn.logs.cells import Cell, has_decimal_commas, to_number
from lcpfn.logs.content import Content
from lcpfn.logs.names import PHASES, TEST, VALIDATION, is_rate, words
from lcpfn.logs.run_length import BATCH, stated_totals
from lcpfn.logs.table import Record, Table, columns_of, flattened, left_out

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>]")
_BACK = re.compile(r"\x08+")
_LEVEL = re.compile(
    r"^[^\n=]{0,160}?\b(?:INFO|WARNING|WARN|DEBUG|ERROR|CRITICAL|NOTICE)\b[\]\s:|>)\-]*",
    re.MULTILINE,
)
_GLOG = re.compile(r"^[IWEF]\d{4,8} [^\n\]]*\] ", re.MULTILINE)
_PLACES = re.compile(r"\.(?:py|cc|cpp|cu|rs|go):\d+")
_DATES = re.compile(
    r"\d{4}[-/]\d\d[-/]\d\d(?:[T _]+\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?"
)
# Over how many a mean is: avg reward (last 100 episodes): 12.5
_WINDOWS = re.compile(r" \((?:[a-z]+ ){0,2}\d+(?: [a-z]+)?\)(?=\s*[:=])", re.IGNORECASE)
_DAYS = re.compile(r"\d{1,2}/\d{1,2}(?:/\d{2,4})?,?\s+(?=\d{1,2}:\d\d:\d\d)")
_CLOCKS = re.compile(r"\d{1,3}:\d\d(?::\d\d)?(?:[.,]\d+)?(?![\w.:])")
_EMPTY_BRACKETS = re.compile(r"^\s*\[\s*\]\s*(?=[\[\d])", re.MULTILINE)
_ESPNET = re.compile(r"(?<![\w.])(\d+)epoch(?=[:\s])(?:\s*results:)?")
_BATCHES = re.compile(r":(\d+)-\d+batch:")
_TIMM = re.compile(r"^\s*Train: (\d+) \[", re.MULTILINE)
# What one of several networks of ML-Agents has learned: Striker. Step: 110000. Mean Reward: -0.783.
_BEHAVIOR = re.compile(r"\s*(?:\[INFO\]\s*)?([A-Za-z][\w?=&-]*)\. (?=Step: \d)")
# Train 0, loss: 2.4, train acc: 0.3
_PART_AND_EPOCH = re.compile(r"^(\s*(?:Train|Val|Valid|Test)) (\d+), (?=[A-Za-z ]+:)", re.MULTILINE)
# Marian: Ep. 35 : Up. 16000 : bleu : 45.3
_MARIAN = re.compile(r"\bEp\. (\d+) : Up\. (\d+) : ")
# Valid MRR at step 100: 0.31
_AT_STEP = re.compile(
    r"^(.*[A-Za-z@]\S*) at (step|iteration|epoch) (\d+)\s*[:=]\s*(?=[-+]?\.?\d)", re.MULTILINE
)
# Epoch #3
_HASHED = re.compile(
    r"\b(epoch|step|iteration|iter|episode|round|update)( ?)#(?=\d)", re.IGNORECASE
)
# A number as it is printed by what holds it: tensor(0.41, device='cuda:0'), Array(2, dtype=int32)
_HELD = re.compile(
    r"(?<![\w.])(?:tf\.|np\.|numpy\.)?(Tensor|tensor|Array|float\d+)"
    r"\(([-+]?[\d.]+(?:e[-+]?\d+)?|nan|-?inf)(?:,[^()\n]*(?:\(\)[^()\n]*)?)?\)"
)
# Punctuation of full width, as Chinese and Japanese texts have it.
_WIDE_COLON, _WIDE_COMMA = "\uff1a", "\uff0c"
_WIDE = str.maketrans(f"{_WIDE_COLON}{_WIDE_COMMA}\uff1b\uff1d\uff08\uff09", ":,;=()")
# What torchtune writes before a bar, which begins anew in every epoch: 2|105|Loss: 1.3
_TORCHTUNE = re.compile(r"(^|\r)\s*(\d+)\|(\d+)\|(?=Loss:)")
_DARKNET = re.compile(
    r"^\s*(?P<iteration>\d+): (?P<loss>[\d.]+|-?nan), (?P<average>[\d.]+|-?nan) avg(?: loss)?, "
    r"(?P<rate>[\d.]+) rate"
)
# What pycocotools prints: AP@0.50:0.95/all
_COCO = re.compile(r"\((A[PR])\) @\[ IoU=([\d.:]+)\s*\| area=\s*(\w+) \|[^\]]*\] = (-?[\d.]+)")
_HEADING = re.compile(
    r"\s*[A-Za-z][\w(]*(?:\s{2,}[A-Za-z][\w()./:-]*){3,}(?=\s|$)(?!\s+[-+.\d]+\s)"
)
_OF_MANY = re.compile(r"(\d+)/(\d+)$")
# Settings as argparse prints them: Namespace(epochs=90, start_epoch=0, lr=0.1)
_SETTINGS = re.compile(r"\bNamespace\(.*\)\s*$")
_SETTING = re.compile(r"(\w+)=([-+.\w]+)(?=[,)])")

# What stands before a number, in pieces that end where one may begin: never two ways to match.
_GAP = r"(?:[^-+.\d{more}\n]+(?=[-+.\d{more}])|[-+.\d{more}])*?"
_POINT = r"(?:\d+(?:,\d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+"
_COMMA = r"\d+(?:[.,]\d+)?"
_PAIR = r"""
    (?:({gap})
    (?<![\w.@/\#^])(?<!\w['-])
    ([-+]?(?:{number})(?:[eE][-+]?\d+)?{words})
    (?:(?:\s*/\s*|\sof\s)(\d+))?                            # of how many
    \s?(?:%|(?:ms|us|s|sec|secs|seconds|m|min|mins|h|k|K|M|G|B|T|MB|GB|MiB|GiB|x|it|img|images)
    (?:/[A-Za-z]+)?|/[A-Za-z]+)?
    (?!\w|'\w|/|\.\d)
    |.+)                                                     # no number is left
"""
_WORDS = r"|[-+]?(?i:nan|inf(?:inity)?)"
_ANY_WORD = re.compile(r"[\s:=(\[][-+]?(?:nan|inf|infinity)(?!\w)", re.IGNORECASE)
# Not the thousandths of a clock: 03:04:05,123
_ANY_COMMA = re.compile(r"[:=](?<!\d\d[:=])\s*[-+]?(\d+,\d+)(?![\d,])")
_ANY_POINT = re.compile(r"[:=]\s*[-+]?\d+\.\d")

# Counters that open their line: [10], (10), 10:, 10), #10
_COUNTER = re.compile(r"\s*(?:\[\s*\d+\s*\]|\(\s*\d+\s*\)|\d+\s*[:)]\s|#\d+)")
_WRAPPERS = re.compile(r"(?:np\.float\d+|numpy\.float\d+|tensor|array|float)?[\[({<]+\s*$")
_PARTS = re.compile(r"[,;|{}\[\]\t\">:=!]|\)\s|\s-+\s|\s{2,}|\s'|^'|\.\s|\s\((?![^()]*\)$)")
_IN_BRACKETS = re.compile(r"^(\w+)\((\w+)\)$")
_STEP_WORDS_TEXT = """
epoch epochs epoche ep step steps iter iters iteration iterations it update updates round batch
episode timesteps timestep
"""
_STEP_WORDS = frozenset(_STEP_WORDS_TEXT.split())
# Names that hold such a word and yet count nothing that goes on.
_NO_STEPS_TEXT = """
best per time remaining warmup max total num every eta last save avg early patience sec skipped
consumed
"""
_NO_STEPS = frozenset(_NO_STEPS_TEXT.split())
# Words that make a setting of a name: start_epoch, nb_epoch, save_epoch.
_SETTING_WORDS_TEXT = """
start nb init resume freeze unfreeze end stop save log print decay cooldown patience
"""
_SETTING_WORDS = frozenset(_SETTING_WORDS_TEXT.split())
# Names of the parts of the data that a model is tried on.
_EVALUATED = frozenset(word for word, part in PHASES.items() if part in (VALIDATION, TEST))
_COUNTS = ("num_updates", "num_timesteps", "total_timesteps", "num_steps")
_JOINTS_TEXT = """
with at in of for is the and to after finished done was on are has after: - * >> -> ==> current
"""
_JOINTS = frozenset(_JOINTS_TEXT.split())
# A name that ends so goes on behind the number: solved in 2274 episodes, improved from 0.41
_OPEN_ENDS = frozenset(("at", "by", "from", "in", "on", "for", "with", "after"))
_MEASURES = frozenset(("std", "variance"))
_MOST_WORDS = 3
# The results.txt of YOLOv5 and YOLOv7, which has no heading:
#   0/29     2.23G    0.0859   0.07501   0.01257    0.1735       173       640    0.6743  ...
_YOLO = re.compile(r"\s*\d+/\d+\s+[\d.]+G(?:\s+[\d.]+|\s+nan){13}\s*$")
_YOLO_TEXT = """
epoch gpu_mem train/box_loss train/obj_loss train/cls_loss train/total_loss labels img_size
metrics/precision metrics/recall metrics/mAP_0.5 metrics/mAP_0.5:0.95 val/box_loss val/obj_loss
val/cls_loss
"""
# Enough of a text to see what its lines look like.
_HEAD = 100_000


class Pair(NamedTuple):
    """What the text before a number says of it.

    Args:
        name: of the number; empty where it has none.
        sets: part of the data that this and what follows in the line are of, where it is named.
        own: whether the name itself says so.
        bracket: whether the number stands in brackets.
        step: the step column that a whole number of this name belongs to.
        opens: whether nothing but a bracket stands before the number.
    """

    name: str
    sets: str | None
    own: bool
    bracket: bool
    step: str | None = None
    opens: bool = False


@dataclass(slots=True)
class _Line:
    """What one line says."""

    steps: dict[str, float]
    cells: dict[str, Cell]
    totals: dict[str, float]


def without_colours(text: str) -> str:
    """A text without the sequences that colour it on a terminal."""
    return _COLOURS.sub("", text) if "\x1b" in text else text


def without_holders(text: str) -> str:
    """A text whose numbers stand without what held them as they were printed.

    One that has no name keeps the holder's: `epoch 1 tensor(0.41)`.
    """
    return _HELD.sub(_number_alone, text) if "(" in text else text


def _number_alone(found: re.Match[str]) -> str:
    before = found.string[: found.start()].rstrip()[-1:]
    named = before.isalpha() or before in tuple(":=,([{_")
    return found[2] if named else f"{found[1]}={found[2]}"


def plain(text: str) -> str:
    """A text without colours; what was typed over is set apart by carriage returns."""
    text = without_colours(text)
    if "\x08" in text:
        text = _BACK.sub("\r", text)
    if _WIDE_COLON in text or _WIDE_COMMA in text:
        text = text.translate(_WIDE)
    text = without_holders(text)
    return text.replace("\r\n", "\n")


def read_lines(content: Content) -> Table:
    """The records of a text: each line with a number that has a name.

    Raises:
        InputError: there is none.
    """
    text = plain(content.text)
    reader = LineReader(text)
    count = reader.feed(text)
    # A last line without its end may have been cut anywhere.
    unended = not text.endswith("\n") and bool(text.rsplit("\n", 1)[-1].strip())
    if not reader.rows:
        raise InputError(
            f"{content.name} holds no records: no line has a name and a number, as in "
            "'epoch 3: loss 0.41' or 'epoch,loss' above '3,0.41'"
            if content.ended
            else f"{content.name} holds no whole record yet"
        )
    notes = [*content.notes, *([left_out(count)] if unended else [])]
    return Table(content.name, columns_of(reader.rows), reader.rows, notes, reader.totals)


def has_decimal_commas_in(text: str) -> bool | None:
    """Whether commas inside numbers are decimal points; None where there are none."""
    if _ANY_POINT.search(text):
        return None
    return has_decimal_commas(found[1] for found in _ANY_COMMA.finditer(text))


class _Prefixes:
    """What stands in a line beside its records: time stamps, levels, places in source files.

    The beginning of a text tells whether it has any.
    """

    def __init__(self, text: str) -> None:
        head = text[:_HEAD]
        every = (_LEVEL, _GLOG, _PLACES, _DATES, _DAYS, _WINDOWS)
        self._patterns = [pattern for pattern in every if pattern.search(head)]
        self._clocks = bool(_CLOCKS.search(head))
        self._timm = "Train: " in head
        self._espnet = bool(_ESPNET.search(head))
        self._torchtune = bool(_TORCHTUNE.search(head))
        self._hashed = bool(_HASHED.search(head))
        self._marian = bool(_MARIAN.search(head))
        self._at_step = bool(_AT_STEP.search(head))
        self._numbered = bool(_PART_AND_EPOCH.search(head))

    def without(self, line: str) -> str:
        for pattern in self._patterns:
            line = pattern.sub("", line)
        if self._clocks:
            line = _EMPTY_BRACKETS.sub("", _CLOCKS.sub(_unless_a_name_ends, line))
        if self._timm:
            line = _TIMM.sub(r"Train Epoch: \1 [", line)
        if self._espnet:
            line = _ESPNET.sub(r"epoch=\1 ", _BATCHES.sub(r" batch=\1 ", line))
        if self._torchtune:
            line = _TORCHTUNE.sub(r"\1epoch=\2 step=\3 ", line)
        if self._marian:
            line = _MARIAN.sub(r"epoch=\1 update=\2 ", line)
        if self._at_step:
            line = _AT_STEP.sub(r"\2=\3 \1: ", line)
        if self._numbered:
            line = _PART_AND_EPOCH.sub(r"\1 epoch=\2, ", line)
        if self._hashed:
            line = _HASHED.sub(r"\1\2 ", line)
        return line

    def places(self, line: str) -> list[int] | None:
        """Where the characters that are left stood in a line; None where it was rewritten."""
        places, text = list(range(len(line))), line
        for pattern in [*self._patterns, *([_CLOCKS, _EMPTY_BRACKETS] if self._clocks else [])]:
            for found in reversed(list(pattern.finditer(text))):
                if pattern is not _CLOCKS or not _unless_a_name_ends(found):
                    del places[found.start() : found.end()]
            text = "".join(line[place] for place in places)
        return places if text == self.without(line) else None


def _unless_a_name_ends(clock: re.Match[str]) -> str:
    # acc@1:75 is no time.
    before = clock.string[clock.start() - 1] if clock.start() else " "
    return clock.group() if before.isalnum() or before in "_.:@" else ""


@functools.cache
def _pairs(decimal: bool, with_words: bool) -> re.Pattern[str]:
    """What finds a number, what stands before it and of how many it is.

    Args:
        decimal: whether commas are decimal points.
        with_words: whether nan and inf are numbers, which costs time.
    """
    gap = _GAP.replace("{more}", "nNiI" if with_words else "")
    pattern = _PAIR.replace("{gap}", gap).replace("{number}", _COMMA if decimal else _POINT)
    return re.compile(pattern.replace("{words}", _WORDS if with_words else ""), re.VERBOSE)


class LineReader:
    """Reads lines one after another, and remembers the step that was said last.

    Args:
        head: the beginning of the text, which tells what its lines look like; plain.
    """

    def __init__(self, head: str) -> None:
        self.rows: list[Record] = []
        self.totals: dict[str, float] = {}
        self._prefixes = _Prefixes(head)
        self._decimal = bool(has_decimal_commas_in(head))
        self._plans = Plans()
        self._steps: dict[str, float] = {}
        self._heading: list[str] = []

    def feed(self, text: str, line: int = 0) -> int:
        """Takes more of the text.

        Args:
            text: plain; what stands after its last line end is left out.
            line: how many lines came before.

        Returns:
            How many lines the text has.
        """
        physical = text.split("\n")
        for number, each in enumerate(physical, start=line + 1):
            self._read(each, number, cut=number == line + len(physical))
        return len(physical)

    def peek(self, text: str, line: int) -> LineReader:
        """A reader with the records that `feed` would add of a text still being written."""
        ahead = copy.copy(self)
        ahead.rows, ahead.totals, ahead._steps = [], dict(self.totals), dict(self._steps)
        ahead.feed(text, line)
        return ahead

    def _read(self, line: str, number: int, cut: bool) -> None:
        """Takes one line; of one that was typed over, what it said of each step in the end."""
        if "\r" not in line:
            if not cut and line:
                plan = self._plans.of(line, self._plan_of)
                if plan is None or (plan.spaced and self._heading):
                    self._keep(self._parse(self._prefixes.without(line)), number)
                elif not self._keep_next(plan, line, number):
                    self._keep(self._take(plan, line), number)
            return
        line = self._prefixes.without(line)
        groups: dict[tuple[tuple[str, float], ...], _Line] = {}
        for part in line.split("\r"):
            if part.strip():
                said = self._parse(part)
                if said.cells:
                    coarse = [step for step in said.steps.items() if step[0] != BATCH]
                    groups[tuple(coarse or said.steps.items())] = said
                elif said.steps:
                    self._keep(said, number)
        found = list(groups.values())
        for said in found[:-1] if cut else found:
            self._keep(said, number)

    def _keep_next(self, plan: Plan, line: str, number: int) -> bool:
        """Keeps what a line says that has the steps of the one before; whether it does.

        It is what `_take` and `_keep` make of it, at half their price.
        """
        names = plan.names
        same = plan.counter is None and plan.steps and plan.steps.keys() == self._steps.keys()
        if names is None or not same:
            return False
        numbers = list(map(self._number if plan.commas else float, plan.texts(line)))
        self._steps = dict(zip(plan.steps, numbers, strict=False))
        if plan.totals:
            self.totals.update(zip(plan.totals, numbers[len(names) :], strict=True))
        if plan.cells:
            self.rows.append(Record(number, dict(zip(names, numbers, strict=False))))
        return True

    def _keep(self, said: _Line, number: int) -> None:
        steps = said.steps
        if "epoch" in steps and steps["epoch"] != self._steps.get("epoch"):
            # A finer count of the epoch before says nothing any more.
            self._steps.pop(BATCH, None)
        self._steps.update(steps)
        if said.totals:
            self.totals.update(said.totals)
        if said.cells:
            self.rows.append(Record(number, {**self._steps, **said.cells}))

    def _parse(self, line: str) -> _Line:
        said = _Line({}, {}, {})
        takers = (_take_object, _take_settings, self._take_row, _take_darknet, _take_coco)
        if any(take(line, said) for take in takers):
            return said
        behavior = _BEHAVIOR.match(line) if ". Step: " in line else None
        if behavior is not None:
            said = self._take(self._plan(line[behavior.end() :]), line[behavior.end() :])
            said.cells["behavior"] = behavior[1]
            return said
        return self._take(self._plan(line), line)

    def _plan_of(self, line: str) -> Plan | None:
        """Where lines that are alike say what, whatever their digits; None where that is open."""
        places = self._prefixes.places(line)
        if places is None:
            return None
        plain_line = self._prefixes.without(line)
        heading = "  " in plain_line and _HEADING.match(plain_line)
        said = _Line({}, {}, {})
        others = (_take_object, _take_settings, _take_darknet, _take_coco)
        behavior = ". Step: " in plain_line and _BEHAVIOR.match(plain_line)
        if heading or behavior or any(take(plain_line, said) for take in others):
            return None
        plan = self._plan(plain_line)
        return plan.moved(places) if plan.general else None

    def _plan(self, line: str) -> Plan:
        """Where a line says what: every number that has a name, and one that counts."""
        pattern = _pairs(self._decimal, bool(_ANY_WORD.search(line)))
        steps: dict[str, Span] = {}
        totals: dict[str, Span] = {}
        cells: dict[str, Span] = {}
        counter: Span | None = None
        counted: Span | None = None
        fixed: list[tuple[int, str]] = []
        phase: str | None = None
        bar: str | None = None
        plural = lone = False
        general, commas = True, False
        for position, found in enumerate(pattern.finditer(line)):
            gap, number, total = found.groups("")
            if not number:
                break
            commas = commas or "," in number
            pair = name_before(gap)
            name = pair.name
            if any(map(str.isdigit, name)):
                begin = found.start(1)
                fixed += [(begin + at, sign) for at, sign in enumerate(gap) if sign.isdigit()]
            if pair.sets is not None:
                phase = pair.sets
            if pair.step is not None and not total and found.group().endswith("%"):
                # A bar of tqdm, which says how much before it says how many: Steps: 5%|| 50/1000
                bar = pair.step
                continue
            if not name and total and bar is not None:
                steps[bar], totals[bar] = found.span(2), found.span(3)
                bar = None
                continue
            if not name or (pair.bracket and total and name.lower() in PHASES):
                if counter is None and (
                    total or (position == 0 and pair.opens and _COUNTER.match(line))
                ):
                    counter, counted = found.span(2), found.span(3) if total else None
                    if pair.bracket and total and phase is None and "epoch" in steps:
                        # Epoch: [3][ 50/469] opens what is logged while training.
                        phase = "train"
                continue
            step = pair.step
            if step == "epoch" and not total and name.lower().endswith("epochs"):
                if position > 0:
                    # A setting among others: lr=0.1, epochs=90
                    totals.setdefault(step, found.span(2))
                    continue
                plural = True
            if step not in (None, "epoch") and total and pair.sets in _EVALUATED and pair.own:
                # How far a test has come: Test iter: [2/14]
                continue
            if step is not None:
                general = general and (number.isdigit() or bool(total))
                if _is_step(step, self._number(number), total):
                    if step not in steps:
                        steps[step] = found.span(2)
                        if total:
                            totals[step] = found.span(3)
                    continue
            if phase is not None and not pair.own and not (lone and is_rate(name)):
                name = f"{phase}/{name}"
            if name in cells:
                name = _another(name, cells)
            cells[name] = found.span(2)
            # train 0.41 | val 0.43 | lr 0.1: the rate is of neither.
            lone = lone or name.lower() in PHASES
        if plural and not cells and steps.keys() == {"epoch"}:
            # Nothing but "epochs: 90" is a setting, too.
            totals["epoch"] = steps.pop("epoch")
        if counter is not None and steps and steps.keys() != {BATCH}:
            steps.setdefault(BATCH, counter)
            if counted is not None:
                totals.setdefault(BATCH, counted)
            counter = counted = None
        return Plan(
            steps, totals, cells, counter, counted, tuple(fixed), commas, "  " in line, general
        )

    def _take(self, plan: Plan, line: str) -> _Line:
        """Takes what a line says, where a plan says it stands."""
        texts = plan.texts(line)
        numbers = map(self._number if plan.commas else float, texts)
        # One after the other, and zip looks at its names first: each takes its own numbers.
        steps = dict(zip(plan.steps, numbers, strict=False))
        cells: dict[str, Cell] = dict(zip(plan.cells, numbers, strict=False))
        said = _Line(steps, cells, dict(zip(plan.totals, numbers, strict=False)))
        if plan.counter is not None:
            self._count(said, next(numbers), "" if plan.counted is None else texts[-1])
        if not said.steps and not self._steps:
            self.totals.update(stated_totals(said.cells))
        return said

    def _take_row(self, line: str, said: _Line) -> bool:
        """Takes a heading of names, and the rows below it, as Ultralytics prints them."""
        if "  " not in line:
            return False
        heading = _HEADING.match(line)
        if heading:
            self._heading = [name.rstrip("):") for name in heading.group().split()]
            return True
        if not self._heading and _YOLO.match(line):
            self._heading = _YOLO_TEXT.split()
        if not self._heading:
            return False
        cells = [cell.rstrip(":") for cell in line.split()]
        numbers = [to_number(cell.removesuffix("G")) for cell in cells]
        wide = len(cells) >= len(self._heading) and None not in numbers[1 : len(self._heading)]
        if not wide:
            self._heading = []
            return False
        epoch = _OF_MANY.match(cells[0])
        if epoch:
            said.steps["epoch"], said.totals["epoch"] = float(epoch[1]), float(epoch[2])
        for name, number in list(zip(self._heading, numbers, strict=False))[1:]:
            if number is not None:
                said.cells[name] = number
        return True

    def _count(self, said: _Line, value: float, total: str) -> None:
        """Takes a count without a name: of batches within an epoch, or else the step itself."""
        if said.steps and said.steps.keys() != {BATCH}:
            said.steps.setdefault(BATCH, value)
            if total:
                said.totals.setdefault(BATCH, float(total))
        elif "epoch" not in self._steps and said.cells:
            name = "step" if total else "iteration"
            said.steps[name] = value
            if total:
                said.totals[name] = float(total)

    def _number(self, text: str) -> float:
        if "," in text:
            text = text.replace(",", "." if self._decimal else "")
        return float(text)


def _take_object(line: str, said: _Line) -> bool:
    """Takes a line that ends in a JSON object, as loggers of fairseq and others write it."""
    if "{" not in line or '"' not in line or not line.rstrip().endswith("}"):
        return False
    try:
        found = json.loads(line[line.index("{") :])
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    for name, cell in flattened(found):
        value = to_number(cell)
        if value is None:
            continue
        step = _step_column(name)
        if step is not None and _is_step(step, value, ""):
            said.steps[step] = value
        else:
            said.cells[name] = value
    return True


def _take_settings(line: str, said: _Line) -> bool:
    """Takes a line of settings: the length of the run, if it says that, and no record."""
    if "Namespace(" not in line or not _SETTINGS.search(line):
        return False
    said.totals.update(stated_totals({name: text for name, text in _SETTING.findall(line)}))
    return True


def _take_darknet(line: str, said: _Line) -> bool:
    """Takes a line of Darknet, whose names stand behind the numbers."""
    found = _DARKNET.match(line) if " avg" in line else None
    if found is None:
        return False
    said.steps["iteration"] = float(found["iteration"])
    said.cells.update({"loss": found["loss"], "avg loss": found["average"], "lr": found["rate"]})
    return True


def _take_coco(line: str, said: _Line) -> bool:
    """Takes a line of pycocotools, in whose name there are numbers."""
    found = _COCO.search(line) if "@[ IoU" in line else None
    if found is None:
        return False
    kind, overlap, area, value = found.groups()
    said.cells[f"{kind}@{overlap}/{area}"] = value
    return True


@functools.lru_cache(maxsize=4096)
def name_before(gap: str) -> Pair:
    """The name of a number, from the text between it and the number before."""
    text = gap.rstrip()
    bracket = text.endswith(("[", "(", "<", "{"))
    if bracket:
        text = _WRAPPERS.sub("", text)
    text = text.rstrip("'\" ")
    stated = text.endswith((":", "="))
    text = text.rstrip(":=~ ").rstrip("'\"`* ").removesuffix(" -")
    outside, name = _last_part(text)
    phase = _last_phase(outside)
    inside = _IN_BRACKETS.match(name)
    if inside and inside[2].lower() in PHASES:
        return Pair(inside[1], inside[2].lower(), False, bracket, _step_column(inside[1]))
    spoken = name.split()
    joints = [index for index, word in enumerate(spoken[:-1]) if word.lower() in _JOINTS]
    # Std of Reward is no reward.
    joints = [at for at in joints if not (at and spoken[at - 1].lower() in _MEASURES)]
    cut = joints[-1] + 1 if joints else 0
    if len(spoken) - cut > _MOST_WORDS:
        if not stated and spoken[-1].lower() not in _STEP_WORDS:
            return Pair("", phase, False, bracket)
        cut = len(spoken) - _MOST_WORDS
    phase = _last_phase(" ".join(spoken[:cut])) or phase
    name = " ".join(spoken[cut:])
    open_end = not stated and name.split()[-1:] and name.split()[-1].lower() in _OPEN_ENDS
    if open_end or name.lower() in _JOINTS or not any(character.isalpha() for character in name):
        return Pair("", phase, False, bracket, opens=gap.strip() in ("", "[", "(", "#"))
    spelled_out = _last_phase(" ".join(word for word in spoken[cut:] if word.lower() in PHASES))
    own = spelled_out is not None or any(word in PHASES for word in words(name))
    # train loss 0.4, acc 0.8: both are of the training.
    return Pair(name, spelled_out or phase, own, bracket, _step_column(name))


def _last_part(text: str) -> tuple[str, str]:
    end = 0
    for found in _PARTS.finditer(text):
        end = found.end()
    name = text[end:].strip(" '\"`*")
    # (epoch: 3, loss: 0.4)
    return text[:end], name[1:] if name.startswith("(") and ")" not in name else name


def _last_phase(text: str) -> str | None:
    found = [word.lower() for word in re.findall(r"[A-Za-z]+", text) if word.lower() in PHASES]
    return found[-1] if found else None


def _step_column(name: str) -> str | None:
    """The step column that numbers of a name belong to, None where they count no steps."""
    parts = re.split(r"[\s/._-]+", name.lower())
    if parts[-1] not in _STEP_WORDS:
        return None
    last = name.lower().split()[-1].rsplit("/", 1)[-1]
    if last in _COUNTS:
        return last
    # epoch_time, best epoch, steps per epoch
    if _NO_STEPS & set(parts[:-1]) or len(parts) > 3:
        return None
    if "_" in name and parts[0] in _SETTING_WORDS:
        return None
    return "epoch" if parts[-1].startswith("epoch") else parts[-1]


def _is_step(column: str, value: float, total: str) -> bool:
    """Whether a number can count steps: a whole one, or one of how many, or a share of epochs."""
    return value >= 0 and (column == "epoch" or value.is_integer() or bool(total))


def _another(name: str, cells: Collection[str]) -> str:
    number = 2
    while f"{name} ({number})" in cells:
        number += 1
    return f"{name} ({number})"
