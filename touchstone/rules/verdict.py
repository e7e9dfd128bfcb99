"""Computes the verdict on each claim and on the run from the run log, without I/O.

A claim with a finding is broken. Without a finding, one held judgement upholds it. The baseline lists known findings.
The exit code is 1 if a ``must`` claim has another finding, if a claim in the baseline holds again, or if an entry of
the baseline has expired. Claims that are newer than the contract version of the run do not count. Exit code 0 needs a
complete run that upheld or broke at least one claim.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal

from touchstone.facts.events import Case, Footer, Header, Known, LedgerClaim, RunLog
from touchstone.facts.finding import Finding
from touchstone.facts.wording import plural, some

Verdict = Literal["broken", "upheld", "indeterminate", "could-not-run", "not-applicable"]
VERDICTS: tuple[Verdict, ...] = ("broken", "could-not-run", "indeterminate", "not-applicable", "upheld")

# If a claim has several of these verdicts, the first one counts.
_UNDECIDED: tuple[Verdict, ...] = ("indeterminate", "could-not-run", "not-applicable")

NOT_IN_LEDGER = "This claim is not in the ledger of the run."


@dataclass(frozen=True, slots=True)
class CheckCount:
    """Number of judgements of one check on one claim, by outcome."""

    check: str
    held: int = 0
    broken: int = 0
    indeterminate: int = 0


@dataclass(frozen=True, slots=True)
class ClaimVerdict:
    """The verdict on one claim, with its evidence."""

    claim: LedgerClaim
    verdict: Verdict
    reason: str  # why there is no clear verdict; empty for broken and upheld
    checks: tuple[CheckCount, ...]  # checks that judged the claim, by name
    findings: tuple[str, ...]  # ids of the findings of the claim, in order
    known: bool = False  # whether the baseline lists the claim, with all its findings
    new: bool = False  # whether the claim is newer than the contract version of the run
    unknown: tuple[Finding, ...] = ()  # findings that the baseline does not list, each once

    @property
    def excuse(self) -> str:
        """Why the claim may be broken without failing the run: ``known``, ``new``, or empty if it may not."""
        return "known" if self.known else "new" if self.new else ""

    @property
    def holds_again(self) -> bool:
        """Whether the claim is upheld although it is in the baseline."""
        return self.known and self.verdict == "upheld"


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """The verdict on a run."""

    exit_code: int
    reason: str
    claims: tuple[ClaimVerdict, ...]  # in the order of the ledger, then unknown claims from findings

    def count(self, verdict: Verdict) -> int:
        """Number of claims with *verdict*."""
        return sum(1 for claim in self.claims if claim.verdict == verdict)


@dataclass(slots=True)
class _Evidence:
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    findings: dict[str, None] = field(default_factory=dict)
    unknown: dict[str, Finding] = field(default_factory=dict)
    reasons: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def judge(log: RunLog, footer: Footer | None = None) -> RunVerdict:
    """Returns the verdicts of a run; *footer* replaces the footer of an unfinished log."""
    log = replace(log, footer=footer or log.footer)
    evidence: dict[str, _Evidence] = defaultdict(_Evidence)
    for tally in log.tallies:
        about = evidence[tally.claim]
        about.counts[tally.check].update(held=tally.held, indeterminate=tally.indeterminate)
        if tally.indeterminate:
            about.reasons["indeterminate"].append(tally.reason)
    refs = {exchange.seq: exchange.ref or "" for exchange in log.exchanges}
    for occurrence in log.occurrences:
        finding = occurrence.finding
        about = evidence[finding.claim]
        about.counts[finding.check]["broken"] += occurrence.times
        about.findings[finding.id] = None
        if not is_listed(log.header, finding.claim, finding, refs.get((0, *finding.evidence)[-1], "")):
            about.unknown.setdefault(finding.id, finding)
    for notice in log.notices:
        evidence[notice.claim].reasons[notice.verdict].append(notice.reason)
    claims = tuple(_judge_claim(claim, evidence[claim.id], log) for claim in _claims(log))
    return RunVerdict(*_judge_run(log, claims), claims)


def is_listed(header: Header, claim: str, finding: Finding | None = None, ref: str = "") -> bool:
    """Whether the baseline lists *claim*, and this *finding* whose deciding request is about the version *ref*."""
    entries = header.baseline or map(Known, header.known)
    valid = [entry for entry in entries if entry.claim == claim and entry not in header.expired]
    return any(not finding or (e.operation in ("", finding.operation) and fnmatchcase(ref, e.ref)) for e in valid)


def _claims(log: RunLog) -> tuple[LedgerClaim, ...]:
    known = {claim.id for claim in log.header.claims}
    # A finding is never dropped; a claim outside the ledger counts as a must.
    unknown = dict.fromkeys(f.claim for f in log.findings if f.claim not in known)
    strangers = (LedgerClaim(name, "must", NOT_IN_LEDGER, "", name.partition(".")[0]) for name in unknown)
    return (*log.header.claims, *strangers)


def _judge_claim(claim: LedgerClaim, evidence: _Evidence, log: RunLog) -> ClaimVerdict:
    undecided = next((verdict for verdict in _UNDECIDED if verdict in evidence.reasons), None)
    verdict: Verdict
    if evidence.findings or any(count["held"] for count in evidence.counts.values()):
        verdict, reason = "broken" if evidence.findings else "upheld", ""
    elif undecided:
        verdict, reason = undecided, _joined(evidence.reasons[undecided]) or "no reason given"
    elif not selected(claim.id, log.header.claims_glob):
        verdict, reason = "not-applicable", f"left out by --claims {log.header.claims_glob}"
    else:
        verdict, reason = "could-not-run", _why_unjudged(claim, log)
    checks = tuple(CheckCount(name, **count) for name, count in sorted(evidence.counts.items()))
    known = not evidence.unknown and is_listed(log.header, claim.id)
    new, unknown = claim.since > (log.header.contract_version or claim.since), tuple(evidence.unknown.values())
    return ClaimVerdict(claim, verdict, reason, checks, tuple(evidence.findings), known, new, unknown)


def _why_unjudged(claim: LedgerClaim, log: RunLog) -> str:
    if stopped := [c for c in log.cases if claim.id in c.claims and c.outcome in ("error", "skipped")]:
        return _joined(f"{case.id}: {case.message or case.outcome}" for case in stopped)
    if log.footer is None or log.footer.interrupted:
        return "the run ended before a check judged it"
    more = "" if log.header.profile == "thorough" else "; --profile thorough tries more"
    return f"no check judged it{more}"


def selected(claim_id: str, globs: str) -> bool:
    """Whether one of the comma-separated *globs* matches *claim_id*."""
    return any(fnmatchcase(claim_id, glob.strip()) for glob in globs.split(","))


def _joined(reasons: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))


def _judge_run(log: RunLog, claims: tuple[ClaimVerdict, ...]) -> tuple[int, str]:
    footer = log.footer
    if footer is None:
        return 3, "the run was cut short: the run log has no footer"
    if footer.interrupted:
        return 130, footer.reason or "interrupted"
    broken = _with_verdict([claim for claim in claims if not claim.excuse], "broken", strict=log.header.strict)
    stale = _stale(log, claims)
    if broken:
        return 1, "; ".join(filter(None, (_summary(log, claims, len(broken)), stale)))
    if footer.exit_code > 1:
        return footer.exit_code, footer.reason or "the run did not finish"
    return (1, stale) if stale else _judge_completeness(log, claims)


def _judge_completeness(log: RunLog, claims: tuple[ClaimVerdict, ...]) -> tuple[int, str]:
    """Returns 3 with the reason if the run is incomplete, else 0."""
    ended = {case.id for case in log.cases}
    if missing := [case for case in log.selected if case not in ended]:
        return 3, f"{plural(len(missing), 'case')} did not run: {some(missing)}"
    if stuck := _with_verdict([claim for claim in claims if not claim.new], "could-not-run", strict=False):
        return 3, f"{plural(len(stuck), 'must-level claim')} could not be judged: {some(stuck)}"
    if odd := unexplained(log):
        return 3, f"{plural(len(odd), 'case')} failed without a finding: {some([case.id for case in odd])}"
    if log.torn_lines:
        return 3, f"the run log lost {plural(log.torn_lines, 'line')}: a process was killed while writing"
    if not any(claim.verdict in ("upheld", "broken") for claim in claims):
        return 3, f"no claim was upheld ({_tail(claims)})"
    return 0, f"{_summary(log, claims)} ({_tail(claims)})"


def _stale(log: RunLog, claims: tuple[ClaimVerdict, ...]) -> str:
    """Names the entries of the baseline that hold again for certain or have expired, and says what to do."""
    # A lost line may have been a finding.
    again = [] if log.torn_lines or unexplained(log) else [claim.claim.id for claim in claims if claim.holds_again]
    old = [f"{one.claim} ({', '.join(filter(None, (one.ticket, one.expires)))})" for one in log.header.expired]
    verb, lines = ("holds", "its line") if len(again) == 1 else ("hold", "their lines")
    texts = [f"{some(again, 10)} {verb} again: remove {lines} from the baseline"] if again else []
    texts += [f"expired in the baseline: {some(old, 10)}: renew or remove"] if old else []
    return "; ".join(texts)


def _summary(log: RunLog, claims: tuple[ClaimVerdict, ...], number: int = 0) -> str:
    """Counts the broken claims: the *number* of those that fail the run, and the others."""
    counts = Counter(claim.excuse for claim in claims if claim.verdict == "broken")
    kind = "new " if counts["known"] else "older " if counts["new"] else ""
    noun = f"{kind}{'' if log.header.strict else 'must-level '}claim"
    text = f"{plural(number, noun) if number else f'no {noun}'} broken"
    places = {"known": "in the baseline", "new": f"newer than contract version {log.header.contract_version}"}
    for n, place in ((counts[excuse], place) for excuse, place in places.items() if counts[excuse]):
        text += f"; {n} {'other ' if number else ''}broken {'claim is' if n == 1 else 'claims are'} {place}"
    return text


def unexplained(log: RunLog) -> tuple[Case, ...]:
    """Returns the cases that did not pass but have no finding. Errors of Touchstone must not look like a pass."""
    accounted = {occurrence.case for occurrence in log.occurrences}
    accused = {finding.claim for finding in log.findings}
    return tuple(
        case
        for case in log.cases
        if case.outcome == "error"
        or (case.outcome == "failed" and case.id not in accounted and accused.isdisjoint(case.claims))
    )


def _with_verdict(claims: Iterable[ClaimVerdict], verdict: Verdict, *, strict: bool) -> list[str]:
    return [c.claim.id for c in claims if c.verdict == verdict and (strict or c.claim.level == "must")]


def _tail(claims: tuple[ClaimVerdict, ...]) -> str:
    counts = Counter(claim.verdict for claim in claims)
    counted = [f"{counts[verdict]} {verdict.replace('-', ' ')}" for verdict in reversed(VERDICTS) if counts[verdict]]
    return ", ".join(counted) or "no claim to judge"
