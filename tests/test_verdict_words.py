"""What a verdict counts, and the sentence that it gives as its reason."""

from dataclasses import replace
from typing import Any

import pytest

from tests.test_verdict import END, MUST, SHOULD, claim, found, held, log, of
from touchstone.facts.events import Case, Notice, Tally
from touchstone.facts.wording import plural
from touchstone.rules.verdict import NOT_IN_LEDGER, CheckCount, judge


def case(outcome: str, name: str = "case-1", message: str = "", *claims: str) -> Case:
    """A case that did not pass."""
    return Case(name, "t", outcome, 1.0, claims or (MUST,), message)  # type: ignore[arg-type]


class TestCounts:
    @pytest.mark.parametrize(
        ("number", "words"), [(0, "0 starts"), (1, "1 start"), (2, "2 starts"), (1108, "1,108 starts")]
    )
    def test_numbers_have_their_form(self, number: int, words: str) -> None:
        """One is no plural, and thousands are apart."""
        assert plural(number, "start") == words

    def test_check_has_said_nothing_until_it_does(self) -> None:
        """A count begins with nothing."""
        assert CheckCount("r1") == CheckCount("r1", 0, 0, 0)

    def test_words_of_a_check_add_up_over_its_cases(self) -> None:
        """Each tally and each occurrence counts, whichever case they are from."""
        tallies = (Tally("c", "r1", MUST, held=2, indeterminate=1), Tally("d", "r1", MUST, held=3, indeterminate=4))
        run = log(tallies=tallies, occurrences=(*found(), *found(case="d")))

        assert of(run).checks == (CheckCount("r1", held=5, broken=2, indeterminate=5),)

    def test_finding_needs_no_reason(self) -> None:
        """What is broken says so by its findings."""
        assert of(log(occurrences=found())).reason == ""


class TestReasonOfAClaim:
    def test_without_any_words_says_so(self) -> None:
        """A notice without a reason is not left empty."""
        assert of(log(notices=(Notice(MUST, "not-applicable", ""),))).reason == "no reason was given"

    @pytest.mark.parametrize("outcome", ["error", "skipped"])
    def test_of_a_case_that_stopped_could_not_run(self, outcome: str) -> None:
        """A case that names the claim and did not run to its end is why nothing was judged."""
        run = log(cases=(case(outcome), case("error", "case-2", "", SHOULD), case("passed", "case-3")))

        assert (of(run).verdict, of(run).reason) == ("could-not-run", f"case-1: {outcome}")

    def test_of_an_interrupted_run_could_not_run(self) -> None:
        """What the run did not come to is open."""
        assert of(log(footer=replace(END, interrupted=True))).verdict == "could-not-run"

    def test_that_no_ledger_knows_says_so(self) -> None:
        """A stranger among the claims is filed under the first part of its name."""
        stranger = of(log(occurrences=found("novel.claim.deep")), "novel.claim.deep").claim

        assert stranger.sentence == "This claim is not in the ledger that the run started with." == NOT_IN_LEDGER
        assert stranger.subject == "novel"


def reason(**facts: Any) -> tuple[int, str]:
    """Exit code and last line of a run that upheld all it judged, but for what is told."""
    verdict = judge(log(**({"tallies": held(MUST, SHOULD)} | facts)))
    return verdict.exit_code, verdict.reason


MANY = tuple(f"start.c{number}" for number in range(5))


class TestReasonOfARun:
    @pytest.mark.parametrize(
        ("facts", "said"),
        [
            ({}, (0, "no must claim broken (2 upheld)")),
            ({"strict": True}, (0, "no claim broken (2 upheld)")),
            ({"footer": None}, (3, "the run log has no footer: the run was cut short")),
            ({"footer": replace(END, interrupted=True)}, (130, "interrupted")),
            ({"footer": replace(END, interrupted=True, reason="Ctrl-C")}, (130, "Ctrl-C")),
            ({"footer": replace(END, exit_code=2)}, (2, "the run did not reach its end")),
            ({"footer": replace(END, exit_code=3, reason="no target")}, (3, "no target")),
            ({"footer": replace(END, exit_code=1)}, (0, "no must claim broken (2 upheld)")),
            ({"torn_lines": 1}, (3, "the run log lost 1 line: a writer was killed")),
            ({"torn_lines": 2}, (3, "the run log lost 2 lines: a writer was killed")),
            ({"occurrences": found()}, (1, "1 must claim broken")),
            ({"occurrences": (*found(), *found(SHOULD)), "strict": True}, (1, "2 claims broken")),
            ({"cases": (case("error", "case-9"),)}, (3, "1 case ended without a verdict: case-9")),
            ({"claims": (), "tallies": ()}, (3, "no claim was upheld (there was no claim to judge)")),
            ({"tallies": held(MUST)}, (0, "no must claim broken (1 upheld, 1 could not run)")),
            ({"tallies": ()}, (3, f"1 must claim could not be judged: {MUST}")),
            ({"tallies": (), "strict": True}, (3, f"1 must claim could not be judged: {MUST}")),
        ],
    )
    def test_says_what_kept_it_from_passing(self, facts: dict[str, Any], said: tuple[int, str]) -> None:
        """The last line on the terminal tells the code and why, in plain words and numbers."""
        assert reason(**facts) == said

    def test_counts_every_verdict(self) -> None:
        """The other verdicts are told with their numbers, good ones first."""
        names = ("start.a", "start.b", "start.c", "start.d", "start.e")
        notices = [
            Notice("start.b", "not-applicable", "x"),
            Notice("start.c", "indeterminate", "x"),
            Notice("start.d", "could-not-run", "x"),
        ]
        run = {
            "claims": tuple(claim(name, "should") for name in names),
            "tallies": held("start.a"),
            "notices": tuple(notices),
            "occurrences": found("start.e"),
        }

        assert reason(**run) == (
            0,
            "no must claim broken (1 upheld, 1 not applicable, 1 indeterminate, 1 could not run, 1 broken)",
        )

    @pytest.mark.parametrize(
        ("number", "named"),
        [
            (2, "2 must claims could not be judged: start.c0, start.c1"),
            (3, "3 must claims could not be judged: start.c0, start.c1, start.c2"),
            (4, "4 must claims could not be judged: start.c0, start.c1, start.c2 and 1 more"),
            (5, "5 must claims could not be judged: start.c0, start.c1, start.c2 and 2 more"),
        ],
    )
    def test_names_the_first_three(self, number: int, named: str) -> None:
        """A longer list is cut, and says by how much."""
        assert reason(claims=tuple(map(claim, MANY[:number])), tallies=()) == (3, named)
