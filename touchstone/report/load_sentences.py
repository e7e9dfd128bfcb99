"""The sentences that every report of a load run shares."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from touchstone.facts.events import Attempt, Workload
from touchstone.facts.sample import CUT_OFF
from touchstone.facts.wording import brief, percentage, plural, was
from touchstone.loadgen.capacity import SPANS_S, Capacity, Finding, Room
from touchstone.loadgen.metrics import LASTING, Metrics, Punctuality
from touchstone.loadgen.not_judged import Fallen, Pause
from touchstone.report.load_view import LoadView


def describe(load: LoadView) -> dict[str, str]:
    """The sentences about a load by what they are about; empty where there is nothing to say."""
    found, began_at, numbers = load.capacity, load.workload.began_at, load.numbers
    return {
        "capacity": describe_capacity(found) if found else "",
        "failed": describe_failed(load.attempts),
        "beyond": describe_beyond(found) if found else "",
        "closing": describe_closing(*load.asked),
        "silence": describe_silence(load.silence, began_at) if load.silence else "",
        "pauses": describe_pause(load.pauses, began_at),
        "cut": describe_cut(numbers),
        "times": describe_times(numbers),
        "generator": describe_generator(load.kept, began_at),
        "workload": describe_workload(load.workload),
        "timed": describe_timed(numbers),
        "remarks": _describe_table(numbers),
    }


def _describe_table(numbers: Metrics) -> str:
    """What stands below a table of requests."""
    total = numbers.total
    parts = [f"errors {percentage(total.error_share)}", f"refused {percentage(total.refused_share)}"]
    parts += [f"cut off {total.kinds['cut']:,}"] if total.kinds["cut"] else []
    parts += [f"never sent {total.unsent:,}, of which no time is here"] if total.unsent else []
    parts.append(f"per s over {brief(numbers.measured_s)}, to {numbers.until}")
    what = "response times, from due" if numbers.timed else "closed model: service times only"
    times = total.whole.times
    apart = ", followed logs apart" if any(one.name in LASTING for one in numbers.operations) else ""
    never = f"; “never”: {plural(times.never, 'request')} got no answer{apart}" if times and times.never else ""
    return f"{', '.join(parts)}; {what}; “?”: fewer than ten samples lie beyond{never}"


def describe_workload(workload: Workload) -> str:
    """What the run was to do."""
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


def describe_times(numbers: Metrics) -> str:
    """Which times the run can give."""
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


def describe_timed(numbers: Metrics) -> str:
    """Which requests the times of several outcomes together are of; empty where they are of all that were counted."""
    fewer = [one.whole for one in numbers.operations if one.whole.timed < one.whole.count]
    parts = [f"{row.timed:,} of {row.count:,} {row.operation}" for row in fewer]
    whole = numbers.total.whole
    if len(numbers.operations) > 1 and whole.timed < whole.count:
        parts.append(f"{whole.timed:,} of {whole.count:,} in the row of all")
        if numbers.lasting:
            left_out = ", ".join(numbers.lasting)
            parts.append(f"which leaves out {left_out}, as a log is followed for as long as its build lasts")
    return f"Times are of answers that the contract foresees: {', '.join(parts)}." if parts else ""


def describe_generator(kept: Punctuality, began_at: float) -> str:
    """Whether the generator kept to its schedule; by how much and from when it did not."""
    if kept.late is None and not kept.scheduled:
        ended = f"; {', '.join(_describe_spent(kept, began_at))}" if kept.is_spent else ""
        sent = f"{plural(kept.sent, 'arrival')} {was(kept.sent)} sent"
        return f"{sent}, each when its client was done with the one before{ended}."
    head = f"{plural(kept.scheduled, 'arrival')} {was(kept.scheduled)} scheduled and {kept.sent:,} sent"
    late = kept.late
    if late is not None:
        head += f", {brief(late.at(0.99).value_s)} late at p99 and {brief(late.max_s)} at most"
    parts = [head, *_describe_spent(kept, began_at)]
    if kept.unsent > kept.over_budget:
        parts.append(f"{plural(kept.unsent - kept.over_budget, 'arrival')} came due and could not be sent")
    if kept.unwatched:
        parts.append(f"{plural(kept.unwatched, 'watcher')} did not watch, as the start of their build was not accepted")
    if kept.missing:
        parts.append(f"of {plural(kept.missing, 'arrival')} nobody knows: the run, or the worker, ended before")
    if kept.behind_from_s is not None:
        parts.append(
            f"from second {max(0.0, kept.behind_from_s - began_at):.0f} on it could not keep up, "
            f"and was {brief(kept.behind_s)} behind at most: times from there on tell about the generator as well"
        )
    return f"{_generator_verdict(kept)}: {'; '.join(parts)}."


def _generator_verdict(kept: Punctuality) -> str:
    """Whether the generator kept up; of a worker that was lost nobody knows."""
    verdict = "The generator kept up" if kept.in_time else "The generator did not keep up"
    if kept.in_time and kept.missing:
        verdict = "What is known was sent in time"
    if kept.is_spent:
        verdict += f"{' until' if kept.in_time else ', and'} --max-requests ended it"
    if not kept.lost:
        return verdict
    workers = f"{'Worker' if len(kept.lost) == 1 else 'Workers'} {', '.join(map(str, kept.lost))}"
    gone = "was lost, with what it" if len(kept.lost) == 1 else "were lost, with what they"
    known = "What is known was sent in time" if kept.in_time else verdict
    return f"{workers} {gone} had not told yet. {known}"


def _describe_spent(kept: Punctuality, began_at: float) -> list[str]:
    """That the caller allowed no more requests."""
    if not kept.is_spent:
        return []
    at = "" if kept.spent_at_s is None else f" by second {kept.spent_at_s - began_at:.1f}"
    later = f", and {plural(kept.over_budget, 'arrival')} came due later" if kept.over_budget else ""
    return [f"the {kept.allowed:,} requests that it allows were used up{at}{later}"]


def describe_capacity(found: Capacity) -> str:
    """Where the capacity is, in words that claim no more than was seen."""
    parts = [_FINDINGS[found.finding](found), describe_room(found.room) if found.room else ""]
    if found.finding not in ("unknown", "not-reached") and found.messages:
        parts.append(f"Refusals say {_listed([repr(one) for one in found.messages])}: a hint, and no proof.")
    if found.is_torn and found.finding == "capacity":
        parts.append("A worker was lost, and builds of it may have been in flight that are not counted.")
    return " ".join(part for part in parts if part)


def describe_room(room: Room) -> str:
    """What the client saw that cancelled builds while the host refused."""
    idle = ""
    if room.idle:
        idle = (
            "Afterwards one client alone was refused with nothing in flight: no full host, unless others build there. "
        )
    if not room.inside:
        return idle.rstrip()
    head = f"{'Then it' if idle else 'Afterwards one client alone'} had {plural(room.inside, 'build')} in flight"
    if not room.refused:
        return f"{idle}{head} and was refused no other; with more --builds it would have tried more."
    return f"{idle}{head} when it was refused{_describe_turns(room)}."


def _describe_turns(room: Room) -> str:
    if room.unbidden:
        return ", and was served soon after though none had ended: that is no full host, unless others build there"
    if not room.turns:
        return ", and saw no cancelled build end, so that it learnt no more"
    cancels = f"of {plural(len(room.turns), 'cancel')} of a build {room.let_in} let another one in at once"
    if room.is_full_host:
        beside = "; after the other one a rate limit refused it as well" if room.refused_after_cancel else ""
        return f", {room.refused} times while none ended; {cancels}: only a full host does so{beside}"
    if room.refused_after_cancel:
        return (
            f", and again when {'that' if room.inside == 1 else 'one of them'} had been cancelled and seen to end: "
            "that is no full host, unless cancelled builds keep their place or others build there"
        )
    return f"; {cancels}: too few to tell"


def _not_reached(found: Capacity) -> str:
    if not found.at_least:
        return "No start was refused, so that no capacity was met."
    return f"No start was refused: the capacity is at least {plural(found.at_least, 'build')} in flight."


def _unknown(_found: Capacity) -> str:
    return "No start was let in or refused, so this run says nothing about the capacity."


def _never_more(found: Capacity) -> str:
    return (
        f"Never more than {plural(found.at_least, 'build')} of this run {was(found.at_least)} seen in flight, and "
        f"{_were(found.refused_full)} refused meanwhile"
    )


def _capacity(found: Capacity) -> str:
    return f"{_never_more(found)}: {_level(found)}."


def _either(found: Capacity) -> str:
    if not found.refusals:
        return (
            f"{_were(found.refused_unsure)} refused of versions that other clients start and cancel as well, so that "
            "nobody knows how many builds were in flight: a full host, or a rate limit."
        )
    return f"{_never_more(found)}. A rate limit could have refused them as well: either that, or {_level(found)}."


def _rate(found: Capacity) -> str:
    least = f" The capacity is at least {found.at_least}." if found.at_least else ""
    needless = found.refused_needless
    if needless and not found.refused_below:
        full = f" It explains {plural(found.refused_full, 'other refusal')} as well." if found.refused_full else ""
        return f"{_were(needless)} refused that needed no room: a rate limit.{full}{least}"
    return f"{_with_room(found)}: a rate limit explains all {_all(found)}. {_unseen(found)}{least}"


def _both(found: Capacity) -> str:
    text = f"{_never_more(found)}: {_level(found)}."
    if not found.refused_below and not found.refused_needless:
        return text  # the last client tells of the rate limit
    return f"{text} {_with_room(found)}: a rate limit explains these. {_unseen(found)}".rstrip()


def _unclear(found: Capacity) -> str:
    if found.is_torn:
        return (
            f"{_were(len(found.refusals))} refused, and nobody knows with how many builds in flight, as a worker was "
            f"lost with what it knew of its own. The capacity is at least {found.at_least}."
        )
    full = f", and {plural(found.refused_full, 'other')} with so many" if found.refused_full else ""
    return (
        f"{_with_room(found)}{full}: neither a full host nor a usual rate limit explains these refusals. Builds that "
        f"this run does not see may have taken room. The capacity is at least {found.at_least}."
    )


_FINDINGS: Mapping[Finding, Callable[[Capacity], str]] = {
    "unknown": _unknown,
    "not-reached": _not_reached,
    "capacity": _capacity,
    "either": _either,
    "rate": _rate,
    "both": _both,
    "unclear": _unclear,
}


def _with_room(found: Capacity) -> str:
    """The refusals that want of room cannot explain, as far as builds of this run tell."""
    parts = []
    if found.refused_below:
        most = max(refusal.at_most for refusal in found.refusals if refusal.below)
        of = f"at most {most}" if most else "none"
        parts.append(
            f"{_were(found.refused_below)} refused with {of} of the {plural(found.at_least, 'build')} in flight that "
            "were seen at other times"
        )
    if found.refused_needless:
        parts.append(f"{_were(found.refused_needless)} refused that needed no room")
    if not parts:
        return "A start was refused though a build had ended"
    return " and ".join(parts)


def _all(found: Capacity) -> str:
    return plural(len(found.refusals) + found.refused_needless, "refusal")


def _unseen(found: Capacity) -> str:
    """What else may have been: only what needed no room was refused by a rate limit for sure."""
    if found.refused_needless and not found.refused_below:
        return ""
    return "So would builds that this run does not see: those of others, or cancelled ones that keep their place."


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _were(starts: int) -> str:
    return f"{plural(starts, 'start')} {was(starts)}"


def _level(found: Capacity) -> str:
    if found.at_most is None or found.at_most <= found.at_least:
        return f"the capacity is {found.at_least}"
    return f"the capacity is between {found.at_least} and {found.at_most} (reads were too far apart to see ends sooner)"


def describe_beyond(found: Capacity) -> str:
    """What became of the clients, in words."""
    clients = found.clients
    parts = [f"of {plural(clients.wanted, 'client')} {clients.at_once} {was(clients.at_once)} let in at the first try"]
    if clients.later:
        half, last = brief(clients.wait_p50_s), brief(clients.wait_max_s)
        waits = f", half of them up to {half} and the last {last}" if clients.later > 1 else f" {last}"
        parts.append(f"{clients.later} after waiting{waits}")
    for number, ending in (
        (clients.gave_up, "gave up"),
        (clients.still_trying, f"{was(clients.still_trying)} still trying when the run ended"),
        (clients.turned_away, f"{was(clients.turned_away)} refused and did not come back"),
        (clients.failed, "got an error or no answer"),
    ):
        parts += [f"{number} {ending}"] if number else []
    spans = ", ".join(f"{found.busiest[span_s]} in the busiest {span_s} s" for span_s in SPANS_S)
    head = f"{', '.join(parts)}; {clients.tries:,} {'try' if clients.tries == 1 else 'tries'} in all"
    text = f"{head[:1].upper()}{head[1:]}."
    return f"{text} Admitted: {found.admitted}, {spans}." if found.admitted or found.refusals else text


def describe_failed(attempts: Iterable[Attempt]) -> str:
    """
    That starts ended as no refusal is documented, of which nobody knows what they tell of the capacity; empty for none.
    """
    numbers = Counter(attempt.status for attempt in attempts if attempt.status >= 500 or not attempt.status)
    if not numbers:
        return ""
    counts = (
        f"{number:,} {f'with {status}' if status else 'not at all'}" for status, number in sorted(numbers.items())
    )
    return (
        f"{plural(numbers.total(), 'start')} {was(numbers.total())} answered neither with success nor with 429 "
        f"({', '.join(counts)}): nobody knows whether a limit refused them."
    )


def describe_closing(starts: int, refused: int, failed: int) -> str:
    """What the client did that asks the limit at the end of a storm; empty where none did."""
    if not starts:
        return ""
    return (
        f"Afterwards one client alone asked the limit with {plural(starts, 'start')} of a version that was ready, "
        f"{refused:,} of them refused{f' and {failed:,} failed' if failed else ''}: they are in the table of requests, "
        "in its counts and its times, and not among those counted here."
    )


def describe_silence(fallen: Fallen, began_at: float) -> str:
    """That the target answered nobody any more."""
    number = plural(fallen.unanswered, "request")
    of_them = "all" if fallen.cut_off == fallen.unanswered else f"{fallen.cut_off:,}"
    cut = f", {of_them} of them cut off when the run was stopped" if fallen.cut_off else ""
    if fallen.from_s <= began_at:
        return f"The target answered no request of the load in full: {number} got no complete answer{cut}."
    since = f"From second {fallen.from_s - began_at:.0f} on the target answered nobody in full any more"
    more = f"; {fallen.in_all:,} in all" if fallen.in_all > fallen.unanswered else ""
    return f"{since}: {number} that were due from then on got no complete answer{cut}{more}."


def describe_pause(pauses: Iterable[Pause], began_at: float) -> str:
    """That the target answered nobody for a while, in a sentence for each time; empty where it never did."""
    return " ".join(
        f"The target answered nobody from second {max(0.0, pause.from_s - began_at):.0f} to second "
        f"{pause.to_s - began_at:.0f}, and then again: {plural(pause.waiting, 'request')} waited until then, or "
        "got no answer."
        for pause in pauses
    )


def describe_cut(numbers: Metrics) -> str:
    """What was under way when the run was stopped; empty where nothing was."""
    rows = [row for one in numbers.operations for row in one.outcomes if row.outcome == CUT_OFF]
    number = sum(row.count for row in rows)
    if not number:
        return ""
    longest_s = max(row.service.max_s for row in rows if row.service)
    were = "was" if number == 1 else "were"
    return (
        f"{plural(number, 'request')} had no complete answer yet when the run was stopped, and {were} cut off; "
        f"the longest wait was {brief(longest_s)}. Whether an answer would have come, nobody knows."
    )
