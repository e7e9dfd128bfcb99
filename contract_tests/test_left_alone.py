"""Versions do not change without requests."""

import pytest

from touchstone.check.examination import Examination

# How long the case watches the versions, as a multiple of a build's duration: long enough for late changes.
BUILDS = 4


@pytest.mark.cost(builds=2, requests=50)
@pytest.mark.claims("status.changes-only-by-a-start", "status.failed-stays-failed", "status.ready-stays-ready")
def test_nothing_happens_by_itself(exam: Examination) -> None:
    """Versions without requests keep their status for the duration of several builds."""
    cancelled, failed = exam.short("cancelled-alone"), exam.short("failed-alone", fails=True)
    refs = [exam.ready().ref, exam.published("idle-alone").ref, cancelled.ref, failed.ref]
    exam.start(cancelled.ref)
    exam.read(cancelled.ref)
    exam.cancel(cancelled.ref)
    exam.settle(cancelled.ref)
    exam.start(failed.ref)
    exam.start(failed.ref)
    exam.wait(failed.ref)
    # Two reads per build duration, so that no build is missed.
    for _ in range(2 * BUILDS):
        for ref in refs:
            exam.read(ref)
        exam.rest(failed.sleep_s / 2)
