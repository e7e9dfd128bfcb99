"""Rules on authentication and authorisation."""

from typing import Any

import pytest

from tests.rules.exchanges import ERROR, OTHER_REF, REF, UNKNOWN_REF, exchange, frame, given, publish
from tests.rules.judging import broken, cases, exchange_rules, outcome, verdicts
from tests.rules.stories import cancel, read, start
from touchstone.facts.exchange import REFUSED_CREDENTIALS, Credential, Exchange
from touchstone.rules import access

RULES = exchange_rules("access")
ABOUT = ("startBuild", "getBuild", "cancelBuild", "streamBuildEvents", "getTemplate", "deleteTemplate")
CLAIMS: dict[Credential, str] = {
    "none": "auth.missing-key-is-401",
    "unknown": "auth.unknown-key-is-401",
    "longer": "auth.near-key-is-401",
    "shorter": "auth.near-key-is-401",
    "recased": "auth.unknown-key-is-401",
    "malformed": "auth.malformed-header-is-401",
    "query": "auth.query-key-is-401",
}
PUBLISH_PLAN, PLAN, OTHERS = "access.publish-needs-scale", "access.start-needs-scale", "access.others-version-is-404"
CUT: dict[str, Any] = {"json": ERROR, "error": "ReadError: connection closed", "seq": 2}
MISSING, INVALID = {"error": "Missing API key."}, {"error": "Invalid API key"}
ODD_PATH = "/templates/default/a%2Fb/1.0.0/build"


@pytest.mark.parametrize("operation", [*ABOUT, "publishTemplate"])
@pytest.mark.parametrize("credential", sorted(REFUSED_CREDENTIALS))
def test_refused_key_gets_401_from_every_operation(operation: str, credential: Credential) -> None:
    for status in (401, 200, 202, 403, 404, 500):
        answer = exchange(operation, status, credential=credential, note={"content": "x"}, json={})
        assert verdicts(RULES, answer) == {(CLAIMS[credential], "held" if status == 401 else "broken")}


@cases(
    "facts expected",
    {
        "no answer": ({"status": 0}, ""),
        "an odd path": ({"status": 404, "path": ODD_PATH}, ""),
        "a redirect": ({"status": 307, "path": "/templates/default/a/1.0.0/build/"}, ""),
        "any document, 400": ({"operation": "publishTemplate", "status": 400}, ""),
        "any document, 415": ({"operation": "publishTemplate", "status": 415}, ""),
        "any document, 422": ({"operation": "publishTemplate", "status": 422}, ""),
        "a body": ({"operation": "startBuild", "status": 415, "request_body": b"x"}, ""),
        "another method": ({"operation": "", "method": "PUT", "status": 405}, ""),
        "HEAD refused": ({"method": "HEAD", "status": 401}, ""),
        "HEAD served": ({"method": "HEAD", "status": 200}, "broken"),
        "cut off": (CUT, ""),
        "a limit": ({"status": 429}, "indeterminate"),
    },
)
def test_refusal_before_the_key_is_read_is_fair(facts: dict[str, Any], expected: str) -> None:
    assert outcome(RULES, CLAIMS["none"], exchange(**facts, credential="none")) == expected


@pytest.mark.parametrize("credential", ["none", "unknown", "longer", "shorter", "recased"])
def test_text_of_401_names_the_kind_of_problem(credential: Credential) -> None:
    right, wrong = (MISSING, INVALID) if credential == "none" else (INVALID, MISSING)
    claim = "auth.missing-key-text" if credential == "none" else "auth.invalid-key-text"
    for text, expected in ((right, "held"), (wrong, "broken"), ({"error": right["error"].lower()}, "broken")):
        assert outcome(RULES, claim, exchange(status=401, json=text, credential=credential)) == expected


@pytest.mark.parametrize("credential", ["malformed", "query"])
@pytest.mark.parametrize("json", [MISSING, INVALID, {}, {"error": 1}], ids=str)
def test_text_is_free_where_it_is_not_documented(credential: Credential, json: Any) -> None:
    answer = exchange(status=401, json=json, credential=credential)

    assert verdicts(RULES, answer) == {(CLAIMS[credential], "held")}


