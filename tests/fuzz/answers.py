"""Answers over HTTP: heads and framed bodies, Retry-After, what is said of quotas."""

import math
import random
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from tests.fuzz.steps import cuts
from tests.fuzz.target import Target, check_message
from touchstone.facts.backoff import http_date, retry_after_s
from touchstone.facts.exchange import Response
from touchstone.limiter.probe import sender
from touchstone.loadgen.client import Broken, Parser
from touchstone.target.bounds import DEFAULT_BOUNDS


def check_answer(data: bytes) -> None:
    """An answer is the same in whatever pieces it comes, and so is whether it is one."""
    assert taken(cuts(data)) == taken([data])


def taken(pieces: Iterable[bytes]) -> object:
    """What becomes of an answer that comes in these pieces and after which the server closes."""
    parser, body = Parser(DEFAULT_BOUNDS), b""
    try:
        for piece in pieces:
            if piece and not parser.done:
                parser.feed(piece)
                body += parser.take()
                if parser.problem is not None and not parser.done:
                    raise parser.problem
        if not parser.done:
            parser.feed(b"")
    except Broken as error:
        check_message(error)
        return Broken
    head = parser.head
    assert head is not None
    assert all(isinstance(text, str) for pair in head.headers for text in pair)
    assert 200 <= head.status <= 999
    return head, body


def answers() -> Sequence[bytes]:
    return (
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"a": "bcde"}',
        b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nabcde\r\n3 \r\n012\r\n0\r\nT: x\r\n\r\nr",
        b"HTTP/1.0 500 Oops\r\nConnection: keep-alive\r\nDate: Sat, 14 Mar 2026 09:00:00 GMT\r\n\r\nuntil the end",
        b"HTTP/1.1 103 A\r\nLink: x\r\n\r\nHTTP/1.1 204 B\r\nX-A: \xc3\xa9\xff\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3, 3\r\nContent-Length:\r\n 3\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nA: b\n\nends where it ends\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n folded: x\r\nConnection: close\r\n\r\n",
    )


def check_retry_after(data: bytes) -> None:
    """A wait is a number of seconds or none, and what has the documented form is read as what it says."""
    value, _, date = data.decode("latin-1").partition("\n")
    wait_s = retry_after_s(Response(429, (("retry-after", value), ("Date", date))))
    assert wait_s is None or 0 <= wait_s < math.inf
    if re.fullmatch("[0-9]{1,9}", value):
        assert wait_s == int(value)
    until = http_date(value)
    for date_parts in filter(None, (form.fullmatch(value) for form in _FORMS)):
        day, month, year, time = (date_parts[part] for part in ("day", "month", "year", "time"))
        written = f"{day} {month} {year if len(year) == 4 else f'20{year}'} {time} +0000"
        assert until == parsedate_to_datetime(written), value
    if until is not None:
        assert http_date(format_datetime(until, usegmt=True)) == until
        assert wait_s is None or wait_s == max(0.0, (until - (http_date(date) or until)).total_seconds())


# RFC 9110 5.6.7: the form of today and the two obsolete ones; with years and hours that are none in doubt.
_MONTH = r"(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIME = r"(?P<time>[01][0-9]:[0-5][0-9]:[0-5][0-9])"
_FORMS = tuple(
    re.compile(form.replace("MONTH", _MONTH).replace("TIME", _TIME))
    for form in (
        r"Sat, (?P<day>[012][1-8]) MONTH (?P<year>20[0-9]{2}) TIME GMT",
        r"Saturday, (?P<day>[012][1-8])-MONTH-(?P<year>[0-5][0-9]) TIME GMT",
        r"Sat MONTH (?P<day>[12 ][1-8]) TIME (?P<year>20[0-9]{2})",
    )
)


def waits() -> Sequence[bytes]:
    now = format_datetime(datetime(2026, 3, 14, 9, tzinfo=UTC), usegmt=True).encode()
    dates = (b"Sat, 14 Mar 2026 09:00:30 GMT", b"Saturday, 14-Mar-26 09:00:30 GMT", b"Sat Mar  4 09:00:30 2026")
    return tuple(value + b"\n" + now for value in (b"30", b"0", b"-1", b"1.5", *dates))


def check_quota(data: bytes) -> None:
    """A quota has finite numbers, whatever the fields hold, and the order of different fields does not matter."""
    lines = (line.partition(":") for line in data.decode("latin-1").split("\n"))
    fields = [(name, value.strip()) for name, _, value in lines]
    found = sender.quota(fields)
    assert found.keys() <= {"limit", "remaining", "window_s", "cap", "cap_remaining"}
    assert all(0 <= number < math.inf for number in found.values()), found
    by_name: dict[str, list[tuple[str, str]]] = {}
    for name, value in fields:
        by_name.setdefault(name.lower(), []).append((name, value))
    groups = list(by_name.values())
    random.Random(data).shuffle(groups)
    assert sender.quota([field for group in groups for field in group]) == found


def quotas() -> Sequence[bytes]:
    return (
        b"RateLimit-Limit: %b\nX-Rate-Limit-Reset-After: %b\nX-Retry-In: %bh" % ((b"9" * 320,) * 3),
        b'RateLimit: "default";r=5;t=3, "day";r=1;t=900\nRateLimit-Policy: "default";q=10;w=60, "day";q=100;w=86400',
        b'RateLimit: limit=10, remaining=5, reset=3\nRateLimit-Policy: 10;w=60;comment="a, b; c"',
        b"RateLimit-Limit: 10, 10;w=60\nratelimit-remaining: 5\nRateLimit-Reset: 3",
        b"X-RateLimit-Limit: 10\nX-RateLimit-Reset: 1773478830\nDate: Sat, 14 Mar 2026 09:00:00 GMT",
        b"X-Rate-Limit-Reset: 1773478830000\nX-Rate-Limit-Reset-After: 1.25\nX-Retry-In: 1m2.5s",
    )


TARGETS = (
    Target("http", check_answer, answers, most_bytes=2048),
    Target("retry-after", check_retry_after, waits, most_bytes=256),
    Target("ratelimit", check_quota, quotas, most_bytes=1024),
)
