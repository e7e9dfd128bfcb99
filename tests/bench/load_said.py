"""What other programs say about requests, read from their words: nginx, wrk and hey."""

import re
from dataclasses import dataclass

_STUB = re.compile(r"^server accepts handled requests\s+(\d+) (\d+) (\d+)", re.MULTILINE)
_WRK_REQUESTS = re.compile(r"^\s*(\d+) requests in ", re.MULTILINE)
_WRK_STATUSES = re.compile(r"^\s*Non-2xx or 3xx responses: (\d+)", re.MULTILINE)
_WRK_SOCKETS = re.compile(r"^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", re.MULTILINE)
_HEY_STATUS = re.compile(r"^\s*\[(\d{3})\]\s+(\d+) responses", re.MULTILINE)
_HEY_ERRORS = re.compile(r"^Error distribution:\n((?:\s+\[\d+\].*\n?)*)", re.MULTILINE)
_HEY_ERROR = re.compile(r"^\s*\[(\d+)\]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Said:
    """What a generator says that it did.

    Attributes:
        requests: Those that were answered.
        failed: Those of them that were answered with an error, and those without an answer.
    """

    requests: int
    failed: int


def served(text: str) -> int:
    """How many requests nginx has served, by its page ``stub_status``; the one for the page is among them."""
    found = _STUB.search(text)
    if found is None:
        raise ValueError(f"stub_status: expected its three counts, got {text!r:.80}")
    return int(found[3])


def of_wrk(text: str) -> Said:
    """What wrk says."""
    found = _WRK_REQUESTS.search(text)
    if found is None:
        raise ValueError(f"wrk: expected how many requests there were, got {text!r:.80}")
    statuses, sockets = _WRK_STATUSES.search(text), _WRK_SOCKETS.search(text)
    failed = int(statuses[1]) if statuses else 0
    return Said(int(found[1]), failed + (sum(map(int, sockets.groups())) if sockets else 0))


def of_hey(text: str) -> Said:
    """What hey says."""
    statuses = [(int(status), int(count)) for status, count in _HEY_STATUS.findall(text)]
    errors = _HEY_ERRORS.search(text)
    if not statuses and not errors:
        raise ValueError(f"hey: expected how many responses there were, got {text!r:.80}")
    failed = sum(count for status, count in statuses if status >= 400)
    if errors:
        failed += sum(map(int, _HEY_ERROR.findall(errors[1])))
    return Said(sum(count for _, count in statuses), failed)
