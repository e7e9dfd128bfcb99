"""What nobody touches does not change."""

import pytest

from touchstone.check.examination import Examination

# For as many builds as this one after the other: what happens by itself, happens late.
BUILDS = 4


@pytest.mark.cost(builds=2, requests=50)
@pytest.mark.claims("status.changes-only-by-a-start", "status.failed-stays-failed", "status.ready-stays-ready")
def test_nothing_happens_by_itself(exam: Examination) -> None:
    """Versions that are not built, cancelled, failed and ready stay so for as long as several builds take."""
    cancelled, failed = exam.short("cancelled-alone"), exam.short("failed-alone", fails=True)
    refs = [exam.ready().ref, exam.published("idle-alone").ref, cancelled.ref, failed.ref]
    exam.start(cancelled.ref)
    exam.read(cancelled.ref)
    exam.cancel(cancelled.ref)
    exam.settle(cancelled.ref)
    exam.start(failed.ref)
    exam.start(failed.ref)
    exam.wait(failed.ref)
    # Twice in the time that a build takes, so that none goes unseen.
    for _ in range(2 * BUILDS):
        for ref in refs:
            exam.read(ref)
        exam.rest(failed.sleep_s / 2)
