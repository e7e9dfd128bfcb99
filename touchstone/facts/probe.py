"""Facts of a probe: stimuli (groups of requests), responses, trials, results, and their events in a run log.

All points in time are seconds on the clock of the run, which starts at `Probing.origin_utc`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from touchstone.facts.identity import Identity, Interval, Step

LEAST_BLUR_S = 0.0006  # Least uncertainty: resolution of the limiter's clock, and delays between limiter and socket.
LEG_SHARE = 0.1  # The limiter may decide this share of the one-way network time earlier or later.


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and its response."""

    sent_at: float  # Seconds since the start of the run.
    done_at: float  # Arrival of the response.
    accepted: bool  # Whether the limiter accepted the request.
    retry_after_s: float | None = None  # Wait that a rejection requests; None without one.
    # Names: limit, remaining and window_s; for a limit of concurrent requests, cap and cap_remaining.
    quota: Mapping[str, float] = field(default_factory=dict)  # Values of the RateLimit header fields, by name.
    stream: int = 0  # Number among concurrent requests, from 0.

    @property
    def took_s(self) -> float:
        """Seconds from the request to its response."""
        return self.done_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Moment:
    """Estimated time at which the limiter accepted or refused one request."""

    at: float  # Middle of the possible range, in seconds.
    blur_s: float  # Half the width of that range.
    accepted: bool
    hint_s: float | None = None  # Wait that the rejection requests.


def moments(answers: Sequence[Answer], quickest_s: float, served_s: float = 0.0) -> list[Moment]:
    """Estimates when the limiter accepted or refused each request, from the times of request and response.

    *quickest_s*: shortest response time on this connection; *served_s*: time to serve a request that was accepted.
    """
    leg_s = quickest_s / 2
    found = []
    for answer in answers:
        least_s = quickest_s + (served_s if answer.accepted else 0.0)
        late_s = max(0.0, answer.done_at - answer.sent_at - least_s)
        blur_s = late_s / 2 + LEAST_BLUR_S + LEG_SHARE * leg_s
        hint_s = None if answer.accepted else answer.retry_after_s
        found.append(Moment(answer.sent_at + leg_s + late_s / 2, blur_s, answer.accepted, hint_s))
    return found


Until = Literal["", "refused", "accepted"]

_ALIKE, _BLUR_S = 0.1, 0.002  # Queued responses take equally long, give or take this share and this network delay.
# Responses are queued if the last 4 are much slower than the fastest response, or the last 10 slightly slower.
_FEW, _SLOW_S, _SLOW_TIMES = 4, 0.03, 4.0
_MANY, _SLOWER_S = 10, 0.006


@dataclass(frozen=True, slots=True)
class Segment:
    """Part of a stimulus: requests in sequence, or all at once."""

    at: tuple[float, ...]  # Earliest time of each request, in seconds since the start of the run.
    until: Until = ""  # Response that ends the segment early.
    together: bool = False  # Whether requests are concurrent; otherwise, each waits for the previous response.
    holds: bool = False  # Whether accepted builds keep running; otherwise, the probe cancels them at once.
    beside: int | None = None  # Each request waits until at most so many builds are in flight; None: any number.
    quick_s: float = 0.0  # Response time of an idle target: the segment ends once responses are queued. 0: no such end.

    def ends_with(self, *, accepted: bool, took_s: Sequence[float]) -> bool:
        """Whether the segment ends after a response. *took_s*: response times of all accepted requests so far."""
        if self.until == ("accepted" if accepted else "refused"):
            return True
        return self.quick_s > 0 and waits((self.quick_s, *took_s))


@dataclass(frozen=True, slots=True)
class Stimulus:
    """A group of requests of a probe: segments, one after the other."""

    name: str  # Description.
    segments: tuple[Segment, ...]
    frees: int = 0  # Number of builds in flight to cancel first; the stimulus waits for their end.
    bits: float = 0.0  # Expected information gain in bits.
    stage: str = "rate"  # Part of the probe that requested this stimulus and receives the responses.
    anew: bool = False  # Whether the stimulus is the first after an interruption: no earlier build is in flight.

    @property
    def most(self) -> int:
        """Maximum number of requests."""
        return sum(len(segment.at) for segment in self.segments)

    def within(self, requests: int, builds: int) -> "Stimulus":
        """Returns the part of the stimulus that certainly fits into a budget of requests and accepted builds."""
        parts = []
        for segment in self.segments:
            # A segment that ends with the first accepted request starts one build at most.
            once = segment.until == "accepted" and not segment.together and builds > 0
            count = min(len(segment.at), requests, requests if once else builds)
            if count > 0:
                parts.append(replace(segment, at=segment.at[:count]))
            requests, builds = requests - count, builds - (1 if once else count)
        return replace(self, segments=tuple(parts))


