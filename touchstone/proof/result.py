"""Outcome of a trial: the claims that the check found broken, and whether these are the right ones; no I/O."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from touchstone.check.cases import Quarry

if TYPE_CHECKING:
    from touchstone.facts.events import RunLog
    from touchstone.rules.verdict import RunVerdict

Sort = Literal["fault", "generated", "permitted", "variant"]
State = Literal["killed", "missed", "noisy", "survived", "accused", "failed"]
GOOD: frozenset[State] = frozenset({"killed", "survived"})


@dataclass(frozen=True, slots=True)
class Subject:
    """A twin that a trial checks.

    Attributes:
        sort: A named fault, a generated one, a generated one that the documentation permits, or a variant.
        says: Description of the twin's behaviour, one sentence.
        kind: Class of the fault; empty for a correct twin.
        breaks: Globs of claims that must be found broken: every glob for a named fault, one for a generated fault.
        also: Globs of claims that may be found broken as well.
        permits: Sentence or ambiguity of the documentation that permits the behaviour of a correct twin.
        parts: The faults of a pair. One may hide what the other breaks, so one finding about each is enough.
    """

    name: str
    sort: Sort
    says: str
    kind: str = ""
    breaks: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    permits: str = ""
    parts: tuple["Subject", ...] = ()

    @property
    def is_fault(self) -> bool:
        """Whether the check must find a broken claim."""
        return self.sort in ("fault", "generated")

    def quarry(self) -> Quarry | None:
        """Returns the claims that the check must find broken before a trial may stop early; None for a correct twin."""
        return Quarry(self.breaks, any_one=self.sort == "generated") if self.is_fault else None

    def allows(self, claim: str) -> bool:
        """Whether a finding about *claim* is expected."""
        return any(fnmatchcase(claim, glob) for glob in (*self.breaks, *self.also))


@dataclass(frozen=True, slots=True)
class Blame:
    """A claim that was found broken, with its first finding.

    Attributes:
        exchanges: Number of exchanges from the start of the run to the end of the case with the first finding.
        seconds: Time from the start of the run to the end of that case.
        checks: All checks that found the claim broken, later ones included.
    """

    check: str
    expected: str
    actual: str
    case: str
    exchanges: int
    seconds: float
    checks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """The outcome of one check of one twin.

    Attributes:
        broken: Broken claims, in the order of their first findings.
        exit_code: Exit code of the check with ``--strict``.
        judged: Number of claims found upheld or broken.
        exchanges: Number of all exchanges.
        seconds: Time from the start of the twin to the end of the check.
        trouble: Why the trial failed; empty if the trial ended normally.
    """

    subject: Subject
    broken: Mapping[str, Blame] = field(default_factory=dict)
    exit_code: int = 3
    judged: int = 0
    exchanges: int = 0
    seconds: float = 0.0
    trouble: str = ""

    @property
    def blamed(self) -> tuple[str, ...]:
        """Claims that were expected to be broken and were found broken."""
        return tuple(c for c in self.broken if any(fnmatchcase(c, glob) for glob in self.subject.breaks))

    @property
    def lacking(self) -> tuple[str, ...]:
        """Globs in *breaks* that no broken claim matches; none for a generated fault with at least one match.

        For a pair, those of each fault that no broken claim can come from.
        """
        subject = self.subject
        if subject.parts:
            lost = (part for part in subject.parts if not any(map(part.allows, self.broken)))
            return tuple(glob for part in lost for glob in part.breaks)
        missed = [glob for glob in subject.breaks if not any(fnmatchcase(claim, glob) for claim in self.broken)]
        if subject.sort == "generated" and len(missed) < len(subject.breaks):
            return ()
        return tuple(missed)

    @property
    def noise(self) -> tuple[str, ...]:
        """Unrelated claims that were found broken."""
        return tuple(claim for claim in self.broken if not self.subject.allows(claim))

    @property
    def state(self) -> State:
        """The result of the trial."""
        if self.trouble:
            return "failed"
        if not self.subject.is_fault:
            return "survived" if self.exit_code == 0 and not self.broken else "accused"
        if self.lacking or self.exit_code != 1:
            return "missed"
        return "noisy" if self.noise else "killed"

    @property
    def found(self) -> Blame | None:
        """The finding that completed the proof. A named fault needs all expected findings, a generated fault one."""
        if self.lacking or not self.blamed:
            return None
        choose = min if self.subject.sort == "generated" else max
        return choose((self.broken[claim] for claim in self.blamed), key=lambda blame: blame.exchanges)


def tried(subject: Subject, log: "RunLog", verdict: "RunVerdict", seconds: float) -> Trial:
    """Returns the outcome of a trial, computed from its run log."""
    judged = sum(item.verdict in ("broken", "upheld") for item in verdict.claims)
    trouble = verdict.reason if verdict.exit_code not in (0, 1) else ""
    # A case that crashed has judged nothing, so the trial has failed.
    trouble = next((f"{case.id}: {case.message}" for case in log.cases if case.outcome == "error"), trouble)
    return Trial(subject, _blames(log), verdict.exit_code, judged, len(log.exchanges), seconds, trouble)


def _blames(log: "RunLog") -> dict[str, Blame]:
    progress: dict[str, tuple[int, float]] = {}
    for number, exchange in enumerate(log.exchanges, start=1):
        progress[exchange.case] = (number, max(exchange.done_at, progress.get(exchange.case, (0, 0.0))[1]))
    checks: dict[str, list[str]] = {}
    for occurrence in log.occurrences:
        checks.setdefault(occurrence.finding.claim, []).append(occurrence.finding.check)
    blames: dict[str, Blame] = {}
    for occurrence in log.occurrences:
        finding = occurrence.finding
        number, seconds = progress.get(occurrence.case, (len(log.exchanges), 0.0))
        all_checks = tuple(dict.fromkeys(checks[finding.claim]))
        found = (finding.check, finding.expected, finding.actual, occurrence.case)
        blames.setdefault(finding.claim, Blame(*found, number, round(seconds, 3), all_checks))
    return blames


def median(values: Iterable[float]) -> float:
    """Returns the median; 0 if there are no values."""
    ordered = list(values)
    return statistics.median(ordered) if ordered else 0.0
