"""Rules on what is found and what is not."""

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
    publish,
    story_rules,
    story_verdicts,
    verdicts,
)
from touchstone.facts.exchange import Exchange
from touchstone.rules import ownership
from touchstone.rules.messages import parts

ERROR = {"error": "There is no such version."}
ODD = "lookup.odd-spelling-is-404"
OPERATIONS = ("startBuild", "getBuild", "cancelBuild", "streamBuildEvents", "getTemplate", "deleteTemplate")
NAME = "touchstone-t1-hello"
REFS = {
    "lookup.unknown-version-is-404": f"default/{NAME}@9.9.9",
    "lookup.unknown-name-is-404": UNKNOWN_REF,
    "lookup.unknown-namespace-is-404": f"touchstone-t1-nowhere/{NAME}@1.0.0",
}


@pytest.mark.parametrize(("claim", "ref"), REFS.items())
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("status", "outcome"),
    [(404, "held"), (202, "broken"), (400, "broken"), (403, "broken"), (500, "broken"), (429, "indeterminate")],
)
def test_what_does_not_exist_is_404(claim: str, ref: str, operation: str, status: int, outcome: str) -> None:
    """Every operation answers 404 about what does not exist, and the claim is about the part that is unknown."""
    answer = exchange(operation, status, json=ERROR, ref=ref, seq=2)

    assert story_verdicts(story_rules("lookup"), publish(), answer, ref=ref) == {(claim, outcome)}


@pytest.mark.parametrize(("body", "outcome"), [(b"", "held"), (b":\n\n", "held"), (frame({"line": "x"}), "broken")])
def test_log_of_what_does_not_exist_may_be_empty(body: bytes, outcome: str) -> None:
    """The log of an unknown version may be an empty stream."""
    answer = exchange("streamBuildEvents", body=body, ref=UNKNOWN_REF, seq=2)

    assert story_verdicts(story_rules("lookup"), publish(), answer, ref=UNKNOWN_REF) == {
        ("lookup.unknown-name-is-404", outcome)
    }


def test_cancel_of_what_does_not_exist_may_say_idle() -> None:
    """Which of the two bodies an unknown version's cancel has is not looked at."""
    answer = exchange("cancelBuild", 404, json={"status": "idle"}, ref=UNKNOWN_REF, seq=2)

    assert story_verdicts(story_rules("lookup"), publish(), answer, ref=UNKNOWN_REF) == {
        ("lookup.unknown-name-is-404", "held")
    }


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("status", "outcome"), [(404, "held"), (200, "broken"), (500, "broken"), (429, "indeterminate")]
)
def test_deleted_version_is_404(operation: str, status: int, outcome: str) -> None:
    """A deleted version is gone for every operation; that it cannot be built is a claim of its own."""
    claim = "start.refuses-deleted-version" if operation == "startBuild" else "lookup.deleted-version-is-404"
    story = (
        publish(1),
        exchange("deleteTemplate", json={"deleted": True}, seq=2),
        exchange(operation, status, body=frame({"line": "x"}), seq=3),
    )

    assert story_verdicts((ownership.missing,), *story) == {(claim, outcome)}


NO_EVIDENCE: list[tuple[str, str, Exchange]] = [
    ("no answer", UNKNOWN_REF, exchange(status=0, ref=UNKNOWN_REF, seq=2)),
    ("a refused key", UNKNOWN_REF, exchange(status=401, ref=UNKNOWN_REF, seq=2, credential="none")),
    ("a small plan", UNKNOWN_REF, exchange("startBuild", 403, ref=UNKNOWN_REF, seq=2, credential="restricted")),
    ("a key taken for a wrong one", UNKNOWN_REF, exchange(status=401, ref=UNKNOWN_REF, seq=2)),
    ("another method", UNKNOWN_REF, exchange("", 405, method="PUT", ref=UNKNOWN_REF, seq=2)),
    ("a curated version", "system/openclaw@1.0.0", exchange(ref="system/openclaw@1.0.0", json={}, seq=2)),
    (
        "a list of curated versions",
        "global/system/x@openclaw",
        exchange("getTemplate", ref="global/system@openclaw", path="/templates/global/system/openclaw", json={}, seq=2),
    ),
    ("a body refused first", UNKNOWN_REF, exchange("startBuild", 415, ref=UNKNOWN_REF, request_body=b"x", seq=2)),
]