def waits(took_s: Sequence[float]) -> bool:
    """Whether requests wait in a queue: the last ones took equally long, and much longer than the fastest one."""
    quick_s = min(took_s)
    few, many = took_s[-_FEW:], took_s[-_MANY:]
    slow = len(few) == _FEW and min(few) > quick_s + max(_SLOW_S, _SLOW_TIMES * quick_s)
    slower = len(many) == _MANY and min(many) > 2 * quick_s + _SLOWER_S
    return (slow and _alike(few)) or (slower and _alike(many))


def _alike(took_s: Sequence[float]) -> bool:
    return max(took_s) - min(took_s) <= _ALIKE * min(took_s) + _BLUR_S


def promised(quota: Mapping[str, float]) -> int:
    """Number of requests that the RateLimit header fields of a response promise to accept; 0 without a promise."""
    return int(quota.get("remaining", quota.get("limit", 1.0) - 1))


def drain(at: float, most: int) -> Segment:
    """Returns a segment of at most *most* requests in sequence without pauses, until one is rejected."""
    return Segment((at,) * most, "refused")


def stream(at: float, most: int, gap_s: float) -> Segment:
    """Returns a segment of at most *most* requests every *gap_s* seconds, without waiting, until one is rejected."""
    return Segment(tuple(at + gap_s * number for number in range(most)), "refused", together=True)


def volley(at: float, count: int) -> Segment:
    """Returns a segment of *count* concurrent requests."""
    return Segment((at,) * count, together=True)


MISS_SHARE = 0.01  # Share of reads that may miss the latency limit, because the limit is for the 99th percentile.

Stage = Literal["capacity", "bracket", "confirm"]
Mark = Literal[
    "passed",
    "failed",
    "late",  # the trial failed, and lateness of the generator may be the reason
    "refused",  # the trial got 429 responses, which have no meaningful latency
    "cut",  # the trial was interrupted and has no result
]
_Bound = Literal["generator-limited", "rate-limited", "out of reach", "requests", "seconds"]
KneeWhy = Literal["", "confirmed", _Bound, "never", "unsteady", "unsettled", "failing", "interrupted"]


@dataclass(frozen=True, slots=True)
class KneeTerms:
    """Latency limit and budget of the search for the knee, the highest rate within that limit."""

    slo_s: float  # Latency limit, counted from the time at which a read is due.
    most_requests: int  # Maximum number of reads.


@dataclass(frozen=True, slots=True)
class Trial:
    """Trial of a knee search: independent reads at one mean rate."""

    number: int  # Number in the search, from 1.
    stage: Stage
    rate_per_s: float
    arrivals: int  # Maximum number of reads.
    seed: int  # Seed of the due times.
    most_missed: int | None = None  # The trial stops when more reads than this missed the limit; None for no stop.

    @property
    def lasts_s(self) -> float:
        """Expected seconds until the last read is due."""
        return self.arrivals / self.rate_per_s


@dataclass(frozen=True, slots=True)
class Outcome:
    """Measurements of one trial. Latencies count from the time at which a read was due."""

    due: int  # Reads that were due before the trial ended.
    sent: int  # Reads that were sent.
    slow: int = 0  # Responses above the latency limit.
    failed: int = 0  # Reads without a response in time, or with an error other than 404, 409 and 429.
    refused: int = 0  # 429 responses.
    late: int = 0  # Reads that were sent later than a tenth of the latency limit.
    late_p99_s: float = 0.0  # 99th percentile of how late reads were sent.
    p50_s: float = 0.0
    p90_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0
    due_per_s: float = 0.0  # Reads due per second, without the first third of the trial; 0 if it stopped.
    done_per_s: float = 0.0  # Responses per second over the same time, without failed and refused reads.
    lasted_s: float = 0.0  # Seconds from the start to the last response.
    stopped: bool = False  # Whether the trial stopped before all reads were due.
    began_at: float = 0.0  # Start, in seconds since the start of the run.
    barred: int = 0  # Status 401 or 403 of a response that rejects the key; else 0.

    @property
    def missed(self) -> int:
        """Number of reads that missed the latency limit."""
        return self.slow + self.failed


@dataclass(frozen=True, slots=True)
class Tried:
    """A finished trial, its measurements and its result."""

    trial: Trial
    outcome: Outcome
    mark: Mark


@dataclass(frozen=True, slots=True)
class Knee:
    """Knee of reads: the highest rate at which latencies stay within the limit."""

    slo_s: float
    why: KneeWhy = ""  # Why the search stopped; empty while it runs.
    rate_per_s: Interval | None = None  # Confirmed rate, and the range of the knee; None if unknown.
    capacity_per_s: float | None = None  # Responses per second under overload; None without an overload.
    kept_per_s: float = 0.0  # Highest rate of a trial that passed; 0 without such a trial.
    kept_p99_s: float = 0.0  # 99th percentile of the latencies in that trial.
    last_per_s: float = 0.0  # Rate of the last trial.
    ceiling_per_s: float | None = None  # Highest rate that the identified limiter allows; None if it has no limit.
    confirmed_by: int = 0  # Number of reads in the trial that confirmed the knee.
    missed: Interval | None = None  # Share of these reads that missed the limit.
    requests: int = 0  # Reads that were sent.
    seconds: float = 0.0  # Duration of all trials.

    @property
    def is_known(self) -> bool:
        """Whether a trial has confirmed the knee."""
        return self.why == "confirmed"


