"""Shell script that repeats a finding: publishes versions, sends the requests again, and compares the last answer."""

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches

from touchstone.contract.answers import AT_REST, STATUSES
from touchstone.facts.curl import command
from touchstone.facts.events import RunLog
from touchstone.facts.exchange import Exchange, Request
from touchstone.facts.finding import Finding
from touchstone.facts.key_sources import KeySources, is_variable
from touchstone.report.texts import TEXTS
from touchstone.target.call import fill

_MUTATING = frozenset({"publishTemplate", "deleteTemplate", "startBuild", "cancelBuild"})
_NEEDED = ("startBuild", "publishTemplate")  # a read or a cancel needs a start, which needs a publish
_PAUSE_S = 0.05  # a shorter pause between two requests is not repeated
_MOST_PAUSE_S = 3.0
_REQUEST_S = 60.0
_OF_TIME = frozenset({"cancel.settles", "status.build-ends"})
MAX_BODY_CHARS = 4000  # of a recorded answer in the script
_WORDS = {"url": "${URL}", "new": "${NEW}"}


@dataclass(frozen=True, slots=True)
class Script:
    """What the script of a finding contains; assets/finding.sh.j2 is its template."""

    url: str
    variables: Mapping[str, str]  # environment variables with the keys, by their placeholders in the run log
    ways: "tuple[Way, ...]"  # the evidence with what it needs; then all that happened to its versions
    burst: "Way | None"  # a start that a limit may have refused, with what it needs: for many versions
    part: str  # the part of the last answer that shows the finding, see `_part`
    limit_s: float  # half of the duration of the last answer
    recorded: tuple[tuple[str, str, str], ...]  # code, head and body of each answer of the evidence


def script(log: RunLog, finding: Finding, exchanges: Mapping[int, Exchange]) -> Script | None:
    """Returns the script of *finding*; None for a recording, or if its exchanges are not in the run log."""
    evidence = [exchanges[seq] for seq in finding.evidence if seq in exchanges]
    if not evidence or evidence[-1].seq != finding.evidence[-1] or log.header.target.kind == "recording":
        return None
    sources = KeySources.of(log.header.settings)
    short, long = _short(evidence, exchanges.values()), _long(evidence, exchanges.values())
    ways = [Way(log, finding, evidence, sources, needed) for needed in ([short, long] if short != long else [short])]
    last, alone = evidence[-1], _short(evidence[-1:], exchanges.values())
    is_limited = last.operation == "startBuild" and last.status >= 400 and last.status not in (401, 403, 404)
    text = "\n".join(line for way in ways for line in (*way.steps, *way.removals))
    known = {f"key:{role}": name for role, name in asdict(sources).items()}
    known |= {f"env:{name}": name for name in map(str, log.header.of_target("headers").values())}
    return Script(
        url=shlex.quote(log.header.target.url),
        variables={k: v for k, v in known.items() if is_variable(v) and re.search(rf"\${{?{v}\b", text)},
        ways=tuple(ways),
        burst=Way(log, finding, [last], sources, alone) if is_limited else None,
        part=_part(finding, last),
        limit_s=last.elapsed_s / 2,
        recorded=tuple(map(_recorded, evidence)),
    )


def _part(finding: Finding, last: Exchange) -> str:
    """Returns what of the last answer shows the finding: ``code``, ``status`` (with the code), ``time`` or ``all``."""
    if last.response is None or last.error:
        return "code"
    if finding.claim == "start.does-not-wait":
        return "time"
    codes = re.findall(r"\b[1-5][0-9][0-9]\b", finding.expected)
    is_of_code = codes and re.match("(one of |any status except )?[1-5][0-9][0-9]", finding.expected)
    if is_of_code and (str(last.status) in codes) is finding.expected.startswith("any status except"):
        return "code"
    return "status" if finding.expected.startswith("status ") and status_of(last) else "all"


def status_of(exchange: Exchange) -> str:
    """Returns ``status`` in the body of a response; empty if it is missing or no text."""
    status = exchange.body.get("status")
    return status if isinstance(status, str) else ""


def _recorded(exchange: Exchange) -> tuple[str, str, str]:
    response = exchange.response
    if response is None or exchange.error:
        return "no complete answer", "", ""
    head = "".join(f"{name}: {value}\n" for name, value in response.headers)
    return str(response.status), f"HTTP\n{head}", response.body.decode("utf-8", "replace")[:MAX_BODY_CHARS]


