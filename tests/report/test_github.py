"""Output for GitHub Actions: summaries without markup of a target, at most ten annotations."""

import re
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

from tests.report import proofs
from tests.report.checklogs import HOSTILE
from tests.report.examples import EXAMPLES, FOLDER, Report, example, failing
from tests.report.markup import Markup
from touchstone.facts.events import Case, Notice, RunLog
from touchstone.facts.wording import clipped, one_line
from touchstone.report.comparison import Comparison
from touchstone.report.github import MAX_FINDINGS, MAX_SUMMARY_BYTES, annotation, annotations, code, inert, summary
from touchstone.report.proof_report import ProofView
from touchstone.report.view import View, view

OURS = {"h2", "h3", "p", "br", "code", "table", "tr", "th", "td", "ul", "li", "details", "summary", "tbody", "thead"}
# Texts with a meaning in Markdown, HTML, GitHub or the runner.
TRICKS = (
    "</code></td></tr></table><script>alert(1)</script>",
    "<img src=x onerror=alert(1)><a href='http://evil.test'>x</a>",
    "`` ` ``` | a | b |\n|---|---|\n\n# head\n\n- item\n\n    code",
    "![x](http://evil.test/x.png) [y](javascript:alert(1)) <http://evil.test> www.evil.test me@evil.test",
    "@octocat @org/team #1 owner/repo#2 GH-3 :tada: $x$ **bold** ~~s~~ ==m== [^1] &lt; &#64;",
    "\n::set-output name=x::y\n##[error]z\r::add-mask::w",
    "-->\n<!-- ]]> \x00\x1b[2J\u202e\u2028\ud800",
    HOSTILE,
)
REPORTS = [name for name in EXAMPLES if not isinstance(example(name), Comparison)]


def rendered(markdown: str) -> tuple[Markup, list[str], str]:
    """A summary as HTML: elements, texts in code, other text."""
    parts = Markup(MarkdownIt("gfm-like").render(markdown))
    codes = [text for path, text in parts.texts if "code" in path]
    return parts, codes, "".join(text for path, text in parts.texts if "code" not in path)


def command_in(line: str) -> tuple[str, str, str]:
    """Kind, title and message of a workflow command."""
    match = re.fullmatch(r"::(\w+) title=([^:,\r\n]*)::([^\r\n]*)", line)
    assert match, line
    return match[1], unquote(match[2]), unquote(match[3])


def with_findings(log: RunLog, number: int, **changes: Any) -> View:
    """A run with *number* broken claims, every second a `should`."""
    first, finding = log.header.claims[0], log.occurrences[0].finding
    levels: Any = ("must", "should")
    claims = tuple(replace(first, id=f"start.claim-{n}", level=levels[n % 2]) for n in range(max(number, 1)))
    found = tuple(
        replace(log.occurrences[0], finding=replace(finding, id=f"{n:012}", claim=claims[n].id, **changes))
        for n in range(number)
    )
    return view(replace(log, header=replace(log.header, claims=claims), occurrences=found))


@cache
def huge(number: int) -> View:
    """A run with *number* findings and long hostile texts everywhere."""
    text = "".join(TRICKS) * 12
    log = failing()
    log = replace(
        log,
        header=replace(log.header, target=replace(log.header.target, name=text), argv=("check", text)),
        notices=tuple(Notice(f"x.{n}{text}", "could-not-run", f"{n}{text}") for n in range(60)),
        cases=tuple(Case(f"{n}{text}", text, "error", 0.1, (), text) for n in range(60)),
        warnings=tuple(f"{n}{text}" for n in range(100)),
    )
    return with_findings(log, number, expected=text, actual=text, where=text, curl=text)


@pytest.mark.parametrize("name", [*REPORTS, "proof-large"])
@pytest.mark.parametrize("room_bytes", [3_000, MAX_SUMMARY_BYTES])
def test_summary_has_only_our_markup_and_fits(name: str, room_bytes: int) -> None:
    report: Report = proofs.large(100) if name == "proof-large" else example(name)
    assert isinstance(report, View | ProofView)
    text = summary(report, FOLDER, room_bytes)
    parts, codes, _ = rendered(text)

    assert (parts.tags.keys() - OURS, parts.attributes, parts.open) == (set(), [], [])
    assert len(text.encode()) <= room_bytes
    assert summary(report, FOLDER, 0) == ""
    if room_bytes == MAX_SUMMARY_BYTES:
        assert codes[0].startswith(f"exit {report.exit_code}: ")
        assert str(FOLDER) in codes


