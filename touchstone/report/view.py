"""View of a run: the data from which each report is rendered."""

import json
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from touchstone.contract.parsing import unique_names
from touchstone.facts.events import Attempt, Case, Header, LedgerClaim, Occurrence, RunLog, Workload
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding
from touchstone.facts.sample import Window
from touchstone.facts.wording import brief, clipped, figure, percentage, plural
from touchstone.loadgen.capacity import Capacity, capacity
from touchstone.loadgen.metrics import Metrics, Punctuality, metrics, punctuality
from touchstone.loadgen.not_judged import Fallen, Pause, fallen, limit_starts, pauses
from touchstone.loadgen.thresholds import STATISTICS, Reading, ReadingVerdict, measured, scope_text, value_text
from touchstone.report.picture import Picture, picture
from touchstone.report.probe_view import ProbeView, probe_of
from touchstone.report.script import Script, script
from touchstone.rules.verdict import VERDICTS, ClaimVerdict, RunVerdict, Verdict, judge, unexplained

COMMON = 12  # a reason with this number of claims or more does not list the claims
MAX_EVIDENCE = 6  # exchanges shown in full for one finding
MAX_EVIDENCE_CHARS = 65_000  # of all findings together; keeps the HTML page below 300 KB
MAX_BODY_CHARS = 2_000
MAX_HEADERS = 24
_MAX_HEX_BYTES = 64
_ENDS = {"server": "closed by the server", "client": "still open at the time limit"}
_TINY_SHARE = 0.0005  # a value below this share of its limit has a margin that would round to 100 %
_ORDER: tuple[ReadingVerdict, ...] = ("broken", "indeterminate", "kept", "not-applicable")


class Half(NamedTuple):
    """The request or the response of an exchange; *remark* says how the body was cut or converted."""

    start: str
    headers: str  # one on each line
    body: str
    remark: str


@dataclass(frozen=True, slots=True)
class Readable:
    """One exchange, formatted; *error* says why the response is missing or incomplete."""

    exchange: Exchange
    line: str
    request: Half
    response: Half | None
    error: str

    @property
    def size(self) -> int:
        """Approximate number of characters that the exchange takes on an HTML page."""
        return 600 + sum(map(len, (*self.request, *(self.response or [self.error]))))


@dataclass(frozen=True, slots=True)
class FindingView:
    """One finding with its evidence."""

    finding: Finding
    claim: LedgerClaim
    occurrences: int
    held: int  # how often the same check found that the claim held
    credential: str  # the key of the deciding request; empty if unknown
    cases: tuple[str, ...]  # ids of the cases with the finding, each once
    exchanges: tuple[Readable, ...]  # evidence that fits on the page, the deciding exchange first
    left_out: tuple[int, ...]  # ``seq`` of the evidence that does not fit
    known: bool = False  # whether the baseline lists the finding
    new: bool = False  # whether the claim is newer than the contract version of the run
    picture: Picture | None = None  # None if the evidence is a single exchange
    script: Script | None = None  # None if the finding cannot be repeated, as in a recording


class Reason(NamedTuple):
    """A reason why claims have no verdict, and these claims."""

    reason: str
    claims: list[str]

    @property
    def is_common(self) -> bool:
        """Whether there are too many claims to list them."""
        return len(self.claims) >= COMMON


@dataclass(frozen=True, slots=True)
class LimitLine:
    """One threshold, as reports show it."""

    operation: str  # the operation, or all operations together
    says: str  # description of the limited statistic
    bound: str  # ``at most`` or ``at least``
    limit: str  # the limit, in the statistic's unit
    measured: str  # the measured value, in the statistic's unit
    margin_share: float | None  # distance from the limit divided by the limit; negative if broken; None if unknown
    margin: str  # *margin_share* as text
    reading: Reading  # the measurement