@dataclass(frozen=True, slots=True)
class Terms:
    """Budget and options of a probe."""

    seed: int
    starts: bool  # whether the requests start builds; otherwise they are reads
    most_requests: int
    most_builds: int  # highest number of accepted starts
    most_s: float
    most_held: int = 16  # highest number of builds in flight at once
    caps: bool = True  # whether to look for caps on requests and builds in flight
    soak: int = 0  # the probe goes on until this many requests are accepted, to find a second, longer limit
    refusal: int = 429  # status with which the target refuses requests above its limit
    builds_s: float = 0.0  # seconds that a build takes unless it is cancelled; 0 if unknown


@dataclass(frozen=True, slots=True)
class Probing:
    """Task and budget of a probe."""

    operation: str  # operationId of the requests that count against the limit.
    seed: int
    terms: dict[str, Any]  # `Terms` as JSON values.
    origin_utc: float  # Unix time at the start of the run; the same after a probe is resumed.
    spent_s: float = 0.0  # Seconds that the probe had run when it was interrupted; 0 if it never was.
    began_at: float = 0.0  # Time at which the probe was resumed; 0 if it never was.
    knee: KneeTerms | None = None  # None without a knee search.


@dataclass(frozen=True, slots=True)
class Sending:
    """Announces one stimulus before its requests are sent."""

    number: int  # Number in the probe, from 1.
    stimulus: Stimulus


@dataclass(frozen=True, slots=True)
class Answered:
    """One request that counts against the limit, and its response."""

    stimulus: int  # Number of its stimulus.
    answer: Answer
    status: int  # 0 without a response.
    seq: int = 0  # ``seq`` of its exchange, which may be missing in the log.
    ref: str = ""  # Version in its path.
    refusal: int = 429  # Status of a rejection.

    @property
    def is_evidence(self) -> bool:
        """Whether the response is evidence about the limiter: an acceptance or a rejection."""
        return self.answer.accepted or self.status == self.refusal

    @property
    def may_have_begun(self) -> bool:
        """Whether a start may have begun a build: accepted, a server error, or no response."""
        return self.answer.accepted or not self.status or (self.status >= 500 and self.status != self.refusal)


@dataclass(frozen=True, slots=True)
class StimulusEnd:
    """End of a stimulus: all requests got a response, or the stimulus was interrupted."""

    stimulus: int
    at: float  # Time of the end.
    families: dict[str, float] = field(default_factory=dict)  # Probability of each family; empty if unknown.
    requests: int = 0  # Requests of the whole probe so far that count against the limit.
    refused: int = 0  # How many of these requests were rejected.
    builds: int = 0  # Builds that began or may have begun so far.


@dataclass(frozen=True, slots=True)
class Identified:
    """Result of a probe, also of an interrupted probe."""

    identity: Identity
    steps: tuple[Step, ...] = ()  # One per stimulus.


@dataclass(frozen=True, slots=True)
class ProbeStory:
    """All events of a probe in a run log; each tuple is in the order of writing."""

    probing: Probing
    sent: tuple[Sending, ...] = ()
    answers: tuple[Answered, ...] = ()
    ended: tuple[StimulusEnd, ...] = ()
    identified: Identified | None = None  # The last result; None if the probe was killed before.
    tried: tuple[Tried, ...] = ()  # Finished trials of the knee search.
    knee: Knee | None = None  # Result of the knee search; None without a search or a result.

    @property
    def finished(self) -> bool:
        """Whether the probe ended by itself, so that it cannot be resumed."""
        if self.identified is None or self.identified.identity.why in ("", "interrupted"):
            return False
        return self.probing.knee is None or (self.knee is not None and self.knee.why not in ("", "interrupted"))

    def answers_to(self, number: int) -> tuple[Answer, ...]:
        """Returns the responses to stimulus *number* that are evidence about the limiter."""
        return in_order(answered for answered in self.answers if answered.stimulus == number)

    @property
    def last_at(self) -> float:
        """Time of the last response."""
        times = [answered.answer.done_at for answered in self.answers]
        times += [tried.outcome.began_at + tried.outcome.lasted_s for tried in self.tried]
        return max(times, default=self.probing.began_at)


def in_order(answers: Iterable[Answered]) -> tuple[Answer, ...]:
    """Returns the responses that are evidence about the limiter, in the order of their requests."""
    evidence = (answered.answer for answered in answers if answered.is_evidence)
    return tuple(sorted(evidence, key=lambda answer: (answer.sent_at, answer.stream)))
