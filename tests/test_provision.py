"""The templates of a run and the requests that publish them."""

import json
from dataclasses import replace
from typing import get_args

import pytest
import yaml

from tests.rules.exchanges import contract
from touchstone.check.templates import Form, Template, given, publish_call
from touchstone.twin.build import read_step
from touchstone.twin.documents import digest, read_document

SLEEPING = Template("touchstone-t1-a", "1.0.0", 1.5, True, "mark-a-1", "second")
EXTRAS = {
    "template": {"description": "one"},
    "hardware": {"cpu": 2, "ram_gb": 8, "resolution": "1280x720x24", "audio": False},
    "build": {"apt": ["curl"]},
    "env": {"MODE": "test"},
}
FULL = replace(SLEEPING, extras=EXTRAS)
PLAIN = Template("touchstone-t1-b", "1.0.0", 0.0, False, "mark-b-1")


def test_steps_sleep_tell_and_fail_in_this_order() -> None:
    """A build sleeps first, prints its marker, and fails last, each only where the template says so."""
    assert SLEEPING.steps() == ["sleep 1.5", "echo mark-a-1", "exit 1"]
    assert replace(SLEEPING, then=("echo never",)).steps()[-2:] == ["exit 1", "echo never"]
    assert PLAIN.steps() == ["echo mark-b-1"]


def test_halved_sleep_goes_on_after_what_is_printed() -> None:
    """Half of the sleep comes before the lines, half after them, and the note tells when the first one is due."""
    halved = replace(SLEEPING, halved=True, more_lines=2)

    assert halved.steps() == [
        "sleep 0.75",
        "echo mark-a-1",
        """echo 'mark-a-1-line-2 {"step": [1, "two"]}'""",
        "echo 'mark-a-1-line-3 data: more'",
        "sleep 0.75",
        "exit 1",
    ]
    assert halved.note() | {"sleep_s": 1.5, "marker_after_s": 0.75, "lines": halved.lines()} == halved.note()


@pytest.mark.parametrize("form", get_args(Form))
def test_silent_build_prints_nothing_and_is_told_from_others(form: Form) -> None:
    """It has steps only where it sleeps or fails; what makes its content unique stands in its environment."""
    mute, bare = replace(SLEEPING, silent=True), replace(PLAIN, silent=True)

    assert (mute.steps(), bare.steps()) == (["sleep 1.5", "exit 1"], [])
    assert "build" not in bare.document()
    assert bare.document()["env"] == {"MARK": "mark-b-1"}
    assert (bare.note()["marker"], bare.note()["lines"]) == ("", [])
    assert bare.content_key() != replace(bare, marker="other").content_key()
    call = publish_call(bare, wrapped=False, form=form)
    assert read_document(call.body, call.headers["Content-Type"]).content == bare.document()


def test_lines_are_printed_as_they_are_noted() -> None:
    """Quotes, letters and markup survive the shell; the first line is the marker alone."""
    loud = replace(PLAIN, more_lines=7)
    printed = [read_step(step).line for step in loud.steps()]

    assert printed == loud.note()["lines"] == loud.lines()
    assert printed[0] == PLAIN.marker
    assert {"mark-b-1-line-4 it's done", "mark-b-1-line-7", "mark-b-1-line-8 größer ☃ 日本"} <= set(printed)


def test_failing_steps_end_with_several_statuses() -> None:
    """Contents that fail do so with one status after the other, none of which is success."""
    editions = [replace(SLEEPING, edition=edition) for edition in range(1, 5)]

    assert sorted(read_step(edition.steps()[-1]).exit_status for edition in editions) == [1, 2, 127, 255]


@pytest.mark.parametrize(("sleep_s", "step"), [(0.05, "sleep 0.05"), (2.0, "sleep 2"), (12.25, "sleep 12.25")])
def test_sleep_is_written_as_a_shell_reads_it(sleep_s: float, step: str) -> None:
    """Seconds are written as plain decimals without an exponent."""
    assert Template("a", "1.0.0", sleep_s, False, "m").steps()[0] == step


def test_note_tells_the_rules_what_the_document_means() -> None:
    """What a build will do is noted beside its publish, since the rules do not read documents."""
    assert SLEEPING.note() == {
        "content": SLEEPING.content_key(),
        "outcome": "failed",
        "sleep_s": 1.5,
        "marker": "mark-a-1",
        "marker_after_s": 1.5,
        "lines": ["mark-a-1"],
    }
    assert PLAIN.note()["outcome"] == "ready"


