"""Pages *Publish* and *Get*: documents with all their sections, and invalid ones.

An invalid document is empty, unparsable, or against a rule of the schema.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

from situations import LARGE, YAML, claims, cost, publish_bytes, publish_invalid, publish_wrong
from touchstone.check.examination import Examination
from touchstone.check.templates import Form

Document = dict[str, Any]

# A valid app; each test case makes one value invalid.
APP: Document = {"name": "web", "run": "serve"}


def without(key: str) -> Callable[[Document], object]:
    """Returns a function that removes a required key from the section ``template``."""
    return lambda document: document["template"].pop(key)


def with_(section: str, **values: Any) -> Callable[[Document], object]:
    """Returns a function that sets *values* in a section of a document."""
    return lambda document: document.setdefault(section, {}).update(values)


def renamed(change: Callable[[str], str]) -> Callable[[Document], object]:
    """Returns a function that changes the name of a template; the new name must still belong to this run."""
    return lambda document: document["template"].update(name=change(document["template"]["name"]))


def with_app(**values: Any) -> Callable[[Document], object]:
    """Returns a function that gives a document one app, with the changed *values*."""
    return lambda document: document.update(apps=[APP | values])


# Optional sections of a document. Source: page templates/schema.
SECTIONS: Document = {
    "hardware": {"os": "linux", "cpu": 16, "ram_gb": 64, "disk_gb": 1, "resolution": "1280x720x24", "audio": False},
    "vars": {"GREETING": "grüß dich"},
    "env": {"MODE": "größer ☃ 日本", "QUOTED": 'it\'s "so": #1', "LINES": "one\ntwo\n"},
    "build": {"apt": ["curl", "git"], "pip": ["httpx"], "npm": ["left-pad"]},
    "apps": [APP | {"restart": "on-failure", "ports": [{"internal": 65535, "protocol": "tcp"}]}],
}

# It is undocumented where these values belong in the short form of a document.
METADATA = {"description": "Made by a test – für alle", "publisher": "touchstone", "license": "MIT"}
DESCRIBED: Document = {"template": METADATA}

# Ways to make a document invalid, by name. Source: page templates/schema.
SPOILT: dict[str, Callable[[Document], object]] = {
    "no api version": lambda document: document.pop("api_version"),
    "api version": lambda document: document.update(api_version="orgo.ai/v0"),
    "no name": without("name"),
    "no version": without("version"),
    "name": renamed(lambda name: f"{name}-UPPER CASE"),
    "long name": renamed(lambda name: f"{name}-{'a' * 65}"[:65]),
    "version": with_("template", version="one"),
    "publisher": with_("template", publisher="Not Kebab"),
    "os": with_("hardware", os="windows"),
    "cpu": with_("hardware", cpu=3),
    "ram": with_("hardware", ram_gb=5),
    "disk": with_("hardware", disk_gb=0),
    "gpu": with_("hardware", gpu="abacus"),
    "gpu count": with_("hardware", gpu_count=-1),
    "resolution": with_("hardware", resolution="wide"),
    "auto stop": with_("hardware", auto_stop_minutes=1441),
    "region": with_("hardware", region="moon"),
    "audio": with_("hardware", audio="loud"),
    "bandwidth": with_("hardware", bandwidth_mbps=-1),
    "hardware": lambda document: document.update(hardware="big"),
    "run": with_("build", run="echo one"),
    "many commands": with_("build", run=["true"] * 65),
    "apt": with_("build", apt="curl"),
    "env name": with_("env", lower="x"),
    "env value": with_("env", NAME=["x"]),
    "secret name": lambda document: document.update(secrets=[{"name": "UPPER"}]),
    "app without run": lambda document: document.update(apps=[{"name": "web"}]),
    "restart": with_app(restart="sometimes"),
    "on fail": with_app(on_fail="panic"),
    "port": with_app(ports=[{"internal": 65536}]),
    "taken port": with_app(ports=[{"internal": 5900}]),
    "unknown variable": with_("build", run=["echo ${var.nowhere}"]),
}

UNPARSABLE_JSON = (b'{"api_version": "orgo.ai/v1", "template": ', b'{"api_version": "orgo.ai/v1",, }')
UNPARSABLE_YAML = (b"template: [open", b"template: 'open", b"template: {version: x}}", b"template: *nowhere")


@cost(builds=0, requests=43)
@claims("publish.empty-is-400 publish.unparsable-is-400 publish.invalid-is-422 error.has-the-documented-shape")
def test_documents_that_cannot_be_published(exam: Examination) -> None:
    """Empty, unparsable and invalid documents get their documented errors."""
    publish_bytes(exam, "empty", b"", "empty").expect(400)
    for body in UNPARSABLE_JSON:
        publish_bytes(exam, "broken", body, "unparsable").expect(400)
    # Any bytes after a complete document make it invalid.
    whole = exam.template("and-more")
    for more in (b"}", b" {}", b"\n[1]"):
        body = json.dumps(whole.document()).encode() + more
        publish_wrong(exam, whole, body, "unparsable").expect(400)
    for body in UNPARSABLE_YAML:
        publish_bytes(exam, "broken", body, "unparsable", YAML).expect(400)
    for number, (what, spoil) in enumerate(SPOILT.items()):
        purpose = f"bad-{what.replace(' ', '-')}"
        publish_invalid(exam, purpose, spoil, as_yaml=number % 2 == 1).expect(422)


@cost(builds=0, requests=26)
@claims("template.read-shows-the-published", "digest.ignores-spelling", "publish.republish-identical-is-accepted")
def test_document_is_returned_with_all_its_sections(exam: Examination) -> None:
    """A document with all sections is returned unchanged from each form, and does not affect other documents."""
    for form in get_args(Form):
        first = replace(exam.template(f"full-{form}"), extras=SECTIONS)
        exam.publish(first, form=form).expect(201, 200)
        exam.document(first).expect(200)
    full = replace(exam.template("full"), extras=SECTIONS)
    for form in get_args(Form):
        exam.publish(full, form=form).expect(201, 200)
        exam.document(full).expect(200)
    exam.publish(replace(full.revised(), extras=SECTIONS | DESCRIBED), force=True).expect(201, 200)
    exam.document(full).expect(200)
    large = replace(exam.template("large"), extras=LARGE)
    exam.publish(large).expect(201, 200)
    exam.document(large).expect(200)
    exam.publish(replace(large, extras={"env": LARGE["env"] | {"PLENTY_199": "x"}}), force=True).expect(201, 200)
    for version in (exam.published("bare"), full):
        exam.document(version).expect(200)
        exam.read(version).expect(200, status="not_built")
