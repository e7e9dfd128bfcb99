"""One frozen view of a run, from which each report is written; it decides what is told, and the reports how."""

import shlex
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

from touchstone.facts.events import Case, Header, LedgerClaim, RunLog, TemplateDeed
from touchstone.facts.finding import Finding
from touchstone.report.load_view import LoadView, load_view
from touchstone.report.pretty import Readable, readable
from touchstone.report.probe_view import ProbeView, probe_of
from touchstone.report.timeline import Timeline, timeline
from touchstone.rules.verdict import VERDICTS, CheckCount, ClaimVerdict, RunVerdict, Verdict, judge, unexplained

COMMON = 12  # claims that share a reason
MAX_EVIDENCE = 6  # exchanges shown in full for one finding
MAX_EVIDENCE_CHARS = 70_000  # of all findings together; keeps the page under its 300 KB
_SEEDED = ("check", "load", "probe")  # the commands with --seed


@dataclass(frozen=True, slots=True)
class FindingView:
    """One finding, however often it was met.

    Attributes:
        cases: Ids of the cases that met it, each once.
        shown: The exchanges that it rests on, the deciding one first, as far as there is room for them.
        left_out: ``seq`` of the exchanges that are not shown.
        known: Whether the caller knows its claim to be broken.
    """

    finding: Finding
    claim: LedgerClaim
    occurrences: int
    cases: tuple[str, ...]
    shown: tuple[Readable, ...]
    left_out: tuple[int, ...]
    known: bool = False


class Reason(NamedTuple):
    """One reason and the claims that it holds for."""

    reason: str
    claims: list[str]

    @property
    def is_common(self) -> bool:
        """Whether it holds for so many that a list of them tells a reader nothing."""
        return len(self.claims) >= COMMON


@dataclass(frozen=True, slots=True)
class View:
    """All that a report may tell about a run.

    Attributes:
        findings: ``must`` first and known ones last, else in the order in which they were met.
        subjects: Claims by the first part of their ids, in the order of the ledger.
        stuck: Why claims could not be judged, ``must`` claims only.
        idle: Why claims did not apply.
        unclear: Why claims stayed indeterminate.
        trouble: Cases that ended without a verdict through a fault of ours.
        left_behind: Templates that the run could not delete.
        may_be_left: Templates of which nobody knows whether the target has them.
        load: None where the run was no load run.
        probe: None where the run was no probe.
    """

    header: Header
    verdict: RunVerdict
    duration_s: float
    interrupted: bool
    counts: dict[str, int]
    findings: tuple[FindingView, ...]
    subjects: dict[str, list[ClaimVerdict]]
    stuck: tuple[Reason, ...]
    idle: tuple[Reason, ...]
    unclear: tuple[Reason, ...]
    cases: dict[str, int]
    trouble: tuple[Case, ...]
    warnings: tuple[str, ...]
    left_behind: tuple[str, ...]
    may_be_left: tuple[str, ...]
    timeline: Timeline
    command: str
    again: str = ""
    load: LoadView | None = None
    probe: ProbeView | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of the run."""
        return self.verdict.exit_code

    @property
    def reason(self) -> str:
        """The sentence for the exit code."""
        return self.verdict.reason

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict on each claim, by its id."""
        return {item.claim.id: item.verdict for item in self.verdict.claims}

    @property
    def remarks(self) -> dict[str, str]:
        """What was found first, by the id of each broken claim."""
        found = reversed(self.findings)
        return {f.claim.id: f"expected {f.finding.expected}; actual {f.finding.actual}" for f in found}

    @property
    def target(self) -> str:
        """What a reader calls the target: its name, or its address where it was given on the command line."""
        target = self.header.target
        return target.url if target.name in ("", "url") else target.name

    @property
    def healed(self) -> tuple[ClaimVerdict, ...]:
        """The claims that hold although the caller knows them to be broken."""
        return tuple(claim for claim in self.verdict.claims if claim.holds_again)


def view(log: RunLog) -> View:
    """The view of a run."""
    verdict = judge(log)
    footer, claims = log.footer, verdict.claims
    findings = _findings(log, verdict)
    command = _command(log.header)
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
        subjects=_subjects(claims),
        stuck=_reasons(claims, "could-not-run", must_only=True),
        idle=_reasons(claims, "not-applicable"),
        unclear=_reasons(claims, "indeterminate"),
        cases=dict(Counter(case.outcome for case in log.cases)),
        trouble=unexplained(log),
        warnings=tuple(dict.fromkeys(log.warnings)),
        left_behind=_last_seen(log, "left"),
        may_be_left=_last_seen(log, "may-be-left"),
        timeline=timeline(log, (seq for f in log.findings for seq in f.evidence)),
        command=shlex.join(command),
        again=_again(command, log.header, findings),
        load=load_view(log),
        probe=probe_of(log.probe),
    )


