"""Raw responses of a load run; only some of them become exchanges."""

from dataclasses import dataclass, field

from touchstone.facts.exchange import Closed
from touchstone.target.bounds import head_bytes

NOT_REACHED = ("ConnectError", "ConnectTimeout")  # how `Answer.error` begins if no connection was made


@dataclass(frozen=True, slots=True)
class Head:
    """Status and header fields of a response, in order: names in lower case, values stripped."""

    status: int
    headers: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Answer:
    """One response, or the reason why it is missing. Times are in seconds, on the client's clock.

    Attributes:
        body: Received part of the body, without transfer coding.
        chunks: For a stream: its pieces, each with the seconds from *sent_at* to its arrival; empty otherwise.
        sent_at: Start of the request, before its connection was opened.
        head_at: Arrival of the complete head; equals *done_at* if no complete head arrived.
        error: Why the response is incomplete, such as ``ReadTimeout: no byte within 5.0 s``; empty if it is complete.
        closed: For a stream: which side closed it; ``client`` if the time limit ended it.
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
        """Status code, or 0 without a response head."""
        return self.head.status if self.head else 0


def kept_bytes(answer: Answer) -> int:
    """Approximate size of a stored response in bytes."""
    return len(answer.body) + (head_bytes(answer.head.headers) if answer.head else 0)
