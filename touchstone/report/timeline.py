"""Timeline of each template version of a run: its exchanges, and the states that responses reported."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from touchstone.facts.events import RunLog
from touchstone.facts.exchange import Exchange
from touchstone.facts.wording import brief, clipped, plural

MAX_ROWS = 40
MAX_MARKS = 450
_STEP_SHARE = 0.012  # marks of one kind closer than this share of the line are merged
_LONG_SHARE, _SHORT_SHARE = 0.5, 0.04  # a pause longer than the first share of the line is drawn as wide as the second

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
class Stretch:
    """Part of a timeline: consecutive exchanges of one kind, a period in one state, or a shortened pause."""

    kind: str  # one of SHAPES or ``other``, a state, or ``pause``
    start_share: float  # left end, as a share of the line
    width_share: float  # as a share of the line; 0 for a single exchange that is no stream
    label: str
    tone: str = ""  # ``ok``, ``refused`` (4xx), ``wrong`` (5xx or no response)
    number: int = 0  # number of exchanges


@dataclass(frozen=True, slots=True)
class Row:
    """Timeline of one version; *accused* says whether one of its exchanges is evidence of a finding."""

    ref: str
    purpose: str
    started_s: float
    length_s: float
    marks: tuple[Stretch, ...]
    bands: tuple[Stretch, ...]
    pauses: tuple[Stretch, ...]
    summary: str
    accused: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """Timelines of a run, those with evidence of a finding first; *left_out* describes the versions without a row."""

    rows: tuple[Row, ...]
    left_out: str


class Scale:
    """Maps run seconds to positions on a line that shortens long pauses. *busy*: periods (begin, end), by begin."""

    def __init__(self, busy: Sequence[tuple[float, float]]) -> None:
        self.begin_s = until = busy[0][0]
        self.end_s = max(self.begin_s + 0.001, *(end for _, end in busy))
        self._edges = [self.begin_s]
        for begin, end in busy:
            if begin - until > _LONG_SHARE * (self.end_s - self.begin_s):
                self._edges += [until, begin]
            until = max(until, end)
        self._edges.append(self.end_s)
        lengths = np.diff(self._edges)  # of busy periods and pauses in turn
        pauses = lengths[1::2]
        widths = lengths * (1 - _SHORT_SHARE * len(pauses)) / max(lengths[::2].sum(), 1e-3)
        widths[1::2] = _SHORT_SHARE
        self._shares = np.concatenate([[0.0], np.cumsum(widths)])
        self.pauses = tuple(
            Stretch("pause", float(start), _SHORT_SHARE, f"no request for {brief(length_s)}")
            for start, length_s in zip(self._shares[1::2], pauses, strict=False)
        )

    def share(self, at_s: float) -> float:
        """Position of *at_s* on the line, from 0 to 1."""
        return float(np.interp(at_s, self._edges, self._shares))


def timeline(log: RunLog, evidence: Iterable[int]) -> Timeline:
    """Timelines of the versions of a run; *evidence* has the ``seq`` of each exchange that is evidence of a finding."""
    accused = frozenset(evidence)
    by_ref: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in sorted(log.exchanges, key=lambda e: e.sent_at):
        by_ref[exchange.ref or ""].append(exchange)
    unversioned = len(by_ref.pop("", []))
    purposes = {action.ref: action.purpose for action in log.templates}
    started = {e.ref for e in log.exchanges if e.operation == "startBuild" and 200 <= e.status < 300}
    built = {ref: exchanges for ref, exchanges in by_ref.items() if ref in purposes or ref in started}
    idle = [len(exchanges) for ref, exchanges in by_ref.items() if ref not in built]
    parts = [plural(len(built) - MAX_ROWS, "more version")] if len(built) > MAX_ROWS else []
    parts += [f"{plural(len(idle), 'version')} without a build ({plural(sum(idle), 'exchange')})"] if idle else []
    parts += [f"{plural(unversioned, 'exchange')} without a version"] if unversioned else []
    drawn = sorted(built, key=lambda ref: not any(e.seq in accused for e in built[ref]))[:MAX_ROWS]
    step_share = _STEP_SHARE
    while True:
        rows = [_row(ref, purposes.get(ref, ""), built[ref], accused, step_share) for ref in drawn]
        if sum(len(row.marks) for row in rows) <= MAX_MARKS or step_share > 1:
            return Timeline(tuple(rows), "; ".join(parts))
        step_share *= 2


def _row(ref: str, purpose: str, exchanges: list[Exchange], accused: frozenset[int], step_share: float) -> Row:
    scale = Scale([(e.sent_at, e.done_at) for e in exchanges])
    bands = tuple(_bands(exchanges, scale))
    path = " → ".join(band.kind for band in bands[:8]) + (" → …" if len(bands) > 8 else "")
    counts = Counter((SHAPES.get(e.operation, "other"), e.status if e.response else "no response") for e in exchanges)
    kinds = [f"{shape} {status}" + (f" ×{n}" if n > 1 else "") for (shape, status), n in counts.items()]
    more = f", and {len(kinds) - 8} kinds more" if len(kinds) > 8 else ""
    return Row(
        ref=ref,
        purpose=purpose,
        started_s=scale.begin_s,
        length_s=scale.end_s - scale.begin_s,
        marks=tuple(_marks(exchanges, scale, step_share)),
        bands=bands,
        pauses=scale.pauses,
        summary=f"{path or 'no state reported'} · {', '.join(kinds[:8])}{more}",
        accused=any(e.seq in accused for e in exchanges),
    )


def _marks(exchanges: list[Exchange], scale: Scale, step_share: float) -> Iterator[Stretch]:
    groups: dict[tuple[str, str, int], list[list[Exchange]]] = defaultdict(list)
    for exchange in exchanges:
        status = exchange.status
        tone = "ok" if 200 <= status < 400 else "refused" if 400 <= status < 500 else "wrong"
        runs = groups[SHAPES.get(exchange.operation, "other"), tone, status]
        if runs and scale.share(exchange.sent_at) - scale.share(runs[-1][0].sent_at) <= step_share:
            runs[-1].append(exchange)
        else:
            runs.append([exchange])
    for (shape, tone, _), runs in groups.items():
        for run in runs:
            end_at = max(e.done_at for e in run) if shape == "stream" else run[-1].sent_at
            start_share = scale.share(run[0].sent_at)
            label = _label(run, scale.begin_s)
            yield Stretch(shape, start_share, scale.share(end_at) - start_share, label, tone, len(run))


def _label(run: list[Exchange], started_s: float) -> str:
    first, last = run[0], run[-1]
    outcome = str(first.status) if first.response else "no response"
    states = [str(e.body.get("status")) for e in run if isinstance(e.body.get("status"), str)]
    state = f" {clipped(' → '.join(dict.fromkeys(states)), 40)}" if states else ""
    name, begin = first.operation or first.request.method, brief(first.sent_at - started_s)
    if len(run) == 1:
        return f"#{first.seq} {name} {outcome}{state}, +{begin}, took {brief(first.elapsed_s)}"
    end = brief(last.sent_at - started_s)
    return f"#{first.seq}–{last.seq} {len(run)} × {name} {outcome}{state}, +{begin} to +{end}"


def _bands(exchanges: list[Exchange], scale: Scale) -> Iterator[Stretch]:
    """Yields periods in which responses reported the same state; the last period lasts until the last exchange."""
    found: list[tuple[float, str]] = []
    for exchange in sorted(exchanges, key=lambda e: e.done_at):
        state = exchange.body.get("status") if 200 <= exchange.status < 300 else None
        if isinstance(state, str) and state in _STATES and (not found or found[-1][1] != state):
            found.append((exchange.done_at, state))
    for (begin, state), (end, _) in pairwise([*found, (scale.end_s, "")]):
        label = f"{state} from +{brief(begin - scale.begin_s)} to +{brief(end - scale.begin_s)}"
        yield Stretch(state, scale.share(begin), scale.share(end) - scale.share(begin), label)
