"""Section *Cancel a build* of the page: the response, the status afterwards, and other builds."""

from dataclasses import replace

from situations import SETTLED, cancels, claims, cost, given, head, lasting, only_given, profile, published_without
from touchstone.check.examination import Examination, Unsuited
from touchstone.check.templates import Template


@cancels
@cost(builds=3, at_once=2, lengths=1, requests=24)
@claims(
    "events.cancelled-ends-on-cancel events.close-at-the-end events.level-is-documented cancel.in-flight-is-202",
    "cancel.says-cancelling cancel.second-is-documented cancel.settles cancel.does-not-end-ready",
    "cancel.settled-is-idle cancel.says-idle start.after-cancel-builds-again cancel.next-build-completes",
    "cancel.keeps-neighbours status.is-one-of-four start.while-building-is-harmless reuse.only-when-reused",
)
def test_running_build_is_cancelled_and_the_next_completes(exam: Examination) -> None:
    """A running build and its log end after a cancel, a later cancel gets 404, and the next build completes."""
    build = exam.running("cancelled", times=2)
    log = exam.follow(build)
    theirs = stranger(exam, build) if exam.target.second_api_key else None
    exam.read(build).expect(200, status="building")
    exam.cancel(build).expect(202, status="cancelling")
    exam.cancel(build).expect(202, 404, status=("cancelling", "idle"))
    exam.settled(build).expect(200, status=SETTLED)
    exam.closed(log).expect(200)
    for _ in range(2):
        exam.cancel(build).expect(404, status="idle")
    exam.rest(build.sleep_s)
    exam.start(build).expect(202, status="building")
    log = exam.follow(build)
    exam.read(build).expect(200, status="building")
    exam.rest(build.sleep_s / 2)
    exam.start(build).expect(202, 200, 409, status="building")
    exam.read(build).expect(200, status="building")
    exam.wait(build).expect(200, status="ready")
    # If the second start wrongly began another build, this cancel finds that build.
    exam.cancel(build).expect(404, status="idle")
    exam.read(build).expect(200, status="ready")
    exam.closed(log).expect(200)
    if theirs:
        exam.wait(theirs).expect(200, status="ready")


@cancels
@cost(builds=3, at_once=3, requests=24)
@claims(
    "cancel.keeps-neighbours cancel.in-flight-is-202 cancel.settles lookup.unknown-version-is-404",
    "lookup.unknown-name-is-404 lookup.unknown-namespace-is-404",
)
def test_cancel_leaves_the_neighbour_building(exam: Examination) -> None:
    """A cancel of one build, or of a missing version, does not affect other builds."""
    ready = exam.ready()
    victim = exam.short("victim", times=5)
    neighbour = exam.published("neighbour", sleep_s=lasting(exam, victim.sleep_s * 2 / 3))
    # The build prints half way through, so that a restart would print twice.
    sibling = replace(victim.revised(), version="1.0.1", sleep_s=neighbour.sleep_s, halved=True)
    exam.publish(sibling).expect(201, 200)
    exam.start(sibling).expect(202, status="building")
    log = exam.follow(sibling)
    exam.start(victim).expect(202, status="building")
    # Of the other two builds, one begins before the build that is cancelled, and one after it.
    exam.start(neighbour).expect(202, status="building")
    exam.read(ready).expect(200, status="ready")
    exam.read(sibling).expect(200)  # the last start may have had to wait until a build ended
    exam.read(neighbour).expect(200, status="building")
    for part in ("version", "name", "namespace"):
        exam.request("cancelBuild", exam.unknown(part, victim)).expect(404)
    exam.cancel(ready).expect(404, status="idle")
    exam.read(neighbour).expect(200, status="building")
    exam.read(victim).expect(200, status="building")
    exam.rest(sibling.sleep_s * 4 / 5)
    exam.read(neighbour)
    exam.read(victim).expect(200, status="building")
    exam.cancel(victim).expect(202, status="cancelling")
    exam.read(neighbour)
    exam.read(sibling)
    exam.settled(victim).expect(200, status=SETTLED)
    exam.wait(neighbour).expect(200, status="ready")
    exam.wait(sibling).expect(200, status="ready")
    exam.closed(log).expect(200)
    exam.read(ready).expect(200, status="ready")


