"""Parser for the quota of a client in the header fields of a response, in all common dialects; no I/O."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

Quota = dict[str, float]

# Parameters in draft 8 and later, with the names of their numbers in a Quota.
_PARAMETERS = {"q": "limit", "w": "window_s", "r": "remaining"}
_KEYS = ("limit", "remaining")
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")


def quota(headers: Sequence[tuple[str, str]]) -> Quota:
    """Parses ``limit``, ``remaining`` and ``window_s`` of a rate limit.

    Missing values are left out. If a response uses several dialects, the newest dialect counts. Names of *headers* may
    have any case.

    Source: draft-ietf-httpapi-ratelimit-headers, 00 to 10.
    """
    fields: dict[str, str] = {}
    for name, value in headers:  # repeated fields are joined (RFC 9110 5.3)
        fields[name.lower()] = f"{fields[name.lower()]}, {value}" if name.lower() in fields else value
    keyed = [part.partition("=") for part, _ in _items(fields.get("ratelimit", ""))]
    return (
        _apart(fields, "x-rate-limit-")
        | _apart(fields, "x-ratelimit-")
        | _policy(fields.get("ratelimit-policy", ""))
        | _apart(fields, "ratelimit-")
        | _numbers({key.lower(): value for key, _, value in keyed if key.lower() in _KEYS})
        | _structured(fields)
    )


def _structured(fields: Mapping[str, str]) -> Quota:
    """Parses a RateLimit header of IETF draft 8 or later, such as ``"default";r=5;t=3``, with its RateLimit-Policy.

    Of several quotas of requests, the one with the fewest requests left is used; among equal ones, one with a window.
    Quotas in other units, such as bytes or concurrent requests, are left out.
    """
    items: dict[str, dict[str, str]] = {}
    for name, parameters in [*_items(fields.get("ratelimit-policy", "")), *_items(fields.get("ratelimit", ""))]:
        if _is_quoted(name):
            items[name] = items.get(name, {}) | parameters
    quotas = [
        _numbers({name: parameters.get(key, "") for key, name in _PARAMETERS.items()})
        for parameters in items.values()
        if parameters.get("qu", '"requests"') == '"requests"'
    ]
    return min(quotas, key=lambda each: (each.get("remaining", math.inf), "window_s" not in each), default={})


def _apart(fields: Mapping[str, str], prefix: str) -> Quota:
    """Parses fields with one number each, as in drafts 0 to 3, and with the prefix X- in older dialects."""
    first = {key: next(_items(fields.get(f"{prefix}{key}", "")), ("", {}))[0] for key in _KEYS}
    return _policy(fields.get(f"{prefix}limit", "")) | _numbers(first)


def _policy(value: str) -> Quota:
    """Parses a policy such as ``10;w=60``, the form before draft 8; takes the first of several that has a window."""
    for item, parameters in _items(value):
        if not _is_quoted(item) and _NUMBER.fullmatch(parameters.get("w", "")):
            return _numbers({"limit": item, "window_s": parameters["w"]})
    return {}


def _items(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields list members, each with its parameters; quoted commas and semicolons do not separate (RFC 9651 4.2)."""
    for member in _split(value, ","):
        parts = [part.strip() for part in _split(member, ";")]
        if parts:  # a single semicolon has no parts
            pairs = [part.partition("=") for part in parts[1:]]
            yield parts[0], {key.strip(): text.strip() for key, _, text in pairs}


def _split(value: str, at: str) -> list[str]:
    return re.findall(rf'(?:"[^"]*"|[^"{at}])+', value)


def _is_quoted(item: str) -> bool:
    return len(item) > 1 and item[0] == item[-1] == '"'


def _numbers(texts: Mapping[str, str]) -> Quota:
    return {name: float(text.strip()) for name, text in texts.items() if _NUMBER.fullmatch(text.strip())}
