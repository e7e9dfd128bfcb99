"""Refusals for a limit: what they look like, what they leave alone, and how they end. Note facts: rules/history.py.

Some services count every start, others only what begins a build. So a ready version is started first, and where that
meets no limit, versions that were never built are, each of which is cancelled at once.
"""

from dataclasses import replace

import pytest

from bursts import MARGIN_S, Round
from situations import ask, lasting
from touchstone.check.examination import Examination, Unsuited
from touchstone.check.run import Run
from touchstone.check.templates import Template

# So many builds are begun, and cancelled at once, before a limit on builds is taken for absent.
MOST_BUILDS = {"quick": 12, "standard": 24, "thorough": 24}
# More builds than this at once are not started to find where the host is full.
MOST_BUILDS_AT_ONCE = 8
READS_PER_START = 3

# What a build takes longer than the rest before the reads, so that it runs while they are sent.
RUNNING_S = 4.0


@pytest.mark.cost(builds={"quick": 30, "standard": 54, "thorough": 54}, requests=300)
@pytest.mark.claims(
    "limit.has-the-error-shape",
    "limit.ends-after-back-off",
    "limit.retry-after-is-valid",
    "limit.retry-after-is-honest",
    "limit.is-per-key",
    "limit.refused-start-starts-nothing",
    "start.answers-202",
)
def test_rate_of_starts(exam: Examination, run: Run) -> None:
    """
    A burst of starts is refused at some point; a refused start starts nothing, another key is served, waiting ends it.
    """
    # The build that runs beside outlasts a burst of some dozens of starts.
    ready, unbuilt, running = exam.ready(), exam.published("refused"), exam.short("running", times=6)
    theirs = exam.ready("second") if exam.target.second_api_key else None
    exam.read(unbuilt.ref)
    exam.start(running.ref)
    exam.read(running.ref)
    first = Round(exam, [ready], polls=True)
    first.burst()
    if first.refused is None:
        exam.wait(running.ref)
        rate_of_builds(exam, run)
        return
    without_retry_after(run, first)
    ask(exam, "startBuild", unbuilt.ref)
    first.confirm(ready.ref, theirs)
    first.look(unbuilt.ref, running.ref)
    first.recover()
    exam.wait(running.ref)
    # A start that was refused does not come along with the next one that is served.
    exam.start(exam.short("after-refusal").ref)
    exam.read(unbuilt.ref)
    # Nor is what was refused lost.
    exam.start(unbuilt.ref)
    exam.read(unbuilt.ref)
    if first.retries > 1:
        # Once may have been somebody else's doing; twice is not.
        second = first.again(polls=True)
        second.burst()
        second.recover()


def rate_of_builds(exam: Examination, run: Run) -> None:
    """The same where starts of a ready version met no limit: builds are begun until one is refused."""
    theirs = exam.long("theirs", owner="second") if exam.target.second_api_key else None
    first = refused_for_a_rate(exam, run, theirs)
    recover_with_builds(first)
    if first.retries > 1 or first.is_other_refused or not first.served:
        # Once may have been somebody else's doing; twice is not.
        second = first.again(polls=True)
        second.burst()
        if is_for_a_rate(second, theirs):
            recover_with_builds(second)


def refused_for_a_rate(exam: Examination, run: Run, theirs: Template | None = None) -> Round:
    """
    A round of builds, each cancelled at once, that met a refusal which lasts when none of them is in flight any more.

    Raises:
        Unsuited: there was none.
    """
    most, began_at, begun = MOST_BUILDS[run.settings.profile], exam.transport.now(), 0
    attempt = Round(exam, [exam.long("limited") for _ in range(most)], most, "cancelled", polls=True)
    # The first refusal may be the end of what earlier cases have left of a rate, the second one may be for lack of
    # room: in the last burst no more builds are in flight than there was room for.
    room = 1
    for is_last in (False, False, True):
        attempt = replace(attempt.again(polls=True), at_once=room if is_last else most)
        attempt.burst()
        begun += attempt.served
        tried = f"{begun} builds started within {exam.transport.now() - began_at:.1f} s"
        if attempt.refused is None:
            attempt.make_room()
            fewer = f" with {attempt.at_once} of them in flight at most" if attempt.at_once < most else ""
            raise Unsuited("not-applicable", f"{tried}, none refused{fewer}")
        room = max(room, len(attempt.in_flight))
        without_retry_after(run, attempt)
        if is_for_a_rate(attempt, theirs):
            return attempt
    raise Unsuited("indeterminate", f"{tried}; whatever was refused was served once the builds in flight were over")


