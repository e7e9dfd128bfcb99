"""
How much of an answer is read: what a target may not make us hold, whatever it sends. Each is a setting of the target.
"""

import re
from dataclasses import dataclass, fields

# Of a body that is beyond its bound so much is kept: as much as a run log holds, and enough to see what it was.
KEPT_BYTES = 64 * 1024

# A string is passed over as a whole, also one that never ends; what it holds is no nesting.
_MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{\]}]', re.DOTALL)
_OPENING = frozenset({b"[", b"{"})
_CLOSING = frozenset({b"]", b"}"})


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    The bounds, by the names of their settings.

    Attributes:
        max_head_bytes: Of a head, with all interim answers before it; Node and Go let one have 16 KiB and 1 MiB.
        max_headers: Lines of a head; 100 are what Apache and Python's own client let through.
        max_body_bytes: Of a body that is no stream, and of what it is once it is unpacked.
        max_stream_bytes: The same for a stream.
        max_line_bytes: Of a line of a stream.
        max_json_depth: Arrays and objects within each other.
        max_total_bytes: Of all bodies of a check together, not counting the first 64 KiB of each: rules look back
            at them, and a run log does not hold more of a body than that.
    """

    max_head_bytes: int = 64 * 1024
    max_headers: int = 256
    max_body_bytes: int = 4 * 1024 * 1024
    max_stream_bytes: int = 4 * 1024 * 1024
    max_line_bytes: int = 1024 * 1024
    max_json_depth: int = 100
    max_total_bytes: int = 32 * 1024 * 1024

    def told(self, name: str) -> str:
        """
        A bound as messages tell it, such as ``max_headers = 256``.
        """
        return f"{name} = {getattr(self, name)}"

    def fit(self, body: bytes) -> bool:
        """
        Whether a body that is no stream is within them.
        """
        return len(body) <= self.max_body_bytes and too_deep(body, self.max_json_depth) is None


DEFAULT_BOUNDS = Bounds()
BOUND_NAMES = tuple(field.name for field in fields(Bounds))


def too_deep(body: bytes, most: int) -> int | None:
    """
    Where JSON goes deeper than *most*: the length of what comes before that; None where it does not.
    """
    if body.count(b"[") + body.count(b"{") <= most or body.lstrip()[:1] not in _OPENING:
        return None
    depth = 0
    for mark in _MARK.finditer(body):
        if mark[0] in _OPENING:
            depth += 1
        elif mark[0] in _CLOSING:
            depth -= 1
        if depth > most:
            return mark.start()
    return None


def line_too_deep(stream: bytes, most: int) -> int | None:
    """
    The same for the JSON in the data of a stream of events.
    """
    if stream.count(b"[") + stream.count(b"{") <= most:
        return None
    at = 0
    for line in stream.splitlines(keepends=True):
        if line.startswith(b"data:") and (cut := too_deep(line[5:], most)) is not None:
            return at + 5 + cut
        at += len(line)
    return None
