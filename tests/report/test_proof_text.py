"""A proof on a terminal."""

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests.report.proofs import EACH, all_proven, flawed, hostile, interrupted, large, nothing
from touchstone.report import proof_report
from touchstone.report.proof_report import ProofView

PAGE = Path("reports/prove-260102-030405-a1b2c3/proof.html")


def told(view: ProofView, width: int, **options: object) -> str:
    """The proof on a terminal of this width, without blanks at the ends of its lines."""
    stream = StringIO()
    proof_report.write(view, Console(file=stream, width=width, **options), PAGE)  # type: ignore[arg-type]
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


@pytest.mark.parametrize("width", [40, 80])
def test_flawed_proof(golden: Callable[[str, str], None], width: int) -> None:
    """Each server and what was blamed, the matrix, what did not end well and why, the counts, and one last line."""
    golden(f"proof-flawed-{width}.txt", told(flawed(), width))


def test_proof_without_a_flaw(golden: Callable[[str, str], None]) -> None:
    """A proof that succeeded names what was permitted, and nothing that went wrong."""
    golden("proof-80.txt", told(all_proven(), 80))


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("make", EACH, ids=lambda make: make.__name__)
def test_end_says_where_the_report_is_and_the_exit_code(make: Callable[[], ProofView], width: int) -> None:
    """The last two lines survive any length of proof and any width: the report, and the exit code with its reason."""
    view = make()

    assert told(view, width).splitlines()[-2:] == [f"report: {PAGE}", f"exit {view.exit_code}: {view.reason}"]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("make", [*EACH, large], ids=lambda make: make.__name__)
def test_lines_keep_to_the_width(make: Callable[[], ProofView], width: int) -> None:
    """Only the last two lines, which must survive copying, may be longer than the terminal."""
    assert [line for line in told(make(), width).splitlines()[:-2] if cell_len(line) > width] == []


def test_evidence_of_what_went_wrong_stands_together() -> None:
    """Hundreds of lines may have scrolled away: what is wrong is told again near the end, with the evidence."""
    text = told(flawed(), 80)
    end = text[text.index("Did not end well (4)") :]

    assert [line for line in end.splitlines() if re.match("(missed|noisy|accused|failed) ", line)] == [
        "missed half-found",
        "noisy poor-aim",
        "accused odd-but-right",
        "failed hangs",
    ]
    assert "noise cancel.says-idle: expected what cancel.says-idle promises; actual" in end
    assert "rules.cancel in build.some_case, after 40 exchanges" in end
    assert "permitted by facts 7.30" in end
    assert "the process ended with -9" in end


def test_states_are_words_without_colour() -> None:
    """Nothing is told by colour alone: no escape sequence is needed to read the proof."""
    text = told(flawed(), 80)

    assert "\x1b" not in text
    for word in ("killed", "misses cancel.says-idle", "noise cancel.says-idle", "because the process ended with -9"):
        assert word in text
    assert "\x1b" in told(flawed(), 80, force_terminal=True, color_system="standard")


def test_server_cannot_command_the_terminal() -> None:
    """Control characters and markup in evidence are shown, not obeyed."""
    text = told(hostile(), 80, force_terminal=True, color_system=None)

    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\ud800-\udfff]", text) == []
    assert "[bold]x[/bold]" in text
    assert "\\x1b[2J" in text


def test_interrupted_proof_says_so() -> None:
    """The last line tells how far it came; what was proven until then is there."""
    text = told(interrupted(), 80)

    assert "exit 130: interrupted after 3 of 9 trials" in text
    assert "never-settles" in text
    assert "no trial was carried out" in told(nothing(), 80)


def test_long_list_of_flaws_is_cut() -> None:
    """Twenty are told in full; the others are counted and are in the report."""
    text = told(large(300, wrong_every=6), 80)

    assert "… and 80 more: see the report" in text


def test_class_without_a_kill_has_no_median() -> None:
    """A dash, not a zero, which would read as a very fast kill."""
    (row,) = [line for line in told(flawed(), 80).splitlines() if line.startswith("timing")]

    assert row.split() == ["timing", "1", "0", "0", "0", "1", "–", "–"]
