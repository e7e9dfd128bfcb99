"""A probe on a terminal, on its page and for programs."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests.report.identities import around
from tests.report.probelogs import RUNNERS, run_of, story
from tests.report.test_html import MAX_PAGE_BYTES, Page
from tests.report.test_load_html import rows_of
from touchstone.facts.identity import Runner
from touchstone.facts.observed import Answer
from touchstone.report import html, json_report, text
from touchstone.report.probe_charts import pictures
from touchstone.report.view import View

BUCKET = "token-bucket:10/60,burst=5+builds:4"
EVIL = "\x1b[31m<script>alert('x')</script>\u202e"
HEADLINES = (
    *("Limiter identified", "Limiter not settled", "No limit met", "Does not conform"),
    *("Could not be judged", "Interrupted", "No broken promise found"),
)
UNSURE = tuple(
    Runner(family, probability, limit, lost)
    for family, probability, limit, lost in (
        ("token-bucket", 0.812, "token-bucket:8/4", ""),
        ("sliding-log", 0.17, "sliding-log:8/4", "4 of 5 answers at 12 s are late for it"),
        ("minimum-gap", 0.018, "minimum-gap:0.5", "8 were accepted within 40 ms"),
    )
)


def unsure() -> View:
    """A probe that spent its budget, with what others take, a finding and a note."""
    made = story(
        "token-bucket:8/4",
        count=60,
        operation="getBuild",
        sure=False,
        why="budget",
        others_share=around(0.12, 0.5),
        families=UNSURE,
        findings=("Retry-After said 1 s at 12.3 s, and one was accepted only 5.9 s later",),
        notes=("2 answers were left out: they took longer than 10 s.",),
        uncapped_to=16,
    )
    return run_of(made)


RUNS: dict[str, Callable[[], View]] = {
    "bucket": lambda: run_of(story(BUCKET)),
    "unsure": unsure,
    "queue": lambda: run_of(story("leaky-bucket:5/1,burst=10", count=300, pause_s=0.6, operation="getBuild")),
    "alike": lambda: run_of(story("minimum-gap:2", alike=("sliding-log:1/2", "token-bucket:1/2,burst=1"))),
    "none": lambda: run_of(story("none", count=200, pause_s=0.1, uncapped_to=32, holds_to=10)),
    "endless": lambda: run_of(story("none", count=200, pause_s=0.1, sure=False, why="budget")),
    "many": lambda: run_of(story("sliding-log:20/2", count=3000, pause_s=0.4)),
    "one": lambda: run_of(story("sliding-log:20/2", count=1)),
    "hostile": lambda: run_of(story("8/4", count=30, findings=(EVIL,), notes=(EVIL,), alike=("sliding-log:8/4",))),
}


@cache
def run(name: str) -> View:
    """One of the runs, made once."""
    return RUNS[name]()


def told(view: View, width: int = 80, *, advises: bool = True) -> str:
    """What a terminal of that width shows."""
    console = Console(file=StringIO(), width=width, color_system=None)
    text.write(view, console, advises=advises)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def words_of(view: View) -> str:
    """What the page says, on one line."""
    return " ".join(Page(html.render(view)).text.split())


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("name", ["bucket", "unsure"])
def test_terminal_reads_as_before(name: str, width: int, golden: Callable[[str, str], None]) -> None:
    """The whole text of a probe that is settled and of one that is not, wide and narrow."""
    golden(f"probe-{name}-{width}.txt", told(run(name), width))


@pytest.mark.parametrize("name", RUNS)
def test_terminal_is_kept_to_its_width_but_for_what_is_copied(name: str) -> None:
    """No line is longer than the terminal, except a command."""
    lines = told(run(name), 60).splitlines()
    assert [line for line in lines if cell_len(line) > 60 and "touchstone serve" not in line] == []


def test_first_line_is_the_sentence() -> None:
    """Whoever reads one line reads what was found."""
    lines = told(run("bucket"), 200).splitlines()
    assert lines[0] == (
        "token bucket: 10 builds a minute (±0.4 %), burst 5 (±0), and 4 builds (±0) in flight; 150 requests, 6 min 06 s"
    )
    assert f"  touchstone serve --rate {BUCKET}" in lines


def test_runner_up_is_told_with_why_it_lost() -> None:
    """Of a settled probe only the family that comes next is told."""
    shown = told(run("bucket"), 200)
    assert f"not sliding log (below 0.1 %, at best sliding-log:5/28.3): {RUNNERS[0][2]}" in shown
    assert "fixed window" not in shown


def test_every_likely_family_is_told_where_none_stands_out() -> None:
    """An unsettled probe tells all of them."""
    shown = told(run("unsure"), 200)
    assert shown.startswith("not settled: token bucket 81 %, sliding log 17 %, minimum gap 1.8 %")
    assert "likeliest: token bucket: 2 reads a second (±0.4 %), burst 8 (±0)" in shown
    assert "or minimum gap (1.8 %, at best minimum-gap:0.5): 8 were accepted within 40 ms" in shown


def test_advice_is_told_only_where_it_is_asked_for() -> None:
    """Without ``--advise`` the terminal has none; page and JSON always have it."""
    assert "What a client should do" not in told(run("bucket"), advises=False)
    assert "What a client should do" in told(run("bucket"))


@pytest.mark.parametrize("name", RUNS)
def test_page_is_well_formed_small_and_needs_no_network(name: str) -> None:
    """Every element is closed, ids are unique, links lead somewhere, nothing is loaded, and 300 KB are enough."""
    source = html.render(run(name))
    page = Page(source)
    ids = page.values("id")
    assert page.open == []
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in page.values("href")} <= set(ids)
    assert page.values("src") == []
    assert "url(" not in source
    assert len(source.encode()) < MAX_PAGE_BYTES


def test_sections_come_in_order() -> None:
    """What was found, what to do, what was sent, why, how, and what it cost."""
    source = html.render(run("bucket"))
    names = ("limiter", "advice", "requests", "families", "stimuli", "cost", "run", "claims", "again")
    places = [source.index(f'<h2 id="{name}"') for name in names]
    assert places == sorted(places)


def test_page_has_each_chart_and_each_number() -> None:
    """Requests of the whole run and of its beginning, the families, and a row for each number."""
    words = words_of(run("bucket"))
    for part in (
        "Limiter identified",
        "All requests 150 requests: 65 accepted, 85 refused.",
        "How sure it became",
        "Send one build each 6.14 s",
        "150 requests, 85 refused",
    ):
        assert part in words
    source = html.render(run("bucket"))
    assert {
        "rate token bucket 10 builds a minute 0.166 to 0.1673 a second",
        "burst token bucket 5 certain",
        "limit cap on builds in flight 4 builds certain",
    } <= set(rows_of(source))


def test_answers_that_were_held_back_are_drawn_for_as_long() -> None:
    """A queue shows how long each answer took."""
    source = html.render(run("queue"))
    assert 'class="p-held"' in source
    assert "held back, then accepted" in Page(source).text


def test_no_limiter_has_no_room_and_no_command() -> None:
    """Where nothing was refused there is nothing to serve and nothing to draw below the requests."""
    source = html.render(run("none"))
    words = words_of(run("none"))
    assert "No limit met" in words
    assert "no cap up to 32 at once, no cap up to 10 builds in flight" in words
    assert "touchstone serve --rate" not in words
    assert 'class="p-room"' not in source


@pytest.mark.parametrize(
    ("name", "exit_code", "headline"),
    [
        ("bucket", 0, "Limiter identified"),
        ("bucket", 1, "Does not conform"),
        ("bucket", 3, "Could not be judged"),
        ("bucket", 130, "Interrupted"),
        ("unsure", 3, "Limiter not settled"),
        ("unsure", 1, "Does not conform"),
        ("none", 0, "No limit met"),
        ("endless", 3, "No limit met"),
    ],
)
def test_headline_and_exit_code_agree(name: str, exit_code: int, headline: str) -> None:
    """Only a probe that is sure and broke nothing is said to have found its limiter, and the reason stands below."""
    view = run(name)
    words = words_of(replace(view, verdict=replace(view.verdict, exit_code=exit_code, reason="as it is")))
    assert [one for one in HEADLINES if f"{one} http" in words or f"{one} staging" in words] == [headline]
    assert f"as it is. Exit code {exit_code}." in words


def test_nothing_is_drawn_of_families_where_none_was_thought_of() -> None:
    """As long as nothing is refused there is nothing to be sure of."""
    probe = run("bucket").probe
    assert probe
    assert pictures(probe)["families"]
    nothing = tuple(replace(step, families={}) for step in probe.steps)
    assert pictures(replace(probe, steps=nothing))["families"] is None


def test_likely_limits_are_not_called_the_same() -> None:
    """Only what is known for sure is offered as the limits of the target."""
    assert "The same limits, to try a client against" in words_of(run("bucket"))
    assert "The likeliest limits, to try a client against" in words_of(run("unsure"))


def test_column_of_reasons_is_there_where_there_is_one() -> None:
    """Where nothing is said against the other families, no column of dashes says so."""
    assert "Why not this one" in words_of(run("bucket"))
    runners = tuple(replace(runner, lost="") for runner in UNSURE)
    assert "Why not this one" not in words_of(run_of(story("8/4", count=20, families=runners)))


def test_what_answers_say_is_shown_and_never_obeyed() -> None:
    """Markup and control characters in a finding stay text."""
    source, shown = html.render(run("hostile")), told(run("hostile"))
    assert "<script>alert" not in source
    assert "\x1b" not in source + shown
    assert "\u202e" not in source + shown


def test_marks_of_many_requests_stay_legible() -> None:
    """Requests that lie closer than can be told apart share a mark."""
    probe = run("many").probe
    assert probe
    lanes = pictures(probe)["requests"]
    assert lanes
    assert len(probe.answers) >= 3000
    assert all(shape.d.count("M") <= 501 for shape in lanes.shapes)


def test_stacked_families_fill_the_whole_height() -> None:
    """What is known after each stimulus adds up to 100 %."""
    probe = run("unsure").probe
    assert probe
    chart = pictures(probe)["families"]
    assert chart
    top = chart.shapes[-1].d
    assert {part.split("H")[0] for part in top.split("V")[1 : len(probe.steps) + 1]} == {"0"}
    # Each begins where the one below it ends.
    floors = [re.match(r"M\d+ (\d+)V(\d+)H", shape.d) for shape in chart.shapes]
    edges = [found.groups() for found in floors if found]
    assert edges[0][0] == "1000"
    assert [low for low, _ in edges[1:]] == [high for _, high in edges[:-1]]


def test_check_page_has_nothing_of_a_probe() -> None:
    """A page of another run has neither sections nor style of it."""
    source = html.render(replace(run("bucket"), probe=None))
    assert 'id="limiter"' not in source
    assert "--refusal" not in source


def test_json_has_all_of_it() -> None:
    """The object `probe` tells family, numbers with intervals, and the settings of a client."""
    document = json.loads(json_report.render(run("bucket")))
    probe = document["probe"]
    assert document["schema_version"] == 1
    assert (probe["family"], probe["text"], probe["sure"], probe["why"]) == ("token-bucket", BUCKET, True, "settled")
    assert probe["tiers"][0]["parameters"]["burst"] == {"value": 5, "low": 5, "high": 5}
    assert probe["tiers"][0]["parameters"]["rate_per_s"]["low"] == pytest.approx(0.996 / 6)
    assert probe["families"][1]["lost"] == RUNNERS[0][2]
    assert probe["cost"]["requests"] == 150
    assert probe["advice"]["parallel_builds"] == 4
    assert probe["advice"]["burst"] == 4
    assert probe["advice"]["lines"] == list(run("bucket").probe.advice.lines)  # type: ignore[union-attr]


def test_json_of_no_limiter_advises_nothing() -> None:
    """A setting that the limiter does not ask for is null."""
    probe = json.loads(json_report.render(run("none")))["probe"]
    assert (probe["family"], probe["text"], probe["tiers"]) == ("none", "none", [])
    assert probe["advice"]["rate_per_s"] is None
    assert probe["advice"]["burst"] is None


def test_probe_that_was_killed_is_told_as_far_as_it_got() -> None:
    """A run log without an identity has its answers drawn, and claims nothing."""
    made = story(BUCKET, count=20)
    made.identified = None  # type: ignore[attr-defined]  # as after a crash
    view = run_of(made)
    assert view.probe
    assert view.probe.sentence.startswith("nothing is known: it ended before it was settled; 2")
    assert pictures(view.probe)["requests"]
    assert told(view)


def test_probe_without_any_answer_is_told() -> None:
    """Not one request was answered: nothing is drawn, and nothing fails."""
    made = story("none", count=1)
    made.answers, made.identified = [], None  # type: ignore[attr-defined]  # as after a crash
    view = run_of(made)
    assert "nothing is known: no request was answered" in words_of(view)
    assert json.loads(json_report.render(view))["probe"]["cost"]["requests"] == 0


def test_failures_are_drawn_apart() -> None:
    """An answer that tells nothing of a limiter is neither accepted nor refused."""
    probe = run("bucket").probe
    assert probe
    failing = replace(probe, failed=(Answer(3.0, 3.2, False),))
    assert "1 failed" in pictures(failing)["requests"].caption  # type: ignore[union-attr]
    assert "p-failed" in html.render(replace(run("bucket"), probe=failing))
