"""Reading, checking and digesting documents, without a server."""

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
SUGAR = """
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


def digest_of(body: str | bytes | dict[str, Any], content_type: str = "") -> str:
    """The digest under which a body would be published."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    return digest(read_document(data, content_type).content)


def refusal_of(body: str | bytes | dict[str, Any], content_type: str = "") -> Refusal:
    """The refusal that a body meets."""
    with pytest.raises(Refusal) as caught:
        digest_of(body, content_type)
    return caught.value


def changed(**sections: Any) -> dict[str, Any]:
    """The canonical document with other sections."""
    return {**CANONICAL, **sections}


def test_digest_is_sixty_four_lowercase_hexadecimal_digits() -> None:
    """The digest has no prefix."""
    value = digest_of(CANONICAL)
    assert len(value) == 64
    assert set(value) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (SUGAR, "application/yaml"),
        (SUGAR, ""),
        (json.dumps(CANONICAL, indent=3), "application/json"),
        (json.dumps(CANONICAL, indent="\t"), "application/yaml"),
        (json.dumps(dict(reversed(CANONICAL.items()))), "application/json; charset=utf-8"),
        (b"\xef\xbb\xbf" + json.dumps(CANONICAL).encode(), "application/json"),
        (json.dumps({**CANONICAL, "env": None}), "application/json"),
        (json.dumps(CANONICAL).replace('"cpu": 2', '"cpu": 2.0'), "application/json"),
        (json.dumps({"template": CANONICAL}), "application/json"),
        (
            json.dumps({"namespace": "mine", "name": "foo", "version": "1.0.0", "template": CANONICAL}),
            "application/json",
        ),
    ],
)
def test_documents_that_mean_the_same_share_a_digest(body: str | bytes, content_type: str) -> None:
    """Sugar, YAML, JSON, the order of keys, white space and the envelope do not show in the digest."""
    assert digest_of(body, content_type) == digest_of(CANONICAL)


@pytest.mark.parametrize(
    "other",
    [
        changed(build={"run": ["echo hello "]}),
        changed(build={"run": ["echo hello", "echo hello"]}),
        changed(hardware={"cpu": 4, "ram_gb": 4, "resolution": "1280x720x24"}),
        changed(template={"name": "foo", "version": "1.0.1"}),
        changed(vars={"a": "b"}),
    ],
)
def test_documents_that_differ_have_other_digests(other: dict[str, Any]) -> None:
    """Any difference in meaning shows in the digest."""
    assert digest_of(other) != digest_of(CANONICAL)


def test_content_scope_leaves_name_and_version_out() -> None:
    """With the scope ``content`` two versions of the same content share a digest; two contents do not."""
    other = changed(template={"name": "bar", "version": "2.0.0"})
    described = changed(template={"name": "foo", "version": "1.0.0", "description": "x"})
    assert digest(other, "content") == digest(CANONICAL, "content")
    assert digest(described, "content") != digest(CANONICAL, "content")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", ""),
        (b" \n\t", "application/yaml"),
        (b"# only a comment\n", "application/yaml"),
        (b"null", "application/json"),
        (b"{", "application/json"),
        (SUGAR, "application/json"),
        (b"a: b: c", "application/yaml"),
        (b"- [", ""),
        (b"a: 1\n---\nb: 2", ""),
        (b"\xff\xfe\x00", ""),
        (b'{"a": "\\ud800"}', "application/json"),
        (b'{"a": "\\u0000"}', "application/json"),
        (b'{"a": NaN}', "application/json"),
        (b'{"a": 1e999}', "application/json"),
        (b"a: !!python/object:os.system x", "application/yaml"),
        (b"a: !!timestamp 2020-01-01", "application/yaml"),
        (b"a: !!binary aGVsbG8=", "application/yaml"),
        (b"? [a, b]\n: c", "application/yaml"),
        (b"9" * 5000, "application/json"),
    ],
)
def test_body_that_cannot_be_read_is_400(body: str | bytes, content_type: str) -> None:
    """An empty body, and one that is neither JSON nor YAML, or not what its media type says, is refused with 400."""
    assert refusal_of(body, content_type).status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 400_000,
        b'{"a":' * 100_000,
        b"- " * 400_000,
        b"&a [*a]",
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 110)),
        b"a: &a {k: 1}\n"
        + b"".join(b"%c: &%c {!!merge <<: [%s]}\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(98, 110)),
    ],
    ids=["deep-lists", "deep-objects", "deep-yaml", "circle", "many-laughs", "many-merges"],
)
def test_body_that_would_starve_others_is_400(body: bytes) -> None:
    """Depth and the number of values have bounds, also where aliases multiply them."""
    assert refusal_of(body).status == 400


