"""Generated requests: they reach only versions of the run, are judged, and are the same for one seed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from schemathesis.core.result import Ok

from contract_tests.generation import judgements, load_schema, prepare, send
from tests.check.scripted import examination, publishing_and, status
from tests.command import Shell
from tests.rules.exchanges import exchange
from touchstone.check.schemathesis_hooks import Aims
from touchstone.facts import runlog
from touchstone.facts.exchange import Exchange

PATH = {"namespace": "any", "name": "thing", "version": "1.0.0"}
VERSION = "/templates/{namespace}/{name}/{version}"
READ, START, DELETE, PUBLISH = f"GET {VERSION}/build", f"POST {VERSION}/build", f"DELETE {VERSION}", "POST /templates"


def operation(label: str, *, publishes: bool = True) -> Any:
    schema = load_schema(1, "quick", publishes=publishes)
    found = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    return next((each for each in found if each.label == label), None)


def case(label: str, **more: Any) -> Any:
    path = {} if label == PUBLISH else dict(PATH)
    return operation(label).Case(path_parameters=path | more.pop("path", {}), headers={}, query={}, **more)


def document(**more: Any) -> dict[str, Any]:
    return {"api_version": "orgo.ai/v1", "template": {"name": "thing", "version": "1.0.0"}} | more


def publish(body: Any = None) -> Any:
    return case(PUBLISH, body=body or document(), media_type="application/json")


def sent(aims: Aims, case: Any) -> Exchange | None:
    return send(aims, case, *prepared) if (prepared := prepare(aims, case)) else None


# A checksum of the generated path decides whether it stays as it is.
AIMED, WILD = {"version": "1.0.1"}, {"version": "1.0.0"}
SHARED, NOBODY = (
    "/templates/default/touchstone-r1-ready-primary/1.0.0",
    "/templates/touchstone-r1-nobody/touchstone-r1-thing",
)


@pytest.mark.parametrize(
    ("label", "build", "generated", "path"),
    [
        (READ, "ready", AIMED, f"{SHARED}/build"),
        (READ, "ready", WILD, "/templates/any/thing/1.0.0/build"),
        (READ, "failed", AIMED, "/templates/any/thing/1.0.1/build"),
        (START, "ready", AIMED, f"{SHARED}/build"),
        (START, "failed", AIMED, f"{NOBODY}/1.0.1/build"),
        (START, "ready", WILD, f"{NOBODY}/1.0.0/build"),
        (DELETE, "ready", AIMED, f"{NOBODY}/1.0.1"),
    ],
)
def test_request_reaches_nothing_that_others_may_have(label: str, build: str, generated: Any, path: str) -> None:
    exam = examination(publishing_and(status(build)))
    assert sent(Aims(exam), case(label, path=generated))
    assert exam.transport.calls[-1].path == path


def test_delete_removes_what_a_generated_request_published() -> None:
    aims = Aims(examination(publishing_and(status("ready"))))
    published = sent(aims, publish())
    deleted = sent(aims, case(DELETE, path=AIMED))
    assert published
    assert deleted
    assert deleted.ref is None
    assert aims.exam.transport.calls[-1].path == "/templates/default/touchstone-r1-generated-1/1.0.0"


@pytest.mark.parametrize("name", ["thing", "", 5, None, True, ["thing"], {"a": "thing"}])
@pytest.mark.parametrize("place", ["name", "template"])
def test_document_gets_a_name_of_the_run_of_the_same_kind(name: Any, place: str) -> None:
    content = {"name": name} if place == "name" else {"template": {"name": name}}
    exam = examination(publishing_and(status("ready")))
    assert sent(Aims(exam), publish(content))
    found = json.loads(exam.transport.calls[-1].body)
    sent_name = found["name"] if place == "name" else found["template"]["name"]
    assert isinstance(sent_name, str) == isinstance(name, str)
    assert exam.templates[0].name in str(sent_name)
    assert "thing" not in str(sent_name)


@pytest.mark.parametrize(
    ("code", "ref", "registered"),
    [
        (201, "", 1),
        (422, "", 0),
        (500, "", 1),
        (201, "default/touchstone-r1-else@1.0.0", 2),
        (201, "default/x@1.0.0", 1),
    ],
)
def test_generated_publish_is_remembered_unless_refused(code: int, ref: str, registered: int) -> None:
    exam = examination(lambda _: (code, {"ref": ref}, {}))
    assert sent(Aims(exam), publish())
    assert len(exam.templates) == registered


def test_publish_never_generates_and_sends_no_publish() -> None:
    exam = examination(lambda _: (201, {}, {}), publish="never")
    assert sent(Aims(exam), publish()) is None
    assert exam.transport.calls == []
    assert (operation(PUBLISH, publishes=False), bool(operation(READ, publishes=False))) == (None, True)


def test_generated_publish_never_asks_for_auto_build() -> None:
    exam = examination(publishing_and(status("ready")))
    published = publish()
    published.query = {"auto_build": "true", "force": "true"}
    assert sent(Aims(exam), published)
    assert exam.transport.calls[-1].path == "/templates?force=true"


@pytest.mark.parametrize(
    ("changed", "invalid"),
    [
        ({}, False),
        ({"api_version": "orgo.ai/v9"}, True),
        ({"build": {"run": "echo"}}, True),
        ({"template": {"name": "thing"}}, True),
        ({"hardware": {"cpu": 3}}, False),
        ({"api_version": 1, "cpu": 2}, False),
        ({"api_version": "\0"}, False),
    ],
    ids=["valid", "constant", "type", "missing", "number", "short-form", "unreadable"],
)
def test_document_that_is_surely_invalid_has_a_note(changed: dict[str, Any], invalid: bool) -> None:
    exam = examination(publishing_and(status("ready")))
    assert sent(Aims(exam), publish(document(**changed)))
    assert ("invalid" in exam.transport.calls[-1].note) == invalid


GOOD = {"ref": "default/a@1.0.0", "digest": "ab" * 32, "status": "ready", "build_time_ms": 5, "reused": False}


@pytest.mark.parametrize(
    ("label", "answer", "broken"),
    [
        (READ, exchange("getBuild", 200, json=GOOD), set()),
        (READ, exchange("getBuild", 500, json={"error": "no"}), {"http.status-is-documented"}),
        (READ, exchange("getBuild", 200, json={"status": 5}), {"status.body-is-documented"}),
        (READ, exchange("getBuild", 200, body=b"x", headers={"Content-Type": "text/plain"}), {"http.json-media-type"}),
        (READ, exchange("getBuild", 404, json={"message": "no"}), {"error.has-the-documented-shape"}),
        (READ, exchange("getBuild", 404, json={"error": "no"}), set()),
        (PUBLISH, exchange("publishTemplate", 422, json={"errors": 5}), {"publish.invalid-is-422"}),
        (READ, exchange("getBuild", 429, json={"message": "slow"}), set()),
        (READ, exchange("cancelBuild", 200), None),
        (READ, exchange("getBuild", 0), None),
        (READ, exchange("getBuild", body=b"{", error="OutOfRoom: too much"), None),
    ],
    ids=[
        "ready",
        "server-error",
        "body",
        "media-type",
        "error-shape",
        "not-found",
        "listed-errors",
        "limited",
        "other-method",
        "lost",
        "truncated",
    ],
)
def test_answer_is_judged_by_the_claim_of_its_operation(label: str, answer: Exchange, broken: set[str] | None) -> None:
    found = judgements(case(label), answer)
    assert {judgement.claim for judgement in found if judgement.outcome == "broken"} == (broken or set())
    assert (found == []) == (broken is None or answer.status == 429)


# --- one seed ---------------------------------------------------------------------------------------------------------


# This claim selects the generated cases.
CLAIMS = "http.status-is-documented"


def requests(run_log: Path) -> list[tuple[str, str, bytes]]:
    """Different requests of the generated cases, without run ids and durations of builds."""
    log = runlog.read(run_log)

    def sent(exchange: Exchange) -> tuple[str, str, bytes]:
        path = re.sub(r"^https?://[^/]+", "", exchange.request.url).replace(log.header.run_id, "RUN")
        body = exchange.request.body.replace(log.header.run_id.encode(), b"RUN")
        return exchange.request.method, path, re.sub(rb"sleep [0-9.]+", b"sleep", body)

    return sorted({sent(e) for e in log.exchanges if e.case.startswith("generated.operation")})


@pytest.mark.whole
def test_one_seed_sends_the_same_requests(tmp_path: Path) -> None:
    shell, arguments = Shell(tmp_path, {}), ("check", "--target", "twin", "--profile", "quick", "--claims", CLAIMS)
    seeds = {"a": "7", "b": "7", "c": "8"}
    commands = [shell.start(*arguments, "--report-dir", name, "--seed", seed) for name, seed in seeds.items()]
    assert [shell.ended(command).code for command in commands] == [0, 0, 0]
    first, again, other = (requests(tmp_path / name / "runlog.jsonl") for name in seeds)
    assert len(first) > 15
    assert again == first
    assert other != first