@pytest.mark.parametrize(("ref", "answer"), [row[1:] for row in NO_EVIDENCE], ids=[row[0] for row in NO_EVIDENCE])
def test_other_requests_are_no_evidence_of_404(ref: str, answer: Exchange) -> None:
    """What is answered about the key, the plan or the request says nothing about what exists."""
    assert story_verdicts(story_rules("lookup"), publish(), answer, ref=answer.ref or ref) == set()


@pytest.mark.parametrize("ref", ["default/claude-code@1.0.0", "default/touchstone-example@1.0.0", "acme/x@1.0.0"])
def test_version_that_the_account_may_have_anyway_is_no_finding(ref: str) -> None:
    """A run does not know what else an account holds: only its own names are surely missing."""
    answer = exchange(json=build(ref=ref), ref=ref, seq=2)

    assert story_verdicts(story_rules("lookup"), publish(), answer, ref=ref) == set()


def test_version_that_somebody_may_have_published_is_no_finding() -> None:
    """A publish whose meaning nobody noted may have made the version."""
    generated = exchange("publishTemplate", 201, json={"ref": UNKNOWN_REF}, ref=None, seq=1)
    unanswered = exchange("publishTemplate", 0, ref=UNKNOWN_REF, seq=2)
    read = exchange(json=build(), ref=UNKNOWN_REF, seq=3)

    assert broken(story_verdicts(story_rules("lookup"), generated, read, ref=UNKNOWN_REF)) == set()
    assert story_verdicts(story_rules("lookup"), unanswered, read, ref=UNKNOWN_REF) == set()


@pytest.mark.parametrize("answer", [{"body": b"{"}, {"json": {"ref": "default/touchstone-t1-another@1.0.0"}}])
def test_version_that_a_document_names_is_no_finding(answer: dict[str, Any]) -> None:
    """What a publish was about is in its document, also where its answer is garbled or names something else."""
    _, name, version = parts(UNKNOWN_REF)
    document = f'{{"template": {{"name": "{name}", "version": "{version}"}}}}'.encode()
    generated = exchange("publishTemplate", 201, ref=None, seq=1, request_body=document, **answer)
    gone = exchange("deleteTemplate", 200, json={"deleted": True}, ref=UNKNOWN_REF, seq=2)
    failing = exchange("getBuild", 500, json=ERROR, ref=UNKNOWN_REF, seq=2)

    assert broken(story_verdicts(story_rules("lookup"), generated, gone, ref=UNKNOWN_REF)) == set()
    assert broken(story_verdicts(story_rules("lookup"), generated, failing, ref=UNKNOWN_REF)) == set()


FOUND = "lookup.existing-version-is-found"
OWN: list[tuple[str, Exchange, set[tuple[str, str]]]] = [
    ("read", exchange(json=build(), seq=2), {(FOUND, "held")}),
    ("not read", exchange(status=404, json=ERROR, seq=2), {(FOUND, "broken")}),
    ("not started", exchange("startBuild", 404, json=ERROR, seq=2), {(FOUND, "broken")}),
    ("not shown", exchange("getTemplate", 404, json=ERROR, seq=2), {(FOUND, "broken")}),
    ("not deleted", exchange("deleteTemplate", 404, json=ERROR, seq=2), {(FOUND, "broken")}),
    ("deleted", exchange("deleteTemplate", json={"deleted": True}, seq=2), {(FOUND, "held")}),
    ("nothing to cancel", exchange("cancelBuild", 404, json={"status": "idle"}, seq=2), set()),
    ("no log", exchange("streamBuildEvents", 404, json=ERROR, seq=2), set()),
    ("limited", exchange("startBuild", 429, json=ERROR, seq=2), set()),
    ("another account", exchange(status=404, json=ERROR, seq=2, credential="second"), set()),
    ("beside its publish", exchange(status=404, json=ERROR, seq=2, sent_at=1.001), set()),
]


@pytest.mark.parametrize(("answer", "expected"), [row[1:] for row in OWN], ids=[row[0] for row in OWN])
def test_owner_finds_what_exists(answer: Exchange, expected: set[tuple[str, str]]) -> None:
    """404 to the owner of an existing version breaks the claim, except where it says that nothing is building."""
    assert story_verdicts(story_rules("lookup"), publish(), answer) == expected


def build_path(segment: str) -> str:
    return f"/templates/default/{segment}/1.0.0/build"