def is_for_a_rate(attempt: Round, theirs: Template | None = None) -> bool:
    """
    Whether a start is still refused once none of the run's builds is in flight; what the refusal did is looked at.
    """
    exam, refused_ref = attempt.exam, attempt.refused_ref
    for ref in (refused_ref, attempt.witness):
        if ref:
            exam.read(ref)
    attempt.make_room()
    still = attempt.confirm(refused_ref, theirs)
    if still:
        attempt.look(refused_ref)
    attempt.make_room()
    if theirs:
        end_theirs(attempt, theirs)
    return still


def end_theirs(attempt: Round, *theirs: Template) -> None:
    """Ends the builds of the other account; one that was refused has none, which is looked at."""
    for template in theirs:
        if attempt.is_other_refused and template == theirs[-1]:
            attempt.exam.read(template.ref, template.owner)
        else:
            attempt.exam.cancel(template.ref, template.owner)
            attempt.exam.settle(template.ref)


def recover_with_builds(attempt: Round) -> None:
    """Waits until a build is begun again, and then begins the one that was refused."""
    exam, refused_ref = attempt.exam, attempt.refused_ref
    attempt.recover()
    # A start that was refused does not come along with the next one that is served. Nor is it lost.
    exam.read(refused_ref)
    exam.start(refused_ref)
    exam.read(refused_ref)
    attempt.in_flight[refused_ref] = False
    attempt.make_room()


@pytest.mark.profile("standard")
@pytest.mark.cost(builds=80, requests=800)
@pytest.mark.claims("limit.reads-are-not-charged", "limit.ends-after-back-off", "limit.retry-after-is-honest")
def test_polling_is_not_charged(exam: Examination, run: Run) -> None:
    """After the same rest, as many starts are served with polling before them as without."""
    first = Round(exam, [exam.ready()])
    first.burst()
    if first.refused is None:
        first = refused_for_a_rate(exam, run)
    first.recover()
    first.make_room()
    plain = first.again()
    exam.rest(first.waited_s)
    plain.burst()
    plain.make_room()
    if plain.refused is None:
        raise Unsuited("indeterminate", f"a burst of {first.served} met a limit, the next one of {plain.served} none")
    plain.recover()
    plain.make_room()
    polled = first.again()
    running = exam.published("polled", sleep_s=round(lasting(exam, first.waited_s + RUNNING_S), 2))
    polled.send("startBuild", "beside", running.ref)
    # No shorter than before, or the two could not be compared: a longer rest gains a key no less.
    rested_s = plain.began_at - refused_at(first)
    exam.rest(max(first.waited_s, refused_at(plain) + rested_s + MARGIN_S - exam.transport.now()))
    polled.reads(READS_PER_START * max(plain.served, 1), running.ref)
    polled.make_room()  # the build beside the reads would take the room of one in the burst
    polled.burst(at_least_s=1.2 * plain.lasted_s + MARGIN_S)
    polled.make_room()
    if polled.refused is not None:
        polled.recover()
        polled.make_room()


def refused_at(attempt: Round) -> float:
    """When the last refusal of a round that met the limit had arrived."""
    return attempt.last_refused.done_at if attempt.last_refused else attempt.began_at


def without_retry_after(run: Run, attempt: Round) -> None:
    """Says that Retry-After cannot be judged where a refusal has none."""
    if attempt.refused and attempt.refused.response and attempt.refused.response.header("Retry-After") is None:
        claims = ("limit.retry-after-is-valid", "limit.retry-after-is-honest")
        run.not_applicable(claims, "the target sends no Retry-After with its 429")


@pytest.mark.profile("standard")
@pytest.mark.cost(builds=MOST_BUILDS_AT_ONCE + 4, requests=150)
@pytest.mark.claims(
    "limit.refused-start-starts-nothing",
    "limit.has-the-error-shape",
    "limit.ends-after-back-off",
    "status.build-does-not-vanish",
)
def test_start_refused_for_capacity_starts_nothing(exam: Examination) -> None:
    """On a full host a start is refused and starts nothing; once builds are cancelled there is room again."""
    exam.ready()
    theirs = [exam.long("theirs", owner="second") for _ in range(2)] if exam.target.second_api_key else []
    if theirs:
        exam.start(theirs[0].ref, "second")
    attempt = Round(exam, [], builds="kept")
    for _ in range(MOST_BUILDS_AT_ONCE):
        template = exam.long("crowded")
        exam.read(template.ref)
        if attempt.start(template.ref).status >= 400:
            break
        # Room that was made at the cost of another build is none.
        for ref in attempt.in_flight:
            exam.read(ref)
    if attempt.refused is None:
        raise Unsuited("not-applicable", f"{len(attempt.in_flight)} builds at once met no limit of the host")
    attempt.versions = [template]
    attempt.look(template.ref, *attempt.in_flight, *[each.ref for each in theirs[:1]])
    attempt.confirm(template.ref, theirs[1] if theirs else None)
    exam.read(template.ref)
    attempt.make_room()
    end_theirs(attempt, *theirs)
    attempt.recover()
    exam.read(template.ref)
    attempt.make_room()
