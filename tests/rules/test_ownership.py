"""Rules on missing versions, and on the responses to owners."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.rules.exchanges import DIGEST, ERROR, OTHER_REF, REF, UNKNOWN_REF, build, exchange, frame, history, publish
from tests.rules.judging import cases, exchange_rules, outcome, story_rules, verdicts
from tests.rules.stories import cancel, delete, read, start
from touchstone.facts.exchange import Exchange
from touchstone.rules.access import document_problem, standing, surely_missing
from touchstone.rules.rule import Rule

LOOKUP: tuple[Rule[Any], ...] = (*story_rules("lookup"), *exchange_rules("lookup"))
OWNED = story_rules("owned")
ODD, FOUND, DELETED = "lookup.odd-spelling-is-404", "lookup.existing-version-is-found", "lookup.deleted-version-is-404"
STATUS, READ, DELETE = "status.answers-200", "template.read-shows-the-published", "template.delete-says-deleted"
NAME = "touchstone-t1-hello"
UNKNOWN_VERSION, UNKNOWN_NAME, UNKNOWN_NAMESPACE = (
    f"lookup.unknown-{part}-is-404" for part in ("version", "name", "namespace")
)
ABOUT = ("startBuild", "getBuild", "cancelBuild", "streamBuildEvents", "getTemplate", "deleteTemplate")
CUT = "ReadError: cut"
Story = tuple[Exchange, ...]

STANDINGS: dict[str, tuple[list[Exchange], Exchange, str]] = {
    "its own": ([publish(1.0)], read(5.0), "own"),
    "another's": ([publish(1.0)], read(5.0, credential="second"), "foreign"),
    "a small plan's": ([publish(1.0)], read(5.0, credential="restricted"), "foreign"),
    "a refused key": ([publish(1.0)], read(5.0, credential="unknown"), "unsure"),
    "another scheme": ([publish(1.0)], read(5.0, credential="lowercase-scheme"), "unsure"),
    "no version at all": ([publish(1.0)], read(5.0, ref=None), "unsure"),
    "deleted": ([publish(1.0), delete(2.0)], read(5.0), "deleted"),
    "two accounts have it": ([publish(1.0), publish(2.0, credential="second")], read(5.0), "unsure"),
    "somebody without a key has it": ([publish(1.0, credential="none")], read(5.0), "unsure"),
    "another delete failed": ([publish(1.0), delete(2.0, 500)], read(5.0), "unsure"),
    "another delete was lost": ([publish(1.0), delete(2.0, 0)], read(5.0), "unsure"),
    "a delete was refused": ([publish(1.0), delete(2.0, 409)], read(5.0), "own"),
    "the delete itself": ([publish(1.0)], delete(5.0), "own"),
    "another's delete": ([publish(1.0)], delete(5.0, 404, credential="second"), "foreign"),
    "the delete that failed": ([publish(1.0)], delete(5.0, 500), "own"),
    "a delete at the answer of the publish": ([publish(4.5)], delete(5.0), "own"),
}


@cases("story question expected", STANDINGS)
def test_standing_is_what_the_version_was_to_the_key(story: list[Exchange], question: Exchange, expected: str) -> None:
    assert standing(question, history(*story, question)) == expected


@cases(
    "ref expected",
    {
        "a name of the run": ("default/touchstone-t1-a@1.0.0", True),
        "no purpose": ("default/touchstone-t1@1.0.0", False),
        "any name": ("default/mine@1.0.0", False),
        "a namespace": ("touchstone-t1-a/mine@1.0.0", False),
    },
)
def test_only_a_version_of_a_runs_name_is_surely_missing(ref: str, expected: bool) -> None:
    assert surely_missing(ref, history()) is expected
    assert not surely_missing(ref, history(exchange("publishTemplate", 201, ref=None, json={"ref": ref})))


# --- missing versions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ABOUT)
@cases(
    "claim ref",
    {
        "version": (UNKNOWN_VERSION, f"default/{NAME}@9.9.9"),
        "name": (UNKNOWN_NAME, UNKNOWN_REF),
        "namespace": (UNKNOWN_NAMESPACE, f"touchstone-t1-nowhere/{NAME}@1.0.0"),
    },
)
def test_unknown_version_is_404_for_every_operation(claim: str, ref: str, operation: str) -> None:
    for status in (404, 202, 400, 403, 500, 429):
        expected = {404: "held", 429: "indeterminate"}.get(status, "broken")
        answer = exchange(operation, status, json=ERROR, ref=ref, seq=2)
        assert verdicts(LOOKUP, publish(), answer, ref=ref) == {(claim, expected)}


@pytest.mark.parametrize("operation", ABOUT)
def test_deleted_version_is_404_for_every_operation(operation: str) -> None:
    for status in (404, 200, 500, 429, 400):
        expected = {404: "held", 429: "indeterminate"}.get(status, "broken")
        starts = operation == "startBuild" and status != 400
        answer = exchange(operation, status, body=frame({}), seq=3)
        claim = "start.refuses-deleted-version" if starts else DELETED
        assert outcome(LOOKUP, claim, publish(1), delete(2), answer).split()[-1] == expected


MINE, GLOBAL = "default/mine@1.0.0", "global/touchstone-t1-hello@1.0.0"
BODY_WITH_NAME = f'{{"template": {{"name": "{UNKNOWN_REF[8:-6]}", "version": "1.0.0"}}}}'.encode()


def unknown(operation: str = "getBuild", status: int = 200, **more: Any) -> Exchange:
    return exchange(operation, status, **({"ref": UNKNOWN_REF, "seq": 2, "json": ERROR} | more))


def nameless(**more: Any) -> Exchange:
    return exchange("publishTemplate", 201, ref=None, seq=1, request_body=BODY_WITH_NAME, **more)


@cases(
    "story expected",
    {
        "an empty log": ((exchange("streamBuildEvents", ref=UNKNOWN_REF, seq=2),), {(UNKNOWN_NAME, "held")}),
        "an idle cancel": ((cancel(2, 404, ref=UNKNOWN_REF),), {(UNKNOWN_NAME, "held")}),
        "no answer": ((unknown(status=0),), set()),
        "a refused key": ((unknown(status=401, credential="none"),), set()),
        "a small plan": ((unknown("startBuild", 403, credential="restricted"),), set()),
        "a key taken for a wrong one": ((unknown(status=401),), set()),
        "another method": ((unknown("", 405, method="PUT"),), set()),
        "a body refused first": ((unknown("startBuild", 415, request_body=b"x"),), set()),
        "a publish that fails": ((unknown("publishTemplate", 500),), set()),
        "a curated version": ((read(2, ref="system/openclaw@1.0.0"),), set()),
        "a list of curated versions": ((exchange("getTemplate", ref=GLOBAL, json={}, seq=2),), set()),
        "a build of a curated version": ((read(2, ref=GLOBAL),), {(UNKNOWN_NAMESPACE, "broken")}),
        "a name that the account may have": ((read(2, ref="default/claude-code@1.0.0"),), set()),
        "a failure for such a name": ((read(2, status=500, ref=MINE),), {(UNKNOWN_NAME, "broken")}),
        "a refusal for such a name": ((read(2, status=403, ref=MINE),), set()),
        "published without an answer": ((publish(1, UNKNOWN_REF, status=0, json=None), unknown(seq=3)), set()),
        "published by a document": ((nameless(body=b"{"), unknown("deleteTemplate")), set()),
    },
)  # fmt: skip
def test_only_an_answer_about_what_is_missing_is_evidence(story: Story, expected: set[tuple[str, str]]) -> None:
    assert verdicts(LOOKUP, publish(0), *story, ref=story[-1].ref or "") == expected


@cases(
    "answer expected",
    {
        "read": (read(2), "held"),
        "not read": (read(2, status=404), "broken"),
        "not started": (start(2, 404), "broken"),
        "no document": (exchange("getTemplate", 404, json=ERROR, seq=2), "broken"),
        "not deleted": (delete(2, 404), "broken"),
        "deleted": (delete(2), "held"),
        "nothing to cancel": (cancel(2, 404), ""),
        "no log": (exchange("streamBuildEvents", 404, json=ERROR, seq=2), ""),
        "a limit": (start(2, 429), ""),
        "another account": (read(2, status=404, credential="second"), ""),
        "beside its publish": (read(2, status=404, sent_at=1.001), ""),
        "a publish": (exchange("publishTemplate", 404, json=ERROR, seq=2), ""),
        "cut off": (read(2, error=CUT), ""),
        "no answer": (read(2, status=0), ""),
    },
)
def test_owner_finds_what_exists(answer: Exchange, expected: str) -> None:
    assert outcome(LOOKUP, FOUND, publish(), answer) == expected


# --- invalid paths ----------------------------------------------------------------------------------------------------


def path_to(name: str, version: str = "1.0.0", namespace: str = "default") -> str:
    return f"/templates/{namespace}/{name}/{version}/build"


@pytest.mark.parametrize(
    "path",
    [
        *map(path_to, ("UPPER", "a" * 65, "a" * 4000, "%C3%A9", "%FF%FE", "%00", "%2e%2e", "a%2Fb", "%zz", "${7*7}")),
        *(path_to(NAME, version) for version in ("latest", "1.0", "01.0.0", "1.0.0%0A")),
        path_to(NAME, namespace="%20default"),
        path_to(f"x/{NAME}"),
    ],
)
def test_odd_spelling_is_not_found_or_a_bad_request(path: str) -> None:
    for status in (404, 400, 422, 414, 429, 500, 403):
        expected = {429: "indeterminate", 500: "broken", 403: ""}.get(status, "held")
        for operation in ("getBuild", ""):
            answer = exchange(operation, status, method="GET", path=path, json=ERROR, ref=None)
            assert outcome(LOOKUP, ODD, answer) == expected


@cases(
    "facts expected",
    {
        "served": ({}, "broken"),
        "a word as version": ({"path": path_to(NAME, "latest")}, "broken"),
        "the second account": ({"credential": "second"}, "broken"),
        "a small plan": ({"credential": "restricted"}, ""),
        "no key": ({"credential": "none"}, ""),
        "cut off": ({"error": CUT}, ""),
        "no answer": ({"status": 0}, ""),
        "401": ({"status": 401}, ""),
        "409": ({"status": 409}, "broken"),
        "another method": ({"status": 405, "operation": "", "method": "PUT"}, ""),
        "DELETE outside the operations": ({"operation": "", "method": "DELETE"}, "broken"),
        "a body": ({"status": 413, "operation": "startBuild", "request_body": b"x"}, ""),
        "an escaped letter": ({"path": path_to(NAME, namespace="%64efault")}, ""),
        "a trailing slash": ({"path": path_to(NAME) + "/"}, ""),
        "a trailing slash, redirected": ({"path": path_to(NAME) + "/", "status": 307}, ""),
        "two slashes": ({"path": "/" + path_to(NAME)}, ""),
        "an escaped slash": ({"path": path_to(NAME, namespace="default%2F").replace("%2F/", "%2F")}, ""),
    },
)
def test_odd_spelling_is_not_served(facts: dict[str, Any], expected: str) -> None:
    answer = exchange(**({"json": build(), "path": path_to("UPPER")} | facts))

    assert outcome(exchange_rules("lookup"), ODD, answer) == expected


def test_odd_name_that_was_published_may_be_served() -> None:
    ref = f"default/{NAME}@latest"
    served = exchange(path=path_to(NAME, "latest"), ref=ref, json=build(), seq=2)

    assert outcome(LOOKUP, ODD, publish(1, ref, json={"ref": ref}), served) == ""
    assert outcome(LOOKUP, ODD, publish(1, ref, json={"ref": REF}), served) == "broken"


# --- responses to owners ----------------------------------------------------------------------------------------------

STEPS = {"run": ["echo marker-hello"]}


def document(ref: str = REF, **more: Any) -> dict[str, Any]:
    name, _, version = ref.partition("/")[2].partition("@")
    return {"api_version": "orgo.ai/v1", "template": {"name": name, "version": version}, "build": STEPS} | more


def reads_as(seq: int, document: Any, ref: str = REF, body: Mapping[str, Any] | None = None) -> Exchange:
    answer = {"ref": ref, "digest": DIGEST, "template": document} | dict(body or {})
    return exchange("getTemplate", json=answer, ref=ref, seq=seq)


SHORT = {"api_version": "orgo.ai/v1", "name": f"{NAME}@1.0.0", "build": STEPS}
ODD_ACCEPT: dict[str, Any] = {"request_headers": {"accept": "image/png"}}


@cases(
    "claim answer expected",
    {
        "a read": (STATUS, read(2, "failed"), "held"),
        "409 for a failed build": (STATUS, read(2, status=409), "broken"),
        "500": (STATUS, read(2, status=500), "broken"),
        "403": (STATUS, read(2, status=403), "broken"),
        "a limit": (STATUS, read(2, status=429), "indeterminate"),
        "a key": (STATUS, read(2, status=401), ""),
        "no answer": (STATUS, read(2, status=0), ""),
        "cut off": (STATUS, read(2, status=500, error=CUT), ""),
        "an odd Accept": (STATUS, read(2, status=406, **ODD_ACCEPT), ""),
        "another account": (STATUS, read(2, status=404, credential="second"), ""),
        "beside the publish": (STATUS, read(2, status=404, sent_at=1.005), ""),
        "a document": (READ, reads_as(2, document()), "held"),
        "in short form": (READ, reads_as(2, SHORT), "held"),
        "with a ref as name": (READ, reads_as(2, {"template": {"name": "other@2.0.0"}, "build": STEPS}), "held"),
        "of another ref": (READ, reads_as(2, document(), body={"ref": OTHER_REF}), "broken"),
        "without digest": (READ, reads_as(2, document(), body={"digest": None}), "broken"),
        "without document": (READ, reads_as(2, "name: x"), "broken"),
        "another name": (READ, reads_as(2, {"template": {"name": "other", "version": "1.0.0"}, "build": STEPS}),
            "broken"),
        "another version": (READ, reads_as(2, {"template": {"version": "1.0.1"}, "build": STEPS}), "broken"),
        "an empty document": (READ, reads_as(2, {}), "broken"),
        "another's steps": (READ, reads_as(2, document(build={"run": ["echo other"]})), "broken"),
        "an empty answer": (READ, exchange("getTemplate", json={}, seq=2), "broken"),
        "a document that is no JSON": (READ, exchange("getTemplate", body=b'{"ref":', seq=2), ""),
        "a limited document": (READ, exchange("getTemplate", 429, seq=2), "indeterminate"),
        "a delete": (DELETE, delete(2), ""),
        "a delete, 299": (DELETE, delete(2, 299), ""),
        "a delete, 403": (DELETE, delete(2, 403), "broken"),
        "a delete, 404": (DELETE, delete(2, 404), ""),
        "a conflict at rest": (DELETE, delete(2, 409), "broken"),
    },
)  # fmt: skip
def test_answer_to_the_owner(claim: str, answer: Exchange, expected: str) -> None:
    assert outcome(OWNED, claim, publish(), answer) == expected


@cases(
    "claim story expected",
    {
        "a delete while it builds": (DELETE, (publish(), start(2), read(3), delete(4, 409)), ""),
        "a delete when it is over": (DELETE, (publish(), start(2), read(3, "ready"), delete(4, 409)), "broken"),
        "two accounts": (STATUS, (publish(1), publish(2, credential="second"), read(3, status=404)), ""),
        "a small plan": (STATUS, (publish(credential="restricted"), read(2, status=403, credential="restricted")), ""),
        "after a lost delete": (STATUS, (publish(1), delete(2, 0), read(3, status=404)), ""),
        "after a failed delete": (STATUS, (publish(1), delete(2, 500), read(3, status=404)), ""),
        "beside a delete": (STATUS, (publish(1), read(2, status=404, done_at=2.1), delete(3, sent_at=2.05)), ""),
        "after an odd one": (STATUS, (publish(1), read(2, status=406, **ODD_ACCEPT), read(3, status=500)), "broken"),
    },
)  # fmt: skip
def test_existence_in_doubt_accuses_nobody(claim: str, story: Story, expected: str) -> None:
    assert outcome(OWNED, claim, *story) == expected


# --- documents --------------------------------------------------------------------------------------------------------

THIRD_REF = REF.replace("hello", "third")
A, B = document(env={"MODE": "a"}), document(env={"MODE": "b"})
CPU: dict[str, Any] = {"hardware": {"cpu": 16}}


def wrote(seq: int, body: Any, ref: str = REF, **more: Any) -> Exchange:
    return publish(seq, ref, request_body=body if isinstance(body, bytes) else json.dumps(body).encode(), **more)


def apps(*items: Any) -> dict[str, Any]:
    return document(apps=list(items))


WEB = {"name": "web", "run": "serve"}
WRAPPED = {"namespace": "default", "name": "x", "version": "1.0.0", "template": A}
YAML = yaml.safe_dump(document(hardware={"cpu": 2})).encode()
FORCED = wrote(2, A, content="new", note={"force": True, "marker": "marker-hello"})
# Another document with hardware, and a third one without; both reads are correct.
OTHERS = (wrote(1, document(OTHER_REF, **CPU), OTHER_REF), wrote(2, document(THIRD_REF), THIRD_REF))
PLAIN_THIRD = reads_as(3, document(THIRD_REF), THIRD_REF)


@cases(
    "story answered expected",
    {
        "as written": ((wrote(1, A),), A, None),
        "written again as bytes": ((wrote(1, A), wrote(2, b"\x00")), A, None),
        "written again as bytes, and wrong": ((wrote(1, A), wrote(2, b"\x00")), document(), "env"),
        "written again in short form, and wrong": ((wrote(1, A), wrote(2, SHORT)), document(), "env"),
        "shown in short form": ((wrote(1, document()), wrote(2, SHORT)), SHORT, None),
        "YAML": ((wrote(1, YAML),), document(hardware={"cpu": 2}), None),
        "YAML with another type": ((wrote(1, YAML),), document(hardware={"cpu": "2"}), "hardware.cpu"),
        "YAML with a null": ((wrote(1, YAML),), document(hardware={"cpu": None}), "hardware.cpu"),
        **{
            f"no known form {n}": ((wrote(1, body),), document(**CPU), None)
            for n, body in enumerate((b"\x00", b"a: *nowhere", b"\xff: 1", b"text", b"a: 2026-13-45", SHORT))
        },
        "another value in a list": ((wrote(1, apps(WEB)),), apps({"name": "web", "run": "wait"}), "apps[0].run"),
        "an item less": ((wrote(1, apps(WEB)),), apps(), "apps"),
        "an envelope": ((wrote(1, WRAPPED),), A, None),
        "an envelope, and wrong": ((wrote(1, WRAPPED),), document(), "env"),
        "another value": ((wrote(1, A),), B, "env.MODE 'b'"),
        "a value less": ((wrote(1, A),), document(), "env None"),
        "another version": ((wrote(1, A),), A | {"template": {"name": NAME, "version": "2.0.0"}}, "'2.0.0'"),
        "a step more": ((wrote(1, document()),), document(build={"run": [*STEPS["run"], "echo more"]}), "build.run"),
        "a field that a server adds": ((wrote(1, document()),), document(build=STEPS | {"apt": []}), None),
        "a conflict's": ((wrote(1, A), wrote(2, B, content="new", status=409)), B, None),
        "an invalid one that was accepted": ((wrote(1, A), exchange("publishTemplate", 201, seq=2, json={})), B, None),
        "what was deleted": ((wrote(1, A), delete(2), wrote(3, B)), A, "env.MODE 'a'"),
        "no marker": ((wrote(1, A, note={"marker": ""}),), B, None),
        "one of two unknown": ((wrote(1, b"api_version: orgo.ai/v1\n"), FORCED), document(), None),
        "another's value": ((*OTHERS, PLAIN_THIRD, wrote(4, document())), document(**CPU), "hardware.cpu 16"),
        "nobody's value": ((*OTHERS, PLAIN_THIRD, wrote(4, document())), document(hardware={"cpu": 4}), None),
        "its own value": ((*OTHERS, PLAIN_THIRD, wrote(4, document(**CPU))), document(**CPU), None),
        "a value that the third one lost": ((OTHERS[0], wrote(2, document(THIRD_REF, **CPU), THIRD_REF), PLAIN_THIRD,
            wrote(4, document())), document(**CPU), None),
    },
)  # fmt: skip
def test_document_is_reads_as_it_was_published(story: Story, answered: Any, expected: str | None) -> None:
    answer = reads_as(9, answered)
    problem = document_problem(answer, REF, history(*story, answer))

    assert (expected in problem) if expected else not problem


@pytest.mark.parametrize("sent_at", [9.01, 12.0])
def test_value_published_later_cannot_have_leaked(sent_at: float) -> None:
    later = wrote(12, document(OTHER_REF, **CPU), OTHER_REF, sent_at=sent_at)
    answer = reads_as(9, document(**CPU))

    assert not document_problem(answer, REF, history(OTHERS[1], PLAIN_THIRD, wrote(4, document()), answer, later))