def _short(evidence: list[Exchange], exchanges: Collection[Exchange]) -> list[Exchange]:
    """Returns the evidence, and before it the publish and the start that it needs."""
    found = {e.seq: e for e in evidence}
    for ref in {e.ref for e in evidence if e.ref}:
        first = next(e for e in evidence if e.ref == ref)
        before = [e for e in exchanges if e.ref == ref and e.done_at <= first.sent_at and 200 <= e.status < 300]
        for operation in _NEEDED[_NEEDED.index(first.operation) + 1 if first.operation in _NEEDED else 0 :]:
            found |= {e.seq: e for e in [e for e in before if e.operation == operation][-1:]}
    return _in_order(found, evidence)


def _long(evidence: list[Exchange], exchanges: Collection[Exchange]) -> list[Exchange]:
    """Returns the evidence, and all changes and reads of its versions."""
    last, names = evidence[-1], {e.ref.rpartition("@")[0] for e in evidence if e.ref}
    before = [e for e in exchanges if e.ref and e.sent_at < last.done_at and e.case != "clean-up"]
    published = {e.ref.rpartition("@")[0] for e in before if e.ref and e.operation == "publishTemplate"}
    for name in names - published:  # a server may confuse it with a similar name
        names |= {*get_close_matches(name, published, 1)}
    own = [e for e in before if (e.ref or "").rpartition("@")[0] in names]
    found = {e.seq: e for e in own if e.operation == "getBuild" or e.closed or e.request.method != "GET"}
    return _in_order(found | {e.seq: e for e in evidence}, evidence)


def _in_order(found: Mapping[int, Exchange], evidence: list[Exchange]) -> list[Exchange]:
    """Sorts evidence and logs by the time of sending, others by that of the response: by then, they took effect."""
    return sorted(found.values(), key=lambda e: (e.sent_at if e in evidence or e.closed else e.done_at, e.seq))


