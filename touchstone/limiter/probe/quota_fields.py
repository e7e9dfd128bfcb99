"""What an answer says about its caller's quota, in the dialects that servers speak; pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from touchstone.facts.patience import http_date

Quota = dict[str, float]

# From here on a number of seconds is a point in time, as in the year 2001 and later, and then one in milliseconds.
_EPOCH_FROM_S, _EPOCH_FROM_MS = 1e9, 1e12

# What the parameters of draft 8 and later are called, and the keys of drafts 4 to 7.
_STRUCTURED = {"r": "remaining", "t": "reset_s"}
_KEYED = {"limit": "limit", "remaining": "remaining", "reset": "reset_s"}
_POLICY = {"q": "limit", "w": "window_s"}

_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_SPAN = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ns|us|µs|μs|ms|h|m|s)")
# Go writes at most hours, minutes and seconds. To search a long value for spans takes time that grows as its square.
_SPANS = re.compile(rf"(?:{_SPAN.pattern}){{1,3}}")
_SPAN_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def quota(headers: Sequence[tuple[str, str]], utc: float) -> Quota:
    """``limit``, ``remaining``, ``reset_s`` and ``window_s``; those that the answer tells in a form that is known.

    Where it speaks several dialects, the newest one counts.

    Args:
        headers: Names in any case, and values.
        utc: When the answer arrived, in seconds since 1970; for a reset that is told as a point in time, and only where
            the answer has no Date, so that the two clocks need not agree.

    Source: draft-ietf-httpapi-ratelimit-headers, 00 to 10.
    """
    fields = _fields(headers)
    now_utc = _date_utc(fields.get("date", "")) or utc
    found: Quota = {}
    for one in (
        _structured(fields),
        _keyed(fields.get("ratelimit", "")),
        _apart(fields, "ratelimit-", now_utc),
        _policy(fields.get("ratelimit-policy", "")),
        _apart(fields, "x-ratelimit-", now_utc),
        _apart(fields, "x-rate-limit-", now_utc),
        _retry_in(fields),
    ):
        found = one | found
    return found


def retry_in_s(headers: Sequence[tuple[str, str]]) -> float | None:
    """Seconds that X-Retry-In asks to wait, which Traefik sends: finer than Retry-After can say it. None without it."""
    return _retry_in(_fields(headers)).get("reset_s")


def _fields(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The values by name in small letters; of a field that comes twice, both (RFC 9110 5.3)."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _structured(fields: Mapping[str, str]) -> Quota:
    """
    Draft 8 and later: ``"default";r=5;t=3``, and the policy of the same name. Of several, the one with the least left.
    """
    limits = [(name, _named(rest, _STRUCTURED)) for name, rest in _items(fields.get("ratelimit", "")) if _quoted(name)]
    if not limits:
        return {}
    name, left = min(limits, key=lambda each: each[1].get("remaining", float("inf")))
    policies = [_named(rest, _POLICY) for other, rest in _items(fields.get("ratelimit-policy", "")) if other == name]
    return (policies[0] if policies else {}) | left


def _keyed(value: str) -> Quota:
    """Drafts 4 to 7: ``limit=10, remaining=5, reset=3``."""
    pairs = [part.partition("=") for part, _ in _items(value)]
    return _numbers({_KEYED[key.strip().lower()]: told for key, _, told in pairs if key.strip().lower() in _KEYED})


def _apart(fields: Mapping[str, str], prefix: str, now_utc: float) -> Quota:
    """One field for each number, as in drafts 0 to 3 and, with X- before it, in what came before them."""
    limit = next(_items(fields.get(f"{prefix}limit", "")), ("", []))[0]
    remaining = next(_items(fields.get(f"{prefix}remaining", "")), ("", []))[0]
    found = _numbers({"limit": limit, "remaining": remaining})
    found |= _policy(fields.get(f"{prefix}limit", "")) | found
    reset = _numbers({"reset_s": fields.get(f"{prefix}reset", "").strip()}).get("reset_s")
    after = _numbers({"reset_s": fields.get(f"{prefix}reset-after", "").strip()}).get("reset_s")
    if after is not None:
        found["reset_s"] = after
    elif reset is not None:
        found["reset_s"] = _from_now_s(reset, now_utc)
    return found


def _from_now_s(reset: float, now_utc: float) -> float:
    """Seconds until a reset, which some tell as a point in time."""
    if reset < _EPOCH_FROM_S:
        return reset
    return max(0.0, (reset / 1000 if reset >= _EPOCH_FROM_MS else reset) - now_utc)


def _policy(value: str) -> Quota:
    """``10;w=60`` or ``"default";q=10;w=60``; of several policies, the first one that tells a window."""
    for item, rest in _items(value):
        found = _named(rest, _POLICY)
        if "window_s" in found:
            return found if _quoted(item) else _numbers({"limit": item}) | found
    return {}


def _retry_in(fields: Mapping[str, str]) -> Quota:
    """A span of time as Go writes it: ``97.4ms``, ``1m2.5s``."""
    value = fields.get("x-retry-in", "").strip()
    if not _SPANS.fullmatch(value):
        return {}
    return {"reset_s": round(sum(float(number) * _SPAN_S[unit] for number, unit in _SPAN.findall(value)), 9)}


def _items(value: str) -> Iterator[tuple[str, list[str]]]:
    """The members of a list, each with its parameters; a comma or semicolon within quotes is none."""
    for member in _split(value, ","):
        parts = [part.strip() for part in _split(member, ";")]
        if parts:  # a semicolon alone has none
            yield parts[0], parts[1:]


def _split(value: str, at: str) -> list[str]:
    return re.findall(rf'(?:"[^"]*"|[^"{at}])+', value)


def _quoted(item: str) -> bool:
    return len(item) > 1 and item[0] == item[-1] == '"'


def _named(parameters: Sequence[str], names: Mapping[str, str]) -> Quota:
    pairs = [parameter.partition("=") for parameter in parameters]
    return _numbers({names[key.strip()]: told for key, _, told in pairs if key.strip() in names})


def _numbers(told: Mapping[str, str]) -> Quota:
    return {name: float(value.strip()) for name, value in told.items() if _NUMBER.fullmatch(value.strip())}


def _date_utc(value: str) -> float | None:
    date = http_date(value)
    return date.timestamp() if date else None
