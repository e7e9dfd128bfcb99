"""What a search for a knee came to, in words."""

from dataclasses import replace
from typing import get_args

import pytest

from touchstone.facts.identity import Interval
from touchstone.facts.probe_events import Knee, KneeWhy
from touchstone.limiter.knee import describe_reason
from touchstone.report.probe_view import KneeView

FOUND = Knee(
    slo_s=0.06,
    why="confirmed",
    rate_per_s=Interval(151.6, 147.2, 155.1),
    capacity_per_s=199.7,
    kept_per_s=151.6,
    kept_p99_s=0.0513,
    last_per_s=151.6,
    confirmed_by=2_500,
    missed=Interval(0.004, 0.002, 0.007),
    requests=7_812,
    seconds=51.3,
)


def test_knee_is_told_in_one_sentence() -> None:
    """The rate, what is kept there, between what it lies, what confirmed it, and what that cost."""
    assert KneeView("getTemplate", FOUND, ()).sentence == (
        "knee of getTemplate: 152 reads a second with p99 ≤ 60 ms (147–155), confirmed by 2,500; 7,812 requests, 51 s"
    )


LOST = replace(FOUND, rate_per_s=None, missed=None, confirmed_by=0, kept_per_s=90.0, kept_p99_s=0.023, last_per_s=180.0)


@pytest.mark.parametrize(
    ("knee", "says"),
    [
        (replace(LOST, why="generator-limited"), "generator-limited: 4 trials in a row failed while reads were sent"),
        (replace(LOST, why="generator-limited"), "; up to 90 reads a second it was kept (p99 23 ms); 7,812 requests"),
        (replace(LOST, why="generator-limited", kept_per_s=0.0), "or raise --slo-ms; 7,812 requests, 51 s"),
        (
            replace(LOST, why="rate-limited"),
            "a rate limit hides it: reads were refused at 180 a second, and p99 is 23 ms at 90 a second; 7,812",
        ),
        (
            replace(LOST, why="rate-limited", ceiling_per_s=90.0),
            "the rate limit hides it: p99 is 23 ms at 90 a second, and of more some would be refused; 7,812",
        ),
        (replace(LOST, why="rate-limited", ceiling_per_s=0.0), "it refuses some of the reads that come by chance"),
        (replace(LOST, why="out of reach"), "raise --max-requests"),
        (replace(LOST, why="requests"), "raise --max-requests"),
        (replace(LOST, why="seconds"), "raise --max-seconds"),
        (replace(LOST, why="never"), "not known: p99 ≤ 60 ms is not kept even at 180 a second; raise --slo-ms; 7,812"),
        (
            Knee(0.06, "never"),
            "p99 ≤ 60 ms is not kept at rest: half of the answers take longer; raise --slo-ms",
        ),
        (Knee(0.06, "unsettled"), "the limiter is not known for sure, and nothing was driven"),
    ],
)
def test_what_is_not_told_has_its_reason(knee: Knee, says: str) -> None:
    """Why, what would help, and what is known all the same."""
    told = KneeView("getBuild", knee, ()).sentence
    assert told.startswith("knee of getBuild: not known: ")
    assert says in told


@pytest.mark.parametrize("why", get_args(KneeWhy))
def test_every_reason_has_words(why: KneeWhy) -> None:
    """None but success has nothing to say."""
    assert bool(describe_reason(replace(LOST, why=why))) == (why != "confirmed")
