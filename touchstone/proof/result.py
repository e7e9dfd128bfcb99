"""What became of one server that a proof put before the examination: found or missed, blamed rightly or not; pure."""

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
    """A server that is put before the examination.

    Attributes:
        sort: A named fault, a generated one, a generated one that the documentation permits, or a variant.
        kind: What has to be looked at to see the fault; empty for what is no fault.
        breaks: Globs over the claims that have to be found broken: each of a named fault, one of a generated one.
        also: Globs over the claims that it cannot help breaking as well.
        permits: The sentence or the ambiguity that permits what is no fault.
    """

    name: str
    sort: Sort
    says: str
    kind: str = ""
    breaks: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    permits: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether the examination has to find something."""
        return self.sort in ("fault", "generated")

    def quarry(self) -> Quarry | None:
        """What an examination that may stop early is after; None where there is nothing to find."""
        return Quarry(self.breaks, any_one=self.sort == "generated") if self.is_fault else None

    def allows(self, claim: str) -> bool:
        """Whether a finding about *claim* blames the fault and nothing else."""
        return any(fnmatchcase(claim, glob) for glob in (*self.breaks, *self.also))


@dataclass(frozen=True, slots=True)
class Blame:
    """One claim that was found broken, as it was first met.

    Attributes:
        exchanges: How many exchanges the examination had made when the case that met it was over.
        seconds: How long it had taken until then.
        checks: All checks that found the claim broken, also later.
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
    """One server and what the examination said about it.

    Attributes:
        broken: By claim, in the order in which they were met.
        exit_code: Of the examination, under ``--strict``.
        judged: How many claims were judged on an occasion.
        exchanges: All that were made.
        seconds: From the start of the server to the verdict.
        trouble: Why the examination has no say; empty where it came to its end.
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
        """The claims that had to be found broken and were."""
        return tuple(c for c in self.broken if any(fnmatchcase(c, glob) for glob in self.subject.breaks))

    @property
    def lacking(self) -> tuple[str, ...]:
        """What had to be found broken and was not."""
        subject = self.subject
        missed = [glob for glob in subject.breaks if not any(fnmatchcase(claim, glob) for claim in self.broken)]
        if subject.sort == "generated" and len(missed) < len(subject.breaks):
            return ()
        return tuple(missed)

    @property
    def noise(self) -> tuple[str, ...]:
        """The claims that were blamed for what they have nothing to do with."""
        return tuple(claim for claim in self.broken if not self.subject.allows(claim))

    @property
    def state(self) -> State:
        """What became of it."""
        if self.trouble:
            return "failed"
        if not self.subject.is_fault:
            return "survived" if self.exit_code == 0 and not self.broken else "accused"
        if self.lacking or self.exit_code != 1:
            return "missed"
        return "noisy" if self.noise else "killed"

    @property
    def found(self) -> Blame | None:
        """The finding that completed the proof: of those expected, the last one to come where all are needed."""
        if self.lacking or not self.blamed:
            return None
        choose = min if self.subject.sort == "generated" else max
        return choose((self.broken[claim] for claim in self.blamed), key=lambda blame: blame.exchanges)


def tried(subject: Subject, log: "RunLog", verdict: "RunVerdict", seconds: float) -> Trial:
    """What a whole run log says about a server."""
    judged = sum(item.verdict in ("broken", "upheld") for item in verdict.claims)
    trouble = verdict.reason if verdict.exit_code not in (0, 1) else ""
    # A case that failed inside has judged nothing, and what the others say cannot make up for it.
    trouble = next((f"{case.id}: {case.message}" for case in log.cases if case.outcome == "error"), trouble)
    return Trial(subject, _blames(log), verdict.exit_code, judged, len(log.exchanges), seconds, trouble)


def _blames(log: "RunLog") -> dict[str, Blame]:
    made: dict[str, tuple[int, float]] = {}
    for number, exchange in enumerate(log.exchanges, start=1):
        made[exchange.case] = (number, max(exchange.done_at, made.get(exchange.case, (0, 0.0))[1]))
    checks: dict[str, list[str]] = {}
    for occurrence in log.occurrences:
        checks.setdefault(occurrence.finding.claim, []).append(occurrence.finding.check)
    blames: dict[str, Blame] = {}
    for occurrence in log.occurrences:
        finding = occurrence.finding
        number, seconds = made.get(occurrence.case, (len(log.exchanges), 0.0))
        spoke = tuple(dict.fromkeys(checks[finding.claim]))
        blame = Blame(
            finding.check, finding.expected, finding.actual, occurrence.case, number, round(seconds, 3), spoke
        )
        blames.setdefault(finding.claim, blame)
    return blames


def median(values: Iterable[float]) -> float:
    """The middle value, the mean of the two middle ones where their number is even, and 0 of none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
