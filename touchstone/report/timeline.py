"""What happened to each template version of a run: its exchanges on a line of time, and the states it was seen in."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from touchstone.facts.events import RunLog
from touchstone.facts.exchange import Exchange
from touchstone.facts.wording import clipped
from touchstone.report.pretty import span
from touchstone.report.scale import Pause, Scale

MAX_ROWS = 40
MAX_MARKS = 450
_STEP_SHARE = 0.012  # marks of one kind closer than this share of their line are drawn as one

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
class Row:
    """One version.

    Attributes:
        pauses: Stretches of time in which nothing was asked and which are drawn shorter than they were.
        accused: Whether an exchange of the row is evidence of a finding.
    """

    ref: str
    purpose: str
    started_s: float
    length_s: float
    marks: tuple[Mark, ...]
    bands: tuple[Band, ...]
    pauses: tuple[Pause, ...]
    words: str
    accused: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """All rows that are drawn, those with evidence of a finding first; and in words what is not drawn."""

    rows: tuple[Row, ...]
    left_out: str


def timeline(log: RunLog, evidence: Iterable[int]) -> Timeline:
    """The time line of a run.

    Args:
        log: The facts of the run.
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
    drawn = built[:MAX_ROWS]
    step_share = _STEP_SHARE
    while True:
        rows = tuple(_row(ref, purposes.get(ref, ""), by_ref[ref], accused, step_share) for ref in drawn)
        if sum(len(row.marks) for row in rows) <= MAX_MARKS or step_share > 1:
            return Timeline(rows, _left_out(by_ref, built, log))
        step_share *= 2


def _starts(exchange: Exchange) -> bool:
    return exchange.operation == "startBuild" and 200 <= exchange.status < 300


def _left_out(by_ref: dict[str, list[Exchange]], built: list[str], log: RunLog) -> str:
    parts = []
    if len(built) > MAX_ROWS:
        parts.append(f"{len(built) - MAX_ROWS} more versions without room here")
    idle = [len(exchanges) for ref, exchanges in by_ref.items() if ref not in set(built)]
    if idle:
        parts.append(f"{len(idle)} versions that were never built ({sum(idle):,} exchanges)")
    homeless = sum(1 for exchange in log.exchanges if exchange.ref is None)
    if homeless:
        parts.append(f"{homeless:,} exchanges that name no version")
    return "; ".join(parts)


def _row(ref: str, purpose: str, exchanges: list[Exchange], accused: frozenset[int], step_share: float) -> Row:
    exchanges = sorted(exchanges, key=lambda e: e.sent_at)
    scale = Scale([(e.sent_at, e.done_at) for e in exchanges])
    return Row(
        ref=ref,
        purpose=purpose,
        started_s=scale.begin_s,
        length_s=scale.end_s - scale.begin_s,
        marks=tuple(_marks(exchanges, scale, step_share)),
        bands=tuple(_bands(exchanges, scale)),
        pauses=scale.pauses,
        words=_words(exchanges),
        accused=any(e.seq in accused for e in exchanges),
    )


def _marks(exchanges: list[Exchange], scale: Scale, step_share: float) -> Iterable[Mark]:
    groups: dict[tuple[str, str, int], list[list[Exchange]]] = {}
    for exchange in exchanges:
        shape = SHAPES.get(exchange.operation, "other")
        runs = groups.setdefault((shape, _tone(exchange), exchange.status), [])
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


def _tone(exchange: Exchange) -> str:
    if 200 <= exchange.status < 400:
        return "ok"
    return "refused" if 400 <= exchange.status < 500 else "wrong"


def _label(run: list[Exchange], started_s: float) -> str:
    first, last = run[0], run[-1]
    outcome = str(first.status) if first.response else "no response"
    states = [str(e.body.get("status")) for e in run if isinstance(e.body.get("status"), str)]
    state = f" {clipped(' → '.join(dict.fromkeys(states)), 40)}" if states else ""
    name = first.operation or first.request.method
    if len(run) == 1:
        return f"#{first.seq} {name} {outcome}{state}, +{span(first.sent_at - started_s)}, took {span(first.elapsed_s)}"
    begin, end = span(first.sent_at - started_s), span(last.sent_at - started_s)
    return f"#{first.seq}–{last.seq} {len(run)} × {name} {outcome}{state}, +{begin} to +{end}"


def _sightings(exchanges: list[Exchange]) -> list[tuple[float, str]]:
    """When which state was reported, in order of time, repetitions left out."""
    seen: list[tuple[float, str]] = []
    for exchange in sorted(exchanges, key=lambda e: e.done_at):
        state = exchange.body.get("status") if 200 <= exchange.status < 300 else None
        if isinstance(state, str) and state in _STATES and (not seen or seen[-1][1] != state):
            seen.append((exchange.done_at, state))
    return seen


def _bands(exchanges: list[Exchange], scale: Scale) -> Iterable[Band]:
    seen = _sightings(exchanges)
    ends = [*(at for at, _ in seen[1:]), scale.end_s]
    for (begin, state), end in zip(seen, ends, strict=False):  # one end too many where no state was seen
        label = f"{state} from +{span(begin - scale.begin_s)} to +{span(end - scale.begin_s)}"
        yield Band(state, scale.share(begin), scale.share(end) - scale.share(begin), label)


def _words(exchanges: list[Exchange]) -> str:
    seen = _sightings(exchanges)
    states = " → ".join(state for _, state in seen[:8]) + (" → …" if len(seen) > 8 else "")
    counts = Counter((SHAPES.get(e.operation, "other"), e.status if e.response else "no response") for e in exchanges)
    asked = ", ".join(
        f"{shape} {status}" + (f" ×{n}" if n > 1 else "") for (shape, status), n in list(counts.items())[:8]
    )
    more = f", and {len(counts) - 8} kinds more" if len(counts) > 8 else ""
    return f"{states or 'no state seen'} · {asked}{more}"
