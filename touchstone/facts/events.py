"""The contents of a run log (`RunLog`), and its events. Other modules define exchanges, findings and samples.

Names that end in `_at` are seconds since the start of the run, unless a comment gives another format.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field

from touchstone.contract.claims import Level
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.probe import ProbeStory
from touchstone.facts.sample import Window

CaseOutcome = Literal["passed", "failed", "error", "skipped"]
NoticeVerdict = Literal["not-applicable", "could-not-run", "indeterminate"]
TargetKind = Literal["embedded", "url", "recording"]
TemplateDeed = Literal["published", "deleted", "left", "may-be-left"]
Model = Literal["open", "closed"]
BuildEnd = Literal[
    "ready",
    "failed",
    "cancelled",  # the run cancelled the build, and the build has ended
    "vanished",  # the build returned to not_built without a cancel
    "stuck",  # the build still ran after build_timeout_s
    "unread",  # no read after the start got a response: the end is unknown
    "silent",  # the target stopped responding
    "unfinished",  # the run ended before the build
]


@dataclass(frozen=True, slots=True)
class LedgerClaim:
    """One claim of openapi/claims.yaml, as it was at the start of the run."""

    id: str
    level: Level
    sentence: str
    source: str
    subject: str
    since: int = 1  # First version of the contract with this claim.


@dataclass(frozen=True, slots=True)
class Known:
    """One entry of a baseline: findings on one claim that do not fail the run."""

    claim: str  # Claim that may be broken.
    operation: str = ""  # operationId of the findings; empty for any.
    ref: str = "*"  # Glob of the version that the deciding request is about.
    reason: str = ""  # Text for readers.
    ticket: str = ""  # Id of the ticket about it.
    expires: str = "never"  # Last day on which the entry counts, in UTC, such as ``2027-01-31``, or ``never``.


@dataclass(frozen=True, slots=True)
class Target:
    """Target of a run. *url* contains no secret."""

    name: str
    url: str
    kind: TargetKind


@dataclass(frozen=True, slots=True)
class Header:
    """First line of a run log: command, target and settings."""

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
    claims: tuple[LedgerClaim, ...]  # Claims that the run judges, in the order of the ledger.
    settings: dict[str, Any] = field(default_factory=dict)  # Merged settings without secrets.
    known: tuple[str, ...] = ()  # Claims that the baseline lists as broken.
    baseline: tuple[Known, ...] = ()  # Entries of the baseline; older run logs have only *known*.
    contract_version: int | None = None  # Newer claims do not fail the run; without a version, all count.

    @property
    def command_line(self) -> list[str]:
        """Words of the command, without the path of the program."""
        is_path = bool(self.argv) and PurePath(self.argv[0]).name.startswith(("touchstone", "__main__"))
        words = self.argv[1:] if is_path else self.argv
        return ["touchstone", *([] if words[:1] == (self.command,) else [self.command]), *words]

    @property
    def expired(self) -> tuple[Known, ...]:
        """Entries of the baseline that had expired when the run began."""
        return tuple(entry for entry in self.baseline if entry.expires < self.started_at[:10])

    def of_target(self, name: str) -> dict[str, Any]:
        """Returns a table of the target's settings; empty if the header has none."""
        target = self.settings.get("target")
        table = target.get(name) if isinstance(target, dict) else None
        return table if isinstance(table, dict) else {}


@dataclass(frozen=True, slots=True)
class Selected:
    """Cases that a run will execute: the cases of its profile that test a selected claim."""

    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """How often one rule or test (*check*) judged one claim as held, and as indeterminate, during one case."""

    case: str
    check: str
    claim: str
    held: int = 0
    indeterminate: int = 0
    reason: str = ""  # Reason for the first indeterminate judgement; empty if there is none.


