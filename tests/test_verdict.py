"""Verdicts: what weighs most wins, and nothing unfinished passes."""

from dataclasses import replace
from typing import Any

import pytest

from touchstone.contract.claims import Level
from touchstone.facts.events import Case, Footer, Header, LedgerClaim, Notice, Occurrence, RunLog, Tally, Target
from touchstone.facts.finding import Finding
from touchstone.facts.wording import plural, was
from touchstone.rules.verdict import NOT_IN_LEDGER, CheckCount, ClaimVerdict, judge, selected

MUST, SHOULD = "start.answers-202", "limit.retry-after-parses"
END = Footer("2026-01-02T03:05:05Z", 60.0, 0, "")


def claim(name: str, level: Level = "must") -> LedgerClaim:
    """A row of the ledger."""
    return LedgerClaim(name, level, "It holds.", "build#intro", name.partition(".")[0])


def finding(name: str = MUST, check: str = "r1") -> Finding:
    """A finding about one claim."""
    return Finding(f"{name}/{check}", name, "must", "startBuild", check, "202", "200", "POST /", "curl", (1,))


def found(name: str = MUST, case: str = "c") -> tuple[Occurrence, ...]:
    """One occurrence of a finding about one claim."""
    return (Occurrence(finding(name), case),)


def held(*names: str) -> tuple[Tally, ...]:
    """One good word for each claim."""
    return tuple(Tally("c", "r1", name, held=1) for name in names)


def log(**facts: Any) -> RunLog:
    """A run that ended by itself, with one must and one should claim."""
    header = Header(
        "r", "0.1.0", "check", (), "2026", Target("t", "u", "url"), "quick", 1, facts.pop("strict", False),
        facts.pop("claims_glob", "*"), "ab", facts.pop("claims", (claim(MUST), claim(SHOULD, "should"))),
    )  # fmt: skip
    return RunLog(header, **({"footer": END} | facts))


def of(run: RunLog, name: str = MUST) -> ClaimVerdict:
    """The verdict on one claim."""
    return next(verdict for verdict in judge(run).claims if verdict.claim.id == name)


class TestClaim:
    def test_finding_outweighs_any_number_of_good_words(self) -> None:
        """One finding breaks a claim that held a thousand times."""
        run = log(tallies=(Tally("c", "r1", MUST, held=1000),), occurrences=found())

        assert (of(run).verdict, of(run).findings) == ("broken", (finding().id,))
        assert of(run).checks == (CheckCount("r1", held=1000, broken=1),)

    def test_one_good_word_upholds(self) -> None:
        """Held once is upheld, whatever else was unclear or could not run."""
        notices = (Notice(MUST, "could-not-run", "x"), Notice(MUST, "not-applicable", "y"))
        run = log(tallies=(*held(MUST), Tally("d", "r2", MUST, indeterminate=9, reason="429")), notices=notices)

        assert (of(run).verdict, of(run).reason) == ("upheld", "")

    def test_unclear_occasion_outweighs_absent_ones(self) -> None:
        """An occasion that was seen and allowed no verdict makes the claim indeterminate, with its reasons."""
        notices = (Notice(MUST, "could-not-run", "x"), Notice(MUST, "indeterminate", "no 429 came"))
        run = log(tallies=(Tally("c", "r1", MUST, indeterminate=2, reason="429 by chance"),), notices=notices)

        assert (of(run).verdict, of(run).reason) == ("indeterminate", "429 by chance; no 429 came")

    def test_could_not_run_outweighs_not_applicable(self) -> None:
        """A claim that applied somewhere and could not be judged there is not excused elsewhere."""
        notices = (Notice(MUST, "not-applicable", "no key"), Notice(MUST, "could-not-run", "no template"))

        assert (of(log(notices=notices)).verdict, of(log(notices=notices)).reason) == ("could-not-run", "no template")

    def test_not_applicable_keeps_its_reason(self) -> None:
        """A claim that lacks a key names the setting, each reason once."""
        notices = (Notice(MUST, "not-applicable", "set x"), Notice(MUST, "not-applicable", "set x"))

        assert (of(log(notices=notices)).verdict, of(log(notices=notices)).reason) == ("not-applicable", "set x")

    def test_silence_is_could_not_run(self) -> None:
        """A claim that nobody judged is not upheld."""
        assert (of(log()).verdict, of(log()).reason) == ("could-not-run", "no check judged it")

    def test_empty_tally_is_silence(self) -> None:
        """A tally of zero judges nothing."""
        assert of(log(tallies=(Tally("c", "r1", MUST),))).verdict == "could-not-run"

    def test_silence_of_a_stopped_case_gives_its_message(self) -> None:
        """Where the case that drives a claim could not run, the claim says why."""
        run = log(cases=(Case("case-7", "t", "error", 1.0, (MUST,), "no template could be published"),))

        assert of(run).reason == "case-7: no template could be published"

    def test_silence_of_an_interrupted_run_says_so(self) -> None:
        """What an interrupted run did not come to is not blamed on the checks."""
        run = log(footer=replace(END, interrupted=True))

        assert of(run).reason == "the run ended before a check judged it"

    def test_claim_outside_the_globs_is_not_applicable(self) -> None:
        """A claim that the caller left out does not make the run incomplete."""
        run = log(claims_glob="limit.*, cancel.*", tallies=held(SHOULD))

        assert (of(run).verdict, judge(run).exit_code) == ("not-applicable", 0)

    def test_finding_about_an_unknown_claim_is_a_broken_must(self) -> None:
        """A finding that the ledger does not know is never dropped."""
        run = log(tallies=held(MUST, SHOULD), occurrences=found("novel.claim"))

        assert of(run, "novel.claim").claim == LedgerClaim("novel.claim", "must", NOT_IN_LEDGER, "", "novel")
        assert judge(run).exit_code == 1


