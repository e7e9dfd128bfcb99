"""Terminal reports: they fit the width, contain no control characters, and end with the exit code."""

import re
from dataclasses import replace
from functools import cache

import pytest
from rich.cells import cell_len

from tests.report import checklogs, proofs
from tests.report.examples import EXAMPLES, Report, ending, example, failing, terminal
from touchstone.facts.events import Notice
from touchstone.report.comparison import Comparison
from touchstone.report.view import COMMON, View, view

# Lines to be copied may be longer than the terminal.
COPIED = re.compile(r"\s*(exit \d+:|report:|curl|touchstone serve)")
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\ud800-\udfff]")


@pytest.mark.parametrize("name", [*EXAMPLES, "proof-large"])
@pytest.mark.parametrize("width", [40, 100])
def test_lines_fit_the_width_and_end_with_the_exit_code(name: str, width: int) -> None:
    report: Report = proofs.large(100) if name == "proof-large" else example(name)
    lines = terminal(report, width).splitlines()

    # Names of operations and claims are never broken.
    long = [line for line in lines if cell_len(line) > width and not COPIED.match(line)]
    assert long == [] or name in ("load-hostile", "compare-hostile")
    code = 0 if isinstance(report, Comparison) else report.exit_code
    assert lines[-1].startswith(f"exit {code}: ")
    assert [line for line in lines if CONTROLS.search(line)] == []


@pytest.mark.parametrize("name", ["check-hostile", "proof-hostile"])
def test_markup_of_a_target_is_text(name: str) -> None:
    text = terminal(example(name), 100, force_terminal=True, color_system=None)
    assert "[bold]x[/bold]" in re.sub(r"\s", "", text)
    assert "\\x1b[2J" in re.sub(r"\s", "", text)


def test_reason_cannot_break_the_last_line() -> None:
    text = terminal(view(ending(checklogs.log(checklogs.write_passing), 3, "refused: \x1b[2J\nexit 0: fine")))
    assert text.splitlines()[-1] == "exit 3: refused: \\x1b[2J\\nexit 0: fine"


@cache
def flooded() -> View:
    log = failing()
    findings = tuple(replace(o, finding=replace(o.finding, id=f"{n:012}")) for n, o in enumerate(log.occurrences * 4))
    left = replace(log.templates[-1], action="may-be-left")
    templates = tuple(replace(left, ref=f"default/touchstone-ab12-{n}@1.0.0") for n in range(162))
    claims = [replace(log.header.claims[0], id=f"other.claim-{n}") for n in range(COMMON + 9)]
    notices = [Notice(claim.id, "not-applicable", "out of scope") for claim in claims[:COMMON]]
    notices += [Notice(claim.id, "not-applicable", "one by one") for claim in claims[COMMON:]]
    header = replace(log.header, claims=(*log.header.claims, *claims))
    log = replace(log, header=header, occurrences=findings, templates=templates, notices=(*log.notices, *notices))
    return view(replace(log, warnings=tuple(f"warning {n}" for n in range(30))))


@pytest.mark.parametrize(
    ("pattern", "printed", "left_out"),
    [
        (r"\d+  \S+ (must|should), ", 40, 24),
        (r"  default/touchstone-ab12-\d+@", 12, 150),
        (r"  warning \d+$", 12, 18),
        (r".*other\.claim-", 1, 5),
    ],
    ids=["findings", "templates", "warnings", "claims of one reason"],
)
def test_long_lists_are_cut_and_the_rest_is_counted(pattern: str, printed: int, left_out: int) -> None:
    lines = terminal(flooded(), 120).splitlines()
    assert len([line for line in lines if re.match(pattern, line)]) == printed
    assert [line for line in lines if re.search(rf"\b{left_out} more", line)] != []
