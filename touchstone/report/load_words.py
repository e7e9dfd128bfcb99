"""
The sentences that every report of a load run shares.
"""

from touchstone.capacity import SPANS_S, Capacity
from touchstone.loadfacts import Workload
from touchstone.metrics import Metrics
from touchstone.punctuality import Punctuality
from touchstone.report.length import brief
from touchstone.silence import Fallen
from touchstone.verdict import plural


def workload_words(workload: Workload) -> str:
    """
    What the run was to do.
    """
    scheduled = ", ".join(f"{number:,} {name}" for name, number in sorted(workload.scheduled.items()))
    shared = f", shared by {workload.workers} workers" if workload.workers > 1 else ""
    if workload.model == "closed":
        return (
            f"{workload.says} Closed model: each client sends its next request when the one before is answered{shared}."
        )
    return (
        f"{workload.says} Arrivals: {workload.arrivals}, for {brief(workload.duration_s)}, drawn with seed "
        f"{workload.seed} ({scheduled or 'none'}){shared}."
    )


def engine_words(workload: Workload) -> str:
    """
    Who sent the requests, and why.
    """
    says = {"flows": "a lean client, each flow by itself", "bulk": "a side-car process that only sends and counts"}
    return f"{workload.engine} ({says[workload.engine]}): {workload.engine_reason}"


def times_words(numbers: Metrics) -> str:
    """
    Which times the run can give.
    """
    if not numbers.timed:
        return (
            "Closed model: nothing was due at any moment, so there are service times (from sent to done), but neither "
            "response times nor lateness; a target that stalls is asked less meanwhile, and looks better than it is."
        )
    return (
        "Response times count from the moment at which a request was due, service times from when it was sent. Of "
        "several outcomes together they are times of answers that the contract foresees. A request without one counts "
        "as if it took for ever; what was refused (429) or failed is timed apart."
    )


def generator_words(kept: Punctuality, began_at: float) -> str:
    """
    Whether the generator kept to its schedule; by how much and from when it did not.
    """
    if kept.late is None and not kept.scheduled:
        return f"{kept.sent:,} requests were sent, each when the one before it was answered."
    head = f"{kept.scheduled:,} arrivals were scheduled and {kept.sent:,} sent"
    late = kept.late
    if late is not None:
        head += f", {brief(late.at(0.99).value_s)} late at p99 and {brief(late.max_s)} at most"
    parts = [head]
    if kept.unsent:
        parts.append(f"{plural(kept.unsent, 'arrival')} came due and could not be sent")
    if kept.missing:
        parts.append(f"of {plural(kept.missing, 'arrival')} nobody knows: the run, or the worker, ended before")
    if kept.behind_from_s is not None:
        parts.append(
            f"from second {max(0.0, kept.behind_from_s - began_at):.0f} on it could not keep up, "
            f"and was {brief(kept.behind_s)} behind at most: times from there on tell about the generator as well"
        )
    if kept.lost:
        parts.append(f"lost: worker {', '.join(map(str, kept.lost))}, with what it had not told yet")
    verdict = "The generator kept up" if kept.kept_up else "The generator did not keep up"
    return f"{verdict}: {'; '.join(parts)}."


def capacity_words(found: Capacity) -> str:
    """
    Where the capacity is, in words that claim no more than was seen.
    """
    most, full = plural(found.at_least, "build"), _were(found.refused_full)
    below = found.refused_below + found.refused_needless
    was = "was" if found.at_least == 1 else "were"
    never_more = f"Never more than {most} {was} seen in flight, and {full} refused meanwhile"
    return {
        "unknown": "No start that needs room was let in or refused, so this run says nothing about the capacity.",
        "not-reached": f"No start was refused: the capacity is at least {most} in flight.",
        "capacity": f"{never_more}; when one had ended, the next was let in: {_level(found)}.",
        "either": f"{never_more}, but none was tried soon after one had ended: either {_level(found)}, "
        f"or a rate limit lets in so many at once.",
        "rate": _rate_words(found),
        "rate-or-both": f"{_were(below)} refused with fewer than {most} in flight, and "
        f"{plural(found.refused_full, 'other')} with so many: a rate limit, which may be all there is; "
        f"the capacity is at least {found.at_least}.",
        "both": f"{never_more}: {_level(found)}. {_were(below)} refused though there was room: "
        f"a rate limit holds starts back as well.",
    }[found.finding]


def _rate_words(found: Capacity) -> str:
    if not found.refused_below:
        needless = f"{_were(found.refused_needless)} refused that needed no room: a rate limit, not the capacity"
        return f"{needless}, which is at least {found.at_least}." if found.at_least else f"{needless}."
    seen = max(refusal.at_most for refusal in found.refusals if refusal.below)
    of = f"only {seen}" if seen else "none"
    return (
        f"{_were(found.refused_below + found.refused_needless)} refused though {of} of the "
        f"{plural(found.at_least, 'build')} seen at other times were in flight: a rate limit, not the capacity, "
        f"which is at least {found.at_least}."
    )


def _were(starts: int) -> str:
    return f"{plural(starts, 'start')} {'was' if starts == 1 else 'were'}"


def _level(found: Capacity) -> str:
    if found.at_most is None or found.at_most <= found.at_least:
        return f"the capacity is {found.at_least}"
    return f"the capacity is between {found.at_least} and {found.at_most} (reads were too far apart to see ends sooner)"


def beyond_words(found: Capacity) -> str:
    """
    What became of the clients, in words.
    """
    clients = found.clients
    parts = [f"of {plural(clients.wanted, 'client')} {clients.at_once} were let in at the first try"]
    if clients.later:
        half, last = brief(clients.wait_p50_s), brief(clients.wait_max_s)
        parts.append(f"{clients.later} after waiting, half of them up to {half} and the last {last}")
    for number, words in (
        (clients.gave_up, "gave up"),
        (clients.still_trying, f"{'was' if clients.still_trying == 1 else 'were'} still trying when the run ended"),
        (clients.turned_away, f"{'was' if clients.turned_away == 1 else 'were'} refused and did not come back"),
        (clients.failed, "got an error or no answer"),
    ):
        parts += [f"{number} {words}"] if number else []
    spans = ", ".join(f"{found.busiest[span_s]} in the busiest {span_s} s" for span_s in SPANS_S)
    head = f"{', '.join(parts)}; {clients.tries:,} {'try' if clients.tries == 1 else 'tries'} in all"
    told = f"{head[:1].upper()}{head[1:]}."
    return f"{told} Admitted: {found.admitted}, {spans}." if found.admitted or found.refusals else told


def closing_words(starts: int, refused: int) -> str:
    """
    What the client did that asks the limit at the end of a storm; empty where none did.
    """
    if not starts:
        return ""
    return (
        f"Afterwards one client alone asked the limit with {plural(starts, 'start')} of a version that was ready, "
        f"{refused:,} of them refused: they are in the table of requests, and not among those counted here."
    )


def silence_words(fallen: Fallen, began_at: float) -> str:
    """
    That the target answered nobody any more.
    """
    unanswered = f"{plural(fallen.unanswered, 'request')} got no complete answer"
    if fallen.from_s <= began_at:
        return f"The target answered no request of the load in full: {unanswered}."
    return f"From second {fallen.from_s - began_at:.0f} on the target answered nobody in full any more: {unanswered}."