def _findings(log: RunLog, verdict: RunVerdict) -> tuple[FindingView, ...]:
    claims = {item.claim.id: item for item in verdict.claims}
    findings = sorted(log.findings, key=lambda f: (claims[f.claim].known, claims[f.claim].claim.level != "must"))
    times: Counter[str] = Counter()
    cases: dict[str, dict[str, None]] = defaultdict(dict)
    for occurrence in log.occurrences:
        times[occurrence.finding.id] += occurrence.times
        if occurrence.case:
            cases[occurrence.finding.id][occurrence.case] = None
    evidence = _evidence(findings, log)
    return tuple(
        FindingView(
            finding=finding,
            claim=claims[finding.claim].claim,
            occurrences=times[finding.id],
            cases=tuple(cases[finding.id]),
            shown=tuple(evidence[finding.id]),
            left_out=tuple(sorted(set(finding.evidence) - {item.exchange.seq for item in evidence[finding.id]})),
            known=claims[finding.claim].known,
        )
        for finding in findings
    )


def _evidence(findings: list[Finding], log: RunLog) -> dict[str, list[Readable]]:
    """The exchanges of each finding that there is room for: the deciding one of every finding before any other."""
    by_seq = {exchange.seq: exchange for exchange in log.exchanges}
    evidence: dict[str, list[Readable]] = defaultdict(list)
    room = MAX_EVIDENCE_CHARS
    for rank in range(MAX_EVIDENCE):
        for finding in findings:
            for seq in [seq for seq in dict.fromkeys(reversed(finding.evidence)) if seq in by_seq][rank : rank + 1]:
                item = readable(by_seq[seq], log.cut_bytes, log.header.target.url)
                if item.size <= room:
                    room -= item.size
                    evidence[finding.id].append(item)
    return evidence


def _subjects(claims: tuple[ClaimVerdict, ...]) -> dict[str, list[ClaimVerdict]]:
    groups: dict[str, list[ClaimVerdict]] = defaultdict(list)
    for item in claims:
        groups[item.claim.subject].append(item)
    return groups


def _reasons(claims: tuple[ClaimVerdict, ...], verdict: Verdict, *, must_only: bool = False) -> tuple[Reason, ...]:
    groups: dict[str, list[str]] = defaultdict(list)
    for claim in claims:
        if claim.verdict == verdict and (claim.claim.level == "must" or not must_only):
            groups[claim.reason].append(claim.claim.id)
    return tuple(map(Reason, groups, groups.values()))


def _last_seen(log: RunLog, deed: TemplateDeed) -> tuple[str, ...]:
    last = {action.ref: action.action for action in log.templates}
    return tuple(ref for ref, action in last.items() if action == deed)


def _command(header: Header) -> list[str]:
    arguments = list(header.argv)
    if arguments and PurePath(arguments[0]).name.startswith(("touchstone", "__main__")):
        arguments = arguments[1:]
    if not arguments or arguments[0] != header.command:
        arguments = [header.command, *arguments]
    return ["touchstone", *arguments]


def _again(command: list[str], header: Header, findings: tuple[FindingView, ...]) -> str:
    """The command that runs the same with the same seed again; of a check with broken claims, those only."""
    # The folder of this run is taken, and what failed last is another thing the next time.
    arguments = [word for word in _without(command, "--report-dir") if word != "--last-failed"]
    if header.command in _SEEDED:
        arguments = [*_without(arguments, "--seed"), "--seed", str(header.seed)]
    claims = ",".join(dict.fromkeys(item.claim.id for item in findings))
    claims = claims or (header.claims_glob if "--last-failed" in command else "")
    if claims and header.command == "check":
        arguments = [*_without(arguments, "--claims"), "--claims", claims]
    return shlex.join(arguments)


def _without(arguments: list[str], option: str) -> list[str]:
    pairs = zip(["", *arguments], arguments, strict=False)
    return [word for before, word in pairs if option not in (before, word) and not word.startswith(f"{option}=")]


def describe_check(check: CheckCount) -> str:
    """What a check counted, such as ``14 held, 1 broken``."""
    counted = (("held", check.held), ("broken", check.broken), ("indeterminate", check.indeterminate))
    return ", ".join(f"{number:,} {word}" for word, number in counted if number)
