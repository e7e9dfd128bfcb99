"""Raw responses of a load run or a probe; only some of them become exchanges."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from touchstone.facts.backoff import retry_after_s
from touchstone.facts.exchange import Closed, Response
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
    seq: int = 0  # number of the exchange; 0 if it has none yet
    cut_off: bool = False  # whether the run stopped before the response was complete

    @property
    def status(self) -> int:
        """Status code; 0 if no complete response came."""
        return self.head.status if self.head and (self.closed or not self.error) else 0

    @property
    def content(self) -> Mapping[str, Any]:
        """Response body as a JSON object; empty if it is anything else."""
        return Response(self.status, (), self.body).json_object() or {}

    @property
    def retry_after_s(self) -> float | None:
        """Delay in seconds from Retry-After; None without a valid header."""
        return retry_after_s(Response(self.head.status, self.head.headers)) if self.head else None


def kept_bytes(answer: Answer) -> int:
    """Approximate size of a stored response in bytes."""
    return len(answer.body) + (head_bytes(answer.head.headers) if answer.head else 0)