ODD_PATHS = (
    build_path("UPPER"),
    build_path("a" * 65),
    build_path("a" * 4000),
    build_path("%C3%A9t%C3%A9"),
    build_path("%FF%FE"),
    build_path("%00"),
    build_path("%2e%2e"),
    build_path("a%2Fb"),
    build_path("%zz"),
    build_path("${7*7}"),
    f"/templates/default/{NAME}/latest/build",
    f"/templates/default/{NAME}/1.0/build",
    f"/templates/default/{NAME}/01.0.0/build",
    f"/templates/default/{NAME}/1.0.0%0A/build",
    f"/templates/%20default/{NAME}/1.0.0/build",
    f"/templates/default/x/{NAME}/1.0.0/build",
)


@pytest.mark.parametrize("path", ODD_PATHS)
@pytest.mark.parametrize(
    ("status", "outcomes"),
    [
        (404, {"held"}),
        (400, {"held"}),
        (422, {"held"}),
        (414, {"held"}),
        (429, {"indeterminate"}),
        (500, {"broken"}),
        (403, set()),
    ],
)
@pytest.mark.parametrize("operation", ["getBuild", ""])
def test_odd_spelling_is_refused_calmly(path: str, status: int, outcomes: set[str], operation: str) -> None:
    """A path that cannot name a version is not found or a bad request, and never makes the server fail."""
    answer = exchange(operation, status, method="GET", path=path, json=ERROR, ref=None)

    assert verdicts(exchange_rules("lookup"), answer) == {(ODD, outcome) for outcome in outcomes}


@pytest.mark.parametrize("path", [build_path("UPPER"), build_path("a" * 65), f"/templates/default/{NAME}/latest/build"])
def test_odd_spelling_that_is_served_is_broken(path: str) -> None:
    """A version under a name that it cannot have breaks the claim."""
    assert verdicts(exchange_rules("lookup"), exchange(path=path, json=build())) == {(ODD, "broken")}


def test_odd_name_that_a_server_has_taken_is_found() -> None:
    """That it was published under such a name is told by what publishing refuses."""
    ref = f"default/{NAME}@latest"
    taken = publish(1, ref, json={"ref": ref})
    served = exchange(path=f"/templates/default/{NAME}/latest/build", ref=ref, json=build(), seq=2)

    assert verdicts(exchange_rules("lookup"), taken, served) == set()
    assert verdicts(exchange_rules("lookup"), publish(1, ref, json={"ref": REF}), served) == {(ODD, "broken")}


@pytest.mark.parametrize(
    "path",
    [
        f"/templates/default/{NAME}/1.0.0/build/",
        f"//templates/default/{NAME}/1.0.0/build",
        f"/templates//default/{NAME}/1.0.0/build",
        f"/templates/default/x/../{NAME}/1.0.0/build",
        f"/templates/default%2F{NAME}/1.0.0/build",
        f"/templates/default/./{NAME}/1.0.0/build",
    ],
)
@pytest.mark.parametrize("status", [200, 307])
def test_path_that_a_server_may_tidy_up_may_be_served(path: str, status: int) -> None:
    """Whether a server resolves dots, drops empty segments or decodes slashes before it looks is its own matter."""
    assert verdicts(exchange_rules("lookup"), exchange(status=status, path=path, json=build())) == set()


def test_escaped_letters_are_no_odd_spelling() -> None:
    """An escaped letter is that letter."""
    path = f"/templates/%64efault/{NAME}/1.0.0/build"

    assert verdicts(exchange_rules("lookup"), exchange(path=path, json=build())) == set()


@pytest.mark.parametrize(
    "facts",
    [
        {"status": 0},
        {"status": 401, "credential": "none"},
        {"status": 405, "operation": "", "method": "PUT"},
        {"status": 413, "operation": "startBuild", "request_body": b"x"},
        {"status": 404, "operation": "", "method": "GET", "path": "/templates/a/b"},
    ],
)
def test_other_requests_are_no_evidence_of_odd_spelling(facts: dict[str, Any]) -> None:
    """Requests that fail for another reason, or that ask for no build, are not judged by their spelling."""
    answer = exchange(**({"path": build_path("UPPER"), "json": ERROR} | facts))

    assert verdicts(exchange_rules("lookup"), answer) == set()


def test_namespace_of_another_account_is_unknown() -> None:
    """What only another account has is not known to this one."""
    theirs = publish(1, ref=f"theirs/{NAME}@1.0.0", credential="second")
    ref = f"theirs/{NAME}@9.9.9"
    answer = exchange(status=404, json=ERROR, ref=ref, seq=2)

    assert story_verdicts(story_rules("lookup"), theirs, answer, ref=ref) == {
        ("lookup.unknown-namespace-is-404", "held")
    }
    assert REF.startswith("default/")
