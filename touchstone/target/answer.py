"""What comes back on a connection of a load engine, before anybody makes an exchange of it."""

from dataclasses import dataclass, field, replace
from typing import Literal

from touchstone.facts.exchange import Closed
from touchstone.target.bounds import head_bytes

Framing = Literal[
    "length",  # Content-Length bytes follow
    "chunked",
    "close",  # the body lasts until the server closes
    "none",  # no body follows, whatever the headers say: 204, 304, 1xx, or an answer to HEAD
]


@dataclass(frozen=True, slots=True)
class Head:
    """
    The status line and the header fields of an answer; equal heads of one process are one object, unless they are long.

    Attributes:
        status: The status code.
        headers: Names as they were sent, in order, and values without surrounding blanks.
        kind: A number that heads share which differ in nothing but their Date.
        framing: How the end of the body is told.
        length: Bytes of the body where *framing* is ``length``, else 0.
        keep_alive: Whether another request may follow on the connection.
        packed: Whether a content coding is announced.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    kind: int = 0
    framing: Framing = "length"
    length: int = 0
    keep_alive: bool = False
    packed: bool = False


@dataclass(slots=True)
class Answer:
    """One answer, or why there is none. Times are seconds of the clock that the engine was given.

    Attributes:
        head: None where no complete head came.
        body: What came of the body, transfer coding removed.
        chunks: Of a stream: seconds since *sent_at* and the bytes that arrived then; empty otherwise.
        sent_at: When the engine began with it: before a connection was opened for it, where none was free.
        head_at: When the head was complete; equals *done_at* without one.
        done_at: When the last byte had arrived or the request was given up.
        error: Why the answer is not complete, such as ``ReadTimeout: no byte within 5.0 s``; empty where it is.
        closed: Of a stream: who ended it; ``client`` where it was still open when its time was up.
        is_partial: Whether *body* is only the beginning of what came, so that nothing may be read out of it.
    """

    head: Head | None = None
    body: bytes = b""
    chunks: list[tuple[float, bytes]] = field(default_factory=list)
    sent_at: float = 0.0
    head_at: float = 0.0
    done_at: float = 0.0
    error: str = ""
    closed: Closed = ""
    is_partial: bool = False

    @property
    def status(self) -> int:
        """The status code, or 0 where no head came."""
        return self.head.status if self.head else 0

    def moved(self, by_s: float) -> "Answer":
        """The same on a clock that is so many seconds ahead."""
        return replace(self, sent_at=self.sent_at + by_s, head_at=self.head_at + by_s, done_at=self.done_at + by_s)


def kept_bytes(answer: Answer) -> int:
    """About how many bytes an answer takes that is kept."""
    return len(answer.body) + (head_bytes(answer.head.headers) if answer.head else 0)
