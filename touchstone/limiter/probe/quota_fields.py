"""What an answer says about its caller's quota, in the dialects that servers speak; pure."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from touchstone.facts.patience import http_date

Quota = dict[str, float]

# From here on a number of seconds is a point in time, as in the year 2001 and later, and then one in milliseconds.
_EPOCH_FROM_S, _EPOCH_FROM_MS = 1e9, 1e12

# What the parameters of draft 8 and later are called, and the keys of drafts 4 to 7.
_STRUCTURED = {"q": "limit", "w": "window_s", "r": "remaining", "t": "reset_s"}
_KEYED = {"limit": "limit", "remaining": "remaining", "reset": "reset_s"}
# Quota units of draft 8 and later; others, such as bytes, are no limit on requests.
_REQUESTS, _AT_ONCE = "requests", "concurrent-requests"

_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_SPAN = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ns|us|µs|μs|ms|h|m|s)")
# Go writes at most hours, minutes and seconds. To search a long value for spans takes time that grows as its square.
_SPANS = re.compile(rf"(?:{_SPAN.pattern}){{1,3}}")
_SPAN_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def quota(headers: Sequence[tuple[str, str]], utc: float) -> Quota:
    """``limit``, ``remaining``, ``reset_s``, ``window_s``, ``cap`` and ``cap_remaining``; those that the answer has.

    The first four are about a rate of requests, the last two about requests at once. Where an answer speaks several
    dialects, the newest one counts.

    Args:
        headers: Names in any case, and values.
        utc: When the answer arrived, in seconds since 1970; for a reset that is a point in time, and only where the
            answer has no Date, so that the two clocks need not agree.

    Source: draft-ietf-httpapi-ratelimit-headers, 00 to 10.
    """
    fields = _fields(headers)
    date = http_date(fields.get("date", ""))
    now_utc = date.timestamp() if date else utc
    keyed = [part.partition("=") for part, _ in _items(fields.get("ratelimit", ""))]
    return (
        {name: wait_s for name, wait_s in (("reset_s", retry_in_s(headers)),) if wait_s is not None}
        | _apart(fields, "x-rate-limit-", now_utc)
        | _apart(fields, "x-ratelimit-", now_utc)
        | _policy(fields.get("ratelimit-policy", ""))
        | _apart(fields, "ratelimit-", now_utc)
        | _numbers({key.strip().lower(): value for key, _, value in keyed}, _KEYED)
        | _structured(fields)
    )


def retry_in_s(headers: Sequence[tuple[str, str]]) -> float | None:
    """Seconds that X-Retry-In asks to wait, which Traefik sends as Go writes a span: ``97.4ms``. None without it."""
    value = _fields(headers).get("x-retry-in", "").strip()
    if not _SPANS.fullmatch(value):
        return None
    return round(sum(float(number) * _SPAN_S[unit] for number, unit in _SPAN.findall(value)), 9)


def _fields(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The values by name in small letters; of a field that comes twice, both (RFC 9110 5.3)."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _structured(fields: Mapping[str, str]) -> Quota:
    """Draft 8 and later: ``"default";r=5;t=3``, and the policy of the same name, which says what is counted.

    Of several quotas of one unit, the one with the least left counts, and before one without a window one with it.
    """
    items: dict[str, dict[str, str]] = {}
    for name, parameters in [*_items(fields.get("ratelimit-policy", "")), *_items(fields.get("ratelimit", ""))]:
        if _quoted(name):
            items[name] = items.get(name, {}) | parameters
    by_unit: dict[str, list[Quota]] = {_REQUESTS: [], _AT_ONCE: []}
    for parameters in items.values():
        unit = parameters.get("qu", _REQUESTS).strip('"')
        by_unit.setdefault(unit, []).append(_numbers(parameters, _STRUCTURED))
    rate, cap = (
        min(by_unit[unit], key=lambda each: (each.get("remaining", math.inf), "window_s" not in each), default={})
        for unit in (_REQUESTS, _AT_ONCE)
    )
    capped = {"cap": cap.get("limit"), "cap_remaining": cap.get("remaining")}
    return rate | {name: number for name, number in capped.items() if number is not None}


def _apart(fields: Mapping[str, str], prefix: str, now_utc: float) -> Quota:
    """One field for each number, as in drafts 0 to 3 and, with X- before it, in what came before them."""
    limit = fields.get(f"{prefix}limit", "")
    texts = {name: fields.get(f"{prefix}{name}", "") for name in ("remaining", "reset", "reset-after")}
    found = _policy(limit) | _numbers(
        {"limit": next(_items(limit), ("", {}))[0], "remaining": next(_items(texts["remaining"]), ("", {}))[0]}
    )
    found |= _numbers({"reset_s": texts["reset"]})
    if (reset := found.get("reset_s", 0.0)) >= _EPOCH_FROM_S:
        found["reset_s"] = max(0.0, (reset / 1000 if reset >= _EPOCH_FROM_MS else reset) - now_utc)
    return found | _numbers({"reset_s": texts["reset-after"]})


def _policy(value: str) -> Quota:
    """``10;w=60``, as before draft 8; of several policies, the first one that has a window."""
    for item, parameters in _items(value):
        if not _quoted(item) and _NUMBER.fullmatch(parameters.get("w", "")):
            return _numbers({"limit": item, "window_s": parameters["w"]})
    return {}


def _items(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The members of a list, each with its parameters; a comma or semicolon within quotes is none (RFC 9651 4.2)."""
    for member in _split(value, ","):
        parts = [part.strip() for part in _split(member, ";")]
        if parts:  # a semicolon alone has none
            pairs = [part.partition("=") for part in parts[1:]]
            yield parts[0], {key.strip(): text.strip() for key, _, text in pairs}


def _split(value: str, at: str) -> list[str]:
    return re.findall(rf'(?:"[^"]*"|[^"{at}])+', value)


def _quoted(item: str) -> bool:
    return len(item) > 1 and item[0] == item[-1] == '"'


def _numbers(texts: Mapping[str, str], names: Mapping[str, str] | None = None) -> Quota:
    """Those of the values that are numbers, by their names here."""
    found = {names.get(key, "") if names else key: text.strip() for key, text in texts.items()}
    return {name: float(text) for name, text in found.items() if name and _NUMBER.fullmatch(text)}