@cases(
    "credential claim",
    {
        "primary": ("primary", "auth.valid-key-is-accepted"),
        "second": ("second", "auth.valid-key-is-accepted"),
        "lowercase-scheme": ("lowercase-scheme", "auth.scheme-ignores-case"),
        "restricted": ("restricted", "access.plan-is-no-key-matter"),
    },
)
def test_valid_key_is_never_401(credential: Credential, claim: str) -> None:
    expected = {200: "held", 401: "broken", 403: "held", 404: "held", 429: "", 500: ""}
    for status, verdict in expected.items():
        answer = exchange(status=status, json=ERROR, credential=credential)
        assert verdicts(RULES, answer) == ({(claim, verdict)} if verdict else set())


@pytest.mark.parametrize("odd", [{"path": ODD_PATH}, {"operation": "", "method": "PUT"}], ids=str)
def test_401_outside_the_operations_accuses_no_key(odd: dict[str, Any]) -> None:
    assert verdicts((access.accepted_key,), exchange(status=401, json=ERROR, **odd)) == set()


@cases(
    "status expected",
    {
        "refused": (403, "held"),
        "published": (201, "broken"),
        "404": (404, "broken"),
        "a limit": (429, "indeterminate"),
        "a body, 400": (400, "indeterminate"),
        "a conflict": (409, "indeterminate"),
        "a key": (401, ""),
        "no answer": (0, ""),
    },
)
def test_publishing_below_scale_is_403(status: int, expected: str) -> None:
    answer = exchange("publishTemplate", status, json=ERROR, credential="restricted", note={"content": 1})

    assert outcome(RULES, PUBLISH_PLAN, answer) == expected
    assert outcome(RULES, PUBLISH_PLAN, exchange("publishTemplate", credential="restricted", **CUT)) == ""


# --- starts below the Scale plan --------------------------------------------------------------------------------------


def small_start(seq: int = 4, status: int = 403, credential: Credential = "restricted", **more: Any) -> Exchange:
    return start(seq, status, credential=credential, **more)


def small_read(seq: int, state: str, **more: Any) -> Exchange:
    return read(seq, state, credential="restricted", **more)


def below(*exchanges: Exchange, ref: str = REF) -> str:
    """Outcomes for starts of a version of an account below the Scale plan."""
    return outcome((access.start_needs_scale,), PLAN, *exchanges, ref=ref, given=given("restricted"))


@cases(
    "status own elsewhere",
    {
        "refused": (403, "held", "held"),
        "not found": (404, "broken", "indeterminate"),
        "served": (202, "broken", "broken"),
        "a limit": (429, "indeterminate", "indeterminate"),
        "a failure": (500, "broken", "broken"),
        "a key": (401, "", ""),
    },
)
def test_starting_below_scale_is_403(status: int, own: str, elsewhere: str) -> None:
    assert below(small_start(2, status)) == own
    assert below(small_start(2, status, ref=UNKNOWN_REF), ref=UNKNOWN_REF) == elsewhere


def test_each_start_below_scale_is_judged_by_itself() -> None:
    beside = (small_start(2, credential="primary"), small_start(3, 0), small_start(4, 401))

    assert below(*beside, small_start(5, 202)) == "broken"
    assert below(exchange("startBuild", 202, credential="restricted", **CUT)) == ""


NOT_BUILT, BUILDING = small_read(3, "not_built"), small_read(5, "building")
ANYWAY = (publish(6, OTHER_REF), read(7, "not_built", ref=OTHER_REF), read(8, "building", ref=OTHER_REF))


@cases(
    "story expected",
    {
        "it builds": ((NOT_BUILT, small_start(), BUILDING), "broken held"),
        "it is ready": ((NOT_BUILT, small_start(), small_read(5, "ready")), "broken held"),
        "nothing changes": ((NOT_BUILT, small_start(), small_read(5, "not_built")), "held"),
        "versions that are only read build": ((NOT_BUILT, small_start(), BUILDING, *ANYWAY), "held"),
        "no start": ((NOT_BUILT, BUILDING), ""),
        "a build ran before": ((small_read(3, "building"), small_start(), small_read(5, "ready")), "held"),
        "answered after the second": ((NOT_BUILT, small_start(done_at=5.001), BUILDING), "held"),
        "reads that overlap": ((small_read(3, "not_built", done_at=6.0), small_start(), BUILDING), "held"),
        "one start met a limit": (
            (NOT_BUILT, small_start(4, 429), small_start(), BUILDING),
            "broken held indeterminate",
        ),
    },
)
def test_reads_around_a_refused_start_show_whether_it_built(story: tuple[Exchange, ...], expected: str) -> None:
    assert below(*story) == expected


