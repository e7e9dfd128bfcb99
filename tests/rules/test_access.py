"""Rules on who is let in."""

from typing import Any

import pytest

from tests.rules.exchanges import (
    REF,
    UNKNOWN_REF,
    broken,
    build,
    exchange,
    exchange_rules,
    frame,
    history,
    publish,
    story_rules,
    story_verdicts,
    verdicts,
)
from touchstone.facts.exchange import REFUSED_CREDENTIALS, Credential, Exchange
from touchstone.rules import access
from touchstone.rules.history import Content

OPERATIONS = (
    "startBuild",
    "getBuild",
    "cancelBuild",
    "streamBuildEvents",
    "getTemplate",
    "deleteTemplate",
    "publishTemplate",
)
CLAIMS = {
    "none": "auth.missing-key-is-401",
    "unknown": "auth.unknown-key-is-401",
    "longer": "auth.near-key-is-401",
    "shorter": "auth.near-key-is-401",
    "recased": "auth.unknown-key-is-401",
    "malformed": "auth.malformed-header-is-401",
    "query": "auth.query-key-is-401",
}
MISSING = {"error": "Missing API key. Send one as a bearer token."}
INVALID = {"error": "Invalid API key"}
ERROR = {"error": "no"}


def test_each_refused_key_has_a_claim() -> None:
    """No way of showing a wrong key is left without a claim."""
    assert set(CLAIMS) == set(REFUSED_CREDENTIALS)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("credential", sorted(REFUSED_CREDENTIALS))
@pytest.mark.parametrize(
    ("status", "outcome"),
    [(401, "held"), (200, "broken"), (202, "broken"), (403, "broken"), (404, "broken"), (500, "broken")],
)
def test_refused_key_gets_401_from_every_operation(
    operation: str, credential: Credential, status: int, outcome: str
) -> None:
    """A wrong key is told so by every operation; anything else breaks the claim about that kind of key."""
    answer = exchange(operation, status, credential=credential, note={"content": "x"}, json={})

    assert verdicts(exchange_rules("access"), answer) == {(CLAIMS[credential], outcome)}


@pytest.mark.parametrize(
    "facts",
    [
        {"status": 0},
        {"status": 404, "path": "/templates/default/a%2Fb/1.0.0/build"},
        {"status": 307, "path": "/templates/default/a/1.0.0/build/"},
        {"operation": "publishTemplate", "status": 400, "note": {"invalid": "empty"}},
        {"operation": "publishTemplate", "status": 422},
        {"operation": "startBuild", "status": 415, "request_body": b"x"},
        {"operation": "", "method": "PUT", "status": 405},
        {"operation": "getBuild", "method": "HEAD", "status": 405},
    ],
)
def test_refusal_before_the_key_is_looked_at_is_fair(facts: dict[str, Any]) -> None:
    """What is odd about a request, or that nothing was answered, comes before the key."""
    assert verdicts(exchange_rules("access"), exchange(**facts, credential="none")) == set()


def test_limit_before_the_key_is_indeterminate() -> None:
    """A limit that a wrong key meets says nothing about keys."""
    assert verdicts(exchange_rules("access"), exchange(status=429, credential="none")) == {
        ("auth.missing-key-is-401", "indeterminate")
    }


@pytest.mark.parametrize(
    ("credential", "json", "claim", "outcome"),
    [
        ("none", MISSING, "auth.missing-key-text", "held"),
        ("none", INVALID, "auth.missing-key-text", "broken"),
        ("none", {"error": "Unauthorized: Missing API key"}, "auth.missing-key-text", "broken"),
        ("unknown", INVALID, "auth.invalid-key-text", "held"),
        ("unknown", MISSING, "auth.invalid-key-text", "broken"),
        ("longer", {"error": "invalid api key"}, "auth.invalid-key-text", "broken"),
        ("shorter", INVALID, "auth.invalid-key-text", "held"),
    ],
)
def test_text_of_401_starts_as_documented(credential: Credential, json: Any, claim: str, outcome: str) -> None:
    """The text tells a missing key from a wrong one."""
    answer = exchange(status=401, json=json, credential=credential)

    assert {v for v in verdicts(exchange_rules("access"), answer) if v[0].endswith("-text")} == {(claim, outcome)}


