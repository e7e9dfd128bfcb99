"""Section *Response* of the page: a start reuses a ready version. A version without a running build never changes."""

from situations import SETTLED, cancels, claims, cost, given, profile
from touchstone.check.examination import Examination

# How long a case watches versions, as a multiple of a build's duration: long enough for late changes.
BUILDS = 4


@cancels
@given
@cost(builds=0, requests=12)
@claims(
    "reuse.ready-at-once reuse.is-flagged reuse.status-code status.ready-stays-ready status.build-time-is-stable",
    "status.concurrent-reads-agree cancel.finished-is-idle cancel.says-idle cancel.keeps-finished-golden",
    "error.has-no-upstream-status",
)
def test_finished_build_is_reused_and_kept(exam: Examination) -> None:
    """A ready version stays ready, also after a cancel; a start reuses its finished snapshot (golden)."""
    build = exam.ready()
    exam.read(build).expect(200, status="ready")
    exam.start(build).expect(202, 200, status="ready")
    exam.read(build).expect(200, status="ready")
    exam.cancel(build).expect(404, status="idle")
    exam.read(build).expect(200, status="ready")
    exam.start(build).expect(202, 200, status="ready")
    for reply in exam.together(*[exam.call("getBuild", build)] * 4):
        reply.expect(200, status="ready")


@cancels
@profile("thorough")
@cost(builds=2, requests=50)
@claims("status.changes-only-by-a-start", "status.failed-stays-failed", "status.ready-stays-ready")
def test_nothing_happens_by_itself(exam: Examination) -> None:
    """Versions without requests keep their status for the duration of several builds."""
    cancelled, failed = exam.short("cancelled-alone"), exam.short("failed-alone", fails=True)
    ready, idle = exam.ready(), exam.published("idle-alone")
    exam.start(cancelled).expect(202, status="building")
    exam.read(cancelled).expect(200, status="building")
    exam.cancel(cancelled).expect(202, status="cancelling")
    exam.settled(cancelled).expect(200, status=SETTLED)
    exam.start(failed).expect(202, status="building")
    exam.start(failed).expect(202, 200, 409, status="building")
    exam.wait(failed).expect(200, status="failed")
    # Two reads per build duration, so that no build is missed.
    for _ in range(2 * BUILDS):
        exam.read(ready).expect(200, status="ready")
        exam.read(idle).expect(200, status="not_built")
        exam.read(cancelled).expect(200, status=SETTLED)
        exam.read(failed).expect(200, status="failed")
        exam.rest(failed.sleep_s / 2)