def test_build_on_an_account_above_the_plan_accuses_nobody() -> None:
    story = [publish(), read(3, "not_built"), small_start(4), read(5)]

    assert broken(verdicts((access.start_needs_scale,), *story)) == set()


# --- versions of another account --------------------------------------------------------------------------------------


def others(*exchanges: Exchange) -> str:
    return outcome((access.others_version,), OTHERS, *exchanges)


@pytest.mark.parametrize("operation", ABOUT)
def test_version_of_another_account_is_404(operation: str) -> None:
    expected = {404: "held", 202: "broken", 403: "broken", 409: "broken", 500: "broken", 429: "indeterminate"}
    for status, verdict in expected.items():
        request = exchange(operation, status, json=ERROR, credential="second", seq=2)
        back = exchange(operation, status, json=ERROR, seq=2)
        assert others(publish(), request) == others(publish(credential="second"), back) == verdict


@cases(
    "story expected",
    {
        "an empty log": ((exchange("streamBuildEvents", credential="second", seq=2),), "held"),
        "a comment in a log": ((exchange("streamBuildEvents", body=b": none\n\n", credential="second", seq=2),),
            "held"),
        "a frame": ((exchange("streamBuildEvents", body=frame({}), credential="second", seq=2),), "broken"),
        "one's own": ((read(2),), ""),
        "a publish of that name": ((exchange("publishTemplate", 201, json={}, credential="second", seq=2),), ""),
        "no answer": ((exchange(status=0, credential="second", seq=2),), ""),
        "cut off": ((exchange(credential="second", **CUT),), ""),
        "a refused key": ((read(2, credential="none"),), ""),
        "beside the publish": ((read(2, credential="second", sent_at=1.001),), ""),
        "a body refused first": ((exchange("startBuild", 415, request_body=b"x", credential="second", seq=2),), ""),
        "both accounts have it": ((publish(2, credential="second"), read(3, credential="second")), ""),
        "after what cannot be judged": ((read(2), read(3, status=401, credential="second"),
            read(4, credential="second", path="/templates/default/%20/1.0.0/build"), read(5, credential="second")),
            "broken"),
        "an idle cancel": ((cancel(2, 404, credential="second", ref=UNKNOWN_REF, json=ERROR),
            cancel(3, 404, credential="second")), "held"),
    },
)  # fmt: skip
def test_only_a_valid_key_on_an_existing_version_shows_isolation(story: tuple[Exchange, ...], expected: str) -> None:
    assert others(publish(), *story) == expected


@cases(
    "text usual expected",
    {
        "the same": ("No such version.", "No such version.", "held"),
        "with each one's ref": (f"{REF} is not found.", f"{UNKNOWN_REF} is not found.", "held"),
        "another text": ("You have no access.", "No such version.", "broken"),
    },
)
def test_404_for_anothers_version_reads_like_any_other(text: str, usual: str, expected: str) -> None:
    body = {"error": usual, "request_id": "1"}
    missing = exchange(status=404, json=body, credential="second", ref=UNKNOWN_REF, seq=2)
    theirs = exchange(status=404, json={"error": text, "request_id": "2"}, credential="second", seq=3)

    assert others(publish(), missing, theirs) == expected


@cases(
    "missing theirs expected",
    {
        "none": ([[], []], [[], []], "held"),
        "each of theirs": ([[], []], [["etag"], ["etag"]], "broken"),
        "one of both kinds": ([[], ["ETag"]], [["etag"], ["etag"]], "held"),
        "one of what nobody has": ([[]], [["etag"], ["etag"]], "held"),
    },
)
def test_header_on_each_404_gives_a_version_away(
    missing: list[list[str]], theirs: list[list[str]], expected: str
) -> None:
    pairs = [*((UNKNOWN_REF, names) for names in missing), *((REF, names) for names in theirs)]
    story = [
        exchange(status=404, json=ERROR, headers=dict.fromkeys(names, "1"), credential="second", ref=ref, seq=seq)
        for seq, (ref, names) in enumerate(pairs, 2)
    ]

    assert others(publish(), *story) == expected
