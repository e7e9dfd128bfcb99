"""What a load run writes down besides windows of samples; all points in time are seconds since the run started.

What it was to do, each try to start a build, what became of each build, and how its workers fared.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from touchstone.facts.exchange import Credential

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
