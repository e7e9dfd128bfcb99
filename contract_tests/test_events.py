"""Build logs."""

from dataclasses import replace

import pytest

from situations import start_both
from touchstone.check.examination import Examination

# Enough lines to notice a log that contains only its first or its last few frames.
MORE_LINES = 20
# Rest after the end of a log, because the status may lag behind the log.
BEHIND_S = 0.5
# Added to the sleep, half of which comes before the output: the logs are then open when the build prints.
SILENCE_S = 0.3


@pytest.mark.cost(builds=2, requests=12)
@pytest.mark.claims(
    "events.answers-200",
    "events.media-type",
    "events.framing",
    "events.json-per-frame",
    "events.fields-are-documented",
    "events.level-is-documented",
    "events.phase-is-documented",
    "events.timestamps-are-iso",
    "events.timestamps-in-order",
    "events.timestamps-are-true",
    "events.open-while-building",
    "events.close-at-the-end",
    "events.terminal-frame-comes-last",
    "events.own-lines-only",
    "events.carry-the-output",
    "events.ready-ends-on-ready",
    "events.watchers-agree",
    "events.build-time-agrees",
    "events.finished-version-closes",
)
def test_log_of_a_successful_build(exam: Examination) -> None:
    """Clients that follow one build get the same frames, which end with ready and have no lines of other builds."""
    other = exam.short("loud")
    # The build prints half way through, followed by a silence.
    template = replace(exam.template("followed", sleep_s=other.sleep_s + SILENCE_S), halved=True, more_lines=MORE_LINES)
    exam.publish(template)
    start_both(exam, other.ref, template.ref)
    first, second = exam.follow(template.ref), exam.follow(template.ref)
    beside = exam.follow(other.ref)
    exam.read(template.ref)
    exam.rest(template.sleep_s / 3)
    late = exam.follow(template.ref)
    exam.read(template.ref)
    exam.wait(template.ref)
    for following in (first, second, late):
        exam.closed(following)
    exam.wait(other.ref)
    exam.closed(beside)
    exam.read(template.ref)
    exam.closed(exam.follow(template.ref))


@pytest.mark.cost(builds=1, requests=5)
@pytest.mark.claims("reuse.ready-at-once", "events.ready-ends-on-ready", "events.close-at-the-end")
def test_log_that_ended_on_ready_is_true(exam: Examination) -> None:
    """After a log that ends with ready, a start reuses the finished snapshot (golden), even if no status was read."""
    template = exam.short("followed-only")
    exam.start(template.ref)
    # Nothing reads the status meanwhile: the build must end without reads.
    exam.ended(exam.follow(template.ref), template.ref)
    exam.rest(BEHIND_S)
    exam.start(template.ref)
    exam.read(template.ref)


@pytest.mark.profile("standard")
@pytest.mark.cost(builds=1, requests=5)
@pytest.mark.claims("events.carry-the-output", "events.open-while-building", "events.ready-ends-on-ready")
def test_log_of_a_long_build(exam: Examination) -> None:
    """A long build runs once and logs each line once."""
    like_it = exam.long("long")
    template = replace(exam.template("followed-long", sleep_s=like_it.sleep_s), halved=True)
    exam.publish(template)
    exam.start(template.ref)
    following = exam.follow(template.ref)
    exam.read(template.ref)
    exam.wait(template.ref)
    exam.closed(following)


@pytest.mark.cost(builds=1, requests=8)
@pytest.mark.claims("events.failed-ends-on-error", "events.close-at-the-end", "events.phase-is-documented")
def test_log_of_a_failing_build(exam: Examination) -> None:
    """The log of a failing build ends with an error event."""
    template = exam.short("failing-log", fails=True)
    exam.start(template.ref)
    following = exam.follow(template.ref)
    exam.read(template.ref)
    exam.wait(template.ref)
    exam.closed(following)
    exam.read(template.ref)


@pytest.mark.cost(builds=1, requests=8)
@pytest.mark.claims("events.cancelled-ends-on-cancel", "events.close-at-the-end", "events.level-is-documented")
def test_log_of_a_cancelled_build(exam: Examination) -> None:
    """The log of a cancelled build ends with an event that reports the cancel."""
    template = exam.long("cancelled-log")
    exam.start(template.ref)
    following = exam.follow(template.ref)
    exam.read(template.ref)
    exam.cancel(template.ref)
    exam.settle(template.ref)
    exam.closed(following)
    exam.read(template.ref)


@pytest.mark.cost(builds=0, requests=4)
@pytest.mark.claims("events.finished-version-closes")
def test_log_of_an_idle_version_is_bounded(exam: Examination) -> None:
    """A request for the log of a version that was never built comes to an end."""
    template = exam.published("silent")
    exam.read(template.ref)
    exam.closed(exam.follow(template.ref))
    exam.read(template.ref)


@pytest.mark.cost(builds=1, requests=9)
@pytest.mark.claims("status.good-template-ends-ready", "status.build-does-not-vanish", "events.watchers-agree")
def test_build_does_not_mind_who_follows_it(exam: Examination) -> None:
    """A build continues when one client of its log disconnects; the other client gets the complete log."""
    template = exam.short("left")
    exam.start(template.ref)
    leaving, staying = exam.follow(template.ref), exam.follow(template.ref)
    exam.read(template.ref)
    leaving.until.set()
    leaving.future.result()
    # Wait before the start: a start would hide a build that was cancelled when its client disconnected.
    exam.rest(template.sleep_s / 3)
    exam.read(template.ref)
    exam.start(template.ref)
    exam.read(template.ref)
    exam.wait(template.ref)
    exam.closed(staying)
