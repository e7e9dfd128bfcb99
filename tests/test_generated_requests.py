"""Requests that Schemathesis generates are aimed at what the run has made."""

import json
from typing import Any

import pytest
from schemathesis.core.result import Ok

from tests.test_examination import examination, told
from touchstone.check.schemathesis_hooks import _renamed, load_schema, send_case
from touchstone.target.call import Call

PATH = {"namespace": "any", "name": "thing", "version": "1.0.0"}


def drawn(label: str) -> Any:
    operations = [found.ok() for found in load_schema(1, "quick").get_all_operations() if isinstance(found, Ok)]
    operation = next(operation for operation in operations if operation.label == label)
    return operation.Case(path_parameters=dict(PATH), headers={}, query={})


def sent(exam: Any) -> Call:
    return exam.transport.calls[-1]


@pytest.mark.parametrize("status", ["ready", "failed"])
def test_request_is_aimed_at_the_ready_version_where_there_is_one(status: str) -> None:
    """Where no version becomes ready the request goes to where it was drawn, and the case goes on."""
    exam = examination(lambda call: (201, {}, {}) if call.operation == "publishTemplate" else told(status))
    send_case(exam, drawn("GET /templates/{namespace}/{name}/{version}/build"), 1)
    aimed = "/templates/default/touchstone-r1-ready-primary/1.0.0/build"
    assert sent(exam).path == (aimed if status == "ready" else "/templates/any/thing/1.0.0/build")


def test_requests_that_change_something_are_never_aimed_at_what_others_may_have() -> None:
    """Without a ready version a start, a cancel and a delete go to a namespace and a name that are the run's own."""
    exam = examination(lambda call: (201, {}, {}) if call.operation == "publishTemplate" else told("failed"))
    for label in (
        "POST /templates/{namespace}/{name}/{version}/build",
        "DELETE /templates/{namespace}/{name}/{version}",
    ):
        send_case(exam, drawn(label), 1)
        assert sent(exam).path.startswith("/templates/touchstone-r1-nobody/touchstone-r1-thing/")


@pytest.mark.parametrize("name", ["thing", "", 5, None, True, ["thing"], {"a": "thing"}])
@pytest.mark.parametrize("place", ["name", "template"])
def test_document_is_published_under_no_name_but_the_runs_own(name: Any, place: str) -> None:
    """A name that is no text stays none, and holds the run's own name, for a server that makes a text of it."""
    document = {"name": name} if place == "name" else {"template": {"name": name}}
    body, template = _renamed(examination(lambda _: told("ready")), json.dumps(document).encode(), 3)
    sent_name = json.loads(body)["name"] if place == "name" else json.loads(body)["template"]["name"]
    assert template
    assert isinstance(sent_name, str) == isinstance(name, str)
    assert template.name in str(sent_name)
    assert "thing" not in str(sent_name)


def test_examination_is_named_in_few_words() -> None:
    """Hypothesis shows what a case was called with; a whole examination would bury its message."""
    assert len(repr(examination(lambda _: told("ready")))) < 100