def tallies(case: str, judgements: Iterable[Judgement], times: Iterable[int] = repeat(1)) -> tuple[Tally, ...]:
    """Counts each held and indeterminate judgement so many *times*. One tally for each pair of check and claim."""
    counts: dict[tuple[str, str], list[Any]] = {}
    for judgement, number in zip(judgements, times, strict=False):
        if judgement.outcome == "broken":
            continue
        count = counts.setdefault((judgement.check, judgement.claim), [0, 0, ""])
        count[judgement.outcome == "indeterminate"] += number
        if judgement.outcome == "indeterminate":
            count[2] = count[2] or judgement.actual
    return tuple(Tally(case, check, claim, *count) for (check, claim), count in counts.items())


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One finding in one case. Several cases can have the same finding."""

    finding: Finding
    case: str = ""
    times: Annotated[int, Field(strict=True, ge=1)] = 1  # Number of occurrences that this event stands for.


@dataclass(frozen=True, slots=True)
class Case:
    """Result of one case."""

    id: str
    title: str
    outcome: CaseOutcome
    duration_s: float
    claims: tuple[str, ...] = ()  # Claims that the case tests.
    message: str = ""  # Why the case failed, could not run or was skipped.
    began_at: str = ""  # ISO 8601 in UTC with microseconds; empty if unknown.


@dataclass(frozen=True, slots=True)
class Notice:
    """Why a claim was not judged. For ``not-applicable``, *reason* names the setting that would make it applicable."""

    claim: str
    verdict: NoticeVerdict
    reason: str
    case: str = ""


@dataclass(frozen=True, slots=True)
class TemplateAction:
    """A template was published, deleted or left behind, *at_s* seconds after the start of the run."""

    ref: str
    purpose: str
    digest: str
    action: TemplateDeed
    at_s: float


@dataclass(frozen=True, slots=True)
class Remark:
    """Note for readers of the reports. In a run log, it has the event type ``warning``."""

    text: str


@dataclass(frozen=True, slots=True)
class Limit:
    """One threshold of a load run: the maximum of a statistic, such as a latency, or the minimum of a throughput."""

    operation: str  # operationId, or ``*`` for all operations together.
    statistic: str  # Name as in load/thresholds.toml, such as ``p99_s``; it ends in the unit.
    value: float  # The limit, in the unit of the statistic.


@dataclass(frozen=True, slots=True)
class Workload:
    """Plan of a load run."""

    scenario: str  # Name, such as ``storm``.
    says: str  # Description in one sentence.
    model: Model  # Open: requests follow a schedule. Closed: a client sends its next request after a response.
    arrivals: str  # Arrival curve as text, such as ``constant:20``.
    began_at: float  # Start of the schedule.
    duration_s: float  # Length of the schedule.
    scheduled: dict[str, int]  # Number of scheduled arrivals by operation.
    workers: int  # Number of processes that share the schedule.
    seed: int
    options: dict[str, Any] = field(default_factory=dict)  # All settings of the scenario by name, as JSON values.
    limits: tuple[Limit, ...] = ()  # Thresholds of the run.


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to start a build."""

    want: int  # Number of the client that wants the build; the same in all its retries.
    number: int  # Number of the attempt of that client, from 1.
    ref: str
    credential: Credential
    phase: str  # Part of the scenario, such as ``alone`` (before a greedy client comes); empty without parts.
    fresh: bool | None  # Whether the version was not built yet, so that the start needs capacity; None if unknown.
    intended_at: float
    sent_at: float
    done_at: float
    status: int  # 0 without a response.
    retry_after_s: float | None  # Retry-After of the response; None if missing or invalid.
    gave_up: bool  # Whether the client gave up after this attempt.
    seq: int  # ``seq`` of its exchange, which may be missing in the log.
    cut_off: bool = False  # Whether the run stopped before a response arrived.
    unsent: bool = False  # Whether the connection failed, so that the target never received the request.

    @property
    def is_served(self) -> bool:
        """Whether the response reports success."""
        return 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """Whether a limit rejected the start."""
        return self.status == 429

    @property
    def may_act(self) -> bool:
        """Whether the start may have had an effect: only a 4xx response rules this out."""
        return not 400 <= self.status < 500


@dataclass(frozen=True, slots=True)
class Build:
    """One accepted build and its end."""

    want: int  # See `Attempt`.
    ref: str
    credential: Credential
    accepted_at: float  # Arrival of the response to the start.
    ended_at: float  # Time of the first read that reported the end, or at which the client gave up.
    end: BuildEnd
    seen_building_at: float | None  # Time of the last read with the status building; None without such a read.
    seq: int  # ``seq`` of the exchange that reports the end, or of the start if no exchange reports it.


@dataclass(frozen=True, slots=True)
class Worker:
    """State of one load worker, written during the run and at its end."""

    number: int  # From 0.
    state: Literal["running", "done", "lost"]  # ``lost`` is written by the master.
    at_s: float  # Time of writing.
    sent: int  # Scheduled arrivals that the worker has sent so far.
    unsent: int  # Scheduled arrivals that were due and could not be sent.
    assigned: int  # Scheduled arrivals of the worker's share.
    late_p99_s: float = 0.0  # 99th percentile of how late the worker sent its requests so far.
    behind_from_s: float | None = None  # Time since which the worker could not keep up with the schedule, or None.
    behind_s: float = 0.0  # Longest time by which the worker sent a request late.
    cpu_share: float = 0.0  # CPU time divided by elapsed time, since the worker's previous event; 1 is a whole core.
    rss_bytes: int = 0  # Resident memory.
    clock_offset_s: float = 0.0  # How far the worker's clock was ahead of the master's; all times are corrected.
    clock_error_s: float = 0.0  # Maximum error of that correction.
    note: str = ""  # Note for readers.
    unwatched: int = 0  # Scheduled watchers that sent nothing, because the start of their build was not accepted.
    over_budget: int = 0  # Part of *unsent*: arrivals beyond --max-requests.
    spent_at_s: float | None = None  # Time of the first request beyond --max-requests; None without one.
    undone: int = 0  # Clients that had more to send when the run or its budget ended.


@dataclass(frozen=True, slots=True)
class Footer:
    """Last line of a run log: how the run ended."""

    ended_at: str
    duration_s: float
    exit_code: int  # 0 if the run reached its end, else 2, 3 or 130; a report raises it for broken claims.
    reason: str  # One sentence for *exit_code*.
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class RunLog:
    """All facts of one run; each tuple is in the order of writing."""

    header: Header
    exchanges: tuple[Exchange, ...] = ()
    occurrences: tuple[Occurrence, ...] = ()
    tallies: tuple[Tally, ...] = ()
    cases: tuple[Case, ...] = ()
    notices: tuple[Notice, ...] = ()
    templates: tuple[TemplateAction, ...] = ()
    warnings: tuple[str, ...] = ()
    workload: Workload | None = None  # None outside a load run; the next four fields are then empty.
    windows: tuple[Window, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    builds: tuple[Build, ...] = ()
    workers: tuple[Worker, ...] = ()
    probe: ProbeStory | None = None  # None outside a probe.
    footer: Footer | None = None  # None if the run was killed before it wrote the last line.
    cut_bytes: dict[tuple[int, str], int] = field(default_factory=dict)  # Full length of each cut body by (seq, side).
    torn_lines: int = 0  # Number of lines that a killed process left unfinished; their content is lost.
    selected: tuple[str, ...] = ()  # Ids of the cases to execute; empty if unknown.

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings without duplicates: the first occurrence of each id."""
        first: dict[str, Finding] = {}
        for occurrence in self.occurrences:
            first.setdefault(occurrence.finding.id, occurrence.finding)
        return tuple(first.values())
