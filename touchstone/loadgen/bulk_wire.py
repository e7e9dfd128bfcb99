"""The messages between a load worker and the process that sends its bulk arrivals, as they cross two pipes.

A message is a frame: one byte that says what it is, the length of what follows, and that. Small things are JSON; what
there is a million of, arrivals and samples, are arrays as the machine has them, for both ends are on the same one.
"""

import json
import struct
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from touchstone.target.answer import Answer, Head
from touchstone.target.bounds import DEFAULT_BOUNDS, Bounds

# To the side-car, in this order, where the first two may come more than once in between.
SETUP = b"s"
SCHEDULE = b"d"
PREPARE = b"p"  # open connections, then say READY
GO = b"g"
STOP = b"q"

# From the side-car.
READY = b"r"
OUTCOMES = b"k"  # what the numbers of outcomes in the samples that follow stand for
SAMPLES = b"m"
LOOK = b"l"
REPORT = b"t"

# One sample: when it was due, sent and done in seconds since the run started; its outcome's number; body bytes.
SAMPLE = struct.Struct("=dddII")
MAX_BODY_BYTES = 2**32 - 1

# Of a body that is kept as evidence.
MAX_EVIDENCE_BYTES = 64 * 1024

_FRAME = struct.Struct("=cI")
_COUNT = struct.Struct("=I")
# A frame of a schedule is written in one go, and nothing else is done meanwhile.
_ARRIVALS_A_FRAME = 50_000


class BrokenFrame(ValueError):
    """The bytes are no message of the other end."""


@dataclass(frozen=True, slots=True)
class BulkShot:
    """A request as the side-car sends it again and again.

    Attributes:
        operation: operationId of the contract.
        wire: All bytes of it.
    """

    operation: str
    method: str
    wire: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Setup:
    """What a side-car is to do; the schedule comes after it.

    Attributes:
        shots: The schedule names them by their place in here.
        secrets: Keys, which no answer may hold in any spelling: one that does is sent up as evidence beyond all limits.
        timeout_s: How long a request may take from the moment at which it was sent, or a connection from being asked.
        grace_s: How long answers are waited for, and late arrivals still sent, after the last one was due.
        max_connections: As many requests are under way at most; arrivals beyond them wait for their turn.
        gather_s: An arrival may wait so long for others, so that one wake-up sends them all: less CPU, and as much
            lateness. 0 for none of both.
        ahead: So many connections are opened before it begins, at least.
        looks_per_s: New looks of answers that are sent up within a second at most, besides those with a secret and the
            first one of each shot and status.
        max_looks: The same for the whole run.
        bounds: How much of an answer is read.
    """

    host: str
    port: int
    tls: bool
    shots: tuple[BulkShot, ...]
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    timeout_s: float = 30.0
    grace_s: float = 30.0
    max_connections: int = 256
    gather_s: float = 0.0
    ahead: int = 0
    looks_per_s: int = 200
    max_looks: int = 20_000
    bounds: Bounds = DEFAULT_BOUNDS


@dataclass(frozen=True, slots=True)
class Look:
    """What an answer looks like, shown by the first one that did.

    Two answers look alike if they belong to one shot and differ in nothing but the Date header and their request ids.
    No answer is a look as well, by its error.

    Attributes:
        number: Of the look, from 0.
        shot: Place in `Setup.shots`.
        intended_at: When the arrival was due.
        answer: With times in seconds since the run started, and at most MAX_EVIDENCE_BYTES of the body.
        body_bytes: Length of the whole body.
    """

    number: int
    shot: int
    intended_at: float
    answer: Answer
    body_bytes: int


# --- frames ----------------------------------------------------------------------------------------------------------


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """One message."""
    return _FRAME.pack(kind, len(payload)) + payload


def json_frame(kind: bytes, value: Any) -> bytes:
    """One message whose content is JSON."""
    return frame(kind, json.dumps(value, separators=(",", ":")).encode("ascii"))


