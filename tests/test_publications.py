"""What a run may have left on its target is told by how its requests to publish were answered."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.command import PRIMARY, SECOND, Command, Shell
from tests.test_examination import examination, told
from tests.test_waits import Silent
from tests.watched import Watched
from touchstone.check.examination import Publications, Unsuited
from touchstone.check.templates import Template, publish_call
from touchstone.facts.exchange import Credential
from touchstone.target.call import Call

REF = "default/touchstone-r1-x@1.0.0"


def left_after(exam: Any) -> list[tuple[str, bool]]:
    """What a clean-up says is left, each with whether it was ever there."""
    left: list[tuple[str, bool]] = []

    def removed(template: Template, *, gone: bool, sure: bool) -> None:
        if not gone:
            left.append((template.ref, sure))

    exam.ledger.removed = removed
    assert exam.clean_up() == (not left)
    return left


def publishing(exam: Any, owner: Credential = "primary") -> None:
    """Publishes a version, whatever comes of it."""
    with pytest.raises(Unsuited):
        exam.published("x", owner=owner)


def answering(publish: int, delete: int) -> Callable[[Call], tuple[int, Any, dict[str, str]]]:
    """A target that answers publishing and deleting with two statuses."""
    return lambda call: (publish if call.operation == "publishTemplate" else delete, {}, {})


@pytest.mark.parametrize("status", [400, 401, 403, 413, 422, 429])
def test_version_that_was_refused_is_not_left(status: int) -> None:
    """What a 4xx answered was not created, though a delete of it is refused as well."""
    exam = examination(answering(status, 401), patience_s=0.5)
    publishing(exam, owner="second")
    assert left_after(exam) == []


@pytest.mark.parametrize("status", [408, 409, 500, 502])
def test_version_that_may_have_been_made_may_be_left(status: int) -> None:
    """What a server says of its own trouble, and a conflict, are no word on whether the version is there."""
    exam = examination(answering(status, 500))
    publishing(exam)
    assert left_after(exam) == [(REF, False)]


def test_version_that_was_published_is_left_where_it_cannot_be_deleted() -> None:
    """A later refusal of the same version does not undo it."""
    exam = examination(answering(201, 500))
    template = exam.published("x")
    exam.transport.answer = answering(401, 500)
    exam.publish(template)
    assert left_after(exam) == [(REF, True)]


def test_publish_without_an_answer_may_have_been_done_and_an_unsent_one_was_not() -> None:
    """Once the server is gone, what is sent to it may be there; what the run does not send any more is not."""
    exam = examination(lambda _: told("ready"))
    exam.transport = Silent(lambda _: told("ready"), heard=0)
    publishing(exam)
    exam.budget.until_at = -1.0
    publishing(exam)
    assert left_after(exam) == [(REF, False)]


def test_request_that_was_cut_off_may_have_been_done() -> None:
    """Where the run ends in the middle of a request, an earlier refusal of it says nothing."""
    made, template = Publications(), Template("x", "1.0.0", 0.0, False, "")
    exam = examination(answering(401, 401))
    made.hear(publish_call(template, wrapped=False), exam.send)
    assert made.standing(template) == "absent"

    def cut_off(_call: Call) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.hear(publish_call(template, wrapped=False), cut_off)
    assert made.standing(template) == "unsure"
    assert made.standing(replace(template, name="y")) == "unsure"


def test_document_that_may_be_taken_for_another_is_as_its_request_was() -> None:
    """A refused document with a bad name in it is not there under that name either."""
    made, sent = Publications(), Template("x", "1.0.0", 0.0, False, "")
    taken = replace(sent, name="UPPER CASE")
    made.taken_for(taken, sent)
    made.hear(publish_call(sent, wrapped=False), examination(answering(422, 404)).send)
    assert made.standing(taken) == "absent"


def test_check_with_a_wrong_second_key_leaves_nothing(tmp_path: Path, call: Command) -> None:
    """Neither the report nor the journal has what the target refused to make."""
    shell = Shell(tmp_path, {"ORGO_API_KEY": PRIMARY, "ORGO_SECOND_API_KEY": f"{SECOND}-not"})
    with Watched() as watched:
        ended = call(shell, "check", "--url", watched.url, "--claims", "access.others-version-is-404")
        assert watched.refs() == []
    report = json.loads((ended.results / "report.json").read_text("utf-8"))
    assert (report["left_behind"], report["may_be_left"], shell.journals()) == ([], [], [])
    assert "on the target (touchstone" not in ended.out