@dataclass
class Way:
    """One way to repeat a finding. *needed*: the exchanges that it repeats."""

    log: RunLog
    finding: Finding
    evidence: list[Exchange]
    sources: KeySources
    needed: list[Exchange]
    steps: list[str] = field(default_factory=list)  # lines of shell
    removals: list[str] = field(default_factory=list)
    deciding: list[int] = field(default_factory=list)  # numbers of the steps whose answer is compared
    earlier: list[int] = field(default_factory=list)  # numbers of the other steps of the evidence
    _number: int = 0
    _sleep_s: dict[str, float] = field(default_factory=dict)  # how long the build steps sleep, by ref
    _changes: dict[str, str] = field(default_factory=dict)  # the operation that changed a version last, by ref
    _running: dict[int, Exchange] = field(default_factory=dict)  # by the number of the step
    _known: dict[str, str] = field(default_factory=dict)  # the status last reported, by ref
    _awaited: dict[str, Exchange] = field(default_factory=dict)  # read to wait for before the next step, by ref

    def __post_init__(self) -> None:
        self.steps += self._lines(self.needed)

    def _lines(self, needed: list[Exchange]) -> Iterator[str]:
        last, before = self.evidence[-1], needed[0]
        for position, e in enumerate(needed):
            status = status_of(e)
            if e.operation == "getBuild" and e.request.method == "GET" and e is not last:
                if e.status == 200 and status in STATUSES and e.credential in ("primary", "second"):
                    if status in AT_REST and self._known.get(e.ref or "") != status:
                        self._awaited[e.ref or ""] = e
                    self._known[e.ref or ""] = status
                if e not in self.evidence:
                    continue
            if e.operation in _MUTATING:
                self._known.pop(e.ref or "", None)
            for number in [number for number, one in self._running.items() if one.done_at <= e.sent_at]:
                del self._running[number]
                yield f"wait $p{number}"
            # Three times as long as in the run.
            yield from (self._await(e, 10 + round(15 * (e.done_at - before.sent_at))) for e in self._awaited.values())
            self._awaited.clear()
            is_limited = before.status == 429 or e.note.get("limit")
            most_s = _MOST_PAUSE_S if is_limited else 0.7 * self._sleeps_s(e)  # the build must still run afterwards
            pause_s = min(most_s, e.sent_at - before.done_at)
            if pause_s >= _PAUSE_S and (e is not last or e.operation != "getBuild"):
                yield f"sleep {pause_s:.2f}"
            yield from self._before_last(e, before)
            later = (o for o in needed[position + 1 :] if e.closed or (o in self.evidence and e in self.evidence))
            yield self._send(e, beside=any(map(e.overlaps, later)))
            before = e
        yield from ["wait"] if self._running else []

    def _before_last(self, last: Exchange, before: Exchange) -> Iterator[str]:
        """Yields a wait for the recorded status before the last read; it lasts about as long as in the run."""
        status, gap_s = status_of(last), last.sent_at - before.done_at
        if last is not self.evidence[-1] or last.operation != "getBuild" or status not in STATUSES:
            return
        if status == "building" and self.finding.claim in _OF_TIME:  # it has to have ended by then
            ended = shlex.quote(r"ready\|failed\|not_built")
            yield self._line(f"await {ended} {round(5 * gap_s)}", last.request)
            return
        # After some time, a running build shows these by itself; so the script does not wait that long.
        may_follow = status in ("ready", "failed") and self._sleeps_s(last) > 0
        limit_s = max(gap_s, 0.7 * self._sleeps_s(last)) if may_follow else min(_MOST_PAUSE_S, 2 * gap_s + 1)
        yield self._await(last, max(1, round(5 * limit_s)))

    def _sleeps_s(self, e: Exchange) -> float:
        """Returns how long the steps of the running build of a version sleep; 0 if none runs or it was cancelled."""
        if self._known.get(e.ref or "", "building") != "building" or self._changes.get(e.ref or "") == "cancelBuild":
            return 0.0
        return self._sleep_s.get(e.ref or "", 0.0)

    def _send(self, e: Exchange, *, beside: bool) -> str:
        self._number += 1
        last = self.evidence[-1]
        same = (e.operation, e.ref, e.credential) == (last.operation, last.ref, last.credential)
        if e is not last and e in self.evidence:
            self.earlier.append(self._number)
        elif e is last or (same and e.overlaps(last)):  # in a race, another request may get the answer this time
            self.deciding.append(self._number)
        if beside:
            self._running[self._number] = e
        if e.operation in _MUTATING and 200 <= e.status < 300 and e.ref:
            self._changes[e.ref] = e.operation
            if e.operation == "publishTemplate":
                self._sleep_s[e.ref] = float(e.note.get("sleep_s", 0.0))
                self._removal(e)
        is_left = e.response is None or e.closed == "client"
        limit_s = max(0.05, e.elapsed_s) if is_left else max(1.0, 1.5 * e.elapsed_s) if e.closed else _REQUEST_S
        version = (e.ref or "").rpartition("/")[2].replace(self.log.header.run_id, "…")
        name = shlex.quote(f"{TEXTS['verbs'].get(e.operation, e.request.method)} {version}".strip())
        call = "send" if e.status == 429 or e.operation not in ("startBuild", "publishTemplate") else "patiently"
        line = self._line(f"{call} {self._number} {name} {limit_s:.2f}", e.request)
        return f"{line} & p{self._number}=$!" if beside else line

    def _await(self, read: Exchange, tries: int) -> str:
        return self._line(f"await {shlex.quote(status_of(read))} {tries}", read.request)

    def _removal(self, publish: Exchange) -> None:
        path = fill("/templates/{namespace}/{name}/{version}", publish.ref)
        headers = tuple(pair for pair in publish.request.headers if pair[0].lower() != "content-type")
        line = self._line("remove", Request("GET", f"{self.log.header.target.url}{path}", headers))
        if line not in self.removals:
            self.removals.append(line)

    def _line(self, call: str, request: Request) -> str:
        """Returns a line with the address and the run id replaced by variables."""

        def renewed(text: str) -> str:
            return text.replace(self.log.header.run_id, "<key:new>")

        url = renewed(request.url.replace(self.log.header.target.url, "<key:url>", 1))
        headers = tuple((name, renewed(value)) for name, value in request.headers)
        body = request.body.replace(self.log.header.run_id.encode(), b"<key:new>")
        last = self.evidence[-1]
        if last.operation == "getBuild" and status_of(last) not in AT_REST:
            # The build must last until curl has read it.
            body = body.replace(b'"run": [', b'"run": ["sleep 2", ', 1)
        return command(replace(request, url=url, headers=headers, body=body), self.sources, call, _WORDS)
