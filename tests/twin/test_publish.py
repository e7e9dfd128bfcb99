"""Publishing, reading and deleting versions over HTTP."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.twin.conftest import Api, document


def test_published_version_is_201_and_can_be_read(api: Api) -> None:
    """Publishing answers with ref, digest and time, and reading with the same and the document."""
    response = api.publish()
    assert response.status_code == 201
    body = response.json()
    assert set(body) == {"ref", "digest", "published"}
    assert body["ref"] == "default/demo@1.0.0"
    assert datetime.fromisoformat(body["published"]).utcoffset() is not None
    assert api.template().json() == {**body, "template": document()}


@pytest.mark.parametrize("media", ["application/yaml", "application/x-yaml", "text/yaml", "text/plain", ""])
def test_yaml_is_published_whatever_it_is_called(api: Api, media: str) -> None:
    """Only a JSON media type says anything about the syntax."""
    body = b"api_version: orgo.ai/v1\nname: demo@1.0.0\nbuild:\n  run:\n  - echo demo\n"
    response = api.http.post("/templates", content=body, headers={"Content-Type": media} if media else {})
    assert response.status_code == 201
    assert response.json()["digest"] == api.publish().json()["digest"]


def test_envelope_chooses_the_namespace(api: Api) -> None:
    """A wrapped body is published where its envelope says."""
    wrapped = {"namespace": "mine", "name": "demo", "version": "1.0.0", "template": document()}
    assert api.http.post("/templates", json=wrapped).json()["ref"] == "mine/demo@1.0.0"
    assert api.template(namespace="mine").json()["template"] == document()
    assert api.template().status_code == 404


def test_same_content_again_is_201_and_changes_nothing(api: Api) -> None:
    """Identical content is no conflict and ends no build."""
    first = api.publish().json()
    again = api.publish()
    assert (again.status_code, again.json()) == (201, first)


def test_other_content_is_409_and_changes_nothing(api: Api) -> None:
    """A version is immutable unless force is set."""
    first = api.publish().json()
    assert api.publish("demo", "echo other").status_code == 409
    assert api.publish("demo", "echo other", query="?force=false").status_code == 409
    assert api.template().json()["digest"] == first["digest"]


def test_forced_content_has_another_digest_and_wants_a_new_build(api: Api) -> None:
    """After force the version is not built, and a start does not reuse the old golden."""
    old = api.built()
    forced = api.publish("demo", "echo other", query="?force=true")
    assert forced.status_code == 201
    assert forced.json()["digest"] != old["digest"]
    assert api.status().json() == {"ref": old["ref"], "digest": forced.json()["digest"], "status": "not_built"}
    assert api.start().json() == {"ref": old["ref"], "digest": forced.json()["digest"], "status": "building"}
    assert api.events()[-1]["phase"] == "ready"
    assert api.status().json()["status"] == "ready"


def test_golden_is_found_again_by_its_digest(api: Api) -> None:
    """Going back to content that is built needs no build."""
    old = api.built()
    api.publish("demo", "echo other", query="?force=true")
    api.publish("demo", query="?force=true")
    start = api.start().json()
    assert (start["status"], start["reused"], start["digest"]) == ("ready", True, old["digest"])


@pytest.mark.parametrize("how", ["force", "delete"])
def test_replacing_or_deleting_ends_the_build_quietly(slow: Api, how: str) -> None:
    """Nobody needs the build any more: its stream closes, and the same content has to be built anew."""
    slow.publish()
    slow.start()
    with slow.http.stream("GET", "/templates/default/demo/1.0.0/build/events") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("data: ")
        answer = slow.publish("demo", "echo other", query="?force=true") if how == "force" else slow.delete()
        assert answer.status_code in (200, 201)
        assert '"phase":"cancel"' in [line for line in lines if line][-1]
    slow.publish("demo", query="?force=true")
    assert slow.status().json()["status"] == "not_built"


def test_forcing_the_same_content_leaves_its_build_alone(slow: Api) -> None:
    """What is overwritten with itself is still needed."""
    slow.publish()
    slow.start()
    slow.publish(query="?force=true")
    assert slow.status().json()["status"] == "building"


def test_deleted_version_is_gone(api: Api) -> None:
    """After a delete every operation on the version is 404, a second delete too."""
    api.built()
    response = api.delete()
    assert (response.status_code, response.json()) == (200, {"deleted": True})
    answers = [api.template(), api.start(), api.status(), api.cancel(), api.delete()]
    assert {answer.status_code for answer in answers} == {404}


@pytest.mark.parametrize(
    ("query", "status"),
    [("?auto_build=true", "building"), ("?auto_build=1", "building"), ("?auto_build=TRUE", "building")],
)
def test_auto_build_starts_the_build(slow: Api, query: str, status: str) -> None:
    """The answer carries the status of the started build."""
    response = slow.publish(query=query)
    assert (response.status_code, response.json()["auto_build"]) == (201, status)
    assert slow.status().json()["status"] == "building"


def test_auto_build_of_what_is_built_is_ready(api: Api) -> None:
    """A golden is reused here too."""
    api.built()
    assert api.publish(query="?auto_build=true").json()["auto_build"] == "ready"


@pytest.mark.parametrize("query", ["", "?auto_build=false", "?auto_build=0"])
def test_without_auto_build_nothing_is_built(api: Api, query: str) -> None:
    """The field is there only where it was asked for."""
    assert "auto_build" not in api.publish(query=query).json()
    assert api.status().json()["status"] == "not_built"


@pytest.mark.parametrize("query", ["?auto_build=maybe", "?force=", "?force=true&force=2", "?auto_build=%FF"])
def test_switch_that_is_neither_true_nor_false_is_422(api: Api, query: str) -> None:
    """A misspelt switch publishes nothing."""
    response = api.publish(query=query)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "invalid_type")
    assert api.template().status_code == 404


def test_empty_and_unparseable_bodies_are_400(api: Api) -> None:
    """What cannot be read is told apart from what is not valid."""
    for body in (b"", b"  ", b"{", b"\xff"):
        response = api.http.post("/templates", content=body, headers={"Content-Type": "application/json"})
        assert (response.status_code, set(response.json())) == (400, {"error", "request_id"})


def test_invalid_document_is_422_with_its_errors(api: Api) -> None:
    """Field, code and message of each problem stand beside the error text."""
    response = api.http.post("/templates", json={"api_version": "orgo.ai/v1", "template": {"name": "demo"}})
    assert response.status_code == 422
    assert set(response.json()) == {"error", "errors", "request_id"}
    assert [error["field"] for error in response.json()["errors"]] == ["template.version"]


def padded(size_bytes: int) -> bytes:
    """A valid document of exactly so many bytes."""
    text = json.dumps({**document(), "vars": {"pad": ""}})
    return text.replace('"pad": ""', f'"pad": "{"x" * (size_bytes - len(text))}"').encode()


def test_largest_body_is_accepted_and_one_byte_more_is_413(api: Api) -> None:
    """The ceiling is 1,000,000 bytes, announced or not."""

    def chunks(body: bytes) -> Iterator[bytes]:
        yield from (body[at : at + 65536] for at in range(0, len(body), 65536))

    for send in (lambda body: body, chunks):
        assert api.http.post("/templates", content=send(padded(1_000_001))).status_code == 413
        assert api.template().status_code == 404
    assert api.http.post("/templates", content=padded(1_000_000)).status_code == 201


def test_two_versions_of_one_content_share_a_build_only_in_content_scope(connect: Callable[..., Api]) -> None:
    """Whether the digest covers name and version is a setting."""
    for scope, status in (("document", "not_built"), ("content", "ready")):
        api = connect(digest_scope=scope)
        api.built("demo", "echo same")
        api.publish("demo", "echo same", version="2.0.0")
        assert api.status(version="2.0.0").json()["status"] == status
        assert api.status(version="2.0.0").json()["ref"] == "default/demo@2.0.0"


def test_deleting_one_of_two_versions_keeps_their_build(connect: Callable[..., Api]) -> None:
    """A build ends with the last version that needs it."""
    api = connect(digest_scope="content", build_s=600.0)
    for version in ("1.0.0", "2.0.0"):
        api.publish("demo", "echo same", version=version)
    api.start()
    api.delete()
    assert api.status(version="2.0.0").json()["status"] == "building"


def test_documents_keep_what_the_twin_does_not_know(api: Api) -> None:
    """Undocumented sections are stored as they are."""
    body: dict[str, Any] = {**document(), "telemetry": {"deep": [1, None, "é", 1.5]}}
    assert api.http.post("/templates", json=body).status_code == 201
    assert api.template().json()["template"] == body
