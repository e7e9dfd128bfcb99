"""Cancelling a build: the response, the status afterwards, and other builds."""

from dataclasses import replace

from situations import cancels, claims, cost, lasting, profile
from touchstone.check.examination import Examination
from touchstone.check.templates import Template


@cancels
@cost(builds=3, at_once=2, lengths=1, requests=24)
@claims(
    "events.cancelled-ends-on-cancel",
    "events.close-at-the-end",
    "events.level-is-documented",
    "cancel.in-flight-is-202",
    "cancel.says-cancelling",
    "cancel.second-is-documented",
    "cancel.settles",
    "cancel.does-not-end-ready",
    "cancel.settled-is-idle",
    "cancel.says-idle",
    "start.after-cancel-builds-again",
    "cancel.next-build-completes",
    "cancel.keeps-neighbours",
    "status.is-one-of-four",
)
def test_running_build_is_cancelled_and_the_next_completes(exam: Examination) -> None:
    """A running build and its log end after a cancel, a later cancel gets 404, and the next build completes."""
    template = exam.short("cancelled", times=2)
    exam.start(template.ref)
    log = exam.follow(template.ref)
    theirs = stranger(exam, template) if exam.target.second_api_key else None
    exam.read(template.ref)
    exam.cancel(template.ref)
    exam.cancel(template.ref)
    exam.settled(template.ref)
    exam.closed(log)
    exam.cancel(template.ref)
    exam.rest(template.sleep_s)
    exam.start(template.ref)
    following = exam.follow(template.ref)
    exam.read(template.ref)
    exam.rest(template.sleep_s / 2)
    exam.start(template.ref)
    exam.read(template.ref)
    exam.wait(template.ref)
    # If the second start wrongly began another build, this cancel finds that build.
    exam.cancel(template.ref)
    exam.read(template.ref)
    exam.closed(following)
    if theirs:
        exam.wait(theirs.ref)


@cancels
@cost(builds=3, at_once=3, requests=24)
@claims(
    "cancel.keeps-neighbours",
    "cancel.in-flight-is-202",
    "cancel.settles",
    "lookup.unknown-version-is-404",
    "lookup.unknown-name-is-404",
    "lookup.unknown-namespace-is-404",
)
def test_cancel_leaves_the_neighbour_building(exam: Examination) -> None:
    """A cancel of one build, or of a missing version, does not affect other builds."""
    ready = exam.ready()
    victim = exam.short("victim", times=5)
    neighbour = exam.published("neighbour", sleep_s=lasting(exam, victim.sleep_s * 2 / 3))
    # The build prints half way through, so that a restart would print twice.
    sibling = replace(victim.revised(), version="1.0.1", sleep_s=neighbour.sleep_s, halved=True)
    exam.publish(sibling)
    exam.start(sibling.ref)
    following = exam.follow(sibling.ref)
    exam.start(victim.ref)
    # Of the other two builds, one begins before the build that is cancelled, and one after it.
    exam.start(neighbour.ref)
    exam.read(ready.ref)
    exam.read(sibling.ref)
    exam.read(neighbour.ref)
    for part in ("version", "name", "namespace"):
        exam.request("cancelBuild", exam.unknown(part, victim))
    exam.cancel(ready.ref)
    exam.read(neighbour.ref)
    exam.read(victim.ref)
    exam.rest(sibling.sleep_s * 4 / 5)
    exam.read(neighbour.ref)
    exam.read(victim.ref)
    exam.cancel(victim.ref)
    exam.read(neighbour.ref)
    exam.read(sibling.ref)
    exam.settled(victim.ref)
    exam.wait(neighbour.ref)
    exam.wait(sibling.ref)
    exam.closed(following)
    exam.read(ready.ref)


def stranger(exam: Examination, like: Template) -> Template | None:
    """Publishes and starts a version of the second account; returns its template, or None if no build started."""
    theirs = exam.published("stranger", sleep_s=like.sleep_s, owner="second")
    started = exam.request("startBuild", theirs.ref, "second").body.get("status") == "building"
    return theirs if started else None


@cancels
@profile("standard")
@cost(builds=3, lengths=1, requests=20)
@claims(
    "cancel.in-flight-is-202",
    "cancel.settles",
    "cancel.does-not-end-ready",
    "start.after-cancel-builds-again",
    "cancel.next-build-completes",
)
def test_builds_are_cancelled_and_started_again_at_once(exam: Examination) -> None:
    """A start right after a cancel late in a build builds again, and so does one after simultaneous cancels."""
    template = exam.short("restarted", times=4)
    exam.start(template.ref)
    exam.start(template.ref)
    exam.rest(template.sleep_s * 3 / 4)
    exam.read(template.ref)
    exam.cancel(template.ref)
    exam.start(template.ref)
    exam.read(template.ref)
    exam.rest(template.sleep_s / 4)
    exam.read(template.ref)
    exam.together(*[exam.call("cancelBuild", template.ref)] * 3)
    exam.settled(template.ref)
    exam.read(template.ref)
    exam.start(template.ref)
    exam.wait(template.ref)
