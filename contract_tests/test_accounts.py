"""
Other accounts and smaller plans.
"""

import pytest

from situations import ask, needs_restricted, needs_second, publish_refused
from touchstone.examination import Examination

OPERATIONS = ("getBuild", "getTemplate", "startBuild", "cancelBuild", "streamBuildEvents", "deleteTemplate")


@pytest.mark.cost(builds=1, requests=44)
@pytest.mark.claims("access.others-version-is-404", "access.others-change-nothing", "auth.valid-key-is-accepted")
def test_another_account_neither_sees_nor_touches(exam: Examination) -> None:
    """
    Another account finds neither an idle, nor a running, nor a ready version, and changes none of them.
    """
    needs_second(exam)
    template = exam.short("private")
    exam.read(template.ref)
    for operation in OPERATIONS:
        ask(exam, operation, template.ref, "second")
        exam.read(template.ref)
    exam.start(template.ref)
    exam.read(template.ref)
    for operation in OPERATIONS:
        ask(exam, operation, template.ref, "second")
    # No read before it can have settled: a cancelled build reads building until then.
    exam.outlast(template)
    exam.wait(template.ref)
    ready = exam.ready()
    exam.read(ready.ref)
    for operation in OPERATIONS:
        ask(exam, operation, ready.ref, "second")
        exam.read(ready.ref)


@pytest.mark.cost(builds=0, requests=10)
@pytest.mark.claims("access.others-version-is-404")
def test_isolation_holds_in_both_directions(exam: Examination) -> None:
    """
    The second account owns versions like the first, and the first does not see them.
    """
    needs_second(exam)
    theirs = exam.ready("second")
    for operation in OPERATIONS:
        ask(exam, operation, theirs.ref, "primary")
    exam.read(theirs.ref, "second")


@pytest.mark.cost(builds=0, requests=17)
@pytest.mark.claims(
    "access.start-needs-scale",
    "access.publish-needs-scale",
    "access.plan-is-no-key-matter",
    "access.others-change-nothing",
)
def test_building_needs_the_scale_plan(exam: Examination) -> None:
    """
    An account below the Scale plan is told so when it publishes or starts a build.
    """
    needs_restricted(exam)
    ready = exam.ready()
    refused = publish_refused(exam, "below-scale", "restricted")
    ask(exam, "getTemplate", refused.ref or "", "restricted")
    for ref in (ready.ref, exam.unknown("name"), *exam.target.templates.restricted):
        ask(exam, "getBuild", ref, "restricted")
        ask(exam, "startBuild", ref, "restricted")
        ask(exam, "getBuild", ref, "restricted")
    ask(exam, "getBuild", ready.ref, "restricted")
    exam.read(ready.ref)
