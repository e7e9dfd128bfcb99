"""One timed request under load, and how many of them turned out alike within a second: facts."""

from dataclasses import dataclass, field

from touchstone.facts.histogram import Histogram

# Outcomes that are no status: the request got no complete answer, had none yet when the run was stopped and it was cut
# off with it, or was never sent.
NO_ANSWER = "no-answer"
CUT_OFF = "cut-off"
UNSENT = "unsent"


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed request; all times in seconds since the run started.

    Attributes:
        operation: operationId of the contract.
        outcome: The status as text, such as ``202``, NO_ANSWER, or CUT_OFF.
        intended_at: When the schedule said that it was to be sent. In a closed model, when it was sent.
        sent_at: Just before its first byte was written.
        done_at: When the last byte of the answer had arrived, or the request was given up or cut off.
        body_bytes: Length of the answer's body.
    """

    operation: str
    outcome: str
    intended_at: float
    sent_at: float
    done_at: float
    body_bytes: int = 0

    @property
    def response_s(self) -> float:
        """What a user waited: from the moment at which the request was due."""
        return self.done_at - self.intended_at

    @property
    def service_s(self) -> float:
        """What the target took: from the moment at which the request was sent."""
        return self.done_at - self.sent_at

    @property
    def late_s(self) -> float:
        """What the generator added: from due to sent."""
        return self.sent_at - self.intended_at


@dataclass(slots=True)
class Window:
    """The samples of one operation and outcome that one worker had to send within one whole second.

    Several windows with the same first four values add up: what is done late is told late.

    Attributes:
        worker: Number of the worker, from 0.
        at_s: The second: samples are intended from here to one later.
        outcome: See `Sample`; UNSENT counts arrivals and has empty histograms.
        count: How many samples, or how many unsent arrivals.
        paced: Whether the schedule set the moment of sending. A request that follows another one, such as a poll, is
            not paced: its intended time is when the flow wanted it.
        done_at: When the last of them was done; 0 where nobody wrote it down.
    """

    worker: int
    at_s: int
    operation: str
    outcome: str
    count: int = 0
    response: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    late: Histogram = field(default_factory=Histogram)
    body_bytes: int = 0
    paced: bool = True
    done_at: float = 0.0

    def add(self, sample: Sample) -> None:
        """Counts one sample."""
        self.count += 1
        self.response.add(sample.response_s)
        self.service.add(sample.service_s)
        self.late.add(sample.late_s)
        self.body_bytes += sample.body_bytes
        self.done_at = max(self.done_at, sample.done_at)