@dataclass(frozen=True, slots=True)
class LoadView:
    """The load of a run, as reports show it."""

    workload: Workload
    numbers: Metrics
    kept: Punctuality
    capacity: Capacity | None  # None if the run started no builds
    limits: tuple[LimitLine, ...]  # broken ones first, then indeterminate ones
    windows: tuple[Window, ...]  # requests of each second, for the charts
    attempts: tuple[Attempt, ...]  # starts, for the charts
    closing_counts: tuple[int, int, int]  # starts that test the rate limit after a storm: all, refused, failed
    silence: Fallen | None  # period without responses at the end of the run
    pauses: tuple[Pause, ...]  # earlier periods without responses


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the reports of a run show."""

    header: Header
    verdict: RunVerdict
    duration_s: float
    interrupted: bool
    counts: dict[str, int]
    findings: tuple[FindingView, ...]  # those that do not count last, those on ``must`` claims first, else by time
    subjects: dict[str, list[ClaimVerdict]]  # claims by the first part of their id, in ledger order
    stuck: tuple[Reason, ...]  # why ``must`` claims could not run
    idle: tuple[Reason, ...]  # why claims were not applicable
    unclear: tuple[Reason, ...]  # why claims are indeterminate
    cases: dict[str, int]  # number of cases by outcome
    trouble: tuple[Case, ...]  # cases that ended without a verdict because Touchstone failed
    warnings: tuple[str, ...]
    left_behind: tuple[str, ...]  # templates that the run could not delete
    may_be_left: tuple[str, ...]  # templates that may still exist on the target
    command: str
    again: str = ""
    load: LoadView | None = None
    probe: ProbeView | None = None

    @property
    def exit_code(self) -> int:
        """Exit code of the run."""
        return self.verdict.exit_code

    @property
    def requests(self) -> int | None:
        """Number of requests of a load run or a probe; None for other runs."""
        if self.load:
            return self.load.numbers.total.whole.count
        if self.probe is None:
            return None
        of_knee = self.probe.knee.knee.requests if self.probe.knee else 0
        return self.probe.identity.cost.requests + len(self.probe.failed) + of_knee

    @property
    def reason(self) -> str:
        """Reason for the exit code, in one sentence."""
        return self.verdict.reason

    @property
    def target(self) -> str:
        """Name of the target, or its URL if the command line gave one."""
        target = self.header.target
        return target.url if target.name in ("", "url") else target.name

    @property
    def healed(self) -> tuple[ClaimVerdict, ...]:
        """Claims that hold although the baseline lists them as broken."""
        return tuple(claim for claim in self.verdict.claims if claim.holds_again)


def view(log: RunLog) -> View:
    """Builds the view of a run."""
    verdict = judge(log)
    footer, claims = log.footer, verdict.claims
    findings = _findings(log, verdict)
    subjects: dict[str, list[ClaimVerdict]] = defaultdict(list)
    for item in claims:
        subjects[item.claim.subject].append(item)
    newer = ", ".join(item.claim.id for item in claims if item.new)
    news = f"new since contract version {log.header.contract_version}, so they do not fail the run: {newer}"
    last_actions = {action.ref: action.action for action in log.templates}
    return View(
        header=log.header,
        verdict=verdict,
        duration_s=footer.duration_s if footer else max((one.done_at for one in log.exchanges), default=0.0),
        interrupted=footer is None or footer.interrupted,
        counts={
            "claims": len(claims),
            **{name.replace("-", "_"): verdict.count(name) for name in VERDICTS},
            "exchanges": len(log.exchanges),
        },
        findings=findings,
        subjects=subjects,
        stuck=_reasons(claims, "could-not-run", must_only=True),
        idle=_reasons(claims, "not-applicable"),
        unclear=_reasons(claims, "indeterminate"),
        cases=dict(Counter(case.outcome for case in log.cases)),
        trouble=unexplained(log),
        warnings=tuple(dict.fromkeys([*log.warnings, *([news] if newer else [])])),
        left_behind=tuple(ref for ref, action in last_actions.items() if action == "left"),
        may_be_left=tuple(ref for ref, action in last_actions.items() if action == "may-be-left"),
        command=shlex.join(log.header.command_line),
        again=_again(log.header, findings),
        load=load_view(log),
        probe=probe_of(log.probe),
    )


def _findings(log: RunLog, verdict: RunVerdict) -> tuple[FindingView, ...]:
    claims = {item.claim.id: item for item in verdict.claims}
    unknown = {finding.id: finding for item in verdict.claims for finding in item.unknown}
    excused = {f.id for f in log.findings if f.id not in unknown or claims[f.claim].new}
    shown = (unknown.get(finding.id, finding) for finding in log.findings)
    general = ("http.", "error.")  # claims about all operations say less than those about one
    findings = sorted(
        shown, key=lambda f: (f.id in excused, claims[f.claim].claim.level != "must", f.claim.startswith(general))
    )
    occurrences: dict[str, list[Occurrence]] = defaultdict(list)
    for one in log.occurrences:
        occurrences[one.finding.id].append(one)
    exchanges = {exchange.seq: exchange for exchange in log.exchanges}
    evidence = _evidence(findings, log, exchanges)
    return tuple(
        FindingView(
            finding=finding,
            claim=claims[finding.claim].claim,
            occurrences=sum(one.times for one in occurrences[finding.id]),
            held=sum(check.held for check in claims[finding.claim].checks if check.check == finding.check),
            credential=last.credential if (last := exchanges.get(max(finding.evidence[-1:], default=0))) else "",
            cases=tuple(dict.fromkeys(one.case for one in occurrences[finding.id] if one.case)),
            exchanges=tuple(evidence[finding.id]),
            left_out=tuple(sorted(set(finding.evidence) - {item.exchange.seq for item in evidence[finding.id]})),
            known=finding.id not in unknown,
            new=claims[finding.claim].new,
            picture=picture(log, finding, exchanges),
            script=script(log, finding, exchanges),
        )
        for finding in findings
    )


def _evidence(findings: list[Finding], log: RunLog, exchanges: dict[int, Exchange]) -> dict[str, list[Readable]]:
    """Evidence that fits on the page, by finding id; the deciding exchange of each finding has priority."""
    evidence: dict[str, list[Readable]] = defaultdict(list)
    room = MAX_EVIDENCE_CHARS
    for rank in range(MAX_EVIDENCE):
        for finding in findings:
            for seq in [seq for seq in dict.fromkeys(reversed(finding.evidence)) if seq in exchanges][rank : rank + 1]:
                item = readable(exchanges[seq], log.cut_bytes, log.header.target.url)
                if item.size <= room:
                    room -= item.size
                    evidence[finding.id].append(item)
    return evidence


def _reasons(claims: tuple[ClaimVerdict, ...], verdict: Verdict, *, must_only: bool = False) -> tuple[Reason, ...]:
    groups: dict[str, list[str]] = defaultdict(list)
    for claim in claims:
        if claim.verdict == verdict and (claim.claim.level == "must" or not must_only):
            groups[claim.reason].append(claim.claim.id)
    return tuple(map(Reason, groups, groups.values()))


def _again(header: Header, findings: tuple[FindingView, ...]) -> str:
    """Command that repeats the run with the same seed; for a check, with the broken claims only."""
    arguments = [word for word in _without(header.command_line, "--report-dir") if word != "--last-failed"]
    if header.command in ("check", "load", "probe"):  # these commands have the option --seed
        arguments = [*_without(arguments, "--seed"), "--seed", str(header.seed)]
    claims = ",".join(dict.fromkeys(item.claim.id for item in findings))
    claims = claims or (header.claims_glob if "--last-failed" in header.command_line else "")
    if claims and header.command == "check":
        arguments = [*_without(arguments, "--claims"), "--claims", claims]
    return shlex.join(arguments)


def _without(arguments: list[str], option: str) -> list[str]:
    pairs = zip(["", *arguments], arguments, strict=False)
    return [word for before, word in pairs if option not in (before, word) and not word.startswith(f"{option}=")]


def readable(exchange: Exchange, cut_bytes: dict[tuple[int, str], int], base_url: str = "") -> Readable:
    """Formats an exchange; *cut_bytes* has the full lengths of bodies that the run log cut."""
    request, response = exchange.request, exchange.response
    body, remark = _body(request.body, cut_bytes.get((exchange.seq, "request")))
    start = f"{request.method} {clipped(request.url, 600)}"
    request_half, response_half = Half(start, _headers(request.headers), body, remark), None
    outcome = str(exchange.status) if response else f"no response ({exchange.error or 'given up'})"
    if response is not None:
        body, remark = _body(response.body, cut_bytes.get((exchange.seq, "response")))
        if chunks := response.chunks:
            first, last, ended = brief(chunks[0].at_s), brief(chunks[-1].at_s), _ENDS.get(exchange.closed, "ended")
            stream = f"stream of {plural(len(chunks), 'piece')}, the first after {first}, the last after {last}"
            stream += f"; {ended} after {brief(exchange.elapsed_s)}"
            remark = f"{remark}; {stream}" if remark else stream
        response_half = Half(f"HTTP {response.status}", _headers(response.headers), body, remark)
    line = f"{request.method} {clipped(request.url.removeprefix(base_url), 160)} → {clipped(outcome, 160)}"
    error = exchange.error or ("" if response else "no response")
    return Readable(exchange, line, request_half, response_half, error)


def _headers(pairs: tuple[tuple[str, str], ...]) -> str:
    lines = [clipped(f"{name}: {value}", 300) for name, value in pairs[:MAX_HEADERS]]
    more = [f"… and {len(pairs) - MAX_HEADERS} more headers"] if len(pairs) > MAX_HEADERS else []
    return "".join(f"{line}\n" for line in [*lines, *more])


def _body(body: bytes, full_bytes: int | None) -> tuple[str, str]:
    length = full_bytes or len(body)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = body[:_MAX_HEX_BYTES].hex(" ") + (" …" if len(body) > _MAX_HEX_BYTES else "")
        return text, f"{length:,} bytes, not UTF-8: the first {min(len(body), _MAX_HEX_BYTES)} in hexadecimal"
    with suppress(ValueError, RecursionError):  # other text stays unchanged, and so does JSON with a repeated key
        text = json.dumps(json.loads(text, object_pairs_hook=unique_names), indent=2, ensure_ascii=False)
    if not body or (full_bytes is None and len(text) <= MAX_BODY_CHARS):
        return text, ""
    return clipped(text, MAX_BODY_CHARS), f"cut: the full body has {length:,} bytes"


def load_view(log: RunLog) -> LoadView | None:
    """View of the load; None if the run was not a load run."""
    if log.workload is None:
        return None
    statuses = [start.status for start in limit_starts(log)]
    return LoadView(
        workload=log.workload,
        numbers=metrics(log),
        kept=punctuality(log),
        capacity=capacity(log),
        limits=limit_lines(measured(log)),
        windows=log.windows,
        attempts=log.attempts,
        closing_counts=(len(statuses), statuses.count(429), sum(status >= 500 or not status for status in statuses)),
        silence=fallen(log.windows),
        pauses=pauses(log.windows),
    )


def limit_lines(readings: Iterable[Reading]) -> tuple[LimitLine, ...]:
    """Thresholds as reports show them, the worst first."""
    return tuple(map(_line, sorted(readings, key=lambda reading: _ORDER.index(reading.verdict))))


def _line(reading: Reading) -> LimitLine:
    statistic, limit, value = STATISTICS[reading.limit.statistic], reading.limit.value, reading.value
    share = None
    if value is not None and limit:
        share = (value - limit) / limit if statistic.is_floor else (limit - value) / limit
    return LimitLine(
        operation=scope_text(reading.limit.operation),
        says=statistic.description,
        bound="at least" if statistic.is_floor else "at most",
        limit=value_text(replace(reading, value=limit)),
        measured=value_text(reading),
        margin_share=share,
        margin=_margin_text(share, is_floor=statistic.is_floor),
        reading=reading,
    )


def _margin_text(share: float | None, *, is_floor: bool) -> str:
    if not share:
        return "–" if share is None else "exactly at the limit"
    name, above = ("minimum" if is_floor else "limit"), share > 0 if is_floor else share < 0
    if above and abs(share) >= 1:
        return f"{figure(1 + abs(share))} × the {name}"
    size = "over 99.9 %" if 0 < 1 - abs(share) < _TINY_SHARE else percentage(min(abs(share), 1.0))
    return f"{size} {'above' if above else 'below'} the {name}"
