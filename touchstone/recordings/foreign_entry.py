"""One request and its answer as a file of somebody else tells them, before anybody asks whether they concern us."""

import math
from dataclasses import dataclass
from typing import Literal

from touchstone.facts.exchange import Response

Headers = tuple[tuple[str, str], ...]
Ended = Literal["server", "client", "untold"]
Times = tuple[float, float, float]  # when it was sent, when the head of the answer was there, and when all of it was

_YEAR_10000_AT = 253_402_300_800

# Why a file does not tell what was answered.
NO_TEXT = "without a captured body"
CUT_TEXT = "with a body that was cut"
GIVEN_UP = "given up before the answer was there"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a file tells of one request. Secrets are still in it.

    Attributes:
        place: Where it stands in the file, for messages.
        url: Absolute, as sent.
        response: What came back; None where nothing did, or what did is not in the file.
        status: The status that came back, also where the rest is not in the file; 0 where none did.
        complete: Whether *headers* are all that were sent.
        left_out: Why this is no request to a server, or no answer of one; empty where it may be.
        unknown: Why the file does not tell what the server answered; empty where it does.
        error: What kept the answer from coming, where the client is not to blame.
        ended: Who ended the answer, as far as that is told.
        sent_at, head_at, done_at: Seconds on one clock for all entries of a file.
    """

    place: str
    method: str
    url: str
    headers: Headers = ()
    complete: bool = True
    body: bytes = b""
    response: Response | None = None
    status: int = 0
    left_out: str = ""
    unknown: str = ""
    error: str = ""
    ended: Ended = "server"
    sent_at: float = 0.0
    head_at: float = 0.0
    done_at: float = 0.0

    def header(self, name: str) -> str | None:
        """The first value of a header of the request, its name in lower case, or None."""
        return next((value for key, value in self.headers if key.lower() == name), None)


def pairs(name: str, values: str) -> Headers:
    """A header that a browser wrote: of several with one name it makes one, a line each."""
    return tuple((name, value) for value in values.split("\n"))


def check_times(place: str, times: Times) -> None:
    """Refuses times of which nobody can make dates.

    Raises:
        ValueError: one is no number, or lies before 1970 or after 9999.
    """
    if not all(math.isfinite(at) and 0 <= at < _YEAR_10000_AT for at in times):
        raise ValueError(f"{place}: its times lie outside of the years 1970 to 9999")


def times_by_answer(done_at: float, elapsed_s: float, before_at: float | None) -> Times:
    """The times of a request of schemathesis, which tells when the answer was there, and how long the head took.

    How long a stream was open follows from what was before it, since each test sends one request after the other.

    Args:
        before_at: When the exchange before a stream was over; None for anything else.
    """
    sent_at = done_at - elapsed_s
    return (sent_at if before_at is None else min(sent_at, before_at)), done_at, done_at
