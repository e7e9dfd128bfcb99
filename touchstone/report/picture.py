"""Picture of a finding about a history: its exchanges as lanes on a line of time, and the possible states."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple, TypeVar

import numpy as np

from touchstone.check.run import given_contents
from touchstone.config import Templates
from touchstone.contract.answers import State, answer
from touchstone.contract.document import Contract
from touchstone.facts.events import RunLog
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding
from touchstone.facts.wording import brief, clipped, one_line
from touchstone.report.texts import TEXTS
from touchstone.rules.history import History
from touchstone.rules.lifecycle import Moment, life_cycle, moments

MAX_LANES = 12  # lanes of a picture; the evidence has priority
_UNIT_S = 0.02  # a period of this length is drawn about twice as wide as an instant
_LEAST_SHARE = 0.012  # width of the shortest bar
Key = TypeVar("Key")


class Span(NamedTuple):
    """Part of the line of time: its left end and its width, as shares of the line."""

    start_share: float
    width_share: float


@dataclass(frozen=True, slots=True)
class Lane:
    """One exchange of a picture; *decides* marks the last one of the evidence, which shows the fault."""

    exchange: Exchange
    bar: Span
    tone: str  # ``ok``, ``refused`` (4xx), ``wrong`` (5xx or no response)
    text: str  # such as ``start 202 building``
    after: str  # time since the first exchange of the picture
    is_evidence: bool
    decides: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """The history of one finding; shares are positions on the line of time, which is not to scale."""

    lanes: tuple[Lane, ...]  # in the order of sending
    bands: Mapping[str, tuple[Span, ...]]  # when each state was possible
    periods: tuple[tuple[float, float, frozenset[State]], ...]  # from, to, and the states that were possible
    explained_at: float  # run time of the last end of an exchange before the deciding one
    explained_share: float
    allowed: Mapping[str, str]  # for each state that was possible in the end: the responses that it allows
    left_out: int  # other exchanges about the versions, in the same time

    @property
    def steps(self) -> tuple[str, ...]:
        """The evidence in words, in the order of sending."""
        return tuple(lane.text for lane in self.lanes if lane.is_evidence)

    @property
    def why(self) -> str:
        """What the possible states allow instead, such as ``building allows 202; ready allows 404``."""
        return "; ".join(f"{state} allows {text}" for state, text in self.allowed.items())


def picture(log: RunLog, finding: Finding, exchanges: Mapping[int, Exchange]) -> Picture | None:
    """Draws a finding from the exchanges of its run, by ``seq``; None if its evidence is one exchange or is lost."""
    evidence = [exchanges[seq] for seq in finding.evidence if seq in exchanges]
    if len(evidence) < 2 or evidence[-1].seq != finding.evidence[-1]:
        return None
    last, refs = evidence[-1], {e.ref for e in evidence if e.ref}
    begun_at = min(e.sent_at for e in evidence if e.operation != "publishTemplate" or e is last)
    others = [e for e in exchanges.values() if e.ref in refs and e not in evidence]
    others = [e for e in others if e.sent_at < last.done_at and e.done_at > begun_at]
    # First those that overlap the evidence, then those about the same version, the latest first.
    others.sort(key=lambda e: (not any(e.overlaps(one) for one in evidence), e.ref != last.ref, -e.sent_at))
    drawn = [*evidence[-MAX_LANES:], *others[: max(0, MAX_LANES - len(evidence))]]
    scale = _Scale([time for e in drawn for time in (e.sent_at, e.done_at)])
    known = [m for m in _moments(log, last, evidence) if m.at <= last.done_at]
    ends = [*(moment.at for moment in known[1:]), last.done_at]
    steps = [(m.at, end, m.after) for m, end in zip(known, ends, strict=False) if m.after and m.at < end]
    periods = tuple((at, end, states) for states, at, end in _joined((after, at, end) for at, end, after in steps))
    decided = next((m for m in known if m.exchange is last and m.window), None)
    window = decided.window if decided and last.operation in ("startBuild", "getBuild", "cancelBuild") else ()
    rows = {state: answer(last.operation, state) for state in State if state in window}
    if finding.check != life_cycle.id or any(row.fits(last.status, last.body.get("status")) for row in rows.values()):
        rows = {}  # the finding is about something else than the state
    explained_at = max((e.done_at for e in drawn if e.done_at <= last.sent_at), default=last.sent_at)
    short = f"touchstone-{log.header.run_id}-" if len(refs) > 1 else ""
    return Picture(
        lanes=tuple(
            Lane(
                exchange=e,
                bar=scale.span(e.sent_at, e.done_at),
                tone="ok" if 200 <= e.status < 400 else "refused" if 400 <= e.status < 500 else "wrong",
                text=_text(e, short),
                after=f"+{brief(e.sent_at - scale.begun_at)}",
                is_evidence=e in evidence,
                decides=e is last,
            )
            for e in sorted(drawn, key=lambda e: (e.sent_at, e.seq))
        ),
        bands={
            state.value: tuple(
                scale.span(at, end)
                for on, at, end in _joined((state in states, at, end) for at, end, states in periods)
                if on
            )
            for state in State
            if finding.check == life_cycle.id and any(state in states for _, _, states in periods)
        },
        periods=periods,
        explained_at=explained_at,
        explained_share=scale.share(explained_at),
        allowed={state.value: str(row) for state, row in rows.items()},
        left_out=len(others) + len(evidence) - len(drawn),
    )


def _moments(log: RunLog, last: Exchange, evidence: list[Exchange]) -> list[Moment]:
    """What the evidence shows about the states of the version of *last*."""
    try:
        templates = Templates(**log.header.of_target("templates"))
    except ValueError:  # a run log from elsewhere
        templates = Templates()
    history = History(Contract.load(), given=given_contents(templates))
    for exchange in sorted(evidence, key=lambda e: (e.done_at, e.seq)):
        history.add(exchange)
    return [moment for view in history.views(last.ref or "") for moment in moments(last.ref or "", view)]


def _joined(steps: Iterable[tuple[Key, float, float]]) -> Iterator[tuple[Key, float, float]]:
    """Joins consecutive periods with the same key; each period is a key with its begin and its end."""
    for key, group in groupby(steps, key=lambda step: step[0]):
        periods = list(group)
        yield key, periods[0][1], periods[-1][2]


def _text(exchange: Exchange, short: str) -> str:
    status = next((v for key in ("status", "auto_build") if isinstance(v := exchange.body.get(key), str)), "")
    ref = f" {(exchange.ref or '').rpartition('/')[2].removeprefix(short)}" if short and exchange.ref else ""
    by = "" if exchange.credential == "primary" else f" (key: {exchange.credential})"
    verb = TEXTS["verbs"].get(exchange.operation, exchange.operation or exchange.request.method)
    outcome = str(exchange.status) if exchange.response else "no response"
    return one_line(f"{verb}{ref}{by} {outcome} {clipped(status, 24)}".rstrip())


class _Scale:
    """Maps run time to shares of a line. Short periods are drawn wider than they are, so that each order is visible."""

    def __init__(self, times: list[float]) -> None:
        self._edges = sorted(set(times))
        self.begun_at = self._edges[0]
        widths = [1 + 2 * math.log10(1 + (end - start) / _UNIT_S) for start, end in pairwise(self._edges)]
        self._shares = np.cumsum([0.0, *widths]) / max(sum(widths), 1e-9)

    def share(self, at: float) -> float:
        return float(np.interp(at, self._edges, self._shares))

    def span(self, start: float, end: float) -> Span:
        return Span(self.share(start), max(_LEAST_SHARE, self.share(end) - self.share(start)))
