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
    """One response, or the reason why it is missing. Times are in seconds, on the client's clock."""

    head: Head | None = None
    body: bytes = b""  # received part of the body, without transfer coding
    chunks: list[tuple[float, bytes]] = field(default_factory=list)  # of a stream; each with its seconds from *sent_at*
    sent_at: float = 0.0  # start of the request, before its connection was opened
    head_at: float = 0.0  # arrival of the complete head; equals *done_at* if no complete head arrived
    done_at: float = 0.0
    error: str = ""  # why the response is incomplete, such as ``ReadTimeout: no byte within 5.0 s``
    closed: Closed = ""  # which side closed a stream; ``client`` if the time limit ended it

    @property
    def status(self) -> int:
        """Status code, or 0 without a response head."""
        return self.head.status if self.head else 0


def kept_bytes(answer: Answer) -> int:
    """Approximate size of a stored response in bytes."""
    return len(answer.body) + (head_bytes(answer.head.headers) if answer.head else 0)
