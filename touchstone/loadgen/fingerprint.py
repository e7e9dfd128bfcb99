"""What two answers have to share so that every rule which reads one exchange by itself says the same of both."""

import hashlib
import itertools

from touchstone.loadgen.masks import masked
from touchstone.loadgen.prepared_request import Shot
from touchstone.loadgen.recent import Recent
from touchstone.target.answer import Answer, Head
from touchstone.target.redact import Secrets

Look = tuple[object, ...]

# The fields of a head that inline rules read. All others may differ from answer to answer without telling anything,
# but for a marker where a key was.
READ_HEADERS = frozenset({"content-type", "retry-after"})
_MARKER = "<key:"
# What `protocol.answered` tells once, and of what it says that nobody can tell.
NOT_REACHED = ("ConnectError", "ConnectTimeout")
LARGE_BODY_BYTES = 65_536

# A longer body is known by its digest, or so many looks could fill the memory.
_LONGEST_KEPT_BYTES = 1_024

# In the place of a number: of a head that holds a secret, and of an answer without a head.
_MARKED, _HEADLESS = -1, 0


class Looks:
    """Tells the look of an answer: request, what is read of the head, body, kind of error, and who closed.

    Args:
        most: How many heads are remembered.
    """

    def __init__(self, secrets: Secrets, most: int) -> None:
        self._secrets = secrets
        self._numbers: Recent[int, int] = Recent(most)  # by the kind of a head
        self._numbers_read: Recent[object, int] = Recent(most)  # by what is read of it
        self._next_number = itertools.count(_HEADLESS + 1)

    def of(self, shot: Shot, answer: Answer) -> Look | None:
        """The look of an answer to *shot*; None where it holds a secret that a look would hide."""
        head = answer.head
        if head is None:
            return self._seen(shot, answer, _HEADLESS)
        return self._seen(shot, answer, self._numbers.get(head.kind) or self._met(head))

    def from_elsewhere(self, shot: Shot, answer: Answer) -> Look | None:
        """The same of an answer that another process got, by whose kinds of heads nothing is known."""
        return self._seen(shot, answer, self._number(answer.head) if answer.head else _HEADLESS)

    def _seen(self, shot: Shot, answer: Answer, number: int) -> Look | None:
        if number == _MARKED:
            return None
        body, error = answer.body, answer.error
        if error and answer.head is None and error.startswith(NOT_REACHED):
            # Whatever version was asked of a server that is gone. How often is told of each operation.
            return (shot.operation, len(shot.request.body) > LARGE_BODY_BYTES), number, b"", "", ""
        rest, hidden = masked(body)
        # What the mask covers was not looked at when the look was met.
        if hidden and self._secrets.data(body) != body:
            return None
        body = rest
        known: object = body
        if len(body) > _LONGEST_KEPT_BYTES:
            known = hashlib.blake2b(body).hexdigest()
        return shot, number, known, error and error.split(" ", 1)[0], answer.closed

    def _met(self, head: Head) -> int:
        number = self._number(head)
        self._numbers.put(head.kind, number)
        return number

    def _number(self, head: Head) -> int:
        told = "\n".join(f"{name}: {value}" for name, value in head.headers)
        if _MARKER in told or self._secrets.text(told) != told:
            return _MARKED
        read = head.status, tuple((n.lower(), v) for n, v in head.headers if n.lower() in READ_HEADERS)
        number = self._numbers_read.get(read)
        if number is None:
            # Never one that was used before: it may still be part of a look.
            number = next(self._next_number)
            self._numbers_read.put(read, number)
        return number


def outline(look: Look, answer: Answer) -> Look:
    """What is left of a look for rules that ask of the body only whether there is one."""
    return (*look[:2], bool(answer.body), *look[3:])