def test_revision_has_the_same_ref_and_other_content() -> None:
    """Each revision of a template has its ref, and a marker and a content of its own."""
    editions = [PLAIN, PLAIN.revised(), PLAIN.revised().revised()]

    assert {edition.ref for edition in editions} == {"default/touchstone-t1-b@1.0.0"}
    assert [edition.marker for edition in editions] == ["mark-b-1", "mark-b-1.2", "mark-b-1.3"]
    assert len({edition.content_key() for edition in editions}) == 3


@pytest.mark.parametrize("template", [SLEEPING, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("form", get_args(Form))
def test_every_form_is_one_document(form: Form, wrapped: bool, template: Template) -> None:
    """However a template is written down, a server reads one document with one digest."""
    call = publish_call(template, wrapped=wrapped, form=form)
    read = read_document(call.body, call.headers["Content-Type"])
    canonical = read_document(publish_call(template, wrapped=False).body, "application/json")

    assert digest(read.content) == digest(canonical.content)


def test_extras_stand_in_their_sections() -> None:
    """What is added stands beside what every document of a run has, and the short form spells hardware its own way."""
    document, short = FULL.document(), FULL.sugared()

    assert document["template"] == {"name": "touchstone-t1-a", "version": "1.0.0", "description": "one"}
    assert document["build"] == {"apt": ["curl"], "run": SLEEPING.steps()}
    assert (document["hardware"], document["env"]) == (EXTRAS["hardware"], EXTRAS["env"])
    assert {key: short[key] for key in ("cpu", "ram", "display")} == {"cpu": 2, "ram": "8gb", "display": "1280x720"}
    assert short["hardware"] == {"audio": False}


def test_forms_differ_in_their_bytes() -> None:
    """The forms of one document that are to have one digest are not the same bytes."""
    bodies = {publish_call(SLEEPING, wrapped=False, form=form).body for form in get_args(Form)}

    assert len(bodies) == len(get_args(Form))


def test_media_type_says_what_the_body_is() -> None:
    """YAML is announced as such, anything else as JSON, and an envelope is always JSON."""
    raw, wrapped = (publish_call(PLAIN, wrapped=wrapped, form="yaml") for wrapped in (False, True))

    assert (raw.headers["Content-Type"], wrapped.headers["Content-Type"]) == ("application/yaml", "application/json")
    assert yaml.safe_load(raw.body) == json.loads(wrapped.body)["template"] == PLAIN.document()


def test_envelope_names_the_version() -> None:
    """A wrapped document has namespace, name and version beside it."""
    envelope = json.loads(publish_call(PLAIN, wrapped=True).body)

    assert (envelope["namespace"], envelope["name"], envelope["version"]) == ("default", PLAIN.name, "1.0.0")


@pytest.mark.parametrize(
    ("how", "query"),
    [({}, {}), ({"force": True}, {"force": "true"}), ({"auto_build": True}, {"auto_build": "true"})],
    ids=str,
)
def test_query_says_only_what_is_wanted(how: dict[str, bool], query: dict[str, str]) -> None:
    """Force and auto_build are in the query where they are asked for, and in the note always; every second content says
    of both what it wants.
    """
    call = publish_call(PLAIN, wrapped=False, **how)

    assert call.query == query
    assert {key: call.note[key] for key in ("force", "auto_build")} == {"force": False, "auto_build": False} | how
    explicit = publish_call(PLAIN.revised(), wrapped=False, **how)
    assert explicit.query == {"force": "false", "auto_build": "false"} | query
    assert explicit.note == PLAIN.revised().note() | {"force": False, "auto_build": False, "form": "json"} | how


def test_owner_publishes_unless_another_key_is_named() -> None:
    """The key of a publish is the owner's, or the one that a test wants to see refused."""
    calls = [publish_call(SLEEPING, wrapped=False), publish_call(SLEEPING, wrapped=False, credential="none")]

    assert [call.credential for call in calls] == ["second", "none"]


def test_document_fits_the_contract() -> None:
    """The documents of a run have what the contract asks of a template."""
    schema = contract().document["components"]["schemas"]["TemplateDocument"]

    assert set(schema["required"]) <= SLEEPING.document().keys()


def test_given_ref_is_taken_apart() -> None:
    """A ref that the user named becomes a template with its namespace, name and version."""
    template = given("team/some-name@2.0.1")

    assert (template.namespace, template.name, template.version) == ("team", "some-name", "2.0.1")
    assert template.ref == "team/some-name@2.0.1"
