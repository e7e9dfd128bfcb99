"""Scenarios about rejected requests, missing versions and publishing."""

from dataclasses import replace

from scenarios import begun, built, scenario, watched

from situations import not_found, path_of, publish_bytes, publish_invalid, publish_refused, raw
from touchstone.check.examination import Examination, Unsuited, key_advice
from touchstone.check.templates import Template, publish_call
from touchstone.facts.exchange import Credential

_VERSION_ADVICE = 'templates = { restricted = ["namespace/name@version"] } to a version of that account'
OPERATIONS = ("startBuild", "getBuild", "cancelBuild", "streamBuildEvents", "getTemplate", "deleteTemplate")

# --- missing versions, wrong keys ------------------------------------------------------------------------------------


@scenario(
    "unknown-version",
    0,
    "lookup.unknown-version-is-404",
    "lookup.unknown-name-is-404",
    "lookup.unknown-namespace-is-404",
    "lookup.odd-spelling-is-404",
    "http.wrong-method-is-405",
)
def unknown_version(exam: Examination) -> None:
    """A missing version gets 404 from each operation, and a wrong method is rejected."""
    template = exam.published("unknown-version")
    for part in ("version", "name", "namespace"):
        for operation in OPERATIONS:
            exam.request(operation, exam.unknown(part, template)).expect(*not_found(operation))
    raw(exam, "GET", "/templates/default/No%20Name/one/build").expect(400, 404, 422)
    raw(exam, "PUT", f"{path_of(template.ref)}/build").expect(404, 405)
    raw(exam, "HEAD", f"{path_of(template.ref)}/build").expect(200, 405)
    exam.read(template).expect(200)


@scenario("missing-key", 1, "auth.missing-key-is-401", "auth.missing-key-text", "auth.refused-changes-nothing")
def missing_key(exam: Examination) -> None:
    """A request without a key is rejected and has no effect."""
    _refused_everywhere(exam, exam.short("missing-key", times=4), ("none",))


@scenario(
    "invalid-key",
    1,
    "auth.unknown-key-is-401",
    "auth.invalid-key-text",
    "auth.near-key-is-401",
    "auth.malformed-header-is-401",
    "auth.query-key-is-401",
)
def invalid_key(exam: Examination) -> None:
    """A request with an invalid key, or a key in the wrong place, is rejected and has no effect."""
    template = exam.short("invalid-key", times=4)
    _refused_everywhere(exam, template, ("unknown", "longer", "shorter", "malformed", "query"))
    exam.request("getBuild", template.ref, "lowercase-scheme").expect(200)


def _refused_everywhere(exam: Examination, template: Template, credentials: tuple[Credential, ...]) -> None:
    for credential in credentials:
        exam.request("startBuild", template.ref, credential).expect(401)
    exam.read(template).expect(200, status="not_built")
    begun(exam, template)
    for credential in credentials:
        for operation in OPERATIONS[1:]:
            exam.request(operation, template.ref, credential).expect(401)
    watched(exam, template)


@scenario("below-plan", 0, "access.start-needs-scale", "access.publish-needs-scale", "access.plan-is-no-key-matter")
def below_plan(exam: Examination) -> None:
    """An account below the Scale plan cannot publish or build."""
    if not exam.target.restricted_api_key or not exam.target.templates.restricted:
        raise Unsuited("not-applicable", f"{key_advice(exam.target, 'restricted')}; set also {_VERSION_ADVICE}")
    ref = exam.target.templates.restricted[0]
    refused = publish_refused(exam, "below-plan", "restricted")
    exam.forget(refused)
    exam.request("startBuild", ref, "restricted").expect(403)
    exam.request("getBuild", ref, "restricted").expect(200, 403)


@scenario("other-account", 1, "access.others-version-is-404", "access.others-change-nothing")
def other_account(exam: Examination) -> None:
    """An account can neither find nor change a version of another account."""
    if not exam.target.second_api_key:
        raise Unsuited("not-applicable", key_advice(exam.target, "second"))
    template = exam.short("other-account", times=2)
    begun(exam, template)
    for operation in OPERATIONS:
        exam.request(operation, template.ref, "second").expect(*not_found(operation))
    watched(exam, template)


# --- publishing ------------------------------------------------------------------------------------------------------


@scenario(
    "republish",
    2,
    "publish.republish-identical-is-accepted",
    "publish.other-content-is-409",
    "publish.conflict-keeps-content",
    "publish.force-replaces",
    "digest.follows-content",
    "digest.ignores-spelling",
    "reuse.only-identical-digest",
)
def republish(exam: Examination) -> None:
    """The same content is accepted again; other content needs force and a new build."""
    template = exam.short("republish")
    built(exam, template)
    exam.publish(template, form="yaml").expect(200, 201)
    revised = replace(template.revised(), sleep_s=2 * template.sleep_s)
    exam.publish(revised).expect(409)
    exam.read(template).expect(200, status="ready")
    exam.publish(revised, force=True).expect(200, 201)
    exam.read(template).expect(200, status="not_built")
    exam.document(template).expect(200)
    built(exam, revised)


@scenario("auto-build", 1, "publish.auto-build-starts", "publish.body-is-documented")
def auto_build(exam: Examination) -> None:
    """One request publishes and builds a version."""
    template = exam.template("auto-build", sleep_s=exam.observable_s())
    exam.publish(template, auto_build=True).expect(200, 201)
    watched(exam, template)


@scenario("invalid-document", 0, "publish.empty-is-400", "publish.unparsable-is-400", "publish.invalid-is-422")
def invalid_document(exam: Examination) -> None:
    """An empty, unparsable or invalid document is rejected."""
    publish_bytes(exam, "invalid-document-empty", b"", "empty").expect(400)
    publish_bytes(exam, "invalid-document-cut", b'{"api_version": ', "unparsable").expect(400)
    publish_invalid(exam, "invalid-document", lambda document: document.pop("api_version")).expect(422)


@scenario(
    "deleted-version",
    1,
    "template.delete-says-deleted",
    "lookup.deleted-version-is-404",
    "start.refuses-deleted-version",
)
def deleted_version(exam: Examination) -> None:
    """A deleted version is not found; when it is published again, it is found."""
    template = exam.short("deleted-version")
    built(exam, template)
    exam.delete(template).expect(200)
    for operation in OPERATIONS:
        exam.request(operation, template.ref).expect(*not_found(operation))
    exam.send(publish_call(template, wrapped=exam.target.publish == "wrapped")).expect(200, 201)
    exam.read(template).expect(200)
