"""
The list of survivors, and what the examination says of it.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.mutation.__main__ import ROOT, Tally, chosen, report
from tests.mutation.mutants import Mutant
from tests.mutation.survivors import ARROW, DOCUMENT, listed, reasons
from tests.mutation.trial import Outcome

WALK = ROOT / "touchstone" / "rules" / "walk.py"
REASONS = reasons((ROOT / DOCUMENT).read_text("utf-8"))
NAMES = [name for reason in REASONS for name in reason.mutants]


def told(*mutants: tuple[str, bool, str]) -> Tally:
    """
    What is known after the examination of mutants of walk.py: change, killed, killer.
    """
    tally = Tally()
    for change, killed, killer in mutants:
        mutant = Mutant("touchstone/rules/walk.py", "module", (1, 1), change, "")
        tally.add(Outcome(mutant, killed, killer))
    return tally


NINE_KILLED = [(f"a ⇒ {n}", True, "tests/test_x.py::test_x") for n in range(9)]
NAME = "touchstone/rules/walk.py module: "


class TestList:
    """
    docs/mutation.md.
    """

    def test_names_a_mutant_in_each_line(self) -> None:
        """
        Each line has the path of a judge, the place in it, and the change.
        """
        judges = {path.relative_to(ROOT).as_posix() for path in chosen([])}
        wrong = {
            name
            for name in NAMES
            if ARROW not in name or ": " not in name.split(ARROW)[0] or name.split(" ")[0] not in judges
        }
        assert wrong == set()

    def test_names_only_text_that_is_there(self) -> None:
        """
        What a listed mutant changes stands in the file: who rewrites a line takes its mutants off the list.
        """
        texts = {path: " ".join((ROOT / path).read_text("utf-8").split()) for path in {n.split(" ")[0] for n in NAMES}}
        gone = {name for name in NAMES if name.partition(": ")[2].split(ARROW)[0] not in texts[name.split(" ")[0]]}
        assert gone == set()

    def test_names_nothing_twice(self) -> None:
        """
        A mutant survives for one reason.
        """
        assert {name for name, count in Counter(NAMES).items() if count > 1} == set()

    def test_gives_a_reason_for_each(self) -> None:
        """
        Above the mutants of a heading stands why nothing kills them.
        """
        assert {reason.heading for reason in REASONS if reason.mutants and not reason.text} == set()

    def test_is_read_as_it_is_written(self, tmp_path: Path) -> None:
        """
        Names are the indented lines, wherever they stand.
        """
        path = tmp_path / "list.md"
        path.write_text(
            "# Survivors\n\nWhy.\n\n    a.py f: 1 ⇒ 2\n\n## More\nWhy not.\n\n    b.py g: x, ⇒ (nothing)\n", "utf-8"
        )
        assert listed(path) == Counter({"a.py f: 1 ⇒ 2": 1, "b.py g: x, ⇒ (nothing)": 1})


class TestReport:
    """
    The exit code of `make mutate`, and the names it prints.
    """

    def test_nine_of_ten_killed_and_the_tenth_listed_is_0(self) -> None:
        """
        Enough mutants are killed and each survivor is known.
        """
        tally = told(*NINE_KILLED, ("b ⇒ c", False, ""))
        assert report(tally, Counter({f"{NAME}b ⇒ c": 1}), [WALK]) == 0

    def test_unlisted_survivor_is_1_by_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A survivor without a reason is named.
        """
        tally = told(*NINE_KILLED, ("b ⇒ c", False, ""))
        assert report(tally, Counter(), [WALK]) == 1
        assert f"survives, but is not in {DOCUMENT}: {NAME}b ⇒ c\n" in capsys.readouterr().out

    def test_listed_mutant_that_is_killed_is_1_by_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A name in the list that a test kills has to leave it.
        """
        assert report(told(*NINE_KILLED), Counter({f"{NAME}a ⇒ 3": 1}), [WALK]) == 1
        assert f"in {DOCUMENT}, but no survivor: {NAME}a ⇒ 3\n" in capsys.readouterr().out

    def test_listed_mutant_of_a_file_that_was_not_examined_is_left_alone(self) -> None:
        """
        An examination of one module says nothing about the survivors of another.
        """
        assert report(told(*NINE_KILLED), Counter({"touchstone/verdict.py module: a ⇒ 3": 1}), [WALK]) == 0

    def test_listed_mutant_whose_time_was_up_is_left_alone(self) -> None:
        """
        Whether a slow mutant ends in time depends on the machine, so the list may have it.
        """
        tally = told(*NINE_KILLED, ("b ⇒ c", True, ""))
        assert report(tally, Counter({f"{NAME}b ⇒ c": 1}), [WALK]) == 0

    def test_too_many_survivors_are_1_even_if_all_are_listed(self) -> None:
        """
        A reason for each does not make tests out of nothing: nine of ten have to be killed.
        """
        tally = told(*NINE_KILLED, ("b ⇒ c", False, ""), ("b ⇒ d", False, ""))
        assert report(tally, Counter({f"{NAME}b ⇒ c": 1, f"{NAME}b ⇒ d": 1}), [WALK]) == 1

    def test_table_counts_by_file(self) -> None:
        """
        A line a file, and one for all.
        """
        lines = told(*NINE_KILLED, ("b ⇒ c", False, "")).table().splitlines()
        assert [line.split() for line in lines[1:]] == [
            ["touchstone/rules/walk.py", "9", "1", "90.0%"],
            ["all", "9", "1", "90.0%"],
        ]
