"""The templates of a run and the requests that publish them."""

import json
from dataclasses import replace
from typing import Any, get_args

import pytest
import yaml

from tests.rules.exchanges import contract
from touchstone.check.templates import Form, Template, given, is_own, publish_call
from touchstone.twin.build import read_step
from touchstone.twin.documents import digest, read_document

FORMS = get_args(Form)
SLEEPING = Template("touchstone-t1-a", "1.0.0", 1.5, True, "mark-a-1", "second")
HARDWARE = {"cpu": 2, "ram_gb": 8, "resolution": "1280x720x24", "audio": False}
EXTRAS = {"template": {"description": "one"}, "hardware": HARDWARE, "build": {"apt": ["curl"]}, "env": {"MODE": "test"}}
FULL = replace(SLEEPING, extras=EXTRAS)
PLAIN = Template("touchstone-t1-b", "1.0.0", 0.0, False, "mark-b-1")
HALVED = replace(SLEEPING, halved=True, more_lines=2)
LINES = [
    "echo mark-a-1",
    """echo '{"step": [1, "mark-a-1-line-2"]}'""",
    """echo 'data: mark-a-1-line-3 it'"'"'s done'""",
]
SILENT = replace(PLAIN, silent=True)


@pytest.mark.parametrize(
    ("template", "steps", "note"),
    [
        (
            SLEEPING,
            ["sleep 1.5", "echo mark-a-1", "exit 1"],
            {"outcome": "failed", "sleep_s": 1.5, "marker_after_s": 1.5},
        ),
        (replace(SLEEPING, then=("echo never",)), ["sleep 1.5", "echo mark-a-1", "exit 1", "echo never"], {}),
        (PLAIN, ["echo mark-b-1"], {"outcome": "ready", "content": PLAIN.note()["content"], "lines": ["mark-b-1"]}),
        (HALVED, ["sleep 0.75", *LINES, "sleep 0.75", "exit 1"], {"marker_after_s": 0.75, "lines": HALVED.lines()}),
        (replace(SLEEPING, silent=True), ["sleep 1.5", "exit 1"], {"outcome": "failed", "lines": []}),
        (SILENT, [], {"outcome": "ready", "marker": "", "lines": []}),
        (replace(PLAIN, sleep_s=12.0), ["sleep 12", "echo mark-b-1"], {"marker": "mark-b-1"}),
    ],
    ids=["sleeps-and-fails", "unreached", "plain", "halved", "silent-and-fails", "silent", "long"],
)
def test_steps_of_a_build_and_what_the_rules_know(template: Template, steps: list[str], note: dict[str, Any]) -> None:
    assert template.steps() == steps
    assert template.note() | note == template.note()


def test_lines_survive_the_shell_and_failures_vary() -> None:
    loud = replace(PLAIN, more_lines=11)
    printed = [read_step(step).line for step in loud.steps()]
    assert printed == loud.lines()
    assert "\n".join(printed).replace("\r", "\n").split("\n") == loud.note()["lines"]
    assert {"mark-b-1", "data: mark-b-1-line-3 it's done", "mark-b-1-line-12 größer ☃ 日本"} <= set(printed)
    editions = [replace(SLEEPING, edition=edition) for edition in range(1, 5)]
    assert sorted(read_step(edition.steps()[-1]).exit_status for edition in editions) == [1, 2, 127, 255]


def test_contents_differ_by_revision_and_marker() -> None:
    editions = [PLAIN, PLAIN.revised(), PLAIN.revised().revised()]
    assert {edition.ref for edition in editions} == {"default/touchstone-t1-b@1.0.0"}
    assert [edition.marker for edition in editions] == ["mark-b-1", "mark-b-1.2", "mark-b-1.3"]
    contents = [*editions, SILENT, replace(SILENT, marker="other")]
    assert len({content.note()["content"] for content in contents}) == len(contents)


@pytest.mark.parametrize("template", [SLEEPING, FULL, SILENT], ids=["plain", "full", "silent"])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_one_document(form: Form, wrapped: bool, template: Template) -> None:
    call = publish_call(template, wrapped=wrapped, form=form)
    found = read_document(call.body, call.headers["Content-Type"])
    assert digest(found.content) == digest(template.document())
    assert wrapped or form == "json" or call.body != publish_call(template, wrapped=False).body


def test_extras_and_their_short_form() -> None:
    document, short = FULL.document(), FULL.sugared()
    assert document["template"] == {"name": "touchstone-t1-a", "version": "1.0.0", "description": "one"}
    assert document["build"] == {"apt": ["curl"], "run": SLEEPING.steps()}
    assert (document["hardware"], document["env"]) == (HARDWARE, EXTRAS["env"])
    assert {key: short[key] for key in ("cpu", "ram", "display")} == {"cpu": 2, "ram": "8gb", "display": "1280x720"}
    assert short["hardware"] == {"audio": False}
    required = contract().document["components"]["schemas"]["TemplateDocument"]["required"]
    assert set(required) <= document.keys()


def test_envelope_is_json_and_has_the_version() -> None:
    raw, wrapped = (publish_call(PLAIN, wrapped=wrapped, form="yaml") for wrapped in (False, True))
    envelope = json.loads(wrapped.body)
    assert (raw.headers["Content-Type"], wrapped.headers["Content-Type"]) == ("application/yaml", "application/json")
    assert yaml.safe_load(raw.body) == envelope["template"] == PLAIN.document()
    assert (envelope["namespace"], envelope["name"], envelope["version"]) == ("default", PLAIN.name, "1.0.0")


@pytest.mark.parametrize("switches", [{}, {"force": True}, {"auto_build": True}], ids=str)
def test_query_has_what_is_wanted_and_the_note_both(switches: dict[str, Any]) -> None:
    both, query = {"force": False, "auto_build": False}, dict.fromkeys(switches, "true")
    call = publish_call(PLAIN, wrapped=False, **switches)
    assert (call.query, {name: call.note[name] for name in both}) == (query, both | switches)
    explicit = publish_call(PLAIN.revised(), wrapped=False, **switches)
    assert explicit.query == {"force": "false", "auto_build": "false"} | query
    assert explicit.note == PLAIN.revised().note() | both | {"form": "json"} | switches


def test_owner_publishes_unless_another_key_is_given() -> None:
    assert publish_call(SLEEPING, wrapped=False).credential == "second"
    assert publish_call(SLEEPING, wrapped=False, credential="none").credential == "none"
    template = given("team/some-name@2.0.1")
    assert (template.namespace, template.name, template.version) == ("team", "some-name", "2.0.1")


OTHERS = (
    *("touchstone-r1@1.0.0", "touchstone-r1-@1.0.0", "touchstone-r11-a@1.0.0", "x-touchstone-r1-a@1.0.0"),
    *("touchstone-r1-a/b@1.0.0", "touchstone-r1-a@..", "touchstone-r1-a@1/0", "../team/touchstone-r1-a@1.0.0"),
)


def test_only_names_of_the_run_are_its_own() -> None:
    own = ("touchstone-r1-a@1.0.0", "touchstone-r1-a@")
    assert [ref for ref in (*own, *OTHERS) if is_own(f"default/{ref}", "r1")] == list(own)
