"""The knee of a probe on a terminal, on its page and for programs."""

import json
import re
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from tests.knee.queueing import Queue, searched
from tests.report.probelogs import run_of, story
from tests.report.test_load_html import rows_of
from touchstone.facts.probe_events import Knee, KneeTerms, Tried
from touchstone.report import html, json_report, text
from touchstone.report.probe_charts import knee_chart
from touchstone.report.probe_view import KneeView
from touchstone.report.view import View

QUEUE = Queue()


def view_of(tried: tuple[Tried, ...], knee: Knee | None, exit_code: int = 0) -> View:
    """The view of a probe that met no limit and looked for a knee."""
    made: Any = story("none", count=30, pause_s=1.0, operation="getBuild")
    made.probing.knee = KneeTerms(QUEUE.slo_s, 25_000)
    made.tried, made.knee = tried, knee
    seen = run_of(made)
    return replace(seen, verdict=replace(seen.verdict, exit_code=exit_code))


@pytest.fixture(scope="module")
def found() -> tuple[tuple[Tried, ...], Knee]:
    """A search that found its knee."""
    search, knee = searched(QUEUE, 1)
    assert knee.is_known
    return tuple(search.tried), knee


def printed(seen: View) -> str:
    """What a terminal shows."""
    out = StringIO()
    text.write(seen, Console(file=out, width=100, force_terminal=False))
    return " ".join(out.getvalue().split())


def test_terminal_tells_the_knee_after_the_limiter(found: tuple[tuple[Tried, ...], Knee]) -> None:
    """One sentence each."""
    told = printed(view_of(*found))
    assert re.search(r"no limit up to 42 requests .* knee of getBuild: \d+ reads a second with p99 ≤ 60 ms", told)
    assert f"{42 + found[1].requests:,} requests" in told


def test_page_has_the_picture_and_a_row_for_each_trial(found: tuple[tuple[Tried, ...], Knee]) -> None:
    """It is headed by what was found."""
    page = html.render(view_of(*found))
    assert "Knee of reads found" in page
    assert 'href="#knee"' in page
    assert "Latency by offered rate" in page
    told = [row for row in rows_of(page) if re.match(r"\d+ (over-drive|bracket|confirm) ", row)]
    assert len(told) == len(found[0])
    assert told[-1].startswith(f"{len(told)} confirm 1")


def test_picture_has_the_limit_the_knee_and_every_trial_that_tells(found: tuple[tuple[Tried, ...], Knee]) -> None:
    """What is within the limit lies below its line."""
    tried, knee = found
    chart = knee_chart(KneeView("getBuild", knee, tried))
    assert chart is not None
    drawn = {shape.css: shape.d for shape in chart.shapes}
    assert {"cap", "p-room", "p-one", "response", "service"} == set(drawn)
    assert drawn["response"].count("L") == len(tried) - 1
    assert re.fullmatch(r"M0 (\d+)H1000", drawn["cap"])


def test_json_has_all_of_it(found: tuple[tuple[Tried, ...], Knee]) -> None:
    """Numbers as they are, and each trial."""
    document = json.loads(json_report.render(view_of(*found)))["probe"]["knee"]
    tried, knee = found
    assert knee.rate_per_s is not None
    assert document["rate_per_s"]["value"] == knee.rate_per_s.value
    assert (document["told"], document["why"], document["slo_s"]) == (True, "confirmed", 0.06)
    assert [each["told"] for each in document["trials"]] == [each.mark for each in tried]
    assert document["trials"][-1]["stage"] == "confirm"


def test_probe_without_a_knee_tells_none() -> None:
    """The page has no such part, and the document says null."""
    seen = run_of(story("none", count=30, pause_s=1.0, operation="getBuild"))
    assert 'id="knee"' not in html.render(seen)
    assert json.loads(json_report.render(seen))["probe"]["knee"] is None


def test_search_that_was_killed_tells_its_trials(found: tuple[tuple[Tried, ...], Knee]) -> None:
    """Whatever was written down before is told."""
    some = found[0][:3]
    seen = view_of(some, None, exit_code=3)
    page = html.render(seen)
    assert "it was interrupted" in printed(seen)
    assert f"{sum(each.outcome.sent for each in some)} requests" in printed(seen)
    assert "Latency by offered rate" in page


def test_search_without_any_trial_draws_nothing() -> None:
    """It says why there was none."""
    seen = view_of((), Knee(0.06, "unsettled"), exit_code=3)
    page = html.render(seen)
    assert "Latency by offered rate" not in page
    assert "Knee of reads not told" in page
    assert "the limiter is not known for sure" in printed(seen)