class TestRun:
    def test_all_upheld_is_0(self) -> None:
        """A run that reached its end and broke nothing passes, and says what it rests on."""
        outcome = judge(log(tallies=held(MUST, SHOULD)))

        assert (outcome.exit_code, outcome.reason) == (0, "no must claim broken (2 upheld)")

    def test_broken_must_is_1(self) -> None:
        """A broken must claim fails the run."""
        outcome = judge(log(tallies=held(SHOULD), occurrences=found()))

        assert (outcome.exit_code, outcome.reason) == (1, "1 must claim broken")

    def test_broken_should_passes_unless_strict(self) -> None:
        """A should claim fails the run only where that was asked for."""
        facts: dict[str, Any] = {"tallies": held(MUST), "occurrences": found(SHOULD)}

        assert (judge(log(**facts)).exit_code, judge(log(**facts)).reason) == (
            0,
            "no must claim broken (1 upheld, 1 broken)",
        )
        assert (judge(log(strict=True, **facts)).exit_code, judge(log(strict=True, **facts)).reason) == (
            1,
            "1 claim broken",
        )

    def test_broken_should_alone_was_judged(self) -> None:
        """A run whose only claim is a broken should claim has judged it, so it is no failure to judge."""
        run = log(claims=(claim(SHOULD, "should"),), occurrences=found(SHOULD))

        assert judge(run).exit_code == 0

    def test_missing_footer_is_3(self) -> None:
        """A log without a footer is a run cut short, never a pass, even with everything upheld or broken."""
        assert judge(log(tallies=held(MUST, SHOULD), footer=None)).exit_code == 3
        assert judge(log(occurrences=found(), footer=None)).exit_code == 3

    def test_interrupted_is_130(self) -> None:
        """An interrupted run is that, whatever it found so far."""
        stopped = replace(END, interrupted=True, reason="interrupted by Ctrl-C")

        outcome = judge(log(occurrences=found(), footer=stopped))
        assert (outcome.exit_code, outcome.reason) == (130, "interrupted by Ctrl-C")

    def test_must_that_could_not_run_is_3(self) -> None:
        """A must claim without a verdict makes the run incomplete; a should claim does not."""
        outcome = judge(log(tallies=held(SHOULD)))
        assert (outcome.exit_code, outcome.reason) == (3, f"1 must claim could not be judged: {MUST}")
        assert judge(log(tallies=held(MUST))).exit_code == 0

    def test_broken_outweighs_could_not_run(self) -> None:
        """A run that found something says so, even where it could not judge the rest."""
        assert judge(log(claims=(claim(MUST), claim("a.b")), occurrences=found())).exit_code == 1

    def test_trouble_that_the_runner_knows_keeps_its_code_and_reason(self) -> None:
        """A run that gave up before it judged says why, not that nothing was judged."""
        footer = replace(END, exit_code=3, reason="http://127.0.0.1:9/api: nothing listens there")
        outcome = judge(log(footer=footer))

        assert (outcome.exit_code, outcome.reason) == (3, footer.reason)

    def test_footer_may_be_handed_in(self) -> None:
        """A run can be judged before its footer is written."""
        run = log(tallies=held(MUST, SHOULD), footer=None)

        assert judge(run, END) == judge(replace(run, footer=END))

    @pytest.mark.parametrize("outcome", ["error", "failed"])
    def test_case_that_failed_without_a_finding_is_3(self, outcome: Any) -> None:
        """A fault in our own test does not look like a pass."""
        run = log(tallies=held(MUST, SHOULD), cases=(Case("case-7", "t", outcome, 1.0, (MUST,), "AssertionError"),))

        assert (judge(run).exit_code, judge(run).reason) == (3, "1 case ended without a verdict: case-7")

    @pytest.mark.parametrize(("case", "drives"), [("case-7", MUST), ("another", SHOULD)])
    def test_case_that_failed_by_a_finding_is_explained(self, case: str, drives: str) -> None:
        """A failed case with a finding of its own, or about a claim that it drives, is no trouble of ours."""
        run = log(
            tallies=held(MUST),
            occurrences=found(SHOULD, case),
            cases=(Case("case-7", "t", "failed", 1.0, (drives,), "broken"),),
        )

        assert judge(run).exit_code == 0

    def test_lost_line_is_3(self) -> None:
        """What a killed writer was saying may have been a finding."""
        assert judge(log(tallies=held(MUST, SHOULD), torn_lines=1)).exit_code == 3

    def test_nothing_upheld_is_3(self) -> None:
        """A run in which no claim applied has shown nothing."""
        notices = (Notice(MUST, "not-applicable", "set x"), Notice(SHOULD, "not-applicable", "set x"))
        outcome = judge(log(notices=notices))

        assert (outcome.exit_code, outcome.reason) == (3, "no claim was upheld (2 not applicable)")
        assert judge(log(claims=())).exit_code == 3


