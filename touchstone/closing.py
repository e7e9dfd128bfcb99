"""
Says why a storm does not tell whether reads are charged, where the client that asks so at its end was not answered.

What it was answered is judged by `touchstone.rules.limits`.
"""

from touchstone.exchange import Exchange
from touchstone.runfacts import Notice, RunLog

CLAIM = "limit.reads-are-not-charged"
SCENARIO = "storm"


def asked(log: RunLog) -> list[Exchange]:
    """
    The starts of that client.
    """
    return [e for e in log.exchanges if "limit" in e.note and e.operation == "startBuild"]


def unasked(log: RunLog) -> Notice:
    """
    Why its starts allow no verdict.
    """
    starts = asked(log)
    failed = next((e for e in starts if e.status != 429 and not 200 <= e.status < 300), None)
    if not starts:
        return Notice(CLAIM, "indeterminate", "the run ended before one client alone asked the limit")
    if failed is not None:
        told = f"status {failed.status}" if failed.status else failed.error
        return Notice(CLAIM, "indeterminate", f"one client alone asked the limit, and a start ended with {told}")
    if not any(exchange.status == 429 for exchange in starts):
        reason = f"one client alone met no limit with {len(starts)} starts one after the other"
        return Notice(CLAIM, "not-applicable", reason)
    reason = (
        "one client alone met a limit, but did not get through three rounds of it, so that there is nothing to "
        "compare; raise patience_s of the target, or --max-requests"
    )
    return Notice(CLAIM, "indeterminate", reason)
