"""The report for GitHub Actions: a summary that a target cannot write into, and at most ten annotations."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

from tests.report.conftest import HOSTILE
from touchstone.facts.events import Case, Notice, RunLog
from touchstone.facts.runlog import read
from touchstone.facts.wording import clipped, one_line
from touchstone.report import github
from touchstone.report.github import MAX_SUMMARY_BYTES, annotation, annotations, code, inert, summary
from touchstone.report.view import View, view

FOLDER = Path("reports/some-run")
OURS = {"h2", "h3", "p", "br", "code", "table", "tr", "th", "td", "ul", "li", "details", "summary", "tbody", "thead"}
# What means something to Markdown, to HTML, to GitHub, or to the runner.
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


class Shown(HTMLParser):
    """What GitHub shows of a summary: the elements, and the texts inside and outside of `code`."""

    def __init__(self, markdown: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.codes: list[str] = []
        self.prose = ""
        self.feed(MarkdownIt("gfm-like").render(markdown))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "code":
            self.codes.append("")
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "code" in self.open:
            self.codes[-1] += data
        else:
            self.prose += data


def unescaped(line: str) -> tuple[str, dict[str, str], str]:
    """Kind, properties and message of a command, as the runner reads them."""
    match = re.fullmatch(r"::(\w+) ([^:\r\n]*)::([^\r\n]*)", line)
    assert match, line
    properties = dict(pair.split("=", 1) for pair in match[2].split(","))
    return match[1], {name: unquote(value) for name, value in properties.items()}, unquote(match[3])


def with_findings(log: RunLog, number: int, **changes: Any) -> View:
    """The view of a run that broke claims that often, every second of them a `should`."""
    levels = ("must", "should")
    claims = tuple(
        replace(log.header.claims[0], id=f"start.claim-{n}", level=levels[n % 2]) for n in range(max(number, 1))
    )
    seen = log.occurrences[0]
    occurrences = tuple(
        replace(seen, finding=replace(seen.finding, id=f"{n:012}", claim=claims[n].id, level=levels[n % 2], **changes))
        for n in range(number)
    )
    return view(replace(log, header=replace(log.header, claims=claims), occurrences=occurrences))


def huge(log: RunLog, number: int) -> View:
    """The view of a run in which everything is hostile, long, and there that often."""
    text = "".join(TRICKS) * 60
    header = replace(log.header, target=replace(log.header.target, name=text), argv=("check", text))
    log = replace(
        log,
        header=header,
        notices=tuple(Notice(f"x.{n}{text}", "could-not-run", f"{n}{text}") for n in range(60)),
        cases=tuple(Case(f"{n}{text}", text, "error", 0.1, (), text) for n in range(60)),
        warnings=tuple(f"{n}{text}" for n in range(100)),
    )
    return with_findings(log, number, expected=text, actual=text, where=text, curl=text)


@pytest.mark.parametrize("name", ["passing", "failing"])
def test_summary_is_as_agreed(name: str, golden: Any, request: pytest.FixtureRequest) -> None:
    """Verdict, numbers, findings with both sides, what could not be judged, and where the rest is."""
    golden(f"{name}.summary.md", summary(view(read(request.getfixturevalue(f"{name}_run"))), FOLDER))


def test_summary_is_what_markdown_makes_of_it(any_run: Path) -> None:
    """Every element is ours and closed, none has an attribute, and the verdict is the first heading."""
    seen = view(read(any_run))
    shown = Shown(summary(seen, FOLDER))

    assert shown.tags <= OURS
    assert (shown.open, shown.attributes) == ([], [])
    assert f"exit {seen.exit_code}: {clipped(one_line(seen.reason), 200)}"[:200] in shown.codes[0]
    assert str(FOLDER) in shown.codes


@pytest.mark.parametrize("text", TRICKS, ids=range(len(TRICKS)))
def test_text_of_a_target_is_shown_and_nothing_else(text: str, failing_run: Path) -> None:
    """It stands in the summary letter by letter, as code: no element, link, mention, table or heading comes of it."""
    seen = with_findings(read(failing_run), 3, expected=text, actual=text, where=text, curl=text)
    plain = with_findings(read(failing_run), 3, expected="a", actual="a", where="a", curl="a")
    shown, same = Shown(summary(seen, FOLDER)), Shown(summary(plain, FOLDER))

    assert (shown.tags, shown.attributes, shown.open) == (same.tags, [], [])
    assert shown.prose == same.prose
    assert [one for one in shown.codes if one not in same.codes] == [clipped(one_line(text), 300)] * 9 + [
        clipped(one_line(text), 1_000)
    ]


def test_ten_thousand_huge_findings_fit(failing_run: Path) -> None:
    """Under 900 KB, with a word on how many are left out and where they are, and still nothing but our own elements."""
    seen = huge(read(failing_run), 10_000)
    text = summary(seen, FOLDER)
    shown = Shown(text)

    assert len(text.encode()) <= MAX_SUMMARY_BYTES
    assert (shown.tags - OURS, shown.attributes, shown.open) == (set(), [], [])
    rows = text.count("<tr><td>")
    assert 0 < rows <= github.MAX_FINDINGS
    assert f"… and {10_000 - rows:,} more findings without room here: see report.html and report.json." in shown.prose
    assert "report.html, report.json and junit.xml in" in shown.prose


@pytest.mark.parametrize("room_bytes", [0, 100, 2_000, 6_000, 9_000, 30_000, 200_000])
def test_summary_keeps_to_the_room_that_is_left(room_bytes: int, failing_run: Path) -> None:
    """Whatever other commands of the step have left, no more is written, and what is written is whole."""
    text = summary(huge(read(failing_run), 300), FOLDER, room_bytes)
    shown = Shown(text)

    assert len(text.encode()) <= room_bytes
    assert shown.open == []
    if room_bytes >= 30_000:
        assert "more findings without room here" in shown.prose


def test_ten_annotations_at_most_and_musts_first(failing_run: Path) -> None:
    """Of eleven findings nine are told, with one more line on the other two."""
    told = [unescaped(line) for line in annotations(with_findings(read(failing_run), 11))]
    kinds = [kind for kind, _, _ in told]

    assert kinds == ["error"] * 6 + ["warning"] * 4
    assert told[-1][2] == "2 more: see the summary of this step, or the reports"
    assert [properties["title"] for _, properties, _ in told[:2]] == [f"start.claim-{n} is broken" for n in (0, 2)]


@pytest.mark.parametrize(("findings", "lines"), [(0, 0), (1, 1), (10, 10), (11, 10), (10_000, 10)])
def test_annotations_are_never_more_than_ten(findings: int, lines: int, failing_run: Path) -> None:
    """Ten findings have ten, and so have ten thousand."""
    log = replace(read(failing_run), notices=(), cases=())
    found = annotations(with_findings(log, findings))
    told = [line for line in found if "could not be judged" not in line.lower()]

    assert len(told) == lines
    assert len(found) <= 10


def test_run_without_a_verdict_is_an_annotation(interrupted_run: Path, failing_run: Path) -> None:
    """What ended the run comes first, and makes ten with nine others."""
    (line,) = annotations(view(read(interrupted_run)))
    kind, properties, message = unescaped(line)
    assert (kind, properties) == ("error", {"title": "touchstone check: Interrupted"})
    assert message == "interrupted by Ctrl-C after 6 exchanges"

    log = read(failing_run)
    assert log.footer
    cut = with_findings(replace(log, footer=replace(log.footer, interrupted=True)), 30)
    told = [unescaped(one) for one in annotations(cut)]
    assert len(told) == 10
    assert told[0][1]["title"] == "touchstone check: Interrupted"
    assert told[-1][2].startswith("22 more: ")


@pytest.mark.parametrize("text", TRICKS, ids=range(len(TRICKS)))
def test_annotation_is_one_line_and_says_what_it_was_given(text: str) -> None:
    """The runner reads back title, file and message; colons, commas, per cent signs and line feeds end nothing."""
    line = annotation("error", text, f"50%0A, 100%: {text}\nsecond")
    kind, properties, message = unescaped(line)

    assert (kind, properties["title"]) == ("error", clipped(one_line(text), 200))
    assert message.splitlines()[-1] == "second"
    assert message.startswith("50%0A, 100%: ")


def test_annotation_is_short(failing_run: Path) -> None:
    """A value of 100 KB makes a line of a few."""
    for line in annotations(huge(read(failing_run), 20)):
        assert len(line) < 10_000
        assert "\n" not in line


@pytest.mark.parametrize(
    "text",
    [
        "::set-output name=a::b",
        "  \t::add-mask::x",
        "a\n::error::x",
        "a\r::error::x",
        "\x1b[1m::error::x",
        "##[set-env name=a]b",
        "told: ##[add-path]b",
        "\u00a0\u3000::stop-commands::x",
    ],
)
def test_printed_line_is_no_command(text: str) -> None:
    """The runner takes `::` behind blanks at the start of a line, and `##[` anywhere, for the start of a command."""
    lines = re.split(r"[\r\n]", inert(text))

    assert [line for line in lines if re.sub(r"\x1b\[\d*m", "", line).strip().startswith("::") or "##[" in line] == []
    assert inert(text).replace(": :", "::").replace("# #[", "##[") == text


@pytest.mark.parametrize("text", ["curl http://[::1]:80/x", "a :: b", "# [x]", "", ":", "\n\n", "std::string"])
def test_other_text_is_printed_as_it_is(text: str) -> None:
    """Two colons within a line are none of a command."""
    assert inert(text) == text


def test_request_is_told_without_the_address(failing_run: Path) -> None:
    """The address of the target stands above all requests once."""
    seen = with_findings(read(failing_run), 1, where="GET http://127.0.0.1:8123/api/templates/x")
    assert "GET /templates/x" in Shown(summary(seen, FOLDER)).codes


def test_code_has_no_line_of_its_own() -> None:
    """An empty line would end the block that it stands in."""
    assert code("a\n\n`b` <i>|") == "<code>a\\n\\n`b` &lt;i&gt;|</code>"
