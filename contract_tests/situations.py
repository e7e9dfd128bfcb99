"""Requests that only the contract tests send: with wrong keys, with wrong documents, along wrong paths."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import yaml

from touchstone.check.examination import PUBLISH_ADVICE, Examination, Unsuited, restricted_key_advice, second_key_advice
from touchstone.check.templates import Template, is_own, publish_call
from touchstone.facts.exchange import Credential, Exchange
from touchstone.target.call import Call

JSON, YAML = "application/json", "application/yaml"


def call(operation: str, ref: str, credential: Credential = "primary") -> Call:
    """A plain request; a stream is left alone after the time that a request may take."""
    return Call(operation, ref, credential, stream_s=5.0 if operation == "streamBuildEvents" else 0.0)


def ask(
    exam: Examination, operation: str, ref: str, credential: Credential = "primary", authorization: str = ""
) -> Exchange:
    """Sends a plain request once and takes any answer.

    Where the run must not publish, the versions are somebody's. None is deleted, and builds are started and cancelled
    only of those that the settings name.

    Args:
        authorization: What the header says in the place of what *credential* stands for.
    """
    named = (*exam.target.templates.buildable, *exam.target.templates.failing, *exam.target.templates.restricted)
    if exam.target.publish == "never" and (
        operation == "deleteTemplate" or (operation in ("startBuild", "cancelBuild") and ref not in named)
    ):
        ref = exam.unknown("name")
    plain = call(operation, ref, credential)
    return exam.send(replace(plain, headers={"Authorization": authorization}) if authorization else plain)


def attempt(exam: Examination, operation: str, template: Template, credential: Credential) -> Exchange:
    """Sends with a wrong key what the right key could do."""
    if operation == "publishTemplate":
        exam.register(template)
        wrapped = exam.target.publish == "wrapped"
        return exam.send(publish_call(template.revised(), wrapped=wrapped, force=True, credential=credential))
    return ask(exam, operation, template.ref, credential)


def raw(exam: Examination, method: str, path: str, credential: Credential = "primary") -> Exchange:
    """Sends *path* byte for byte."""
    return exam.send(Call(method=method, path=path, credential=credential))


def publish_refused(
    exam: Examination, purpose: str, credential: Credential, *, auto_build: bool = False, force: bool = False
) -> Template:
    """Publishes with a key that may not; the journal has it, for a server that lets it pass."""
    template = exam.template(purpose, owner="restricted" if credential == "restricted" else "primary")
    exam.register(template)
    wrapped = exam.target.publish == "wrapped"
    exam.send(publish_call(template, wrapped=wrapped, auto_build=auto_build, force=force, credential=credential))
    return template


def published_without(exam: Examination, purpose: str) -> Template:
    """A new template, published with each switch of the query said to be off."""
    needs_publishing(exam)
    template = exam.template(purpose)
    exam.register(template)
    plain = publish_call(template, wrapped=exam.target.publish == "wrapped")
    exam.retry_429(replace(plain, query={"auto_build": "false", "force": "false"}))
    return template


def publish_invalid(
    exam: Examination, purpose: str, spoil: Callable[[dict[str, Any]], object], *, as_yaml: bool = False
) -> Exchange:
    """Publishes a document that *spoil* has made break the schema, in an envelope where the target takes no raw one."""
    template = exam.template(purpose)
    document = template.document()
    spoil(document)
    about = document["template"]
    # A server that takes it has it under the name that it has now.
    taken = replace(template, name=str(about.get("name", "")), version=str(about.get("version", "")))
    if taken.ref != template.ref and is_own(taken.ref, exam.run_id):
        exam.register(taken)
        exam.publications.taken_for(taken, template)
    return publish_spoilt(exam, template, document, as_yaml=as_yaml)


def publish_spoilt(
    exam: Examination,
    template: Template,
    document: dict[str, Any],
    *,
    as_yaml: bool = False,
    force: bool = False,
) -> Exchange:
    """Publishes a *document* that breaks the schema in the place of that of *template*."""
    body, media_type = json.dumps(document).encode(), JSON
    if exam.target.publish == "wrapped":
        envelope = {"namespace": "default", "name": template.name, "version": template.version, "template": document}
        body = json.dumps(envelope).encode()
    elif as_yaml:
        body, media_type = yaml.safe_dump(document).encode(), YAML
    return publish_wrong(exam, template, body, "schema", media_type, force=force)


def publish_bytes(exam: Examination, purpose: str, body: bytes, invalid: str, media_type: str = JSON) -> Exchange:
    """Publishes what is no document at all; *invalid* says how."""
    return publish_wrong(exam, exam.template(purpose), body, invalid, media_type)


def publish_wrong(
    exam: Examination,
    template: Template,
    body: bytes,
    invalid: str,
    media_type: str = JSON,
    *,
    force: bool = False,
) -> Exchange:
    """Publishes what is wrong on purpose; the journal has the name that a server may take it for."""
    needs_publishing(exam)
    exam.register(template)
    headers, query = {"Content-Type": media_type}, {"force": "true"} if force else {}
    note = {"invalid": invalid} | ({"force": True} if force else {})
    return exam.retry_429(Call("publishTemplate", template.ref, query=query, headers=headers, body=body, note=note))


def starts_together(exam: Examination, ref: str, times: int) -> list[Exchange]:
    """Starts one version several times at the same moment."""
    return exam.together(*[call("startBuild", ref)] * times)


def publish_together(exam: Examination, *templates: Template) -> None:
    """Publishes new versions at the same moment."""
    needs_publishing(exam)
    for template in templates:
        exam.register(template)
    exam.together(*[publish_call(each, wrapped=exam.target.publish == "wrapped") for each in templates])


def start_both(exam: Examination, *refs: str) -> None:
    """Starts different versions at the same moment; what is refused for a limit is started once there is room."""
    for answer in exam.together(*[call("startBuild", ref) for ref in refs]):
        if answer.status == 429 and answer.ref:
            exam.start(answer.ref)


def path_of(ref: str) -> str:
    """The path of a version below the base of the target."""
    namespace, _, rest = ref.partition("/")
    return f"/templates/{namespace}/{rest.replace('@', '/')}"


def another_version(exam: Examination, template: Template) -> Template:
    """The same content under another version of the same name, published."""
    other = replace(template, version="1.0.1")
    answer = exam.publish(other)
    if not 200 <= answer.status < 300:
        raise Unsuited("could-not-run", f"publishing {other.ref} failed: {answer.status}")
    return other


def find_nothing(exam: Examination, ref: str) -> None:
    """Asks every operation for a version that was deleted, and for the heads of what there was to read."""
    for end in ("/build", ""):
        raw(exam, "HEAD", f"{path_of(ref)}{end}")
    for operation in ("getTemplate", "getBuild", "streamBuildEvents", "startBuild", "cancelBuild", "deleteTemplate"):
        ask(exam, operation, ref)


def lasting(exam: Examination, sleep_s: float) -> float:
    """Seconds for a build to sleep: as many as are asked for, as far as a build may take that long."""
    return min(sleep_s, exam.target.build_timeout_s / 2)


def digest(exam: Examination, template: Template) -> str:
    """The digest that the status shows."""
    return str(exam.read(template.ref).body.get("digest", ""))


def needs_publishing(exam: Examination) -> None:
    """Ends the case on a target where the run must not publish."""
    if exam.target.publish == "never":
        raise Unsuited("not-applicable", PUBLISH_ADVICE)


def needs_second(exam: Examination) -> None:
    """Ends the case where there is no second account."""
    if not exam.target.second_api_key:
        raise Unsuited("not-applicable", second_key_advice(exam.target))


def needs_restricted(exam: Examination) -> None:
    """Ends the case where there is no account below the Scale plan."""
    if not exam.target.restricted_api_key:
        raise Unsuited("not-applicable", restricted_key_advice(exam.target))