def test_merge_key_is_an_ordinary_key() -> None:
    """YAML 1.2 knows no merge keys."""
    assert read_body(b"a: &a {k: 1}\nb: {<<: *a}") == {"a": {"k": 1}, "b": {"<<": {"k": 1}}}


def test_yaml_reads_scalars_as_json_does() -> None:
    """What YAML 1.1 takes for booleans, dates, octal or base-60 numbers stays text."""
    body = b"[yes, on, 2020-01-01, 0644, '1', 1, -2.50, 1e3, 22:22, true, null, ~, 0x10]"
    assert read_body(body) == ["yes", "on", "2020-01-01", "0644", "1", 1, -2.5, 1000, "22:22", True, None, None, "0x10"]


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ([], "", "invalid_type"),
        ("hello", "", "invalid_type"),
        ({"template": CANONICAL["template"]}, "api_version", "required"),
        (changed(api_version="orgo.ai/v2"), "api_version", "invalid_enum"),
        ({"api_version": "orgo.ai/v1"}, "template", "required"),
        (changed(template=[]), "template", "invalid_type"),
        (changed(template={"version": "1.0.0"}), "template.name", "required"),
        (changed(template={"name": "foo"}), "template.version", "required"),
        (changed(template={"name": "Foo", "version": "1.0.0"}), "template.name", "invalid_format"),
        (changed(template={"name": "a" * 65, "version": "1.0.0"}), "template.name", "invalid_format"),
        (changed(template={"name": "foo\n", "version": "1.0.0"}), "template.name", "invalid_format"),
        (changed(template={"name": 1, "version": "1.0.0"}), "template.name", "invalid_type"),
        (changed(template={"name": "foo", "version": "1.0"}), "template.version", "invalid_format"),
        (changed(template={"name": "foo", "version": "01.0.0"}), "template.version", "invalid_format"),
        (changed(template={"name": "foo", "version": "1.0.٠"}), "template.version", "invalid_format"),
        (changed(template={"name": "foo", "version": 1.5}), "template.version", "invalid_type"),
        (changed(build=[]), "build", "invalid_type"),
        (changed(build={"run": "echo"}), "build.run", "invalid_type"),
        (changed(build={"run": None}), "build.run", "invalid_type"),
        (changed(hardware={"cpu": None}), "hardware.cpu", "invalid_type"),
        (changed(build={"run": ["echo", 1]}), "build.run[1]", "invalid_type"),
        (changed(build={"run": ["echo"] * 65}), "build.run", "out_of_range"),
        (changed(hardware={"os": "windows"}), "hardware.os", "invalid_enum"),
        (changed(hardware={"cpu": 3}), "hardware.cpu", "invalid_enum"),
        (changed(hardware={"cpu": True}), "hardware.cpu", "invalid_enum"),
        (changed(hardware={"ram_gb": 5}), "hardware.ram_gb", "invalid_enum"),
        (changed(hardware={"resolution": "1280x720"}), "hardware.resolution", "invalid_format"),
        (changed(hardware={"auto_stop_minutes": 1441}), "hardware.auto_stop_minutes", "out_of_range"),
        (changed(hardware={"disk_gb": 0}), "hardware.disk_gb", "out_of_range"),
        (changed(hardware={"audio": "yes"}), "hardware.audio", "invalid_type"),
        (changed(secrets=[{"name": "UPPER"}]), "secrets[0].name", "invalid_format"),
        (changed(secrets={}), "secrets", "invalid_type"),
        (changed(env={"lower": "x"}), "env.lower", "invalid_format"),
        (changed(env={"UPPER": 1}), "env.UPPER", "invalid_type"),
        (changed(apps=[{"run": "x"}]), "apps[0].name", "required"),
        (changed(apps=[{"name": "x"}]), "apps[0].run", "required"),
        (changed(apps=[{"name": "x", "run": "x", "restart": "maybe"}]), "apps[0].restart", "invalid_enum"),
        (changed(apps=[{"name": "x", "run": "x", "on_fail": "restart_service:"}]), "apps[0].on_fail", "invalid_format"),
        (
            changed(apps=[{"name": "x", "run": "x", "ports": [{"internal": 8080}]}]),
            "apps[0].ports[0].internal",
            "out_of_range",
        ),
        (changed(apps=[{"name": "x", "run": "x", "ports": [{}]}]), "apps[0].ports[0].internal", "required"),
        (changed(build={"run": ["echo ${var.nope}"]}), "build.run[0]", "unknown_ref"),
        (changed(env={"A": {"secret": "s"}}, build={"run": ["echo ${env.A}"]}), "build.run[0]", "unknown_ref"),
        ({"template": CANONICAL, "name": "bar"}, "name", "mismatch"),
        ({"template": CANONICAL, "version": "2.0.0"}, "version", "mismatch"),
        ({"template": CANONICAL, "namespace": "No Good"}, "namespace", "invalid_format"),
        ({"template": CANONICAL, "namespace": 1}, "namespace", "invalid_type"),
    ],
)
def test_document_that_breaks_a_rule_is_422_and_names_the_field(body: Any, field: str, code: str) -> None:
    """Every broken rule is one entry with field, code and message."""
    refusal = refusal_of(json.dumps(body))
    assert refusal.status == 422
    assert [(error["field"], error["code"]) for error in refusal.body["errors"]] == [(field, code)]
    assert all(set(error) == {"field", "code", "message"} and error["message"] for error in refusal.body["errors"])