@pytest.mark.parametrize("credential", ["malformed", "query"])
@pytest.mark.parametrize("json", [MISSING, INVALID, {}, {"error": 1}])
def test_text_is_free_where_it_is_not_documented(credential: Credential, json: Any) -> None:
    """What a malformed header or a key in the wrong place is told is not documented."""
    answer = exchange(status=401, json=json, credential=credential)

    assert verdicts(exchange_rules("access"), answer) == {(CLAIMS[credential], "held")}


@pytest.mark.parametrize(
    ("credential", "claim"),
    [
        ("primary", "auth.valid-key-is-accepted"),
        ("second", "auth.valid-key-is-accepted"),
        ("lowercase-scheme", "auth.scheme-ignores-case"),
        ("restricted", "access.plan-is-no-key-matter"),
    ],
)
def test_valid_key_is_never_401(credential: Credential, claim: str) -> None:
    """401 to a valid key breaks the claim about that kind of key; 404 and 403 uphold it; 429 and 500 show nothing."""
    outcomes = {
        status: verdicts(exchange_rules("access"), exchange(status=status, json=ERROR, credential=credential))
        for status in (200, 401, 403, 404, 429, 500)
    }

    assert outcomes == {
        200: {(claim, "held")},
        401: {(claim, "broken")},
        403: {(claim, "held")},
        404: {(claim, "held")},
        429: set(),
        500: set(),
    }


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (403, "held"),
        (201, "broken"),
        (404, "broken"),
        (429, "indeterminate"),
        (400, "indeterminate"),
        (409, "indeterminate"),
    ],
)
def test_publishing_below_scale_is_403(status: int, outcome: str) -> None:
    """A small plan cannot publish; what is wrong with the document may be told first."""
    answer = exchange("publishTemplate", status, json=ERROR, credential="restricted")

    assert ("access.publish-needs-scale", outcome) in verdicts(exchange_rules("access"), answer)


GIVEN = {REF: Content(REF, "restricted", "", "ready", 0.0, "", 0, 0.0, 0.0)}


@pytest.mark.parametrize(
    ("status", "own", "elsewhere"),
    [
        (403, "held", "held"),
        (404, "broken", "indeterminate"),
        (202, "broken", "broken"),
        (429, "indeterminate", "indeterminate"),
        (500, "broken", "broken"),
    ],
)
def test_starting_below_scale_is_403(status: int, own: str, elsewhere: str) -> None:
    """A small plan cannot start: 403 on its own version; on others 404 may come first."""
    claim = "access.start-needs-scale"
    mine = exchange("startBuild", status, json=ERROR, credential="restricted", seq=2)
    unknown = exchange("startBuild", status, json=ERROR, credential="restricted", seq=2, ref=UNKNOWN_REF)

    assert story_verdicts((access.start_needs_scale,), mine, given=GIVEN) == {(claim, own)}
    assert story_verdicts((access.start_needs_scale,), unknown, ref=UNKNOWN_REF) == {(claim, elsewhere)}


def test_refused_start_is_not_blamed_where_reads_begin_builds() -> None:
    """A build that begins after a refused start says nothing of plans where versions build that are only read."""
    claim = "access.start-needs-scale"
    reads = [
        exchange("getBuild", seq=2, credential="restricted", json=build("not_built")),
        exchange("startBuild", 403, seq=3, credential="restricted", json=ERROR),
        exchange("getBuild", seq=4, credential="restricted", json=build("building")),
    ]
    other = "default/touchstone-t1-other@1.0.0"
    anyway = [
        publish(5, other),
        exchange("getBuild", seq=6, ref=other, json=build("not_built", ref=other)),
        exchange("getBuild", seq=7, ref=other, json=build("building", ref=other)),
    ]

    assert claim in broken(story_verdicts((access.start_needs_scale,), *reads, given=GIVEN))
    assert claim not in broken(story_verdicts((access.start_needs_scale,), *reads, *anyway, given=GIVEN))


