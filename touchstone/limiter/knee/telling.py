"""What a search for a knee came to, in words; pure."""

from touchstone.facts.knee_trials import Knee
from touchstone.facts.wording import brief, figure, plural
from touchstone.limiter.knee.search import MOST_LATE


def sentence(operation: str, knee: Knee, what: str = "read") -> str:
    """What was found, in one sentence.

    Args:
        what: What one request is called.
    """
    cost = f"{plural(knee.requests, 'request')}, {brief(knee.seconds, 2)}"
    if not knee.told or knee.rate_per_s is None:
        return f"knee of {operation}: not told: {why_words(knee)}{_kept(knee, what)}; {cost}"
    rate = knee.rate_per_s
    found = f"{figure(rate.value)} {what}s a second with {limit_words(knee)} ({figure(rate.low)}–{figure(rate.high)})"
    return f"knee of {operation}: {found}, confirmed by {knee.confirmed_by:,}; {cost}"


def limit_words(knee: Knee) -> str:
    """What answers are to keep, such as ``p99 ≤ 100 ms``."""
    return f"p99 ≤ {brief(knee.slo_s)}"


def _kept(knee: Knee, what: str) -> str:
    if not knee.kept_per_s or knee.why in ("rate-limited", "never"):
        return ""
    rate = figure(knee.kept_per_s)
    return f"; up to {rate} {what}s a second it was kept (p99 {brief(knee.kept_p99_s)})"


def why_words(knee: Knee) -> str:
    """Why it is not told, and what would help; empty where it is."""
    if knee.why == "rate-limited":
        return _limited(knee)
    if knee.why == "never" and not knee.requests:
        return f"{limit_words(knee)} is not kept at rest: half of the answers take longer; raise --slo-ms"
    return _WHYS[knee.why].format(rate=figure(knee.last_per_s), limit=limit_words(knee))


def _limited(knee: Knee) -> str:
    ceiling = knee.ceiling_per_s
    if ceiling is not None and ceiling <= 0:
        return "the rate limit hides it: it refuses some of the reads that come by chance, at any rate"
    at = f"p99 is {brief(knee.kept_p99_s)} at {figure(knee.kept_per_s)} a second"
    if ceiling is not None and knee.kept_per_s >= ceiling:
        return f"the rate limit hides it: {at}, and of more some would be refused"
    kept = f", and {at}" if knee.kept_per_s else ""
    return f"a rate limit hides it: reads were refused at {figure(knee.last_per_s)} a second{kept}"


_WHYS = {
    "": "it ended before it was told",
    "confirmed": "",
    "generator-limited": (
        f"generator-limited: {MOST_LATE} trials in a row failed while reads were sent late; use a machine with less "
        "to do, or raise --slo-ms"
    ),
    "out of reach": "the target can do more than may be asked of it; raise --max-requests",
    "requests": "the requests that may be sent are spent; raise --max-requests",
    "seconds": "the time is over; raise --max-seconds",
    "never": "{limit} is not kept even at {rate} a second; raise --slo-ms",
    "unsteady": "no rate that was kept for a while was kept for longer, down to {rate} a second",
    "unsettled": "the limiter is not known for sure, and nothing was driven",
    "failing": "reads fail, at {rate} a second",
    "interrupted": "it was interrupted",
}
