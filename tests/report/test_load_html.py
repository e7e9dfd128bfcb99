"""The page of a load run."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.loadlogs import (
    BEGAN_AT,
    LIMITS,
    FixedWindow,
    NoLimit,
    Storm,
    behind,
    fold,
    four_workers,
    log_of,
    long,
    steady,
    workload,
)
from tests.report.test_html import MAX_PAGE_BYTES, Page
from tests.test_room import FULL_HOST, story
from touchstone.facts.events import Limit, Occurrence, RunLog
from touchstone.facts.runlog import read
from touchstone.facts.sample import Sample
from touchstone.facts.wording import brief
from touchstone.loadgen.thresholds import measured
from touchstone.report import html
from touchstone.report.view import view


def limited(log: RunLog) -> RunLog:
    """The same run with thresholds."""
    assert log.workload is not None
    return replace(log, workload=replace(log.workload, limits=LIMITS))


def closed() -> RunLog:
    """A run of the closed model."""
    return log_of(
        workload(model="closed", scheduled={}),
        windows=fold(Sample("getBuild", "200", BEGAN_AT + n, BEGAN_AT + n, BEGAN_AT + n + 0.01) for n in range(20)),
    )


def window() -> NoLimit:
    """Eight starts in four seconds."""
    return FixedWindow(8, 4.0)


RUNS: dict[str, Callable[[], RunLog]] = {
    "storm": lambda: replace(limited(Storm(rate=window, retry_s=0.3).run()), exchanges=story(FULL_HOST)),
    "steady": lambda: limited(steady()),
    "behind": lambda: limited(behind()),
    "workers": lambda: limited(four_workers()),
    "long": lambda: limited(long()),
    "closed": closed,
    "empty": lambda: replace(log_of(workload()), footer=None),
    "one": lambda: log_of(workload(), windows=fold([Sample("getBuild", "200", BEGAN_AT, BEGAN_AT, BEGAN_AT + 0.01)])),
}


@cache
def run(name: str) -> RunLog:
    """One of the runs, made once."""
    return RUNS[name]()


@cache
def page(name: str) -> str:
    """The page of one of the runs, made once."""
    return source_of(run(name))


@pytest.fixture(params=RUNS)
def any_page(request: pytest.FixtureRequest) -> str:
    return page(request.param)


def source_of(log: RunLog) -> str:
    """The page of a run."""
    return html.render(view(log))


def words_of(source: str) -> str:
    """What a page says, on one line."""
    return " ".join(Page(source).text.split())


def rows_of(source: str) -> list[str]:
    """The rows of all tables of a page, each on one line."""
    rows = re.findall(r"<tr.*?</tr>", source, flags=re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in rows]


def test_page_is_well_formed_small_and_needs_no_network(any_page: str) -> None:
    """Every element is closed, ids are unique, links lead somewhere, nothing is loaded, and 300 KB are enough."""
    source = any_page
    page = Page(source)
    ids = page.values("id")

    assert page.open == []
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in page.values("href")} <= set(ids)
    assert page.values("src") + [href for href in page.values("href") if not href.startswith("#")] == []
    assert "url(" not in source
    assert len(source.encode()) < MAX_PAGE_BYTES


def test_check_page_has_nothing_of_it(tmp_path: Path, passing_run: Path) -> None:
    """A page of a check has neither the sections of a load run nor its style."""
    source = html.render(view(read(passing_run)))

    assert 'id="thresholds"' not in source
    assert ".heat" not in source
    assert "--served" not in source


def test_busy_run_of_many_exchanges_stays_small(large_run: Path) -> None:
    """Ten minutes of load beside 3,000 kept exchanges, 90 versions and 156 claims keep under 300 KB."""
    load = run("long")
    check = read(large_run)
    log = replace(
        check, workload=load.workload, windows=load.windows, workers=load.workers, attempts=Storm().run().attempts
    )

    assert len(source_of(log).encode()) < MAX_PAGE_BYTES


def test_sections_come_in_order() -> None:
    """Verdict first, then thresholds, capacity, latency, generator, workload, and the claims as on every page."""
    source = page("storm")
    marks = ["<h1>", *(f'<h2 id="{name}"' for name in ("thresholds", "capacity", "latency", "generator", "workload"))]
    places = [source.index(mark) for mark in (*marks, '<h2 id="run"', '<h2 id="claims"', '<h2 id="again"')]

    assert places == sorted(places)


def test_thresholds_tell_limit_measured_margin_and_verdict() -> None:
    """Each threshold is a row; a broken one comes first, an indeterminate one says why."""
    rows, late = rows_of(page("steady")), rows_of(page("behind"))

    assert rows[1:5] == [
        "startBuild time of an answer at p99 at most 500 ms 970 ms 1.94 times the limit 124 ✕ broken",
        "getBuild time of an answer at p99 at most 50 ms 964 ms 19.3 times the limit 2,633 ✕ broken",
        "all operations share of requests that failed at most 0.1 % 0 % 100 % left 3,000 ✓ kept",
        (
            "all operations requests served in a second of the schedule at least 40 a second 48.48 a second "
            "1.21 times the least 2,909 ✓ kept"
        ),
    ]
    assert "? indeterminate the generator was 392 ms late at p99" in late[1]


def test_value_beyond_its_limit_by_a_hair_is_told_with_more_digits() -> None:
    """On the page, limit and value never read the same where they are not; how far they are apart is told beside."""
    log = run("steady")
    assert log.workload is not None
    (found,) = measured(replace(log, workload=replace(log.workload, limits=(Limit("getBuild", "p99_s", 1.0),))))
    assert found.value is not None
    limits = tuple(Limit("getBuild", "p99_s", found.value * share) for share in (1 - 1e-6, 1.0, 1 + 1e-6))
    rows = rows_of(source_of(replace(log, workload=replace(log.workload, limits=limits))))[1:4]
    exact, rounded = brief(found.value, 9), brief(found.value)

    assert [row.partition("at p99 ")[2] for row in rows] == [
        f"at most {rounded} {exact} 1.000001 times the limit 2,633 ✕ broken",
        f"at most {rounded} {rounded} just met 2,633 ✓ kept",
        f"at most {rounded} {exact} 0.0001 % left 2,633 ✓ kept",
    ]


def test_capacity_is_seen_at_one_look() -> None:
    """The sentence, the line at the capacity with its name, and each refused start on it, with room and without."""
    source = page("storm")
    text = words_of(page("storm"))

    assert "the capacity is 4. 434 starts were refused with fewer than the 4 builds in flight" in text
    assert re.search(r'<span class="note cap" style="bottom:66.7%" aria-hidden="true">capacity 4</span>', source)
    assert '<path class="cap" d="M0 333H1000">' in source
    assert 'class="r-full" d="M' in source
    assert 'class="r-below" d="M' in source
    assert "start refused, no room" in text
    assert "Of 1,140: 32 served (2xx), 1,108 refused (429)." in text


def test_capacity_that_was_not_met_is_not_named() -> None:
    """Where no start was refused, the line is only what was seen."""
    assert "most seen: 3" in words_of(source_of(Storm(starts=3).run()))
    assert "capacity 3" not in words_of(source_of(Storm(starts=3).run()))


def test_every_chart_has_title_axes_and_words(any_page: str) -> None:
    """A chart says what it shows in a title, names both axes, and has a text for those who do not see it."""
    source = any_page
    charts = source.split('<figure class="chart">')[1:]

    for chart in charts:
        title = re.search(r"<figcaption><b>(.+?)</b> <span[^>]*>(.+?)</span>", chart)
        assert title
        assert f'role="img" aria-label="{title[1]}. {title[2]}"' in chart
        assert re.search(r'class="yname[^>]*>[a-z]', chart)
        assert re.search(r'class="xname[^>]*>[a-z]', chart)
        assert chart.count('style="bottom:') >= 2
    assert charts or any_page == page("empty")


def test_latency_has_counts_and_marks_what_is_unsure() -> None:
    """Each operation has its chart with its number of samples, response beside service, the unsure part dotted."""
    source, text = page("steady"), words_of(page("steady"))

    for title in ("All operations: 2,868", "getBuild: 2,633", "startBuild: 124", "streamBuildEvents: 98"):
        assert f"{title} samples" in text
    assert source.count('class="response"') >= 5
    assert source.count('class="service"') >= 5
    assert 'class="response unsure"' in source
    assert "p99 964 ms, p99.9 1 s?" in text


def test_shares_are_written_as_elsewhere() -> None:
    """With a blank before the sign, as in the text and in the thresholds of the same page."""
    words = words_of(page("steady"))

    assert re.search(r"Errors: [0-9.]+ % of all requests", words)
    assert re.search(r"all operations[0-9,]+100 %", words)
    assert re.search(r"[0-9]%", words) is None


def test_workers_are_told_one_by_one() -> None:
    """Each worker has its state, share, lateness and clock; a lost one is named, and so is what went with it."""
    text = words_of(page("workers"))

    assert "Worker 2 was lost with what was not reported yet. What is known was sent in time: 2,400 arrivals" in text
    assert "of 240 arrivals nobody knows" in text
    assert any(row.startswith("2 ✕ lost 600 360 0 ") for row in rows_of(page("workers")))
    assert "no word from it for 6 s" in text
    assert "+3.60 ± 0.20 ms" in text


def test_generator_that_fell_behind_says_from_when() -> None:
    """By how much, and from which second on, so that times after it are read with care."""
    text = words_of(page("behind"))

    assert "199 arrivals came due and could not be sent" in text
    assert "from second 21 on it could not keep up, and was 400 ms behind at most" in text


def test_closed_model_says_which_times_it_cannot_give() -> None:
    """The page of a closed model has service times, and says why there is nothing else."""
    text = words_of(page("closed"))

    assert "neither response times nor lateness" in text
    assert "service time, from sent" in text
    assert "response time, from due" not in text


def test_workload_is_told_in_words() -> None:
    """What was sent, for how long, and with which seed."""
    text = words_of(page("steady"))

    assert "Arrivals: constant:50, for 60 s, drawn with seed 20" in text


def test_command_to_run_again_is_one_that_exists(failing_run: Path) -> None:
    """The load command has no --claims: the whole run is the smallest that shows a finding of it."""
    finding = replace(read(failing_run).findings[0], claim="load.no-5xx")
    log = replace(run("steady"), occurrences=(Occurrence(finding, times=3), Occurrence(finding)))
    seen = view(log)

    assert [(item.claim.id, item.occurrences) for item in seen.findings] == [("load.no-5xx", 4)]
    assert "--claims" not in seen.again
    assert "The broken claims only" not in words_of(source_of(log))


def test_banner_names_what_is_broken_before_any_chart(failing_run: Path) -> None:
    """With a link to the finding, which comes after the charts."""
    finding = replace(read(failing_run).findings[0], claim="load.no-5xx")
    source = source_of(replace(run("steady"), occurrences=(Occurrence(finding),)))

    link, told = source.index('href="#finding-1">load.no-5xx</a>'), source.index('id="finding-1"')
    assert link < source.index('id="thresholds"') < told
    assert 'class="named"' not in page("steady")


def test_log_cannot_write_markup(hostile_text: str) -> None:
    """Names, outcomes and notes are shown as they are and never taken for markup."""
    log = four_workers()
    assert log.workload is not None
    windows = tuple(replace(w, operation=hostile_text, outcome=hostile_text) for w in log.windows)
    workers = tuple(replace(worker, note=hostile_text) for worker in log.workers)
    planned = replace(log.workload, scenario=hostile_text, arrivals=hostile_text, says=hostile_text)
    source = source_of(replace(log, windows=windows, workers=workers, workload=planned))
    page = Page(source)

    assert page.tags["script"] == 1
    assert [name for _, name, _ in page.attributes if name.startswith("on")] == []
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\ufeff\ud800-\udfff]", source) == []
