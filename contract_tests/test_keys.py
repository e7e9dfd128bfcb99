"""Section *Errors* of the page, 401: missing, invalid and misplaced keys, on each operation."""

from situations import attempt, claims, cost, given, publish_refused
from touchstone.check.examination import Examination, Unsuited
from touchstone.facts.exchange import Credential

# Operations of a version, besides its publication.
OPERATIONS = ("startBuild", "getBuild", "cancelBuild", "streamBuildEvents", "getTemplate", "deleteTemplate")
REFUSED: tuple[Credential, ...] = ("none", "unknown", "longer", "shorter", "malformed", "query")


@given
@cost(builds=0, requests=62)
@claims(
    "auth.missing-key-is-401 auth.unknown-key-is-401 auth.near-key-is-401 auth.malformed-header-is-401",
    "auth.query-key-is-401 auth.missing-key-text auth.invalid-key-text auth.refused-changes-nothing",
    "error.has-the-documented-shape error.request-id-is-a-string error.has-no-upstream-status",
    "error.does-not-repeat-the-key error.shows-no-internals",
)
def test_refused_keys_get_401_everywhere(exam: Examination) -> None:
    """Each kind of invalid key gets 401 on each operation and changes nothing."""
    ready, publishes = exam.ready(), exam.target.publish != "never"
    for credential in REFUSED:
        for operation in (*OPERATIONS, "publishTemplate") if publishes else OPERATIONS:
            attempt(exam, operation, ready, credential).expect(401)
        exam.read(ready).expect(200, status="ready")
    if publishes:
        refused = publish_refused(exam, "keyless", "none")
        exam.read(refused).expect(404)
        exam.publish(refused).expect(201, 200)
        exam.read(refused).expect(200, status="not_built")


@given
@cost(builds=0, requests=14)
@claims("auth.missing-key-is-401", "auth.unknown-key-is-401")
def test_refused_keys_on_unknown_versions(exam: Examination) -> None:
    """A request with an invalid key gets 401 even if the version does not exist."""
    for operation in OPERATIONS:
        for credential in ("none", "unknown"):
            exam.request(operation, exam.unknown("name"), credential).expect(401)


@given
@cost(builds=0, requests=4)
@claims("auth.unknown-key-is-401")
def test_key_is_compared_letter_by_letter(exam: Examination) -> None:
    """A valid key becomes invalid if its upper-case and lower-case letters are exchanged."""
    key = exam.target.credentials().primary
    if key == key.swapcase():
        raise Unsuited("not-applicable", "the key has no letters")
    ready = exam.ready()
    for operation in ("getBuild", "startBuild"):
        exam.request(operation, ready, "recased").expect(401)


@given
@cost(builds=0, requests=4)
@claims("auth.near-key-is-401")
def test_key_is_compared_from_its_first_letter_on(exam: Examination) -> None:
    """A key with an extra first character, or without its first character, is invalid."""
    ready, key = exam.ready(), exam.target.credentials().primary
    near: tuple[tuple[Credential, str], ...] = (("longer", f"x{key}"), ("shorter", key[1:]))
    for operation in ("getBuild", "startBuild"):
        for credential, value in near:
            exam.request(operation, ready, credential, f"Bearer {value}").expect(401)


@given
@cost(builds=0, requests=37)
@claims("auth.malformed-header-is-401")
def test_key_needs_the_bearer_scheme(exam: Examination) -> None:
    """A key without the Bearer scheme, or the scheme without a key, is rejected."""
    ready, key = exam.ready(), exam.target.credentials().primary
    for value in (f"{key}", f"Token {key}", f"ApiKey {key}", f"Bearer{key}", "Bearer", f"Digest {key}"):
        for operation in OPERATIONS:
            exam.request(operation, ready, "malformed", value).expect(401)
    exam.read(ready).expect(200, status="ready")


@given
@cost(builds=0, requests=4)
@claims("auth.scheme-ignores-case")
def test_scheme_is_recognised_in_any_case(exam: Examination) -> None:
    """A valid key is accepted after ``bearer``, ``BEARER`` and ``bEARER``, and for a missing version, too."""
    exam.request("getBuild", exam.unknown("name"), "lowercase-scheme").expect(404)
    ready = exam.ready()
    exam.request("getBuild", ready, "lowercase-scheme").expect(200, status="ready")
    for scheme in ("BEARER", "bEARER"):
        value = f"{scheme} {exam.target.credentials().primary}"
        exam.request("getBuild", ready, "lowercase-scheme", value).expect(200, status="ready")
