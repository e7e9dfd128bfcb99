"""What comes back on a connection of a load, before anybody makes an exchange of it."""

from dataclasses import dataclass, field

from touchstone.facts.exchange import Closed
from touchstone.target.bounds import head_bytes

NOT_REACHED = ("ConnectError", "ConnectTimeout")  # What `Answer.error` begins with where no connection came about


@dataclass(frozen=True, slots=True)
class Head:
    """The status line and the header fields of an answer: names in small letters, in order, values without blanks."""

    status: int
    headers: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Answer:
    """One answer, or why there is none. Times are seconds of the clock that the client was given.

    Attributes:
        body: What came of the body, transfer coding removed.
        chunks: Of a stream: seconds since *sent_at* and the bytes that arrived then; empty otherwise.
        sent_at: When the client began with it, before a connection was opened for it.
        head_at: When the head was complete; equals *done_at* without one.
        error: Why the answer is not complete, such as ``ReadTimeout: no byte within 5.0 s``; empty where it is.
        closed: Of a stream: who ended it; ``client`` where it was still open when its time was up.
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
        """The status code, or 0 where no head came."""
        return self.head.status if self.head else 0


def kept_bytes(answer: Answer) -> int:
    """About how many bytes an answer takes that is kept."""
    return len(answer.body) + (head_bytes(answer.head.headers) if answer.head else 0)
