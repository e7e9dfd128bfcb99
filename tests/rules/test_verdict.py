"""Verdicts: precedence, and no pass for an incomplete run."""

from dataclasses import replace
from typing import Any

from tests.rules.exchanges import exchange
from tests.rules.judging import cases
from touchstone.contract.claims import Level
from touchstone.facts.events import Case, Footer, Header, Known, LedgerClaim, Notice, Occurrence, RunLog, Tally, Target
from touchstone.facts.finding import Finding
from touchstone.rules.verdict import NOT_IN_LEDGER, VERDICTS, CheckCount, ClaimVerdict, judge, unexplained

MUST, SHOULD = "start.answers-202", "limit.retry-after-parses"
END = Footer("2026-01-02T03:05:05Z", 60.0, 0, "")
STOPPED = replace(END, interrupted=True)


def claim(name: str, level: Level = "must", since: int = 1) -> LedgerClaim:
    return LedgerClaim(name, level, "It holds.", "build#intro", name.partition(".")[0], since)


def found(name: str = MUST, case: str = "c") -> tuple[Occurrence, ...]:
    """A finding about one claim."""
    finding = Finding(f"{name}/r1", name, "must", "startBuild", "r1", "202", "200", "POST /", "curl", (1,))
    return (Occurrence(finding, case),)


def held(*names: str) -> tuple[Tally, ...]:
    return tuple(Tally("c", "r1", name, held=1) for name in names)


def open_(reason: str = "429", **counts: int) -> Tally:
    return Tally("d", "r2", MUST, **({"indeterminate": 1} | counts), reason=reason)


def case(outcome: Any, name: str = "case-7", *claims: str, message: str = "") -> Case:
    return Case(name, "t", outcome, 1.0, claims or (MUST,), message)


def log(**facts: Any) -> RunLog:
    """The log of a complete run with one must and one should claim."""
    about = {key: facts.pop(key) for key in ("known", "baseline", "contract_version") if key in facts}
    header = Header(
        "r", "0.1.0", "check", (), END.ended_at, Target("t", "u", "url"), "quick", 1, facts.pop("strict", False),
        facts.pop("claims_glob", "*"), "ab", facts.pop("claims", (claim(MUST), claim(SHOULD, "should"))), **about,
    )  # fmt: skip
    return RunLog(header, **({"footer": END} | facts))


def of(run: RunLog, name: str = MUST) -> ClaimVerdict:
    return next(verdict for verdict in judge(run).claims if verdict.claim.id == name)


NOTICES = {
    verdict: Notice(MUST, verdict, f"why {verdict}") for verdict in ("indeterminate", "could-not-run", "not-applicable")
}


@cases(
    "facts verdict reason",
    {
        "a finding among many": ({"tallies": (Tally("c", "r1", MUST, held=1000),), "occurrences": found()}, "broken",
            ""),
        "held once": ({"tallies": (*held(MUST), open_()), "notices": (*NOTICES.values(),)}, "upheld", ""),
        "open": ({"tallies": (open_(),), "notices": (*NOTICES.values(),)}, "indeterminate", "429; why indeterminate"),
        "could not run": ({"notices": (NOTICES["not-applicable"], NOTICES["could-not-run"])}, "could-not-run",
            "why could-not-run"),
        "not applicable, once": ({"notices": (NOTICES["not-applicable"],) * 2}, "not-applicable", "why not-applicable"),
        "never judged": ({}, "could-not-run", None),
        "a tally of zero": ({"tallies": (Tally("c", "r1", MUST),)}, "could-not-run", None),
        "an interrupted run": ({"footer": STOPPED}, "could-not-run", None),
        "a case that failed to run": ({"cases": (case("error", message="no template"),)}, "could-not-run",
            "case-7: no template"),
        "a case that was skipped": ({"cases": (case("skipped"), case("error", "b", SHOULD), case("passed", "c"))},
            "could-not-run", "case-7: skipped"),
        "left out": ({"claims_glob": "limit.*, cancel.*"}, "not-applicable", None),
    },
)  # fmt: skip
def test_verdict_on_a_claim_is_the_weightiest(facts: dict[str, Any], verdict: str, reason: str | None) -> None:
    assert of(log(**facts)).verdict == verdict
    assert reason is None or of(log(**facts)).reason == reason


