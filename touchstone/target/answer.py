"""Raw responses of a load run; only some of them become exchanges."""

from dataclasses import dataclass, field

from touchstone.facts.exchange import Closed
from touchstone.target.bounds import head_bytes

NOT_REACHED = ("ConnectError", "ConnectTimeout")  # beginnings of `Answer.error` without a connection


@dataclass(frozen=True, slots=True)
class Head:
    """Status and header fields of a response, in order: names in lower case, values stripped."""

    status: int
    headers: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Answer:
    """One response, or the reason for a missing one. Times are seconds on the clock of the client.

    Attributes:
        body: Received part of the body, without transfer coding.
        chunks: For a stream: pairs of seconds since *sent_at* and the bytes received then; empty otherwise.
        sent_at: Start of the request, before its connection was opened.
        head_at: Arrival of the complete head; equals *done_at* without one.
        error: Why the response is incomplete, such as ``ReadTimeout: no byte within 5.0 s``; empty if it is complete.
        closed: For a stream: side that ended it; ``client`` if it was still open at its time limit.
    """

    head: Head | None = None
    body: bytes = b""
    chunks: list[tuple[float, bytes]] = field(default_factory=list)
    sent_at: float = 0.0
    head_at: float = 0.0
    done_at: float = 0.0
    error: str = ""
    closed: Closed = ""

    @property
    def status(self) -> int:
        """Status code, or 0 without a head."""
        return self.head.status if self.head else 0


def kept_bytes(answer: Answer) -> int:
    """Approximate size of a stored response in bytes."""
    return len(answer.body) + (head_bytes(answer.head.headers) if answer.head else 0)