@pytest.mark.parametrize(
    ("globs", "expected"), [("*", True), ("start.*", True), ("cancel.*,start.a*", True), ("cancel.*", False)]
)
def test_globs_are_separated_by_commas(globs: str, expected: bool) -> None:
    """A claim is selected where one of the globs matches."""
    assert selected(MUST, globs) is expected


class TestCount:
    def test_says_how_many_claims_got_a_verdict(self) -> None:
        """Of three claims two are upheld, one is broken, and none could not be run."""
        third = "cancel.settles"
        run = log(
            claims=(claim(MUST), claim(SHOULD, "should"), claim(third)),
            tallies=held(SHOULD, third),
            occurrences=found(),
        )
        verdict = judge(run)

        assert [verdict.count(name) for name in ("upheld", "broken", "could-not-run")] == [2, 1, 0]


def test_numbers_and_their_words_agree() -> None:
    """One is singular, noughts and all others are plural, and thousands are told apart."""
    assert [f"{plural(number, 'start')} {was(number)}" for number in (0, 1, 2, 1_234)] == [
        "0 starts were",
        "1 start was",
        "2 starts were",
        "1,234 starts were",
    ]


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"tallies": held(MUST)}, 3),
        ({"tallies": held(MUST), "cases": (Case("b", "", "passed", 0.1), Case("c", "", "skipped", 0.1))}, 0),
        ({"tallies": held(MUST), "occurrences": found()}, 1),
        ({"tallies": held(MUST), "footer": replace(END, exit_code=130, interrupted=True)}, 130),
    ],
)
def test_case_that_nobody_carried_out_keeps_a_run_from_passing(facts: dict[str, Any], code: int) -> None:
    """Each selected case has an end in the run log; what is broken or interrupted stays what it is."""
    cases = facts.pop("cases", (Case("c", "", "passed", 0.1),))
    verdict = judge(log(selected=("b", "c"), cases=cases, **facts))
    assert (verdict.exit_code, "b" in verdict.reason.split()) == (code, code == 3)
