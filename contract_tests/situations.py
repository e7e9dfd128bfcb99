"""Requests that only the contract tests send: with wrong keys, invalid documents and invalid paths."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from touchstone.check.examination import PUBLISH_ADVICE, Examination, Unsuited, Version, key_advice
from touchstone.check.expectation import Reply
from touchstone.check.templates import Template, is_own, publish_call
from touchstone.facts.exchange import Credential
from touchstone.rules.messages import LONG_AGO, NO_ETAG, WHOLE
from touchstone.target.call import Call

JSON, YAML = "application/json", "application/yaml"
SETTLED = ("not_built", "failed")  # what a cancelled version may read (ambiguity 7.12)

# Marks of a case: the claims that it is written for, and upper bounds of what it costs; see check/pytest_plugin.py.
claims, cost, profile = pytest.mark.claims, pytest.mark.cost, pytest.mark.profile
alone, cancels, once = pytest.mark.alone, pytest.mark.cancels, pytest.mark.once
given, only_given = pytest.mark.given, pytest.mark.only_given


LONGEST_NAME = 64  # Source: page templates/schema.
LONG_VERSION = "10.20.30-rc.1.longer.than.usual"
# A section that makes a document larger than common buffers.
LARGE: dict[str, Any] = {"env": {f"PLENTY_{number:03}": f"{number:03} " * 100 for number in range(200)}}
READS = ("getBuild", "getTemplate")


def longest(template: Template, letter: str = "n") -> Template:
    """Returns the template with a name of maximum length, which ends in *letter*."""
    name = f"{template.name}-{'n' * LONGEST_NAME}"[: LONGEST_NAME - 1] + letter
    return replace(template, name=name, marker=f"{template.marker}-{letter}")


def strangers(exam: Examination, version: Template) -> dict[Credential, int]:
    """Returns the clients that do not own a version, and the status of their reads."""
    other: Credential = "second" if version.owner == "primary" else "primary"
    anyone: dict[Credential, int] = {"none": 401}
    return anyone | ({other: 404} if exam.target.second_api_key else {})


def read_as_caches(exam: Examination, version: Template, code: int = 200) -> None:
    """Reads a version as caches do: as HEAD, as a range, and with the ETag of the case's last read of it."""
    for operation in READS:
        call, place = exam.call(operation, version), (operation, version.ref)
        tag, stored = exam.steps.stored.get(place, (NO_ETAG, 0))
        for headers in ({"If-None-Match": tag}, *UNCONDITIONAL):
            exam.send(replace(call, headers=headers, note={"stored": stored})).expect(code, 206, 304)
        reply = exam.send(call).expect(code)
        if reply.response and (etag := reply.response.header("etag")):
            exam.steps.stored[place] = etag, reply.seq
    head(exam, version, code)


# Conditions that are always met, and a range that is the whole response.
UNCONDITIONAL = ({"If-Modified-Since": LONG_AGO}, {"Range": WHOLE})


def head(exam: Examination, version: Template, code: int = 200) -> None:
    """Sends HEAD to the paths of a version, as a monitor does."""
    for end in ("/build", ""):
        raw(exam, "HEAD", f"{path_of(version.ref)}{end}", version.owner).expect(code, 405)


def read_at_once(exam: Examination, version: Template, code: int = 200) -> None:
    """Reads a version from several clients at the same moment: its owner, another account, and one without a key."""
    codes = {version.owner: code} | strangers(exam, version)
    for reply in exam.together(*[exam.call(operation, version, by) for operation in READS for by in codes] * 2):
        reply.expect(codes[reply.credential])


def amid(exam: Examination, operation: str, version: Template) -> Reply:
    """Sends a change at the same moment as reads by its owner and by others; returns the response to the change."""
    callers = (version.owner, *strangers(exam, version), version.owner)
    reads = [exam.call(read, version, by) for read in READS for by in callers]
    reply, *_ = exam.together(exam.call(operation, version), *reads)
    return exam.start(version) if reply.status == 429 else reply


def attempt(exam: Examination, operation: str, template: Template, credential: Credential) -> Reply:
    """Sends a request that would be valid with the right key, but with the wrong key *credential*."""
    if operation == "publishTemplate":
        exam.register(template)
        wrapped = exam.target.publish == "wrapped"
        return exam.send(publish_call(template.revised(), wrapped=wrapped, force=True, credential=credential))
    return exam.request(operation, template, credential)


def raw(exam: Examination, method: str, path: str, credential: Credential = "primary") -> Reply:
    """Sends a request whose path is *path*, byte for byte."""
    return exam.send(Call(method=method, path=path, credential=credential))


def publish_refused(
    exam: Examination, purpose: str, credential: Credential, *, auto_build: bool = False, force: bool = False
) -> Template:
    """Publishes with a key that must be refused, and expects that. The journal lists the version all the same."""
    template = exam.template(purpose, owner="restricted" if credential == "restricted" else "primary")
    exam.register(template)
    wrapped = exam.target.publish == "wrapped"
    call = publish_call(template, wrapped=wrapped, auto_build=auto_build, force=force, credential=credential)
    exam.send(call).expect(403 if credential == "restricted" else 401)
    return template


def auto_built(exam: Examination, template: Template, *, force: bool = False) -> None:
    """Publishes with auto_build; if a limit refuses that build, starts it."""
    exam.publish(template, force=force, auto_build=True).expect(201, 200)
    if exam.read(template).expect(200).body.get("status") == "not_built":
        exam.start(template).expect(202, 200, 409, status="building")


