"""What a run writes down besides its exchanges and findings: facts, as the run log holds them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from touchstone.contract.claims import Level
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.load_events import Attempt, Build, Worker, Workload
from touchstone.facts.probe_events import ProbeStory
from touchstone.facts.sample import Window

CaseOutcome = Literal["passed", "failed", "error", "skipped"]
NoticeVerdict = Literal["not-applicable", "could-not-run", "indeterminate"]
TargetKind = Literal["embedded", "url", "recording"]
TemplateDeed = Literal["published", "deleted", "left", "may-be-left"]


@dataclass(frozen=True, slots=True)
class LedgerClaim:
    """One claim of the ledger, as it stood when the run started."""

    id: str
    level: Level
    sentence: str
    source: str
    subject: str


@dataclass(frozen=True, slots=True)
class Target:
    """What was judged. *url* carries no secret."""

    name: str
    url: str
    kind: TargetKind


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a run log: what was asked for.

    Attributes:
        started_at: ISO 8601 in UTC.
        claims: The claims that the run is to give verdicts on, in the order of the ledger.
        settings: The merged settings without secrets.
        known: The claims that the caller knows to be broken.
    """

    run_id: str
    tool_version: str
    command: str
    argv: tuple[str, ...]
    started_at: str
    target: Target
    profile: str
    seed: int
    strict: bool
    claims_glob: str
    contract_sha256: str
    claims: tuple[LedgerClaim, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    known: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selected:
    """The cases that a run is to carry out: those of its profile that concern a selected claim."""

    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """How often one check judged one claim within one case without breaking it.

    Attributes:
        reason: Why an occasion allowed no verdict; empty where *indeterminate* is 0.
    """

    case: str
    check: str
    claim: str
    held: int = 0
    indeterminate: int = 0
    reason: str = ""


def tallies(case: str, judgements: Iterable[Judgement]) -> tuple[Tally, ...]:
    """The held and indeterminate judgements, one tally per check and claim; the first reason stands for all of them."""
    counts: dict[tuple[str, str], list[Any]] = {}
    for judgement in judgements:
        if judgement.outcome == "broken":
            continue
        count = counts.setdefault((judgement.check, judgement.claim), [0, 0, ""])
        count[judgement.outcome == "indeterminate"] += 1
        if judgement.outcome == "indeterminate":
            count[2] = count[2] or judgement.actual
    return tuple(Tally(case, check, claim, *count) for (check, claim), count in counts.items())


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One finding, as one case met it; the same finding may be met by many.

    Attributes:
        times: How often, where somebody counted occasions that look alike instead of writing each down.
    """

    finding: Finding
    case: str = ""
    times: int = 1


@dataclass(frozen=True, slots=True)
class Case:
    """How one case ended.

    Attributes:
        claims: The claims that the case declares to drive.
        message: Why it failed, could not run or was skipped.
        began_at: ISO 8601 in UTC with microseconds; empty where nobody wrote it down.
    """

    id: str
    title: str
    outcome: CaseOutcome
    duration_s: float
    claims: tuple[str, ...] = ()
    message: str = ""
    began_at: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Why a claim got no judgement; for ``not-applicable``, *reason* names the setting that would change that."""

    claim: str
    verdict: NoticeVerdict
    reason: str
    case: str = ""


@dataclass(frozen=True, slots=True)
class TemplateAction:
    """What became of a template of the run, *at_s* seconds after its start."""

    ref: str
    purpose: str
    digest: str
    action: TemplateDeed
    at_s: float


@dataclass(frozen=True, slots=True)
class Footer:
    """The last line of a run log: how the run ended.

    Attributes:
        exit_code: What the runner knows: 0 where it reached its end, else 2, 3 or 130; the verdict may raise it.
        reason: One sentence for *exit_code*.
    """

    ended_at: str
    duration_s: float
    exit_code: int
    reason: str
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class RunLog:
    """All facts of one run, each kind in the order in which it was written.

    Attributes:
        selected: Ids of the cases that were to be carried out; empty where nobody wrote them down.
        cut_bytes: By ``(seq, "request" or "response")``, the full length of a body that the log holds only in part.
        torn_lines: Lines that a killed writer left unfinished in the middle; whatever they said is lost.
        workload: None where the run was no load run; the four that follow are empty then.
        probe: None where the run was no probe.
        footer: None where the run log ends without one: the run was cut short.
    """

    header: Header
    exchanges: tuple[Exchange, ...] = ()
    occurrences: tuple[Occurrence, ...] = ()
    tallies: tuple[Tally, ...] = ()
    cases: tuple[Case, ...] = ()
    notices: tuple[Notice, ...] = ()
    templates: tuple[TemplateAction, ...] = ()
    warnings: tuple[str, ...] = ()
    workload: Workload | None = None
    windows: tuple[Window, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    builds: tuple[Build, ...] = ()
    workers: tuple[Worker, ...] = ()
    probe: ProbeStory | None = None
    footer: Footer | None = None
    cut_bytes: dict[tuple[int, str], int] = field(default_factory=dict)
    torn_lines: int = 0
    selected: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Each finding once, by id, as it was first met."""
        first: dict[str, Finding] = {}
        for occurrence in self.occurrences:
            first.setdefault(occurrence.finding.id, occurrence.finding)
        return tuple(first.values())