def test_small_plan_taken_for_a_wrong_key_is_told_once() -> None:
    """401 for a small plan is the claim about keys, not the one about plans."""
    answer = exchange("startBuild", 401, json=ERROR, credential="restricted", seq=2)

    assert story_verdicts(story_rules("access"), answer, given=GIVEN) == set()
    assert broken(verdicts(exchange_rules("access"), answer)) == {"access.plan-is-no-key-matter"}


OTHERS = "access.others-version-is-404"


@pytest.mark.parametrize("operation", OPERATIONS[:-1])
@pytest.mark.parametrize(
    ("status", "outcome"),
    [(404, "held"), (202, "broken"), (403, "broken"), (409, "broken"), (500, "broken"), (429, "indeterminate")],
)
def test_others_version_looks_missing(operation: str, status: int, outcome: str) -> None:
    """Another account's version is 404 for every operation, in both directions."""
    seen = exchange(operation, status, json=ERROR, credential="second", seq=2)
    back = exchange(operation, status, json=ERROR, credential="primary", seq=2)

    assert story_verdicts((access.others_version,), publish(), seen) == {(OTHERS, outcome)}
    assert story_verdicts((access.others_version,), publish(credential="second"), back) == {(OTHERS, outcome)}


@pytest.mark.parametrize(
    ("body", "outcome"), [(b"", "held"), (b": nothing here\n\n", "held"), (frame({"line": "secret"}), "broken")]
)
def test_others_log_is_missing_or_empty(body: bytes, outcome: str) -> None:
    """Another account's log may be an empty stream, but not one with a frame."""
    seen = exchange("streamBuildEvents", body=body, credential="second", seq=2)

    assert story_verdicts((access.others_version,), publish(), seen) == {(OTHERS, outcome)}


NO_EVIDENCE: list[tuple[str, Exchange]] = [
    ("one's own", exchange(json=build(), seq=2)),
    ("published under the same ref", exchange("publishTemplate", 201, json={}, credential="second", seq=2)),
    ("a small plan is 403", exchange(status=403, json=ERROR, credential="restricted", seq=2)),
    ("401", exchange(status=401, json=ERROR, credential="second", seq=2)),
    ("no answer", exchange(status=0, credential="second", seq=2)),
    ("a refused key", exchange(json=build(), credential="none", seq=2)),
    ("while it was being published", exchange(json=build(), credential="second", seq=2, sent_at=1.001)),
    ("a body refused first", exchange("startBuild", 415, request_body=b"x", credential="second", seq=2)),
]


@pytest.mark.parametrize("answer", [e for _, e in NO_EVIDENCE], ids=[n for n, _ in NO_EVIDENCE])
def test_other_requests_are_no_evidence_of_isolation(answer: Exchange) -> None:
    """Only a valid key of another account, on a version that surely exists, shows whether accounts are kept apart."""
    assert story_verdicts((access.others_version,), publish(), answer) == set()


def test_version_that_both_accounts_have_is_not_judged() -> None:
    """Where both accounts published one name, each may see its own."""
    story = (publish(1), publish(2, credential="second"), exchange(json=build(), credential="second", seq=3))

    assert story_verdicts((access.others_version,), *story) == set()


