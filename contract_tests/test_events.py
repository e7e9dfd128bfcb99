"""Page *Stream build logs*: the logs of running, long, finished and idle builds."""

from dataclasses import replace

from situations import LONG_VERSION, claims, cost, longest, profile, start_both
from touchstone.check.examination import Examination

# As many commands as a document may have; two of them sleep, the last one prints. Source: page templates/schema.
MORE_LINES = 64 - 4
# Added to the sleep, half of which comes before the output: the logs are then open when the build prints.
SILENCE_S = 0.3


@cost(builds=2, at_once=2, requests=16)
@claims(
    "status.good-template-ends-ready status.failing-template-ends-failed status.build-does-not-vanish",
    "events.failed-ends-on-error events.answers-200 events.media-type events.framing events.json-per-frame",
    "events.fields-are-documented events.level-is-documented events.phase-is-documented events.timestamps-are-iso",
    "events.timestamps-in-order events.timestamps-are-true events.open-while-building events.close-at-the-end",
    "events.terminal-frame-comes-last events.own-lines-only events.carry-the-output events.ready-ends-on-ready",
    "events.watchers-agree events.build-time-agrees events.finished-version-closes",
)
def test_logs_of_two_builds(exam: Examination) -> None:
    """Clients that follow one build get the same frames, even if one leaves; a failing build beside has its own log."""
    # The build prints half way through, followed by a silence. The names differ in their last letter.
    alike = exam.template("followed", sleep_s=exam.observable_s(2))
    other = replace(longest(alike, "b"), fails=True)
    template = replace(longest(alike), version=LONG_VERSION, sleep_s=other.sleep_s + SILENCE_S, halved=True)
    template = replace(template, more_lines=MORE_LINES, then=("echo the-64th",))
    for each in (other, template):
        exam.publish(each).expect(201, 200)
    for reply in start_both(exam, other, template):
        reply.expect(202, status="building")
    beside = exam.follow(other)
    first, second, leaving = (exam.follow(template) for _ in range(3))
    for build in (other, template):
        exam.read(build).expect(200)
    leaving.until.set()
    leaving.future.result().expect(200)
    exam.rest(template.sleep_s / 3)
    late = exam.follow(template)
    exam.read(template).expect(200)
    exam.wait(template).expect(200, status="ready")
    for log in (first, second, late):
        exam.closed(log).expect(200)
    exam.wait(other).expect(200, status="failed")
    exam.closed(beside).expect(200)
    exam.read(other).expect(200, status="failed")
    exam.read(template).expect(200, status="ready")
    exam.closed(exam.follow(template)).expect(200, 404)


@profile("thorough")
@cost(builds=1, requests=5)
@claims("events.carry-the-output", "events.open-while-building", "events.ready-ends-on-ready")
def test_log_of_a_long_build(exam: Examination) -> None:
    """A long build runs once and logs each line once."""
    like_it = exam.long("long")
    template = replace(exam.template("followed-long", sleep_s=like_it.sleep_s), halved=True)
    exam.publish(template).expect(201, 200)
    exam.start(template).expect(202, status="building")
    log = exam.follow(template)
    exam.read(template).expect(200, status="building")
    exam.wait(template).expect(200, status="ready")
    exam.closed(log).expect(200)
