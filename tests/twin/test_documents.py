"""Template documents: parsing, validation, digests, and the steps of a build."""

import json
from typing import Any

import pytest

from touchstone.twin.answers import Refusal
from touchstone.twin.build import Step, read_plan, read_step
from touchstone.twin.documents import digest, read_body, read_document

CANONICAL: dict[str, Any] = {
    "api_version": "orgo.ai/v1",
    "template": {"name": "foo", "version": "1.0.0"},
    "hardware": {"cpu": 2, "ram_gb": 4, "resolution": "1280x720x24"},
    "files": [{"path": "/a", "inline": "x"}, {"path": "/b", "mode": "0644", "inline": "y"}],
    "hooks": {"on_first_boot": "true"},
    "build": {"run": ["echo hello"]},
}
SHORTHAND = """
on_first_boot: "true"
build: {run: [echo hello]}
files:
  /b: {mode: 0644, inline: y}
  /a: x
display: 1280x720
ram: 4gb
cpu: 2
name: foo@1.0.0
api_version: orgo.ai/v1
"""


def digest_of(body: str | bytes | dict[str, Any], media: str = "") -> str:
    """The digest of a published body."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    return digest(read_document(data, media).content)


def refusal_of(body: str | bytes | dict[str, Any], media: str = "") -> Refusal:
    with pytest.raises(Refusal) as refusal:
        digest_of(body, media)
    return refusal.value


def changed(**sections: Any) -> dict[str, Any]:
    return {**CANONICAL, **sections}


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (SHORTHAND, "application/yaml"),
        (SHORTHAND, ""),
        (json.dumps(CANONICAL, indent="\t"), "application/yaml"),
        (json.dumps(dict(reversed(CANONICAL.items()))), "application/json; charset=utf-8"),
        (b"\xef\xbb\xbf" + json.dumps(CANONICAL).encode(), "application/json"),
        (json.dumps({**CANONICAL, "env": None}), "application/json"),
        (json.dumps(CANONICAL).replace('"cpu": 2', '"cpu": 2.0'), "application/json"),
        (json.dumps({"template": CANONICAL}), "application/json"),
        (json.dumps({"namespace": "mine", "name": "foo", "version": "1.0.0", "template": CANONICAL}), ""),
    ],
)
def test_equivalent_documents_share_a_digest(body: str | bytes, media: str) -> None:
    value = digest_of(body, media)
    assert value == digest_of(CANONICAL)
    assert (len(value), set(value) <= set("0123456789abcdef")) == (64, True)


@pytest.mark.parametrize(
    "other",
    [
        changed(build={"run": ["echo hello "]}),
        changed(hardware={"cpu": 4, "ram_gb": 4, "resolution": "1280x720x24"}),
        changed(template={"name": "foo", "version": "1.0.1"}),
    ],
)
def test_different_documents_have_different_digests(other: dict[str, Any]) -> None:
    assert digest_of(other) != digest_of(CANONICAL)


def test_content_scope_leaves_name_and_version_out() -> None:
    other = changed(template={"name": "bar", "version": "2.0.0"})
    other_text = changed(template={"name": "foo", "version": "1.0.0", "description": "x"})
    assert digest(other, "content") == digest(CANONICAL, "content")
    assert digest(other_text, "content") != digest(CANONICAL, "content")


BOMB = b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 110))
MERGES = b"".join(b"%c: &%c {!!merge <<: [%s]}\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 110))


@pytest.mark.parametrize(
    ("body", "media"),
    [
        *((body, "application/json") for body in (b"", b"null", b"{", SHORTHAND, b"9" * 5000)),
        *((body, "application/json") for body in (b'{"a": "\\ud800"}', b'{"a": "\\u0000"}', b'{"a": NaN}')),
        (b'{"a": 1e999}', "application/json"),
        *((body, "") for body in (b" \n\t", b"# only a comment\n", b"a: b: c", b"- [", b"a: 1\n---\nb: 2")),
        *((body, "") for body in (b"\xff\xfe\x00", b"a: !!python/object:os.system x", b"? [a, b]\n: c")),
        *((body, "") for body in (b"a: !!timestamp 2020-01-01", b"a: !!binary aGVsbG8=")),
        # Bounds on depth and number of values hold for aliases, too.
        pytest.param(b"[" * 400_000, "", id="deep lists"),
        pytest.param(b'{"a":' * 100_000, "", id="deep objects"),
        pytest.param(b"- " * 400_000, "", id="deep YAML"),
        pytest.param(b"&a [*a]", "", id="circle"),
        pytest.param(b"a: &a [x,x,x,x,x,x,x,x,x]\n" + BOMB, "", id="many aliases"),
        pytest.param(b"a: &a {k: 1}\n" + MERGES, "", id="many merges"),
    ],
)
def test_body_that_cannot_be_read_is_400(body: str | bytes, media: str) -> None:
    assert refusal_of(body, media).status == 400


def test_yaml_is_read_as_json_is() -> None:
    body = b"[yes, on, 2020-01-01, 0644, '1', 1, -2.50, 1e3, 22:22, true, null, ~, 0x10]"
    assert read_body(body) == ["yes", "on", "2020-01-01", "0644", "1", 1, -2.5, 1000, "22:22", True, None, None, "0x10"]
    assert read_body(b"a: &a {k: 1}\nb: {<<: *a}") == {"a": {"k": 1}, "b": {"<<": {"k": 1}}}


PORT = "apps[0].ports[0].internal"


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ([], "", "invalid_type"),
        ({"template": CANONICAL["template"]}, "api_version", "required"),
        (changed(api_version="orgo.ai/v2"), "api_version", "invalid_enum"),
        ({"api_version": "orgo.ai/v1"}, "template", "required"),
        (changed(template={"version": "1.0.0"}), "template.name", "required"),
        (changed(template={"name": "Foo", "version": "1.0.0"}), "template.name", "invalid_format"),
        (changed(template={"name": "a" * 65, "version": "1.0.0"}), "template.name", "invalid_format"),
        (changed(template={"name": "foo\n", "version": "1.0.0"}), "template.name", "invalid_format"),
        (changed(template={"name": "foo", "version": "1.0"}), "template.version", "invalid_format"),
        (changed(template={"name": "foo", "version": "1.0.٠"}), "template.version", "invalid_format"),
        (changed(build={"run": "echo"}), "build.run", "invalid_type"),
        (changed(build={"run": None}), "build.run", "invalid_type"),
        (changed(build={"run": ["echo", 1]}), "build.run[1]", "invalid_type"),
        (changed(build={"run": ["echo"] * 65}), "build.run", "out_of_range"),
        (changed(hardware={"cpu": 3}), "hardware.cpu", "invalid_enum"),
        (changed(hardware={"cpu": True}), "hardware.cpu", "invalid_enum"),
        (changed(hardware={"resolution": "1280x720"}), "hardware.resolution", "invalid_format"),
        (changed(hardware={"auto_stop_minutes": 1441}), "hardware.auto_stop_minutes", "out_of_range"),
        (changed(hardware={"audio": "yes"}), "hardware.audio", "invalid_type"),
        (changed(secrets=[{"name": "UPPER"}]), "secrets[0].name", "invalid_format"),
        (changed(env={"lower": "x"}), "env.lower", "invalid_format"),
        (changed(apps=[{"name": "x"}]), "apps[0].run", "required"),
        (changed(apps=[{"name": "x", "run": "x", "on_fail": "restart_service:"}]), "apps[0].on_fail", "invalid_format"),
        (changed(apps=[{"name": "x", "run": "x", "ports": [{"internal": 8080}]}]), PORT, "out_of_range"),
        (changed(apps=[{"name": "x", "run": "x", "ports": [{}]}]), PORT, "required"),
        (changed(build={"run": ["echo ${var.nope}"]}), "build.run[0]", "unknown_ref"),
        (changed(env={"A": {"secret": "s"}}, build={"run": ["echo ${env.A}"]}), "build.run[0]", "unknown_ref"),
        ({"template": CANONICAL, "name": "bar"}, "name", "mismatch"),
        ({"template": CANONICAL, "namespace": "No Good"}, "namespace", "invalid_format"),
    ],
)
def test_broken_rule_is_422_and_names_the_field(body: Any, field: str, code: str) -> None:
    refusal = refusal_of(json.dumps(body))
    assert refusal.status == 422
    assert [(error["field"], error["code"]) for error in refusal.body["errors"]] == [(field, code)]
    assert all(set(error) == {"field", "code", "message"} and error["message"] for error in refusal.body["errors"])


def test_all_problems_are_listed_at_once() -> None:
    refusal = refusal_of(changed(hardware={"cpu": 3, "os": "plan9"}))
    assert [error["field"] for error in refusal.body["errors"]] == ["hardware.os", "hardware.cpu"]


def test_references_are_filled_escaped_or_left_to_the_shell() -> None:
    run = ["echo ${var.a} ${env.B} $${var.c} ${PATH}"]
    body = changed(vars={"a": "1"}, env={"B": "2"}, build={"run": run})
    assert read_plan(read_document(json.dumps(body).encode()).content).steps == (Step("1 ${env.B} ${var.c} ${PATH}"),)


@pytest.mark.parametrize(
    ("command", "step"),
    [
        ("echo hello", Step("hello")),
        ("echo  'hello   world'", Step("hello   world")),
        ("echo it's", Step("it's")),
        ("sleep .5s", Step(pause_s=0.5)),
        ("sleep " + "9" * 30, Step(pause_s=86400.0)),
        ("exit 1", Step(exit_status=1)),
        ("exit 256", Step()),
        ("exit " + "1" * 5000, Step(exit_status=int("1" * 18) % 256)),
        ("make install", Step("+ make install")),
        ("sleepy 3", Step("+ sleepy 3")),
    ],
)
def test_command_is_parsed_as_a_step(command: str, step: Step) -> None:
    assert read_step(command) == step