def test_checks_add_up_over_cases() -> None:
    tallies = (Tally("c", "r1", MUST, held=2, indeterminate=1), Tally("d", "r1", MUST, held=3, indeterminate=4))
    run = log(tallies=tallies, occurrences=(*found(), *found(case="d")))

    assert of(run).checks == (CheckCount("r1", held=5, broken=2, indeterminate=5),)
    assert of(run).findings == (f"{MUST}/r1",)


def test_finding_about_an_unknown_claim_is_a_broken_must() -> None:
    run = log(tallies=held(MUST, SHOULD), occurrences=found("novel.claim.deep"))

    assert of(run, "novel.claim.deep").claim == LedgerClaim("novel.claim.deep", "must", NOT_IN_LEDGER, "", "novel")
    assert judge(run).exit_code == 1


ALL = {"tallies": held(MUST, SHOULD)}
KNOWN = {"known": (MUST,)}
TWICE = {  # two findings with one id, about two versions
    "occurrences": (*found(), replace(found()[0], finding=replace(found()[0].finding, evidence=(1, 2)))),
    "tallies": held(SHOULD),
    "exchanges": (exchange("startBuild", seq=1, ref="a/b@1.0.0"), exchange("startBuild", seq=2, ref="a/c@1.0.0")),
}
NEWER = {"claims": (claim(MUST, since=2), claim(SHOULD, "should"))}


def entries(claim: str, **more: str) -> dict[str, Any]:
    return {"baseline": (Known(claim, **more),)}


