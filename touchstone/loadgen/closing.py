"""Says why a storm does not tell whether reads are charged, where the client that asks so at its end was not answered.

What it was answered is judged by `touchstone.rules.limits`.
"""

from touchstone.facts.events import Notice, RunLog
from touchstone.facts.exchange import Exchange
from touchstone.facts.wording import plural
from touchstone.loadgen.ending import ending

CLAIM = "limit.reads-are-not-charged"
SCENARIO = "storm"


def asked(log: RunLog) -> list[Exchange]:
    """The starts of that client."""
    return [e for e in log.exchanges if "limit" in e.note and e.operation == "startBuild"]


def unasked(log: RunLog) -> Notice:
    """Why its starts allow no verdict."""
    starts, ended = asked(log), ending(log)
    failed = next((e for e in starts if e.status != 429 and not 200 <= e.status < 300), None)
    if not log.windows:
        return Notice(CLAIM, "indeterminate", "the load did not begin, and so nobody asked the limit")
    if not starts:
        words, advice = (ended.words, ended.advice) if ended else ("the run ended", "")
        reason = f"{words} before one client alone asked the limit"
        return Notice(CLAIM, "indeterminate", f"{reason}; {advice}" if advice else reason)
    if failed is not None:
        told = f"status {failed.status}" if failed.status else failed.error
        return Notice(CLAIM, "indeterminate", f"one client alone asked the limit, and a start ended with {told}")
    if not any(exchange.status == 429 for exchange in starts):
        reason = f"one client alone met no limit with {plural(len(starts), 'start')} one after the other"
        if ended:
            return Notice(CLAIM, "indeterminate", f"{reason}, and then {ended.whole}")
        return Notice(CLAIM, "not-applicable", reason)
    reason = (
        "one client alone met a limit, but did not get through three rounds of it, so that there is nothing to compare"
    )
    if ended:
        return Notice(CLAIM, "indeterminate", f"{reason}: {ended.whole}")
    last = starts[-1]
    if last.status == 429:
        return Notice(CLAIM, "indeterminate", f"{reason}: it was refused to the last; raise patience_s of the target")
    number = last.note["limit"]["round"]
    served = sum(start.note["limit"]["round"] == number for start in starts)
    return Notice(CLAIM, "indeterminate", f"{reason}: it met none in round {number}, with {plural(served, 'start')}")
