"""The events of a run log besides exchanges, findings and windows of samples, and the log as a whole.

Points in time that end in `_at` are seconds since the run started, unless they are said to be dates.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from touchstone.contract.claims import Level
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.probe_events import ProbeStory
from touchstone.facts.sample import Window

CaseOutcome = Literal["passed", "failed", "error", "skipped"]
NoticeVerdict = Literal["not-applicable", "could-not-run", "indeterminate"]
TargetKind = Literal["embedded", "url", "recording"]
TemplateDeed = Literal["published", "deleted", "left", "may-be-left"]
Model = Literal["open", "closed"]
BuildEnd = Literal[
    "ready",
    "failed",
    "cancelled",  # it was cancelled by the run, and has settled
    "vanished",  # it fell back to not_built though nobody cancelled it
    "stuck",  # it was still building when the time that the target allows for one was over
    "unread",  # no read after the start was answered, so nobody knows
    "silent",  # the target answered nobody any more
    "unfinished",  # the run ended first
]


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
    """The first line of a run log: what was asked for."""

    run_id: str
    tool_version: str
    command: str
    argv: tuple[str, ...]
    started_at: str  # ISO 8601 in UTC.
    target: Target
    profile: str
    seed: int
    strict: bool
    claims_glob: str
    contract_sha256: str
    claims: tuple[LedgerClaim, ...]  # The claims that the run is to give verdicts on, in the order of the ledger.
    settings: dict[str, Any] = field(default_factory=dict)  # The merged settings without secrets.
    known: tuple[str, ...] = ()  # The claims that the caller knows to be broken.


@dataclass(frozen=True, slots=True)
class Selected:
    """The cases that a run is to carry out: those of its profile that concern a selected claim."""

    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """How often one check judged one claim within one case without breaking it."""

    case: str
    check: str
    claim: str
    held: int = 0
    indeterminate: int = 0
    reason: str = ""  # Why an occasion allowed no verdict; empty where *indeterminate* is 0.


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
    """One finding, as one case met it; the same finding may be met by many."""

    finding: Finding
    case: str = ""
    times: Annotated[int, Field(strict=True, ge=1)] = 1  # How often, where alike occasions were only counted.


@dataclass(frozen=True, slots=True)
class Case:
    """How one case ended."""

    id: str
    title: str
    outcome: CaseOutcome
    duration_s: float
    claims: tuple[str, ...] = ()  # The claims that the case declares to drive.
    message: str = ""  # Why it failed, could not run or was skipped.
    began_at: str = ""  # ISO 8601 in UTC with microseconds; empty where nobody wrote it down.


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
class Remark:
    """A sentence that a reader of the reports should know; its event is called ``warning``."""

    text: str


@dataclass(frozen=True, slots=True)
class Limit:
    """One threshold: what a statistic of an operation may be at most (or at least, for a throughput)."""

    operation: str  # operationId, or ``*`` for all of them together.
    statistic: str  # Its name with its unit, as in load/thresholds.toml, such as ``p99_s``.
    value: float  # The limit, in the unit that the name ends in.


@dataclass(frozen=True, slots=True)
class Workload:
    """What a load run was to do."""

    scenario: str  # Its name, such as ``storm``.
    says: str  # What it does, in a sentence.
    model: Model  # Whether arrivals come by a schedule (open) or as soon as an earlier one is answered (closed).
    arrivals: str  # The arrival curve as text, such as ``constant:20``.
    began_at: float  # When the first second of the schedule began.
    duration_s: float  # How long arrivals are scheduled for.
    scheduled: dict[str, int]  # How many arrivals of each operation the schedule holds.
    workers: int  # Processes that share the schedule.
    seed: int
    options: dict[str, Any] = field(default_factory=dict)  # Every setting of the scenario by name, as JSON values.
    limits: tuple[Limit, ...] = ()  # The thresholds that the run is judged by.


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start that was sent."""

    want: int  # Number of the client that wants this build; its tries share it.
    number: int  # Which try of that client, from 1.
    ref: str
    credential: Credential
    phase: str  # What went on beside it by plan, such as ``alone``; empty where the scenario has no phases.
    fresh: bool | None  # Whether the version was not built, so that the start needs room on the host; None if unknown.
    intended_at: float
    sent_at: float
    done_at: float
    status: int  # 0 where no answer came.
    retry_after_s: float | None  # What Retry-After asked for; None where it asked for nothing valid.
    gave_up: bool  # Whether the client's patience was over with it.
    seq: int  # ``seq`` of its exchange, whether that is kept or not.
    cut_off: bool = False  # Whether the run was stopped before an answer came.
    unsent: bool = False  # Whether no connection came about, so that the target cannot know of it.

    @property
    def is_served(self) -> bool:
        """Whether it was answered with success."""
        return 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """Whether a limit refused it."""
        return self.status == 429

    @property
    def may_act(self) -> bool:
        """Whether it may have done something: no 4xx does, and of one that failed or got no answer nobody knows."""
        return not 400 <= self.status < 500


