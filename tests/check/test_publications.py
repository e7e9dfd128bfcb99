"""What a run may have left on its target follows from how its requests to publish were answered."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.check.scripted import Answer, examination, refusal, status
from tests.command import PRIMARY, SECOND, Shell
from tests.inline import inline
from tests.watched import Watched
from touchstone.check.examination import Publications
from touchstone.check.templates import Template, publish_call
from touchstone.target.call import Call

SENT = Template("x", "1.0.0", 0.0, False, "")
CALL = publish_call(SENT, wrapped=False)


def left_after(exam: Any) -> list[str]:
    """What a clean-up does not see gone."""
    exam.ledger.rows.clear()
    clean = exam.clean_up()
    left = [deed for deed, _, _ in exam.ledger.rows if deed != "gone"]
    assert clean == (not left)
    return left


def answers(publish: int, delete: int) -> Callable[[Call], Answer]:
    return lambda call: (publish if call.operation == "publishTemplate" else delete, {}, {})


@pytest.mark.parametrize("owner", ["primary", "second"])
@pytest.mark.parametrize(
    ("code", "left"),
    [(code, []) for code in (400, 401, 403, 413, 422, 429)]
    + [(code, ["may be left"]) for code in (408, 409, 500, 502)],
)
def test_version_is_left_unless_its_publish_was_refused(code: int, left: list[str], owner: str) -> None:
    exam = examination(answers(code, 401), patience_s=0.5)
    refusal(lambda: exam.published("x", owner=owner))
    assert left_after(exam) == left


def test_later_refusal_does_not_undo_a_publish() -> None:
    exam = examination(answers(201, 500))
    template = exam.published("x")
    exam.transport.answer = answers(401, 500)
    exam.publish(template)
    assert left_after(exam) == ["left"]


def test_unanswered_publish_may_be_done_and_an_unsent_one_is_not() -> None:
    exam = examination(lambda _: status("ready"), answered=0)
    refusal(lambda: exam.published("x"))
    exam.budget.until_at = -1.0
    refusal(lambda: exam.published("x"))
    assert left_after(exam) == ["may be left"]


def test_publish_that_was_cut_off_may_be_done() -> None:
    publications = Publications()
    publications.hear(CALL, examination(answers(401, 401)).send)
    taken = replace(SENT, name="UPPER CASE")
    publications.taken_for(taken, SENT)
    assert [publications.standing(template) for template in (SENT, taken)] == ["absent", "absent"]

    def cut_off(_call: Call) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publications.hear(CALL, cut_off)
    assert [publications.standing(template) for template in (SENT, replace(SENT, name="y"))] == ["unsure", "unsure"]


def test_check_with_a_wrong_second_key_reports_nothing_left(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"ORGO_API_KEY": PRIMARY, "ORGO_SECOND_API_KEY": f"{SECOND}-not"})
    with Watched() as watched:
        arguments = ("--profile", "quick", "--claims", "access.others-version-is-404")
        report = inline(shell, "check", "--url", watched.url, *arguments).report()
        assert watched.refs() == []
    assert (report["left_behind"], report["may_be_left"], shell.journals()) == ([], [], [])
