"""Versions without a running build: a start reuses what is ready, a cancel finds nothing, and nothing changes."""

from situations import cancels, claims, cost, given, profile
from touchstone.check.examination import Examination
from touchstone.target.call import Call

# How long a case watches versions, as a multiple of a build's duration: long enough for late changes.
BUILDS = 4


@cancels
@given
@cost(builds=0, requests=12)
@claims(
    "reuse.ready-at-once",
    "reuse.is-flagged",
    "reuse.status-code",
    "status.ready-stays-ready",
    "status.build-time-is-stable",
    "status.concurrent-reads-agree",
    "cancel.finished-is-idle",
    "cancel.says-idle",
    "cancel.keeps-finished-golden",
    "error.has-no-upstream-status",
)
def test_finished_build_is_reused_and_kept(exam: Examination) -> None:
    """A ready version stays ready, also after a cancel; a start reuses its finished snapshot (golden)."""
    ref = exam.ready().ref
    exam.read(ref)
    exam.start(ref)
    exam.read(ref)
    exam.cancel(ref)
    exam.read(ref)
    exam.start(ref)
    exam.together(*[Call("getBuild", ref)] * 4)


@cancels
@profile("thorough")
@cost(builds=2, requests=50)
@claims("status.changes-only-by-a-start", "status.failed-stays-failed", "status.ready-stays-ready")
def test_nothing_happens_by_itself(exam: Examination) -> None:
    """Versions without requests keep their status for the duration of several builds."""
    cancelled, failed = exam.short("cancelled-alone"), exam.short("failed-alone", fails=True)
    refs = [exam.ready().ref, exam.published("idle-alone").ref, cancelled.ref, failed.ref]
    exam.start(cancelled.ref)
    exam.read(cancelled.ref)
    exam.cancel(cancelled.ref)
    exam.settled(cancelled.ref)
    exam.start(failed.ref)
    exam.start(failed.ref)
    exam.wait(failed.ref)
    # Two reads per build duration, so that no build is missed.
    for _ in range(2 * BUILDS):
        for ref in refs:
            exam.read(ref)
        exam.rest(failed.sleep_s / 2)