def published_without(exam: Examination, purpose: str) -> Template:
    """Publishes a new template with all boolean query parameters set to false."""
    needs_publishing(exam)
    template = exam.template(purpose)
    exam.register(template)
    plain = publish_call(template, wrapped=exam.target.publish == "wrapped")
    exam.retry_429(replace(plain, query={"auto_build": "false", "force": "false"}))
    return template


def publish_invalid(
    exam: Examination, purpose: str, spoil: Callable[[dict[str, Any]], object], *, as_yaml: bool = False
) -> Reply:
    """Publishes a document that *spoil* made invalid, in an envelope if the target requires envelopes."""
    template = exam.template(purpose)
    document = template.document()
    spoil(document)
    about = document["template"]
    # A server that accepts the document stores it under its current name.
    accepted = replace(template, name=str(about.get("name", "")), version=str(about.get("version", "")))
    if accepted.ref != template.ref and is_own(accepted.ref, exam.run_id):
        exam.register(accepted)
        exam.publications.taken_for(accepted, template)
    return publish_spoilt(exam, template, document, as_yaml=as_yaml)


def publish_spoilt(
    exam: Examination, template: Template, document: dict[str, Any], *, as_yaml: bool = False, force: bool = False
) -> Reply:
    """Publishes the invalid *document* in place of the document of *template*."""
    body, media_type = json.dumps(document).encode(), JSON
    if exam.target.publish == "wrapped":
        envelope = {"namespace": "default", "name": template.name, "version": template.version, "template": document}
        body = json.dumps(envelope).encode()
    elif as_yaml:
        body, media_type = yaml.safe_dump(document).encode(), YAML
    return publish_wrong(exam, template, body, "schema", media_type, force=force)


def publish_bytes(exam: Examination, purpose: str, body: bytes, invalid: str, media_type: str = JSON) -> Reply:
    """Publishes a *body* that is not a document; *invalid* is the kind of error, such as ``unparsable``."""
    return publish_wrong(exam, exam.template(purpose), body, invalid, media_type)


def publish_wrong(
    exam: Examination, template: Template, body: bytes, invalid: str, media_type: str = JSON, *, force: bool = False
) -> Reply:
    """Publishes an invalid body. The journal lists the version, because a faulty server may store it."""
    needs_publishing(exam)
    exam.register(template)
    headers, query = {"Content-Type": media_type}, {"force": "true"} if force else {}
    note = {"invalid": invalid} | ({"force": True} if force else {})
    return exam.retry_429(Call("publishTemplate", template.ref, query=query, headers=headers, body=body, note=note))


def starts_together(exam: Examination, version: Version, times: int) -> list[Reply]:
    """Sends *times* simultaneous starts of one version."""
    return exam.together(*[exam.call("startBuild", version)] * times)


def publish_together(exam: Examination, *templates: Template) -> list[Reply]:
    """Publishes new versions at the same time."""
    needs_publishing(exam)
    for template in templates:
        exam.register(template)
    return exam.together(*[publish_call(each, wrapped=exam.target.publish == "wrapped") for each in templates])


def start_both(exam: Examination, *versions: Version) -> list[Reply]:
    """Starts different versions at the same time, then repeats each start that got a 429; returns the last replies."""
    replies = exam.together(*[exam.call("startBuild", version) for version in versions])
    return [exam.start(each) if it.status == 429 else it for each, it in zip(versions, replies, strict=True)]


def path_of(ref: str) -> str:
    """Returns the path of a version, relative to the base URL of the target."""
    namespace, _, rest = ref.partition("/")
    return f"/templates/{namespace}/{rest.replace('@', '/')}"


def another_version(exam: Examination, template: Template) -> Template:
    """Publishes the content of *template* under the same name with another version number."""
    other = replace(template, version="1.0.1")
    answer = exam.publish(other)
    if not 200 <= answer.status < 300:
        raise Unsuited("could-not-run", f"publishing {other.ref} failed: {answer.status}")
    del exam.steps.states[other.ref, other.owner]  # it may share the snapshot of the first version
    return other


def not_found(operation: str) -> tuple[int, ...]:
    """Returns the allowed statuses for a missing version; a request for its log may get a 200 (ambiguity 7.26)."""
    return (200, 404) if operation == "streamBuildEvents" else (404,)


def find_nothing(exam: Examination, deleted: Template) -> None:
    """Sends HEAD requests and each operation for a deleted version, and expects 404."""
    head(exam, deleted, 404)
    for operation in ("getTemplate", "getBuild", "streamBuildEvents", "startBuild", "cancelBuild", "deleteTemplate"):
        exam.request(operation, deleted).expect(*not_found(operation), 429)


def lasting(exam: Examination, sleep_s: float) -> float:
    """Returns the seconds for which a build is to sleep: *sleep_s*, but at most half of build_timeout_s."""
    return min(sleep_s, exam.target.build_timeout_s / 2)


def digest(exam: Examination, template: Template) -> str:
    """Reads the status of a version, and returns the digest in the response."""
    return str(exam.read(template.ref).body.get("digest", ""))


def needs_publishing(exam: Examination) -> None:
    """Ends the case if the run must not publish."""
    if exam.target.publish == "never":
        raise Unsuited("not-applicable", PUBLISH_ADVICE)


def needs_second(exam: Examination) -> None:
    """Ends the case if there is no second account."""
    if not exam.target.second_api_key:
        raise Unsuited("not-applicable", key_advice(exam.target, "second"))


def needs_restricted(exam: Examination) -> None:
    """Ends the case if there is no account below the Scale plan."""
    if not exam.target.restricted_api_key:
        raise Unsuited("not-applicable", key_advice(exam.target, "restricted"))