class Frames:
    """Takes messages out of a stream of bytes, which arrive in whatever pieces."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Adds *data*, and yields what is complete by now: kind and content."""
        self._held += data
        while len(self._held) >= _FRAME.size:
            kind, length = _FRAME.unpack_from(self._held)
            end = _FRAME.size + length
            if len(self._held) < end:
                return
            content = bytes(self._held[_FRAME.size : end])
            del self._held[:end]
            yield kind, content


# --- set-up and schedule ---------------------------------------------------------------------------------------------


def encode_setup(setup: Setup) -> bytes:
    """The message that tells a side-car what to do. It holds keys."""
    shots = [[shot.operation, shot.method, _text(shot.wire)] for shot in setup.shots]
    return json_frame(SETUP, asdict(setup) | {"shots": shots, "secrets": [_text(value) for value in setup.secrets]})


def decode_setup(payload: bytes) -> Setup:
    """What `encode_setup` put into a message."""
    values = json.loads(payload)
    values["shots"] = tuple(BulkShot(name, method, b64decode(wire)) for name, method, wire in values["shots"])
    values["secrets"] = tuple(b64decode(value) for value in values["secrets"])
    return Setup(**values | {"bounds": Bounds(**values["bounds"])})


def schedule_frames(dues: Sequence[float], shots: Sequence[int]) -> Iterator[bytes]:
    """The messages that hold a schedule.

    Args:
        dues: Seconds since the run started, ascending.
        shots: For each of them, a place in `Setup.shots`.
    """
    if len(dues) != len(shots):
        raise ValueError(f"schedule: {len(dues)} due times and {len(shots)} shots; expected as many of both")
    for at in range(0, len(dues), _ARRIVALS_A_FRAME):
        times = array("d", dues[at : at + _ARRIVALS_A_FRAME])
        numbers = array("I", shots[at : at + _ARRIVALS_A_FRAME])
        yield frame(SCHEDULE, _COUNT.pack(len(times)) + times.tobytes() + numbers.tobytes())


def decode_schedule(payload: bytes) -> tuple["array[float]", "array[int]"]:
    """Due times and shots of one message of a schedule.

    Raises:
        BrokenFrame: the message is not as long as it says.
    """
    times, numbers = array("d"), array("I")
    (count,) = _COUNT.unpack_from(payload)
    middle = _COUNT.size + count * times.itemsize
    if len(payload) != middle + count * numbers.itemsize:
        raise BrokenFrame(f"a schedule of {count} arrivals has {len(payload)} bytes")
    times.frombytes(payload[_COUNT.size : middle])
    numbers.frombytes(payload[middle:])
    return times, numbers


# --- looks -----------------------------------------------------------------------------------------------------------


def encode_look(look: Look) -> bytes:
    """The message that shows a look."""
    answer, head = look.answer, look.answer.head
    values = {
        "number": look.number,
        "shot": look.shot,
        "intended_at": look.intended_at,
        "body_bytes": look.body_bytes,
        "head": [getattr(head, name) for name in _HEAD] if head else None,
        "body": _text(answer.body),
    }
    return json_frame(LOOK, values | {name: getattr(answer, name) for name in _ANSWER})


def decode_look(payload: bytes) -> Look:
    """What `encode_look` put into a message."""
    values = json.loads(payload)
    head = None
    if values["head"] is not None:
        status, headers, *rest = values["head"]
        head = Head(status, tuple((name, value) for name, value in headers), *rest)
    body, told = b64decode(values["body"]), {name: values[name] for name in _ANSWER}
    answer = Answer(head, body, **told, is_partial=len(body) < values["body_bytes"])
    return Look(values["number"], values["shot"], values["intended_at"], answer, values["body_bytes"])


_HEAD = ("status", "headers", "kind", "framing", "length", "keep_alive", "packed")
_ANSWER = ("sent_at", "head_at", "done_at", "error")


def encode_outcomes(outcomes: Iterable[tuple[int, int, str]]) -> bytes:
    """The message that says which shot and which outcome each number in a sample stands for."""
    return json_frame(OUTCOMES, list(outcomes))


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")