@pytest.mark.parametrize(("status", "claims"), [(200, {"auth.missing-key-is-401"}), (401, set()), (405, set())])
def test_refused_key_is_not_served_by_head_either(status: int, claims: set[str]) -> None:
    """HEAD may be refused in any way; without a key it is not served."""
    head = exchange("getBuild", status, method="HEAD", credential="none")

    assert broken(verdicts(exchange_rules("access"), head)) == claims


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("No such template version.", "held"),
        (f"{REF} is not found.", "held"),
        ("You have no access to this version.", "broken"),
    ],
)
def test_anothers_version_is_told_like_one_that_nobody_has(text: str, outcome: str) -> None:
    """A 404 in other words than usual tells that there is something to be found."""
    usual = text if outcome == "held" else "No such template version."
    missing = {"error": usual.replace(REF, UNKNOWN_REF), "request_id": "r1"}
    story = [
        publish(1),
        exchange(status=404, json=missing, credential="second", ref=UNKNOWN_REF, seq=2),
        exchange(status=404, json={"error": text, "request_id": "r2"}, credential="second", seq=3),
    ]
    assert story_verdicts((access.others_version,), *story) == {(OTHERS, outcome)}


def test_cancel_of_anothers_version_may_be_told_in_either_way() -> None:
    """Nothing to cancel and no such version are both 404 (facts 7.14)."""
    story = [
        publish(1),
        exchange("cancelBuild", 404, json={"error": "no"}, credential="second", ref=UNKNOWN_REF, seq=2),
        exchange("cancelBuild", 404, json={"status": "idle"}, credential="second", seq=3),
    ]
    assert story_verdicts((access.others_version,), *story) == {(OTHERS, "held")}


def answered_404(seq: int, ref: str, *headers: str) -> Exchange:
    told = {"error": "No such template version."}
    return exchange(status=404, json=told, headers=dict.fromkeys(headers, "1"), credential="second", ref=ref, seq=seq)


HEADED: list[tuple[str, list[Exchange], str]] = [
    ("no others", [answered_404(n, UNKNOWN_REF) for n in (2, 3)] + [answered_404(n, REF) for n in (4, 5)], "held"),
    (
        "a tag on what somebody has",
        [answered_404(n, UNKNOWN_REF) for n in (2, 3)] + [answered_404(n, REF, "etag") for n in (4, 5)],
        "broken",
    ),
    (
        "a tag on one of both kinds",
        [
            answered_404(2, UNKNOWN_REF),
            answered_404(3, UNKNOWN_REF, "ETag"),
            *(answered_404(n, REF, "etag") for n in (4, 5)),
        ],
        "held",
    ),
    (
        "a tag on some of what somebody has",
        [answered_404(n, UNKNOWN_REF) for n in (2, 3)] + [answered_404(4, REF), answered_404(5, REF, "etag")],
        "held",
    ),
    ("one of each", [answered_404(2, UNKNOWN_REF), answered_404(4, REF, "etag")], "held"),
    (
        "one of what somebody has",
        [answered_404(2, UNKNOWN_REF), answered_404(3, UNKNOWN_REF), answered_404(4, REF, "etag")],
        "held",
    ),
    (
        "one of what nobody has",
        [answered_404(2, UNKNOWN_REF), *(answered_404(n, REF, "etag") for n in (4, 5))],
        "held",
    ),
]


@pytest.mark.parametrize(("story", "outcome"), [row[1:] for row in HEADED], ids=[row[0] for row in HEADED])
def test_headers_do_not_tell_anothers_version_from_a_missing_one(story: list[Exchange], outcome: str) -> None:
    """A header on each 404 for somebody's version and on none for what nobody has gives it away; once is chance."""
    assert story_verdicts((access.others_version,), publish(1), *story) == {(OTHERS, outcome)}


def test_finding_on_a_header_names_it() -> None:
    """The header is what differs, so that a reader is told which one it is."""
    known = history(publish(1), *HEADED[1][1])
    actual = {judgement.actual for judgement in access.others_version(REF, known)}

    assert len(actual) == 1
    assert "with etag where one" in actual.pop()