@cases(
    "facts code data",
    {
        "all upheld": (ALL, 0, ["2 upheld"]),
        "a broken must": ({"tallies": held(SHOULD), "occurrences": found()}, 1, ["1"]),
        "a broken should": ({"tallies": held(MUST), "occurrences": found(SHOULD)}, 0, ["1 upheld", "1 broken"]),
        "a broken should, strict": ({"tallies": held(MUST), "occurrences": found(SHOULD), "strict": True}, 1, ["1"]),
        "a broken must, and one not judged": ({"claims": (claim(MUST), claim("a.b")), "occurrences": found()}, 1, []),
        "no footer": (ALL | {"footer": None}, 3, []),
        "no footer, broken": ({"footer": None, "occurrences": found()}, 3, []),
        "interrupted": (ALL | {"footer": STOPPED}, 130, []),
        "a must not judged": ({"tallies": held(SHOULD)}, 3, [MUST]),
        "a must not judged, strict": ({"tallies": (), "strict": True}, 3, [MUST]),
        "a should not judged": ({"tallies": held(MUST)}, 0, ["1 could not run"]),
        "five not judged": ({"claims": tuple(claim(f"a.c{n}") for n in range(5)), "tallies": ()}, 3,
            ["5", "a.c2", "2 more"]),
        "the runner's trouble": ({"footer": replace(END, exit_code=3, reason="no target")}, 3, ["no target"]),
        "bad usage": (ALL | {"footer": replace(END, exit_code=2)}, 2, []),
        "a code of 1 that nothing shows": (ALL | {"footer": replace(END, exit_code=1)}, 0, []),
        "a lost line": (ALL | {"torn_lines": 1}, 3, ["1"]),
        "a case in error": (ALL | {"cases": (case("error"),)}, 3, ["case-7"]),
        "a case that failed for nothing": (ALL | {"cases": (case("failed"),)}, 3, ["case-7"]),
        "a case that failed by its finding": ({"tallies": held(MUST), "occurrences": found(SHOULD, "case-7"),
            "cases": (case("failed"),)}, 0, []),
        "a case that failed by its claim": ({"tallies": held(MUST), "occurrences": found(SHOULD),
            "cases": (case("failed", "case-7", SHOULD),)}, 0, []),
        "nothing applied": ({"notices": tuple(Notice(n, "not-applicable", "x") for n in (MUST, SHOULD))}, 3,
            ["2 not applicable"]),
        "a case that never ended": ({"tallies": held(MUST), "selected": ("b", "c"), "cases": (case("passed", "c"),)}, 3,
            ["b"]),
        "every case ended": ({"tallies": held(MUST), "selected": ("b", "c"),
            "cases": (case("passed", "b"), case("skipped", "c"))}, 0, []),
        "known to be broken": ({"occurrences": found(), "tallies": held(SHOULD)} | KNOWN, 0, ["1"]),
        "known to be broken, and held": (ALL | KNOWN, 1, [MUST]),
        "a broken should in the baseline, strict": ({"tallies": held(MUST), "occurrences": found(SHOULD),
            "strict": True, "known": (SHOULD,)}, 0, ["1"]),
        "known, and not judged": ({"tallies": held(SHOULD)} | KNOWN, 3, [MUST]),
        "known, not applicable": ({"tallies": held(SHOULD), "notices": (NOTICES["not-applicable"],)} | KNOWN, 0, []),
        "known, and not selected": (ALL | {"known": ("a.b",)}, 0, []),
        "held again, and a lost line": (ALL | KNOWN | {"torn_lines": 1}, 3, []),
        "held again, and another broken": ({"claims": (claim(MUST), claim("a.b")), "tallies": held(MUST),
            "occurrences": found("a.b")} | KNOWN, 1, ["1", MUST]),
        "entries for the operation and the versions": (TWICE | entries(MUST, operation="startBuild", ref="a/*"), 0, []),
        "an entry for another operation": (TWICE | entries(MUST, operation="getBuild"), 1, ["1"]),
        "an entry for one of the versions": (TWICE | entries(MUST, ref="a/b@*"), 1, ["1"]),
        "an entry on its last day": (TWICE | entries(MUST, expires="2026-01-02"), 0, []),
        "an expired entry": (TWICE | entries(MUST, expires="2026-01-01", ticket="API-7"), 1, ["1", "API-7"]),
        "an expired entry of a claim that holds": (ALL | entries(MUST, expires="2026-01-01"), 1, [MUST, "2026-01-01"]),
        "a newer claim broken": (TWICE | NEWER, 1, ["1"]),
        "a newer claim broken, frozen": (TWICE | NEWER | {"contract_version": 1, "strict": True}, 0, ["version 1"]),
        "a newer claim not judged, frozen": ({"tallies": held(SHOULD)} | NEWER | {"contract_version": 1}, 0, []),
    },
)  # fmt: skip
def test_verdict_on_a_run_is_its_exit_code_with_a_reason(facts: dict[str, Any], code: int, data: list[str]) -> None:
    verdict = judge(log(**facts))

    assert verdict.exit_code == code
    assert verdict.reason
    assert all(text in verdict.reason for text in data)


def test_footer_may_be_handed_in() -> None:
    run = log(**ALL, footer=None)

    assert judge(run, END) == judge(replace(run, footer=END))


def test_every_verdict_is_counted() -> None:
    run = log(
        claims=tuple(claim(name, "should") for name in ("start.a", "start.b", "start.c", "start.d", "start.e")),
        tallies=held("start.a"),
        notices=(
            Notice("start.b", "not-applicable", "x"),
            Notice("start.c", "indeterminate", "x"),
            Notice("start.d", "could-not-run", "x"),
        ),
        occurrences=found("start.e"),
    )

    assert [judge(run).count(verdict) for verdict in VERDICTS] == [1] * 5
    assert unexplained(run) == ()
