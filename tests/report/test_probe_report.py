"""Reports of a probe and a knee: sentences, numbers, charts, advice."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.report.examples import document, example, knee, page
from tests.report.golden import agrees
from tests.report.identities import around, exactly, identity
from tests.report.probelogs import run_of, story
from touchstone.facts.identity import Cost, Interval, Runner
from touchstone.facts.probe import Answer, Knee
from touchstone.facts.wording import describe_chance
from touchstone.limiter.pace import Pace
from touchstone.report import probe_view
from touchstone.report.charts import knee_chart, probe_pictures
from touchstone.report.html import sentence
from touchstone.report.probe_view import advice, describe_limiter, describe_rate, give_or_take, lasting

LIMITERS = (
    *("none", "8/4", "fixed-window:100/60,opens=clock", "fixed-window:5/10,block=90", "sliding-log:1/2,refused=count"),
    *("sliding-counter:8/4,rule=below", "token-bucket:10/60,burst=5"),
    *("token-bucket:5000/3600,burst=5", "token-bucket:8/4,starts=empty,tick=1,early=0.5", "minimum-gap:2.5"),
    *("leaky-bucket:8/4", "leaky-bucket:8/4,burst=6,delay=2", "concurrency:4,takes=0.5", "builds:1"),
    *("sliding-log:5/1+minimum-gap:0.1", "token-bucket:10/60,burst=5+builds:4"),
)


def test_sentences_of_limiters_equal_their_golden_file() -> None:
    lines = [f"{text}\n    {describe_limiter(identity(text).tiers, 'build')}" for text in LIMITERS]
    lines += [f"{text}\n    " + "\n    ".join(advice(identity(text), "startBuild").lines) for text in LIMITERS]
    chances = {"token-bucket": 0.81, "sliding-log": 0.17, "minimum-gap": 0.008, "fixed-window": 0.008, "builds": 0.004}
    families = tuple(Runner(family, probability, "") for family, probability in chances.items())
    for found in (
        identity("token-bucket:10/60,burst=5+builds:4"),
        identity("minimum-gap:2", alike=("sliding-log:1/2", "token-bucket:1/2,burst=1")),
        identity("token-bucket:8/4", sure=False, why="budget", families=families),
        identity("none", uncapped_to=32, holds_to=10),
        identity("none", sure=False, unlimited_to=0, cost=Cost(0, 0, 0, 0.0), why="interrupted"),
        identity("none", sure=False, unlimited_to=0, cost=Cost(9, 0, 0, 2.0), why="interrupted"),
    ):
        limiter = describe_limiter(found.tiers, "read")
        lines.append(sentence("found", found, limiter, list(probe_view.describe_free(found)), of="probe"))
    agrees("limiters.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        *((describe_rate(2.0, "read"), "2 reads per second"), (describe_rate(0.9995, "read"), "1 read per second")),
        (describe_rate(1 / 6, "read"), "10 reads per minute"),
        (describe_rate(1 / 864000, "read"), "0.1 reads per day"),
        *((lasting(0.05), "50 ms"), (lasting(60.0), "1 min"), (lasting(90.0), "90 s"), (lasting(172800.0), "2 days")),
        *((give_or_take("limit", exactly(5)), " (±0)"), (give_or_take("limit", Interval(5, 4, 6)), " (±1)")),
        *((give_or_take("limit", Interval(5, 5, 8)), " (5 to 8)"), (give_or_take("gap_s", Interval(2, 2, 2.0001)), "")),
        *((give_or_take("gap_s", Interval(2, 1.99, 2.05)), " (±2.5 %)"), (describe_chance(1.0), "100 %")),
        *((describe_chance(0.99996), "above 99.9 %"), (describe_chance(0.0004), "below 0.1 %")),
    ],
)
def test_number_has_a_suitable_unit_and_precision(actual: str, expected: str) -> None:
    assert actual == expected


def test_probe_without_a_response_has_no_chart() -> None:
    probed: Any = story("none", count=1)
    probed.answers, probed.identified = [], None
    run = run_of(probed)
    assert run.probe
    assert not any(probe_pictures(run.probe).values())
    assert json.loads(document(run))["probe"]["cost"]["requests"] == 0
    assert page(run)


def test_marks_of_many_requests_are_bounded() -> None:
    run = run_of(story("sliding-log:20/2", count=3000, pause_s=0.4))
    assert run.probe
    chart = probe_pictures(run.probe)["requests"]
    assert chart
    assert max(shape.d.count("M") for shape in chart.shapes) <= 501
    assert len(page(run).encode()) < 300_000


def test_search_without_a_knee_has_its_trials() -> None:
    killed = json.loads(document(knee(3, 3)))["probe"]["knee"]
    assert (killed["told"], len(killed["trials"])) == (False, 3)
    assert killed["requests"] == sum(one["sent"] for one in killed["trials"])
    assert json.loads(document(example("probe-none")))["probe"]["knee"] is None
    assert knee_chart(probe_view.KneeView("getBuild", Knee(0.06, "unsettled"), ())) is None


def pace_of(text: str, **parts: Any) -> Pace:
    found = advice(identity(text, **parts), "startBuild").pace
    assert found
    return found


def test_advice_of_an_uncertain_probe_is_safe_for_all_likely_families() -> None:
    runners = (
        Runner("token-bucket", 0.6, "token-bucket:8/4"),
        Runner("sliding-log", 0.395, "sliding-log:6/4,refused=count"),
        Runner("minimum-gap", 0.005, "minimum-gap:100"),
    )
    found = advice(identity("token-bucket:8/4", sure=False, families=runners), "startBuild")
    assert found.pace is not None
    assert (found.pace.burst, found.pace.harmful, found.families) == (6, True, ("token-bucket", "sliding-log"))
    assert 4 / 6 < found.pace.spacing_s < 1


def test_advice_allows_for_uncertainty() -> None:
    alone, beside = pace_of("token-bucket:8/4"), pace_of("token-bucket:8/4", others_share=around(0.4, 0.25))
    assert beside.burst == 4
    assert beside.spacing_s == pytest.approx(2 * alone.spacing_s)
    (tier,) = identity("token-bucket:8/4").tiers
    for share, rate_per_s in ((0.2, 1.6), (1.0, 0.04)):  # from the low end of the interval, and never zero
        vague = replace(tier, numbers={**tier.numbers, "rate_per_s": around(2.0, share)})
        found = advice(replace(identity("token-bucket:8/4"), tiers=(vague,)), "startBuild")
        assert found.rate_per_s == pytest.approx(rate_per_s / 1.05)


@pytest.mark.parametrize(
    "text", ["sliding-log:9/2,refused=count+minimum-gap:1", "minimum-gap:1+sliding-log:9/2,refused=count"]
)
def test_advice_on_two_tiers_holds_for_both(text: str) -> None:
    pace = pace_of(text)
    assert (pace.burst, pace.harmful) == (1, True)
    assert pace.spacing_s > 1
    assert pace.free_s
    assert pace.free_s > 2


def test_retry_after_is_reliable_unless_a_finding_contradicts_it() -> None:
    findings = ("Retry-After says 1 s, but it takes 4 s",)
    assert advice(identity("sliding-log:8/4"), "startBuild").retry_after
    assert not advice(identity("sliding-log:8/4", findings=findings), "startBuild").retry_after
    assert advice(identity("none"), "getBuild").pace is None


@pytest.mark.parametrize(
    ("hint_s", "accepted_at", "refused_at", "does"),
    [
        (5.0, 7.0, None, "1 of 1 accepted after that time"),
        (5.0, 7.0, 6.5, "1 of 2 accepted after that time, 1 of 2 refused after that time"),
        (5.0, 3.0, None, "1 of 1 accepted at least 1 s earlier"),
        (5.0, 5.5, None, "1 of 1 accepted after that time"),
        (5.0, None, None, None),
    ],
)
def test_table_has_what_fields_say_beside_what_the_limiter_does(
    hint_s: float, accepted_at: float | None, refused_at: float | None, does: str | None
) -> None:
    quota = {"limit": 100.0, "window_s": 60.0}
    answers = [Answer(0.0, 0.1, True, quota=quota), Answer(1.0, 1.1, False, hint_s, quota)]
    answers += [Answer(refused_at, refused_at, False, 0.1)] if refused_at else []
    answers += [Answer(accepted_at, accepted_at, True)] if accepted_at else []
    rows = list(probe_view.describe_fields(identity("fixed-window:60/60"), answers))
    assert rows[:2] == [("limit (RateLimit fields)", "100", "60"), ("window (RateLimit fields)", "60 s", "60 s")]
    assert [row[2] for row in rows[2:]] == ([does] if does else [])