@dataclass(frozen=True, slots=True)
class Build:
    """What became of one build that a start was promised."""

    want: int  # See `Attempt`.
    ref: str
    credential: Credential
    accepted_at: float  # When the answer to its start had arrived.
    ended_at: float  # When a read showed its end first; when it was given up, where none did.
    end: BuildEnd
    seen_building_at: float | None  # When a read showed it running last; None where none did.
    seq: int  # ``seq`` of the exchange that shows the end, or of the start where none does.


@dataclass(frozen=True, slots=True)
class Worker:
    """How one worker fared, as it tells now and then and at its end."""

    number: int  # From 0.
    state: Literal["running", "done", "lost"]  # ``done`` at its end; ``lost`` is said by whoever missed it.
    at_s: float  # When this was written.
    sent: int  # Scheduled arrivals that it has sent so far.
    unsent: int  # Scheduled arrivals that came due and that it could not send.
    assigned: int  # Arrivals of the whole schedule that were its share.
    late_p99_s: float = 0.0  # Its lateness so far, at p99.
    behind_from_s: float | None = None  # From when on it could not keep up; None where it could.
    behind_s: float = 0.0  # How late it was at most.
    cpu_share: float = 0.0  # CPU time over elapsed time since it last told; 1 is a whole core.
    rss_bytes: int = 0  # Its memory.
    clock_offset_s: float = 0.0  # How far its clock was corrected to agree with the master's.
    clock_error_s: float = 0.0  # How wrong that may still be, at most.
    note: str = ""  # Anything else that a reader should know.
    unwatched: int = 0  # Scheduled watchers that sent nothing, since the start of their build was not accepted.
    over_budget: int = 0  # Those of *unsent* that --max-requests left no room for.
    spent_at_s: float | None = None  # When a request was first wanted beyond --max-requests; None without one.
    undone: int = 0  # Clients that had still to go on when the run was stopped, or when they were left no request.


@dataclass(frozen=True, slots=True)
class Footer:
    """The last line of a run log: how the run ended."""

    ended_at: str
    duration_s: float
    exit_code: int  # What the runner knows: 0 where it reached its end, else 2, 3 or 130; the verdict may raise it.
    reason: str  # One sentence for *exit_code*.
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class RunLog:
    """All facts of one run, each kind in the order in which it was written."""

    header: Header
    exchanges: tuple[Exchange, ...] = ()
    occurrences: tuple[Occurrence, ...] = ()
    tallies: tuple[Tally, ...] = ()
    cases: tuple[Case, ...] = ()
    notices: tuple[Notice, ...] = ()
    templates: tuple[TemplateAction, ...] = ()
    warnings: tuple[str, ...] = ()
    workload: Workload | None = None  # None where the run was no load run; the four that follow are empty then.
    windows: tuple[Window, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    builds: tuple[Build, ...] = ()
    workers: tuple[Worker, ...] = ()
    probe: ProbeStory | None = None  # None where the run was no probe.
    footer: Footer | None = None  # None where the run log ends without one: the run was cut short.
    cut_bytes: dict[tuple[int, str], int] = field(default_factory=dict)  # By (seq, side), full length of a cut body.
    torn_lines: int = 0  # Lines that a killed writer left unfinished in the middle; whatever they said is lost.
    selected: tuple[str, ...] = ()  # Ids of the cases that were to be carried out; empty where nobody wrote them down.

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Each finding once, by id, as it was first met."""
        first: dict[str, Finding] = {}
        for occurrence in self.occurrences:
            first.setdefault(occurrence.finding.id, occurrence.finding)
        return tuple(first.values())
