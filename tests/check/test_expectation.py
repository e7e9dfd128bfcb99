"""A step of a contract test expects what openapi/answers.yaml promises in the state that the earlier steps imply."""

from collections.abc import Callable

import pytest

from tests.check.scripted import Answer, examination
from touchstone.check.examination import Examination
from touchstone.check.expectation import Reply, Unpromised
from touchstone.check.templates import Template

Step = Callable[[Examination, Template], Reply]


def at_target(*answers: Answer) -> tuple[Examination, Template]:
    """Returns an examination of a target that publishes, and then sends *answers*; and a published version."""
    queue = iter(answers)
    exam = examination(lambda call: (201, {}, {}) if call.operation == "publishTemplate" else next(queue))
    return exam, exam.published("mine", sleep_s=1.0)


def building(exam: Examination, version: Template) -> None:
    exam.start(version)


def cancelling(exam: Examination, version: Template) -> None:
    exam.start(version)
    exam.cancel(version)


def cancelled(exam: Examination, version: Template) -> None:
    cancelling(exam, version)
    exam.settled(version)


def ready(exam: Examination, version: Template) -> None:
    exam.start(version)
    exam.wait(version)


def refused(exam: Examination, version: Template) -> None:
    exam.request("startBuild", version)


def deleted(exam: Examination, version: Template) -> None:
    exam.delete(version)


STARTED, CANCELS = (202, {"status": "building"}, {}), (202, {"status": "cancelling"}, {})
IDLE, READY, UNBUILT = (404, {"status": "idle"}, {}), (200, {"status": "ready"}, {}), (200, {"status": "not_built"}, {})
LIMITED, DELETED, MISSING = (429, {"error": "later"}, {}), (200, {"deleted": True}, {}), (404, {"error": "no"}, {})
WAY: dict[Callable[[Examination, Template], None] | None, tuple[Answer, ...]] = {
    None: (),
    building: (STARTED,),
    cancelling: (STARTED, CANCELS),
    cancelled: (STARTED, CANCELS, UNBUILT),
    ready: (STARTED, READY),
    refused: (LIMITED,),
    deleted: (DELETED,),
}


@pytest.mark.parametrize(
    ("way", "answer", "step", "weaker", "stronger"),
    [
        (None, IDLE, "cancelBuild", ((404, "idle"),), ((202, "cancelling"), (404, "cancelling"))),
        (building, CANCELS, "cancelBuild", ((202, "cancelling"),), ((404, "idle"),)),
        (cancelling, IDLE, "cancelBuild", ((202, 404, "cancelling", "idle"),), ((202, "cancelling"), (404, "idle"))),
        (cancelled, IDLE, "cancelBuild", ((404, "idle"), (202, 404)), ((202, "cancelling"),)),
        (cancelled, UNBUILT, "getBuild", ((200, "not_built", "failed"),), ((200, "not_built"), (200, "ready"))),
        (ready, IDLE, "cancelBuild", ((404, "idle"),), ((202, "cancelling"),)),
        (ready, READY, "startBuild", ((202, 200, "ready"),), ((202, "ready"), (202, 200, "building"))),
        (refused, UNBUILT, "getBuild", ((200, "not_built"), (200, "not_built", "ready")), ((200, "building"),)),
        (deleted, MISSING, "getBuild", ((404,),), ((200, "not_built"),)),
        (deleted, MISSING, "startBuild", ((404,),), ((202, "building"),)),
    ],
)
def test_expectation_must_cover_what_is_promised(
    way: Callable[[Examination, Template], None] | None,
    answer: Answer,
    step: str,
    weaker: tuple[tuple[int | str, ...], ...],
    stronger: tuple[tuple[int | str, ...], ...],
) -> None:
    for expected in (*weaker, *stronger):
        exam, version = at_target(*WAY[way], answer)
        if way:
            way(exam, version)
        reply = exam.request(step, version)
        codes, status = [e for e in expected if isinstance(e, int)], [e for e in expected if isinstance(e, str)]
        if expected in stronger:
            with pytest.raises(Unpromised, match=r"test_expectation\.py:\d+: .*openapi/answers\.yaml allows"):
                reply.expect(*codes, status=status)
        else:
            assert reply.expect(*codes, status=status) is reply
            assert exam.steps.unmet == []


@pytest.mark.parametrize("by", ["none", "unknown", "longer", "malformed", "query"])
def test_invalid_key_is_refused_in_every_state(by: str) -> None:
    exam, version = at_target(STARTED, (401, {"error": "Missing API key"}, {}), CANCELS)
    exam.start(version)
    exam.request("deleteTemplate", version, by).expect(401)  # type: ignore[arg-type]
    exam.cancel(version).expect(202, status="cancelling")


def test_version_of_another_account_looks_missing() -> None:
    exam, version = at_target(MISSING, STARTED)
    exam.request("startBuild", version, "second").expect(404)
    exam.start(version).expect(202, status="building")
    with pytest.raises(Unpromised):
        at_target(MISSING)[0].read("default/x@1.0.0").expect(500)


def test_other_response_is_noted_with_its_place_and_the_case_goes_on() -> None:
    exam, version = at_target(STARTED, (200, {"status": "cancelling"}, {}), READY, LIMITED)
    exam.start(version).expect(202, status="building")
    exam.cancel(version).expect(202, status="cancelling")
    exam.settled(version).expect(200, status=("not_built", "failed"))
    exam.request("startBuild", version).expect(202)
    first, second, third = exam.steps.unmet
    assert first.startswith("test_expectation.py:")
    assert "cancelBuild, building: expected 202 with status cancelling; actual 200" in first
    assert ("not_built or failed" in second, "actual 429" in third) == (True, True)


@pytest.mark.parametrize(
    ("change", "codes"), [({}, (201, 200)), ({"revised": True}, (409,)), ({"revised": True, "force": True}, (201, 200))]
)
def test_publish_depends_on_the_content(change: dict[str, bool], codes: tuple[int, ...]) -> None:
    exam, version = at_target()
    again = version.revised() if change.pop("revised", False) else version
    reply = exam.publish(again, **change)
    with pytest.raises(Unpromised):
        reply.expect(403)
    reply.expect(*codes)


def test_simultaneous_starts_may_be_refused() -> None:
    exam, version = at_target(STARTED, (409, {"error": "running"}, {}))
    for reply in exam.together(*[exam.call("startBuild", version)] * 2):
        reply.expect(202, 200, 409, status="building")
    assert exam.steps.unmet == []
