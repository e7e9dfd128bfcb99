"""What of an answer is another one each time without telling anything: its request id."""

import functools
import json
import re

# A text without blanks, quotes and escapes: none is a stack trace, and none makes a body more or less JSON.
_REQUEST_ID = re.compile(rb'"request_id"\s*:\s*"([!#-\[\]-~]*)"')
_LONGEST_BYTES = 4_096


def masked(body: bytes) -> tuple[bytes, bytes]:
    """A JSON body without its request id, and that; any other body as it is, and nothing."""
    found = _REQUEST_ID.search(body) if b'"request_id"' in body and len(body) <= _LONGEST_BYTES else None
    if found is None:
        return body, b""
    start, end = found.span(1)
    rest = body[:start] + b"*" + body[end:]
    # Where the rest is no JSON, nobody knows what a quote begins; with it, the one is JSON where the other is.
    return (rest, found[1]) if _is_json(rest) else (body, b"")


@functools.lru_cache(maxsize=1024)
def _is_json(body: bytes) -> bool:
    try:
        json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True
