"""What happened to each template version of a run: its exchanges on a line of time, and the states it was seen in."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from touchstone.facts.events import RunLog
from touchstone.facts.exchange import Exchange
from touchstone.facts.wording import clipped
from touchstone.report.pretty import span

MAX_ROWS = 40
MAX_MARKS = 450
_STEP_SHARE = 0.012  # marks of one kind closer than this share of their line are drawn as one
_LONG_SHARE = 0.55  # a pause that takes more of the line than this is shortened
_SHORT_SHARE = 0.04  # to this
_MOST_PAUSES = 3

SHAPES = {
    "publishTemplate": "publish",
    "deleteTemplate": "delete",
    "startBuild": "start",
    "cancelBuild": "cancel",
    "getBuild": "read",
    "streamBuildEvents": "stream",
}
_STATES = frozenset({"building", "ready", "failed", "not_built", "cancelling"})


@dataclass(frozen=True, slots=True)
class Mark:
    """One exchange, or several alike in a row, as a mark.

    Attributes:
        shape: What was asked; one of SHAPES or ``other``.
        tone: How it was answered: ``ok``, ``refused`` (4xx), ``wrong`` (5xx or no answer).
        start_share: Where it begins, as a share of the row.
        width_share: How far it reaches: a stream to its end, several exchanges to the last of them, else 0.
        number: How many exchanges it stands for.
        label: The same in words.
    """

    shape: str
    tone: str
    start_share: float
    width_share: float
    number: int
    label: str


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time in which the version was last seen in one state."""

    state: str
    start_share: float
    width_share: float
    label: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause in which nothing was asked, and that is drawn shorter than it was."""

    start_share: float
    width_share: float
    length_s: float


@dataclass(frozen=True, slots=True)
class Row:
    """One version; *accused* where an exchange of the row is evidence of a finding."""

    ref: str
    purpose: str
    started_s: float
    length_s: float
    marks: tuple[Mark, ...]
    bands: tuple[Band, ...]
    pauses: tuple[Pause, ...]
    summary: str
    accused: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """All rows that are drawn, those with evidence of a finding first; and in words what is not drawn."""

    rows: tuple[Row, ...]
    left_out: str


class Scale:
    """Maps points in time to shares of a line, from 0 at the first beginning to 1 at the last end; long pauses shrink.

    Args:
        busy: When something happened, as beginnings and ends in seconds, in the order of the beginnings.
    """

    pauses: tuple[Pause, ...]

    def __init__(self, busy: Sequence[tuple[float, float]]) -> None:
        self.begin_s = busy[0][0]
        self.end_s = max(self.begin_s + 0.001, *(end for _, end in busy))
        gaps, until = [], busy[0][1]
        for begin, end in busy:
            if begin > until:
                gaps.append((until, begin))
            until = max(until, end)
        drawn_s, long = self.end_s - self.begin_s, []
        for begin, end in sorted(gaps, key=lambda gap: gap[0] - gap[1])[:_MOST_PAUSES]:
            if end - begin <= _LONG_SHARE * drawn_s:
                break
            long.append((begin, end))
            drawn_s -= end - begin
        self._edges = [self.begin_s, *(edge for gap in sorted(long) for edge in gap), self.end_s]
        self._shares, self.pauses = [0.0], ()
        per_s = (1 - _SHORT_SHARE * len(long)) / drawn_s
        for number, (begin, end) in enumerate(pairwise(self._edges)):
            if number % 2:
                self.pauses += (Pause(self._shares[-1], _SHORT_SHARE, end - begin),)
            self._shares.append(self._shares[-1] + (_SHORT_SHARE if number % 2 else (end - begin) * per_s))

    def share(self, at_s: float) -> float:
        """Where *at_s* lies on the line."""
        number = min(max(bisect_right(self._edges, at_s) - 1, 0), len(self._edges) - 2)
        begin, end = self._edges[number], self._edges[number + 1]
        within = (at_s - begin) / (end - begin) if end > begin else 0.0
        return self._shares[number] + within * (self._shares[number + 1] - self._shares[number])


def timeline(log: RunLog, evidence: Iterable[int]) -> Timeline:
    """The time line of a run.

    Args:
        evidence: ``seq`` of the exchanges that findings rest on.
    """
    accused = frozenset(evidence)
    by_ref: dict[str, list[Exchange]] = {}
    for exchange in log.exchanges:
        if exchange.ref is not None:
            by_ref.setdefault(exchange.ref, []).append(exchange)
    purposes = {action.ref: action.purpose for action in log.templates}
    built = [ref for ref, exchanges in by_ref.items() if ref in purposes or any(map(_starts, exchanges))]
    built.sort(key=lambda ref: not any(e.seq in accused for e in by_ref[ref]))  # stable: else in order of time
    step_share = _STEP_SHARE
    while True:
        rows = tuple(_row(ref, purposes.get(ref, ""), by_ref[ref], accused, step_share) for ref in built[:MAX_ROWS])
        if sum(len(row.marks) for row in rows) <= MAX_MARKS or step_share > 1:
            return Timeline(rows, _left_out(by_ref, built, log))
        step_share *= 2


def _starts(exchange: Exchange) -> bool:
    return exchange.operation == "startBuild" and 200 <= exchange.status < 300


def _left_out(by_ref: dict[str, list[Exchange]], built: list[str], log: RunLog) -> str:
    idle = [len(exchanges) for ref, exchanges in by_ref.items() if ref not in set(built)]
    homeless = sum(1 for exchange in log.exchanges if exchange.ref is None)
    parts = [f"{len(built) - MAX_ROWS} more versions without room here"] if len(built) > MAX_ROWS else []
    parts += [f"{len(idle)} versions that were never built ({sum(idle):,} exchanges)"] if idle else []
    parts += [f"{homeless:,} exchanges that name no version"] if homeless else []
    return "; ".join(parts)


def _row(ref: str, purpose: str, exchanges: list[Exchange], accused: frozenset[int], step_share: float) -> Row:
    exchanges = sorted(exchanges, key=lambda e: e.sent_at)
    scale, states = Scale([(e.sent_at, e.done_at) for e in exchanges]), _states(exchanges)
    return Row(
        ref=ref,
        purpose=purpose,
        started_s=scale.begin_s,
        length_s=scale.end_s - scale.begin_s,
        marks=tuple(_marks(exchanges, scale, step_share)),
        bands=tuple(_bands(states, scale)),
        pauses=scale.pauses,
        summary=_summary(exchanges, states),
        accused=any(e.seq in accused for e in exchanges),
    )


def _marks(exchanges: list[Exchange], scale: Scale, step_share: float) -> Iterable[Mark]:
    groups: dict[tuple[str, str, int], list[list[Exchange]]] = {}
    for exchange in exchanges:
        status = exchange.status
        tone = "ok" if 200 <= status < 400 else "refused" if 400 <= status < 500 else "wrong"
        runs = groups.setdefault((SHAPES.get(exchange.operation, "other"), tone, status), [])
        if runs and scale.share(exchange.sent_at) - scale.share(runs[-1][0].sent_at) <= step_share:
            runs[-1].append(exchange)
        else:
            runs.append([exchange])
    for (shape, tone, _), runs in groups.items():
        for run in runs:
            end_at = max(e.done_at for e in run) if shape == "stream" else run[-1].sent_at
            start_share = scale.share(run[0].sent_at)
            width_share = scale.share(end_at) - start_share
            yield Mark(shape, tone, start_share, width_share, len(run), _label(run, scale.begin_s))


def _label(run: list[Exchange], started_s: float) -> str:
    first, last = run[0], run[-1]
    outcome = str(first.status) if first.response else "no response"
    states = [str(e.body.get("status")) for e in run if isinstance(e.body.get("status"), str)]
    state = f" {clipped(' → '.join(dict.fromkeys(states)), 40)}" if states else ""
    name, begin = first.operation or first.request.method, span(first.sent_at - started_s)
    if len(run) == 1:
        return f"#{first.seq} {name} {outcome}{state}, +{begin}, took {span(first.elapsed_s)}"
    end = span(last.sent_at - started_s)
    return f"#{first.seq}–{last.seq} {len(run)} × {name} {outcome}{state}, +{begin} to +{end}"


def _states(exchanges: list[Exchange]) -> list[tuple[float, str]]:
    """When which state was reported, in order of time, repetitions left out."""
    found: list[tuple[float, str]] = []
    for exchange in sorted(exchanges, key=lambda e: e.done_at):
        state = exchange.body.get("status") if 200 <= exchange.status < 300 else None
        if isinstance(state, str) and state in _STATES and (not found or found[-1][1] != state):
            found.append((exchange.done_at, state))
    return found


def _bands(states: list[tuple[float, str]], scale: Scale) -> Iterable[Band]:
    ends = [*(at for at, _ in states[1:]), scale.end_s]
    for (begin, state), end in zip(states, ends, strict=False):  # one end too many where no state was seen
        label = f"{state} from +{span(begin - scale.begin_s)} to +{span(end - scale.begin_s)}"
        yield Band(state, scale.share(begin), scale.share(end) - scale.share(begin), label)


def _summary(exchanges: list[Exchange], states: list[tuple[float, str]]) -> str:
    path = " → ".join(state for _, state in states[:8]) + (" → …" if len(states) > 8 else "")
    counts = Counter((SHAPES.get(e.operation, "other"), e.status if e.response else "no response") for e in exchanges)
    kinds = [f"{shape} {status}" + (f" ×{n}" if n > 1 else "") for (shape, status), n in counts.items()]
    more = f", and {len(kinds) - 8} kinds more" if len(kinds) > 8 else ""
    return f"{path or 'no state seen'} · {', '.join(kinds[:8])}{more}"
