"""Publishing, replacing, reading and deleting versions."""

import json
from datetime import datetime

import pytest

from tests.twin.conftest import Serve
from tests.twin.virtual import Answer, Api, document

YAML = b"api_version: orgo.ai/v1\nname: demo@1.0.0\nbuild:\n  run:\n  - echo demo\n"


def post(api: Api, body: bytes | list[bytes], media: str = "application/json") -> Answer:
    return api.request("POST", "/templates", body=body, headers=[("Content-Type", media)] if media else [])


def test_published_version_can_be_read(api: Api) -> None:
    answer = api.publish()
    body = answer.json()
    assert (answer.status, set(body), body["ref"]) == (201, {"ref", "digest", "published"}, "default/demo@1.0.0")
    assert api.state() == "not_built"
    assert datetime.fromisoformat(body["published"]).utcoffset() is not None
    assert api.template().json() == {**body, "template": document()}


@pytest.mark.parametrize("media", ["application/yaml", "text/plain", ""])
def test_yaml_is_published_with_any_other_media_type(api: Api, media: str) -> None:
    answer = post(api, YAML, media)
    assert (answer.status, answer.json()["digest"]) == (201, api.publish().json()["digest"])


def test_envelope_chooses_the_namespace(api: Api) -> None:
    wrapped = {"namespace": "mine", "name": "demo", "version": "1.0.0", "template": document()}
    assert api.request("POST", "/templates", json_body=wrapped).json()["ref"] == "mine/demo@1.0.0"
    assert api.template("demo", "1.0.0", "mine").json()["template"] == document()
    assert api.template().status == 404


def test_other_content_needs_force(api: Api) -> None:
    first = api.publish().json()
    again = api.publish()
    assert (again.status, again.json()) == (201, first)
    for query in ("", "?force=false"):
        assert api.publish("demo", "echo other", query=query).status == 409
    assert api.template().json()["digest"] == first["digest"]


def test_forced_content_needs_a_new_build_and_the_old_one_keeps_its_golden(api: Api) -> None:
    old = api.built()
    forced = api.publish("demo", "echo other", query="?force=true")
    identity = {"ref": old["ref"], "digest": forced.json()["digest"]}
    assert (forced.status, identity["digest"] != old["digest"]) == (201, True)
    assert api.status().json() == {**identity, "status": "not_built"}
    assert api.start().json() == {**identity, "status": "building"}
    assert api.log().events()[-1]["phase"] == "ready"
    api.publish("demo", query="?force=true")
    start = api.start().json()
    assert (start["status"], start["reused"], start["digest"]) == ("ready", True, old["digest"])


@pytest.mark.parametrize("is_forced", [True, False])
def test_replacing_or_deleting_ends_the_build(api: Api, is_forced: bool) -> None:
    api.publish("demo", "sleep 600")
    api.start()
    log = api.follow()
    answer = api.publish("demo", "echo other", query="?force=true") if is_forced else api.delete()
    assert answer.status in (200, 201)
    api.clock.wait(0)
    assert (log.is_whole, log.events()[-1]["phase"]) == (True, "cancel")
    api.publish("demo", "sleep 600", query="?force=true")
    assert api.state() == "not_built"


def test_deleted_version_is_gone(api: Api) -> None:
    api.built()
    answer = api.delete()
    assert (answer.status, answer.json()) == (200, {"deleted": True})
    answers = [api.template(), api.start(), api.status(), api.cancel(), api.delete()]
    assert {answer.status for answer in answers} == {404}


@pytest.mark.parametrize(
    ("value", "auto_build"),
    [*((value, "building") for value in ("true", "1", "TRUE")), *((value, "") for value in ("false", "0"))],
)
def test_auto_build_starts_the_build(api: Api, value: str, auto_build: str) -> None:
    body = api.publish(query=f"?auto_build={value}").json()
    assert (body.get("auto_build", ""), api.state()) == (auto_build, auto_build or "not_built")


@pytest.mark.parametrize("query", ["?auto_build=maybe", "?force=", "?force=true&force=2", "?auto_build=%FF"])
def test_switch_that_is_neither_true_nor_false_is_422(api: Api, query: str) -> None:
    answer = api.publish(query=query)
    assert (answer.status, answer.json()["errors"][0]["code"]) == (422, "invalid_type")
    assert api.template().status == 404


def test_body_of_more_than_a_million_bytes_is_413(api: Api) -> None:
    def padded(size_bytes: int) -> bytes:
        text = json.dumps({**document(), "vars": {"pad": ""}})
        return text.replace('"pad": ""', f'"pad": "{"x" * (size_bytes - len(text))}"').encode()

    long = padded(1_000_001)
    for body in (long, [long[at : at + 65536] for at in range(0, len(long), 65536)]):
        assert post(api, body).status == 413
        assert api.template().status == 404
    assert post(api, padded(1_000_000)).status == 201


def test_versions_of_one_content_share_a_build_in_content_scope_only(serve: Serve) -> None:
    for scope, state in (("document", "not_built"), ("content", "ready")):
        api = serve(digest_scope=scope)
        api.built("demo", "echo same")
        api.publish("demo", "echo same", version="2.0.0")
        assert api.state("demo", "2.0.0") == state
        assert api.status("demo", "2.0.0").json()["ref"] == "default/demo@2.0.0"


def test_deleting_one_of_two_versions_keeps_their_build(serve: Serve) -> None:
    api = serve(digest_scope="content")
    for version in ("1.0.0", "2.0.0"):
        api.publish("demo", "sleep 60", version=version)
    api.start()
    api.delete()
    assert api.state("demo", "2.0.0") == "building"
    api.delete("demo", "2.0.0")
    api.publish("demo", "sleep 60")
    assert api.state() == "not_built"
