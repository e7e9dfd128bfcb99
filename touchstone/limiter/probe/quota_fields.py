"""What an answer says about its caller's quota, in the dialects that servers speak; pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from touchstone.facts.patience import http_date

Quota = dict[str, float]

# From here on a number of seconds is a point in time, as in the year 2001 and later, and then one in milliseconds.
_EPOCH_FROM_S, _EPOCH_FROM_MS = 1e9, 1e12

# What the parameters of draft 8 and later are called, and the keys of drafts 4 to 7.
_STRUCTURED = {"r": "remaining", "t": "reset_s", "q": "limit", "w": "window_s"}
_KEYED = {"limit": "limit", "remaining": "remaining", "reset": "reset_s"}
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_SPAN = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ns|us|µs|μs|ms|h|m|s)")
# Go writes at most hours, minutes and seconds. To search a long value for spans takes time that grows as its square.
_SPANS = re.compile(rf"(?:{_SPAN.pattern}){{1,3}}")
_SPAN_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def quota(headers: Sequence[tuple[str, str]], utc: float) -> Quota:
    """``limit``, ``remaining``, ``reset_s``, ``window_s``, ``cap``, ``cap_remaining``: those that the answer has.

    The last two are about requests that are under way at once.

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
        _numbers(_keyed(fields.get("ratelimit", "")), _KEYED),
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
    """Draft 8 and later: ``"default";r=5;t=3`` and the policy of the same name, whose unit says what it counts.

    Of several that count requests the one with the least left counts, where none has any left the first policy with a
    window.
    """
    found: dict[str, Quota] = {}
    units: dict[str, str] = {}
    for field in ("ratelimit-policy", "ratelimit"):
        for name, parameters in _items(fields.get(field, "")):
            if _is_quoted(name):
                found[name] = found.get(name, {}) | _numbers(parameters, _STRUCTURED)
                units.setdefault(name, parameters.get("qu", '"requests"').strip('"'))
    counted = [limit for name, limit in found.items() if units[name] == "requests"]
    caps = [limit for name, limit in found.items() if units[name] == "concurrent-requests"]
    best = min((limit for limit in counted if "remaining" in limit), key=lambda limit: limit["remaining"], default=None)
    if best is None:
        best = next((limit for limit in counted if "window_s" in limit), {})
    cap = min(caps, key=lambda limit: limit.get("remaining", float("inf")), default={})
    names = {"limit": "cap", "remaining": "cap_remaining"}
    return best | {names[name]: value for name, value in cap.items() if name in names}


def _keyed(value: str) -> dict[str, str]:
    """Drafts 4 to 7: ``limit=10, remaining=5, reset=3``."""
    pairs = (item.partition("=") for item, _ in _items(value))
    return {key.strip().lower(): text.strip() for key, _, text in pairs}


def _apart(fields: Mapping[str, str], prefix: str, now_utc: float) -> Quota:
    """One field for each number, as in drafts 0 to 3 and, with X- before it, in what came before them."""
    firsts = {name: next(_items(fields.get(f"{prefix}{name}", "")), ("", {}))[0] for name in ("limit", "remaining")}
    found = _numbers(firsts, _KEYED)
    found |= _policy(fields.get(f"{prefix}limit", "")) | found
    resets = {name: fields.get(f"{prefix}{name}", "").strip() for name in ("reset", "reset-after")}
    waits = _numbers(resets, {name: name for name in resets})
    if "reset-after" in waits:
        found["reset_s"] = waits["reset-after"]
    elif "reset" in waits:
        found["reset_s"] = _from_now_s(waits["reset"], now_utc)
    return found


def _from_now_s(reset: float, now_utc: float) -> float:
    """Seconds until a reset, which some tell as a point in time."""
    if reset < _EPOCH_FROM_S:
        return reset
    return max(0.0, (reset / 1000 if reset >= _EPOCH_FROM_MS else reset) - now_utc)


def _policy(value: str) -> Quota:
    """Drafts 3 to 7: ``10;w=60``; of several policies, the first one with a window."""
    for item, parameters in _items(value):
        found = _numbers({"limit": item} | parameters, {"limit": "limit", "w": "window_s"})
        if "window_s" in found and not _is_quoted(item):
            return found
    return {}


def _retry_in(fields: Mapping[str, str]) -> Quota:
    """A span of time as Go writes it: ``97.4ms``, ``1m2.5s``."""
    value = fields.get("x-retry-in", "").strip()
    if not _SPANS.fullmatch(value):
        return {}
    return {"reset_s": round(sum(float(number) * _SPAN_S[unit] for number, unit in _SPAN.findall(value)), 9)}


def _items(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The members of a list, each with its parameters; a comma or semicolon within quotes is none."""
    for member in _split(value, ","):
        parts = [part.strip() for part in _split(member, ";")]
        if parts:  # a semicolon alone has none
            pairs = (part.partition("=") for part in parts[1:])
            yield parts[0], {name.strip(): text.strip() for name, _, text in pairs}


def _split(value: str, at: str) -> list[str]:
    return re.findall(rf'(?:"[^"]*"|[^"{at}])+', value)


def _is_quoted(item: str) -> bool:
    return len(item) > 1 and item[0] == item[-1] == '"'


def _numbers(values: Mapping[str, str], names: Mapping[str, str]) -> Quota:
    """Those of *values* that are numbers, by their names here."""
    return {names[name]: float(text) for name, text in values.items() if name in names and _NUMBER.fullmatch(text)}


def _date_utc(value: str) -> float | None:
    date = http_date(value)
    return date.timestamp() if date else None