def stranger(exam: Examination, like: Template) -> Template | None:
    """Publishes and starts a version of the second account; returns its template, or None if no build started."""
    theirs = exam.published("stranger", sleep_s=like.sleep_s, owner="second")
    started = exam.request("startBuild", theirs).body.get("status") == "building"
    return theirs if started else None


@cancels
@profile("standard")
@cost(builds=5, lengths=4, requests=40)
@claims(
    "cancel.in-flight-is-202 cancel.settles cancel.does-not-end-ready start.after-cancel-builds-again",
    "cancel.next-build-completes",
)
def test_builds_are_cancelled_and_started_again_at_once(exam: Examination) -> None:
    """A start right after a cancel late in a build builds again, one after simultaneous cancels, and the fifth."""
    build = exam.running("restarted", times=4)
    exam.start(build).expect(202, 200, 409, status="building")
    exam.rest(build.sleep_s * 3 / 4)
    exam.read(build).expect(200, status="building")
    exam.cancel(build).expect(202, status="cancelling")
    exam.start(build).expect(202, 200, 409, status="building")
    exam.read(build).expect(200, status="building")
    exam.rest(build.sleep_s / 4)
    exam.read(build).expect(200, status="building")
    for reply in exam.together(*[exam.call("cancelBuild", build)] * 3):
        reply.expect(202, 404, status=("cancelling", "idle"))
    exam.settled(build).expect(200, status=SETTLED)
    exam.read(build).expect(200, status=SETTLED)
    for fails in (True, False, True):
        head(exam, build)
        exam.start(build).expect(202, status="building")
        exam.read(build).expect(200, status="building")
        exam.wait(build).expect(200, status=build.outcome)
        exam.read(build).expect(200, status=build.outcome)
        build = replace(build.revised(), fails=fails, sleep_s=exam.observable_s())
        exam.publish(build, force=True).expect(201, 200)


@cancels
@cost(builds=0, requests=10)
@claims("status.unbuilt-is-not-built status.changes-only-by-a-start cancel.idle-is-404 cancel.says-idle")
def test_idle_version_has_nothing_to_cancel(exam: Examination) -> None:
    """A version that was never started stays not_built, and a cancel gets 404."""
    for version in (exam.published("idle"), published_without(exam, "idle")):
        exam.read(version).expect(200, status="not_built")
        exam.cancel(version).expect(404, status="idle")
        exam.read(version).expect(200, status="not_built")


@cancels
@given
@only_given
@cost(builds=4, requests=20)
@claims(
    "status.good-template-ends-ready status.failing-template-ends-failed status.build-ends cancel.settles",
    "reuse.ready-at-once reuse.is-flagged cancel.finished-is-idle",
)
def test_given_templates_keep_their_promises(exam: Examination) -> None:
    """Existing templates become ready or fail as the settings say; their builds can be cancelled and reused.

    Nobody knows the state of such a version before, so that most steps expect nothing.
    """
    templates = exam.target.templates
    if not (templates.buildable or templates.failing):
        raise Unsuited("not-applicable", "the settings list no existing templates")
    for ref in (*templates.buildable, *templates.failing):
        exam.read(ref).expect(200)
        exam.start(ref)
        exam.read(ref).expect(200)
        exam.cancel(ref)
        exam.settled(ref).expect(200)
        exam.start(ref)
        exam.wait(ref)
        exam.cancel(ref).expect(404, status="idle")
        exam.read(ref).expect(200)
        exam.start(ref)
        exam.wait(ref)
