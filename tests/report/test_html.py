"""The report as a page."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from touchstone.facts.events import Notice, Occurrence
from touchstone.facts.runlog import read
from touchstone.report import html
from touchstone.report.view import view

VOID = {"meta", "input", "br"}
SVG_EMPTY = {"path", "circle", "rect", "line"}
MAX_PAGE_BYTES = 300_000


class Page(HTMLParser):
    """What a browser would make of a page: its elements, their attributes and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data

    def values(self, name: str) -> list[str]:
        """The values of one attribute, wherever it is."""
        return [value for _, attribute, value in self.attributes if attribute == name]


def page_of(path: Path) -> Page:
    """The page of a run log."""
    return Page(html.render(view(read(path))))


def test_page_is_well_formed(any_run: Path) -> None:
    """Every element is closed, every id is unique, every reference within the page leads somewhere."""
    page = page_of(any_run)

    assert page.open == []
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    targets = {href[1:] for href in page.values("href")} | set(page.values("data-copies"))
    assert targets <= set(ids)


def test_page_needs_no_network(any_run: Path) -> None:
    """Nothing is loaded: no source, no style sheet, no link that leaves the page."""
    page = page_of(any_run)

    assert page.values("src") == []
    assert page.tags["link"] + page.tags["img"] + page.tags["iframe"] + page.tags["object"] == 0
    assert [href for href in page.values("href") if not href.startswith("#")] == []
    assert "@import" not in html.render(view(read(any_run)))
    assert "url(" not in html.render(view(read(any_run)))


def test_target_cannot_write_markup(hostile_run: Path, passing_run: Path, hostile_text: str) -> None:
    """Whatever the target says, the page has one script, ours, and no handler; templates are not evaluated."""
    page = page_of(hostile_run)

    assert page.tags["script"] == 1
    assert [name for _, name, _ in page.attributes if name.startswith("on")] == []
    assert "{{7*7}}" in page.text
    assert "</script><script>alert(1)</script>" in page.text


def test_hidden_characters_are_visible(hostile_run: Path) -> None:
    """No control character, no direction mark and no half of a surrogate pair is left in the page."""
    source = html.render(view(read(hostile_run)))

    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\ufeff\ud800-\udfff]", source) == []
    assert "\\u202egnp.exe" in source
    source.encode("utf-8")


def test_only_our_script_may_run(passing_run: Path) -> None:
    """The page forbids every script but its own by hash, and all loading."""
    (policy,) = [value for value in page_of(passing_run).values("content") if "default-src" in value]

    assert policy.startswith("default-src 'none'")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)


@pytest.mark.parametrize(
    ("run", "headline"),
    [
        ("passing_run", "✓ No broken promise found"),
        ("failing_run", "✕ Does not conform"),
        ("interrupted_run", "! Interrupted"),
    ],
)
def test_verdict_comes_first(run: str, headline: str, request: pytest.FixtureRequest) -> None:
    """The first heading is the verdict, in words and with a symbol, and the reason follows it."""
    path = request.getfixturevalue(run)
    seen = view(read(path))
    text = " ".join(page_of(path).text.split())

    assert headline in text[:400]
    assert f"{seen.reason}. Exit code {seen.exit_code}." in text[:600]


def test_claims_are_all_there_without_a_script(any_run: Path) -> None:
    """Each claim has its row with its verdict in words; filter and copy buttons wait for the script."""
    page = page_of(any_run)
    seen = view(read(any_run))

    assert Counter(page.values("data-verdict")) == Counter(claim.verdict for claim in seen.verdict.claims)
    assert [tag for tag, name, _ in page.attributes if name == "hidden"].count("form") == 1
    copies = [tag for tag, name, _ in page.attributes if name == "data-copies"]
    hidden = [tag for tag, name, _ in page.attributes if name == "hidden" and tag == "button"]
    assert len(copies) == len(hidden)


def test_finding_shows_both_sides(failing_run: Path) -> None:
    """A broken claim has its sentence, its source, expected, actual, command, request and response."""
    text = " ".join(page_of(failing_run).text.split())
    begin = text.index("1 cancel.in-flight-is-202")
    finding = text[begin : text.index("2 status.build-time-is-ms")]

    for part in (
        "Cancelling a build in flight is answered with 202 and cancelling.",
        "Source: build#cancel",
        "Expected 202",
        "Actual 200",
        "curl -X DELETE http://127.0.0.1:8123/api/templates/default/touchstone-ab12-sleep/1.0.0/build",
        "DELETE /templates/default/touchstone-ab12-sleep/1.0.0/build → 200",
        "Bearer <key:primary>",
        '{ "status": "cancelled" }',
        "14 times",
        "and 11 more cases",
    ):
        assert part in finding


def test_partial_report_says_so(interrupted_run: Path, passing_run: Path) -> None:
    """A reader of an interrupted run's page is told that it is partial."""
    assert "This report is partial." in page_of(interrupted_run).text


def test_large_run_stays_small(large_run: Path) -> None:
    """A page of a run of 3,000 exchanges, 90 versions and 156 claims keeps under 300 KB and says what it left out."""
    log = read(large_run)
    source = html.render(view(log))

    assert len(log.exchanges) > 2_900
    assert len(source.encode()) < MAX_PAGE_BYTES
    assert "50 more versions without room here" in source


