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
    times: Annotated[int, Field(strict=True, ge=1)] = 1


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
class Remark:
    """A sentence that a reader of the reports should know; its event is called ``warning``."""

    text: str


@dataclass(frozen=True, slots=True)
class Limit:
    """One threshold: what a statistic of an operation may be at most (or at least, for a throughput).

    Attributes:
        operation: operationId, or ``*`` for all of them together.
        statistic: Its name with its unit, as in load/thresholds.toml, such as ``p99_s``.
        value: The limit, in the unit that the name ends in.
    """

    operation: str
    statistic: str
    value: float


@dataclass(frozen=True, slots=True)
class Workload:
    """What a load run was to do.

    Attributes:
        scenario: Its name, such as ``storm``.
        says: What it does, in a sentence.
        model: Whether arrivals come by a schedule (open) or as soon as an earlier one is answered (closed).
        arrivals: The arrival curve as text, such as ``constant:20``.
        began_at: When the first second of the schedule began.
        duration_s: How long arrivals are scheduled for.
        scheduled: How many arrivals of each operation the schedule holds.
        workers: Processes that share the schedule.
        options: Every setting of the scenario by name, as JSON values.
        limits: The thresholds that the run is judged by.
    """

    scenario: str
    says: str
    model: Model
    arrivals: str
    began_at: float
    duration_s: float
    scheduled: dict[str, int]
    workers: int
    seed: int
    options: dict[str, Any] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start that was sent.

    Attributes:
        want: Number of the client that wants this build; its tries share it.
        number: Which try of that client, from 1.
        phase: What went on beside it by plan, such as ``alone`` or ``beside``; empty where the scenario has no phases.
        fresh: Whether the version was not built, so that a served start begins a build and needs room on the host. None
            where that is not known, since others start and cancel it as well.
        status: 0 where no answer came.
        retry_after_s: What Retry-After asked for; None where it asked for nothing valid.
        gave_up: Whether the client's patience was over with it.
        seq: ``seq`` of its exchange, whether that is kept or not.
        cut_off: Whether the run was stopped before an answer came.
        unsent: Whether no connection came about, so that the target cannot know of it.
    """

    want: int
    number: int
    ref: str
    credential: Credential
    phase: str
    fresh: bool | None
    intended_at: float
    sent_at: float
    done_at: float
    status: int
    retry_after_s: float | None
    gave_up: bool
    seq: int
    cut_off: bool = False
    unsent: bool = False

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
    """What became of one build that a start was promised.

    Attributes:
        want: See `Attempt`.
        accepted_at: When the answer to its start had arrived.
        ended_at: When a read showed its end first; when it was given up, where none did.
        seen_building_at: When a read showed it running last; None where none did.
        seq: ``seq`` of the exchange that shows the end, or of the start where none does.
    """

    want: int
    ref: str
    credential: Credential
    accepted_at: float
    ended_at: float
    end: BuildEnd
    seen_building_at: float | None
    seq: int


@dataclass(frozen=True, slots=True)
class Worker:
    """How one worker fared, as it tells now and then and at its end.

    Attributes:
        number: From 0.
        state: ``running`` in between, ``done`` at its end; ``lost`` is said by whoever missed it.
        at_s: When this was written.
        sent: Scheduled arrivals that it has sent so far.
        unsent: Scheduled arrivals that came due and that it could not send.
        assigned: Arrivals of the whole schedule that were its share.
        late_p99_s: Its lateness so far, at p99.
        behind_from_s: From when on it could not keep up; None where it could.
        behind_s: How late it was at most.
        cpu_share: CPU time over elapsed time since it last told; 1 is a whole core.
        rss_bytes: Its memory.
        clock_offset_s: How far its clock was corrected to agree with the master's.
        clock_error_s: How wrong that may still be, at most.
        note: Anything else that a reader should know.
        unwatched: Scheduled watchers that sent nothing, since the start of their build was not accepted.
        over_budget: Those of *unsent* that --max-requests left no room for.
        spent_at_s: When a request was wanted first that --max-requests left no room for; None where none was.
        undone: Clients that had still to go on when the run was stopped, or when they were left no request.
    """

    number: int
    state: Literal["running", "done", "lost"]
    at_s: float
    sent: int
    unsent: int
    assigned: int
    late_p99_s: float = 0.0
    behind_from_s: float | None = None
    behind_s: float = 0.0
    cpu_share: float = 0.0
    rss_bytes: int = 0
    clock_offset_s: float = 0.0
    clock_error_s: float = 0.0
    note: str = ""
    unwatched: int = 0
    over_budget: int = 0
    spent_at_s: float | None = None
    undone: int = 0


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