@pytest.mark.parametrize("text", TRICKS, ids=range(len(TRICKS)))
def test_text_of_a_target_is_code(text: str) -> None:
    hostile = with_findings(failing(), 3, expected=text, actual=text, where=text, curl=text)
    plain = with_findings(failing(), 3, expected="a", actual="a", where="a", curl="a")
    (parts, codes, prose), (same, same_codes, same_prose) = (rendered(summary(one, FOLDER)) for one in (hostile, plain))

    assert (parts.tags.keys(), parts.attributes, prose) == (same.tags.keys(), [], same_prose)
    own = [one for one in codes if one not in same_codes]
    assert own == [clipped(one_line(text), 300)] * 9 + [clipped(one_line(text), 1_000)]


@pytest.mark.parametrize("room_bytes", [100, 6_000, 30_000])
def test_summary_of_a_huge_run_counts_the_rest(room_bytes: int) -> None:
    text = summary(huge(300), FOLDER, room_bytes)
    parts, _, prose = rendered(text)
    count = text.count("<tr><td>")

    assert len(text.encode()) <= room_bytes
    assert (parts.tags.keys() - OURS, parts.open) == (set(), [])
    assert count <= MAX_FINDINGS
    assert f"{300 - count:,} more" in prose or room_bytes < 30_000


@pytest.mark.parametrize("findings", [1, 10, 11, 300])
def test_annotations_are_ten_at_most_and_musts_first(findings: int) -> None:
    run = with_findings(replace(failing(), notices=(), cases=()), findings)
    lines = [command_in(line) for line in annotations(run)]
    kinds = [kind for kind, title, _ in lines if "start.claim" in title]

    assert len(lines) == min(findings, 10)
    assert kinds == sorted(kinds)  # an error before a warning
    assert findings <= 10 or re.search(rf"\b{findings - 9} more", lines[-1][2])


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *(("check-passing", 0), ("check-failing", 3), ("check-interrupted", 1), ("proof-proven", 0)),
        *(("proof-flawed", 4), ("proof-hostile", 3), ("proof-nothing", 1), ("proof-partial", 0)),
    ],
)
def test_each_failure_has_an_annotation(name: str, count: int) -> None:
    report = example(name)
    assert isinstance(report, View | ProofView)
    assert len([command_in(line) for line in annotations(report)]) == count
    assert len(annotations(proofs.large(700))) == 10


@pytest.mark.parametrize("text", TRICKS, ids=range(len(TRICKS)))
def test_annotation_is_one_command_that_can_be_parsed(text: str) -> None:
    kind, title, message = command_in(annotation("error", text, f"50%0A, 100%: {text}\nsecond"))
    assert (kind, title) == ("error", clipped(one_line(text), 200))
    assert message.startswith("50%0A, 100%: ")
    assert message.splitlines()[-1] == "second"


@pytest.mark.parametrize(
    "text",
    [
        *("::set-output name=a::b", "  \t::add-mask::x", "a\n::error::x", "a\r::error::x", "\x1b[1m::error::x"),
        *("##[set-env name=a]b", "text: ##[add-path]b", "\u00a0\u3000::stop-commands::x"),
    ],
)
def test_printed_line_is_no_workflow_command(text: str) -> None:
    """A command begins with `::` behind blanks at the start of a line, or with `##[` anywhere."""
    lines = [re.sub(r"\x1b\[\d*m", "", line) for line in re.split(r"[\r\n]", inert(text))]
    assert [line for line in lines if line.strip().startswith("::") or "##[" in line] == []
    assert inert(text).replace(": :", "::").replace("# #[", "##[") == text


@pytest.mark.parametrize("text", ["curl http://[::1]:80/x", "a :: b", "# [x]", "", ":", "\n\n", "std::string"])
def test_other_text_is_unchanged(text: str) -> None:
    assert inert(text) == text


def test_code_stays_on_one_line() -> None:
    """An empty line would end its HTML block."""
    assert code("a\n\n`b` <i>|") == "<code>a\\n\\n`b` &lt;i&gt;|</code>"