def test_large_run_with_many_findings_stays_small(large_run: Path, failing_run: Path) -> None:
    """The same run with 60 broken claims, each with long evidence, keeps under 300 KB too."""
    large, failing = read(large_run), read(failing_run)
    seen = failing.occurrences[0]
    fat = tuple(
        replace(exchange, response=replace(exchange.response, body=b'{"x": "' + b"y" * 5_000 + b'"}'))
        for exchange in large.exchanges
        if exchange.response
    )
    occurrences = tuple(
        replace(seen, finding=replace(seen.finding, id=f"{n:012}", claim=claim.id, evidence=tuple(range(n, n + 8))))
        for n, claim in enumerate(large.header.claims[:60], start=1)
    )
    source = html.render(view(replace(large, exchanges=fat, occurrences=occurrences)))

    assert source.count('class="card finding"') == 60
    assert len(source.encode()) < MAX_PAGE_BYTES
    assert "Not shown here for want of room" in source


def banner_of(source: str) -> str:
    """What stands above the bar of verdicts."""
    return source[source.index('<div class="verdict') : source.index('<div class="bar"')]


def test_banner_names_broken_claims(failing_run: Path, passing_run: Path) -> None:
    """Up to three, musts first, each with its sentence and a link to its finding."""
    source = html.render(view(read(failing_run)))
    banner = Page(banner_of(source) + "</div>")

    assert banner.values("href") == ["#finding-1", "#finding-2", "#finding-3"]
    names = ("cancel.in-flight-is-202", "status.build-time-is-ms", "status.golden-dir-is-text")
    places = [banner.text.index(name) for name in names]
    assert places == sorted(places)
    assert "Cancelling a build in flight is answered with 202 and cancelling." in banner.text
    assert banner.text.count("should") == 1
    assert "more" not in banner.text
    assert "named" not in banner_of(html.render(view(read(passing_run))))


def test_banner_says_how_many_more_are_broken(failing_run: Path) -> None:
    """And where they are."""
    log = read(failing_run)
    broken = {finding.claim for finding in log.findings}
    more = [claim.id for claim in log.header.claims if claim.level == "must" and claim.id not in broken][:2]
    findings = (replace(log.findings[0], id=claim, claim=claim) for claim in more)
    seen = view(replace(log, occurrences=(*log.occurrences, *(Occurrence(finding) for finding in findings))))
    banner = Page(banner_of(html.render(seen)) + "</div>")

    assert seen.counts["broken"] == 5
    assert banner.values("href") == ["#finding-1", "#finding-2", "#finding-3", "#broken"]
    assert "and 2 more" in banner.text
    assert "should" not in banner.text


def test_keys_of_a_settings_file_are_said_to_be_there(failing_run: Path) -> None:
    """Where the settings spell the keys out, no variable is named; a log that does not tell has the usual ones."""
    log = read(failing_run)
    sources = {"primary": "api_key of [targets.<a>]", "second": "THEIRS"}
    told = replace(log, header=replace(log.header, settings={"target": {"key_sources": sources}}))

    page = Page(html.render(view(told))).text
    assert "from the settings file: api_key of [targets.<a>], and where the target has them THEIRS and" in page
    assert "from the environment: ORGO_API_KEY, and" in Page(html.render(view(log))).text


def test_reason_that_very_many_share_is_folded(failing_run: Path) -> None:
    """All claims are there, and out of the way."""
    log = read(failing_run)
    many = [replace(log.header.claims[0], id=f"other.claim-{n}") for n in range(60)]
    notices = [Notice(claim.id, "not-applicable", "the scenario is about other things") for claim in many]
    header = replace(log.header, claims=(*many, *log.header.claims))
    source = html.render(view(replace(log, header=header, notices=(*log.notices, *notices))))
    folded = source.partition("<details><summary>60 claims: the scenario is about other things</summary>")[2]

    assert folded.partition("</details>")[0].count("other.claim-") == 60
    assert "<li>set restricted_api_key_env<br>" in source.partition("<details><summary>60 claims")[0]


def test_code_in_a_reason_is_code(failing_run: Path) -> None:
    """What stands between backticks is a command; what stands in it is never taken for markup."""
    log = read(failing_run)
    notice = Notice("access.below-scale-is-403", "not-applicable", "left out; `touchstone check <all>` does")
    source = html.render(view(replace(log, notices=(notice,), warnings=("`touchstone sweep` tries again",))))

    assert source.count("left out; <code>touchstone check &lt;all&gt;</code> does") == 2  # the reason, and the claim
    assert "<code>touchstone sweep</code> tries again" in source
    assert "`" not in Page(source).text


@pytest.mark.parametrize(("cases", "words"), [(4, "and 1 more case."), (5, "and 2 more cases.")])
def test_cases_beyond_three_are_counted(failing_run: Path, cases: int, words: str) -> None:
    """One more is one case."""
    log = read(failing_run)
    first = log.occurrences[0]
    met = tuple(replace(first, case=f"cases/{number}") for number in range(cases))
    page = Page(html.render(view(replace(log, occurrences=met))))

    assert words in page.text
