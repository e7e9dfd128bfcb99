"""Section *Errors* of the page, 404: missing versions and invalid paths; and methods that a path does not have."""

from situations import claims, cost, given, not_found, path_of, raw
from touchstone.check.examination import Examination
from touchstone.rules.messages import NO_SUCH_PATH, REDIRECTS

READS = ("getBuild", "cancelBuild", "startBuild", "streamBuildEvents", "getTemplate", "deleteTemplate")

# Answers to an invalid path: 404 or 400. A proxy in front of the API may refuse it otherwise, or redirect.
NOWHERE = (404, 400, *sorted((NO_SUCH_PATH | REDIRECTS) - {404, 400}))
# Answers to a method that a path does not have.
NO_SUCH_METHOD = (405, 404)

# SQL injection, sent only in reads: in a start or cancel, a successful injection would affect every version.
INJECTION = "'%20or%201=1--"
# Path segments in encoded form: percent-encoded, not UTF-8, controls, dots, slashes; injections and symbols; long ones.
ENCODED = ("%C3%A9t%C3%A9", "%FF%FE", "%00", "%0A", "%20", "%2e%2e", "%2E", "%2F", "a%2Fb", "%25", "%zz")
UNUSUAL = (INJECTION, "%3Cscript%3E", "${7*7}", "%F0%9F%92%A5", "%E2%80%AE")
ODD_SEGMENTS = ("a" * 65, "a" * 4000, *ENCODED, "UPPER", "under_score", "-dash", *UNUSUAL)
NOT_SEMANTIC = ("1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "latest", "1.0.x", "*", "-1.0.0")
ODD_VERSIONS = (*NOT_SEMANTIC, "1.0.0%20", "%201.0.0", "99999999999999999999.0.0")


@given
@cost(builds=0, requests=24)
@claims("lookup.unknown-version-is-404", "lookup.unknown-name-is-404", "lookup.unknown-namespace-is-404")
def test_unknown_versions_are_not_found(exam: Examination) -> None:
    """A missing version, name or namespace gets 404 from each operation."""
    for part in ("version", "name", "namespace"):
        for operation in READS:
            exam.request(operation, exam.unknown(part)).expect(*not_found(operation), 429)


@given
@cost(builds=0, requests=110)
@claims("lookup.odd-spelling-is-404", "http.no-server-error", "error.shows-no-internals")
def test_odd_spellings_are_not_found(exam: Examination) -> None:
    """An invalid path segment gets 404 or 400, wherever it is in the path.

    Names in starts and cancels have the prefix of this run: if a server accepts them, no other version is affected.
    They come first because they need no ready version.
    """
    for segment in ODD_SEGMENTS:
        path = f"/templates/default/touchstone-{exam.run_id}-{segment}/1.0.0/build"
        raw(exam, "GET", path).expect(*NOWHERE)
        if segment != INJECTION:
            raw(exam, "POST", path).expect(*NOWHERE, 429)
            raw(exam, "DELETE", path).expect(*NOWHERE)
    ready = exam.ready()
    for segment in ODD_SEGMENTS:
        raw(exam, "GET", f"/templates/{segment}/{ready.name}/1.0.0/build").expect(*NOWHERE)
        raw(exam, "GET", f"/templates/default/{ready.name}/{segment}/build").expect(*NOWHERE)


def controlled(name: str) -> list[str]:
    """Returns variants of *name* with a control character that some servers strip."""
    return [f"{name}%00", f"%09{name}", f"{name[:-1]}%0A{name[-1]}"]


def encoded_twice(name: str) -> str:
    """Returns *name* with its first letter encoded twice: the letter appears only after two decodings."""
    return f"%25{ord(name[0]):02X}{name[1:]}"


@cost(builds=0, requests=56)
@claims(
    "lookup.odd-spelling-is-404 lookup.unknown-version-is-404 lookup.unknown-name-is-404",
    "lookup.unknown-namespace-is-404",
)
def test_ref_is_compared_whole(exam: Examination) -> None:
    """Refs similar to an existing one are not found: shortened, prefixed, in upper case, or ``latest``."""
    name = exam.ready().name
    for version in ODD_VERSIONS:
        raw(exam, "GET", f"/templates/default/{name}/{version}/build").expect(*NOWHERE)
        raw(exam, "POST", f"/templates/default/{name}/{version}/build").expect(*NOWHERE, 429)
    extended = (f"{name}x", f"{name}%20", f"{name}.")
    for similar in (name.upper(), name[:-1], *extended, *controlled(name), encoded_twice(name)):
        raw(exam, "GET", f"/templates/default/{similar}/1.0.0/build").expect(*NOWHERE)
        raw(exam, "POST", f"/templates/default/{similar}/1.0.0/build").expect(*NOWHERE, 429)
    for namespace in ("DEFAULT", "defaul", "defaults", "%20default", ""):
        raw(exam, "GET", f"/templates/{namespace}/{name}/1.0.0/build").expect(*NOWHERE)
    for near in ("1.0.1", "0.0.0", "1.0.10", "10.0.0"):
        raw(exam, "GET", f"/templates/default/{name}/{near}/build").expect(404)
        raw(exam, "POST", f"/templates/default/{name}/{near}/build").expect(404, 429)


@cost(builds=0, at_once=1, requests=36)
@claims("http.wrong-method-is-405 http.head-matches-get status.changes-only-by-a-start auth.missing-key-is-401")
def test_methods_that_a_path_does_not_have(exam: Examination) -> None:
    """Wrong methods get 405 or 404, and HEAD matches GET or gets 405."""
    ready = exam.ready()
    for path in (f"{path_of(ready.ref)}/build", path_of(ready.ref)):
        for method in ("PUT", "PATCH"):
            raw(exam, method, path).expect(*NO_SUCH_METHOD)
        raw(exam, "GET", path).expect(200)
        raw(exam, "HEAD", path).expect(200, 405)
        raw(exam, "OPTIONS", path)
        raw(exam, "GET", path, "none").expect(401)
        raw(exam, "HEAD", path, "none").expect(401, 405)
    raw(exam, "DELETE", "/templates").expect(*NO_SUCH_METHOD)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        raw(exam, method, f"{path_of(ready.ref)}/build/events").expect(*NO_SUCH_METHOD)
    exam.read(ready).expect(200, status="ready")
    for end in ("/build", ""):
        raw(exam, "GET", f"/templates/default/{ready.name}/9.9.9{end}").expect(404)
        raw(exam, "HEAD", f"/templates/default/{ready.name}/9.9.9{end}").expect(404, 405)
    exam.read(ready).expect(200, status="ready")
    idle = exam.published("looked-at")
    exam.read(idle).expect(200, status="not_built")
    for method in ("POST", "DELETE"):
        raw(exam, method, f"{path_of(idle.ref)}/build/events").expect(*NO_SUCH_METHOD)
    exam.read(idle).expect(200, status="not_built")
    raw(exam, "HEAD", f"{path_of(idle.ref)}/build/events").expect(200, 404, 405)
    for end in ("/build", ""):
        raw(exam, "HEAD", f"{path_of(idle.ref)}{end}").expect(200, 405)
    exam.read(idle).expect(200, status="not_built")
