"""The report on a terminal."""

import re
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from touchstone.facts.events import Notice
from touchstone.facts.runlog import read
from touchstone.report import text
from touchstone.report.view import COMMON, view


def told(path: Path, width: int, **options: object) -> str:
    """The report of a run log on a terminal of this width."""
    stream = StringIO()
    text.write(view(read(path)), Console(file=stream, width=width, **options))  # type: ignore[arg-type]
    return stream.getvalue()


def trimmed(report: str) -> str:
    """The report without blanks at the ends of its lines."""
    return "".join(f"{line.rstrip()}\n" for line in report.splitlines())


@pytest.mark.parametrize("width", [40, 80, 120])
def test_report_of_a_failing_run(failing_run: Path, golden: Callable[[str, str], None], width: int) -> None:
    """Findings come first, then what could not be judged, then the numbers, then one line with the exit code."""
    golden(f"failing-{width}.txt", trimmed(told(failing_run, width)))


def test_report_of_a_passing_run(passing_run: Path, golden: Callable[[str, str], None]) -> None:
    """A run that found nothing is told in a few lines."""
    golden("passing-80.txt", trimmed(told(passing_run, 80)))


def test_long_list_of_what_may_be_left_is_cut(failing_run: Path) -> None:
    """The first dozen is named, and where all the others are."""
    log, stream = read(failing_run), StringIO()
    one = replace(log.templates[-1], action="may-be-left")
    many = tuple(replace(one, ref=f"default/touchstone-ab12-{number}@1.0.0") for number in range(162))
    text.write(view(replace(log, templates=many)), Console(file=stream, width=120))
    named = "".join(f"  default/touchstone-ab12-{number}@1.0.0\n" for number in range(12))
    heading = "May be left on the target (touchstone sweep looks, and removes them)\n"

    assert f"{heading}{named}  … and 150 more: see report.html or report.json\n" in stream.getvalue()


def test_last_line_repeats_exit_code_and_reason(any_run: Path) -> None:
    """Make and shells hide exit codes; the last line does not, and stays one line on a narrow terminal."""
    seen = view(read(any_run))

    assert told(any_run, 40).splitlines()[-1] == f"exit {seen.exit_code}: {seen.reason}"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_keep_to_the_width(any_run: Path, width: int) -> None:
    """Only commands and the last line, which must survive copying, may be longer than the terminal."""
    long = [line for line in told(any_run, width).splitlines() if cell_len(line) > width]

    assert [line for line in long if "curl " not in line and not line.startswith("exit ")] == []


def test_command_is_not_broken_by_a_narrow_terminal(failing_run: Path) -> None:
    """A curl line can be copied from any terminal."""
    curl = read(failing_run).findings[0].curl

    assert [line for line in told(failing_run, 40).splitlines() if line.strip() == curl] != []


@pytest.mark.parametrize("width", [40, 100])
def test_target_cannot_command_the_terminal(hostile_run: Path, hostile_text: str, width: int) -> None:
    """No control character of the target reaches the terminal, and none of its words is taken for markup."""
    report = told(hostile_run, width, color_system=None)

    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\ud800]", report) == []
    assert "[bold]x[/bold]" in report.replace("\n", "").replace(" ", "")


def test_reason_cannot_break_the_last_line(passing_run: Path, hostile_text: str) -> None:
    """A reason that quotes the target stays on the last line, spelt out."""
    log = read(passing_run)
    assert log.footer is not None
    stopped = replace(log.footer, exit_code=3, reason=f"refused: {hostile_text}\nexit 0: fine")
    stream = StringIO()
    text.write(view(replace(log, footer=stopped)), Console(file=stream, width=80))

    assert stream.getvalue().splitlines()[-1].startswith("exit 3: refused: </script>")
    assert "\x1b" not in stream.getvalue()


def test_no_color_means_no_colour(failing_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR a terminal gets no colours."""
    assert re.search(r"\x1b\[[\d;]*3\d", told(failing_run, 80, force_terminal=True, color_system="standard"))
    monkeypatch.setenv("NO_COLOR", "1")

    assert not re.search(r"\x1b\[[\d;]*3\d", told(failing_run, 80, force_terminal=True, color_system="standard"))


def test_surplus_findings_are_counted(failing_run: Path, tmp_path: Path) -> None:
    """A flood of findings does not scroll the verdict away without a word."""
    log = read(failing_run)
    flood = tuple(replace(o, finding=replace(o.finding, id=f"{n:012}")) for n, o in enumerate(log.occurrences * 4))
    stream = StringIO()
    text.write(view(replace(log, occurrences=flood)), Console(file=stream, width=80))

    assert "… and 24 more findings: see report.html or report.json" in stream.getvalue()


def test_reason_that_very_many_share_is_told_in_a_line(failing_run: Path) -> None:
    """Of what a scenario does not set out to show the number is told, after what a setting would bring in."""
    log = read(failing_run)
    many = [replace(log.header.claims[0], id=f"other.claim-{n}") for n in range(COMMON)]
    notices = [Notice(claim.id, "not-applicable", "the scenario is about other things") for claim in many]

    def report(number: int) -> list[str]:
        stream = StringIO()
        header = replace(log.header, claims=(*many[:number], *log.header.claims))
        shown = replace(log, header=header, notices=(*notices[:number], *log.notices))
        text.write(view(shown), Console(file=stream, width=120))
        lines = stream.getvalue().splitlines()
        return lines[lines.index(f"Not applicable ({number + 1})") :][:6]

    assert report(COMMON)[1:5] == [
        "  set restricted_api_key_env",
        "    access.below-scale-is-403",
        f"  the scenario is about other things ({COMMON} claims, listed in report.html and report.json)",
        "",
    ]
    assert report(COMMON - 1)[1:3] == [
        "  the scenario is about other things",
        "    other.claim-0, other.claim-1, other.claim-2, other.claim-3 and 7 more",
    ]


@pytest.mark.parametrize("width", [40, 100])
def test_command_that_shows_several_findings_is_told_once(failing_run: Path, width: int) -> None:
    """The others refer to the first of them."""
    run = view(read(failing_run))
    first, *others = run.findings
    same = replace(first, finding=replace(first.finding, claim="x.y"))
    stream = StringIO()
    text.write(replace(run, findings=(*others, first, same)), Console(file=stream, width=width))
    number, report = len(run.findings), stream.getvalue()

    assert len(others) > 0
    assert report.count(first.finding.curl) == 1
    assert f"   to see it again: as {number}\n" in report