def test_all_problems_are_named_at_once() -> None:
    """A document with two mistakes is told about both."""
    refusal = refusal_of(changed(hardware={"cpu": 3, "os": "plan9"}))
    assert [error["field"] for error in refusal.body["errors"]] == ["hardware.os", "hardware.cpu"]


def test_references_are_known_escaped_or_left_to_the_shell() -> None:
    """Variables of the document, escaped references and shell variables are valid."""
    run = ["echo ${var.a} ${env.B} $${var.c} ${PATH}"]
    body = changed(vars={"a": "1"}, env={"B": "2"}, build={"run": run})
    assert read_plan(read_document(json.dumps(body).encode()).content).steps == (Step("1 ${env.B} ${var.c} ${PATH}"),)


@pytest.mark.parametrize(
    ("command", "step"),
    [
        ("echo hello", Step("hello")),
        ("echo  'hello   world'", Step("hello   world")),
        ("echo it's", Step("it's")),
        ("echo", Step("")),
        ("sleep 3", Step(pause_s=3.0)),
        ("sleep 0.25", Step(pause_s=0.25)),
        ("sleep .5s", Step(pause_s=0.5)),
        ("sleep " + "9" * 30, Step(pause_s=86400.0)),
        ("exit 1", Step(exit_status=1)),
        ("exit 0", Step()),
        ("exit 256", Step()),
        ("exit " + "1" * 5000, Step(exit_status=int("1" * 18) % 256)),
        ("make install", Step("+ make install")),
        ("sleepy 3", Step("+ sleepy 3")),
        ("", Step("+ ")),
    ],
)
def test_command_is_read_as_what_it_does(command: str, step: Step) -> None:
    """``echo`` prints, ``sleep`` waits, ``exit`` ends; anything else is only named."""
    assert read_step(command) == step
