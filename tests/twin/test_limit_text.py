"""The texts that name a rate limit."""

import re
from pathlib import Path

import pytest

from touchstone.errors import UsageError
from touchstone.twin.limits import FAMILIES, RateLimit

DOCUMENTED = (Path(__file__).parents[2] / "docs" / "limits.md").read_text("utf-8")
WHERE = "--rate"


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("8/4", RateLimit(8, 4.0, "fixed-window")),
        ("8/0.5", RateLimit(8, 0.5, "fixed-window")),
        ("fixed-window:8/4", RateLimit(8, 4.0, "fixed-window")),
        ("8/4,opens=clock", RateLimit(8, 4.0, options={"opens": "clock"})),
        ("sliding-log:1/60", RateLimit(1, 60.0, "sliding-log")),
        (" token-bucket:8/4 ", RateLimit(8, 4.0, "token-bucket")),
        ("token-bucket:8/4,burst=16", RateLimit(8, 4.0, "token-bucket", {"burst": 16})),
        ("token-bucket:8/4, burst = 16", RateLimit(8, 4.0, "token-bucket", {"burst": 16})),
        ("token-bucket:8/4,burst=8", RateLimit(8, 4.0, "token-bucket")),
        ("none", RateLimit(0, 0.0, "none")),
        ("minimum-gap:2.73", RateLimit(1, 2.73, "minimum-gap")),
        ("concurrency:4,takes=.5", RateLimit(4, 0.0, "concurrency", {"takes_s": 0.5})),
        ("builds:4", RateLimit(4, 0.0, "builds")),
        ("builds:4 + 8/4", RateLimit(4, 0.0, "builds", also=RateLimit(8, 4.0))),
    ],
)
def test_text_of_a_limit_is_read(text: str, rate: RateLimit) -> None:
    """The family comes first and may be left out; options come last, and a usual value is none."""
    assert RateLimit.parse(text) == rate


@pytest.mark.parametrize(
    ("text", "shortest"),
    [
        ("none", "none"),
        ("8/4.0", "fixed-window:8/4"),
        ("8/1e-7", "fixed-window:8/0.0000001"),
        ("8/1e16", "fixed-window:8/10000000000000000"),
        ("8/100", "fixed-window:8/100"),
        ("8/4,opens=first", "fixed-window:8/4"),
        ("8/4,block=10.50,opens=clock", "fixed-window:8/4,opens=clock,block=10.5"),
        ("8/4,refused=restart", "fixed-window:8/4,refused=restart"),
        ("sliding-log:8/2.730,refused=count", "sliding-log:8/2.73,refused=count"),
        ("sliding-counter:8/4,opens=clock", "sliding-counter:8/4"),
        (
            "sliding-counter:8/4,rule=below,opens=first,refused=count",
            "sliding-counter:8/4,opens=first,refused=count,rule=below",
        ),
        ("decaying-counter:8/4", "decaying-counter:8/4"),
        ("token-bucket:8/4,burst=8,early=0", "token-bucket:8/4"),
        ("token-bucket:8/4,early=.5,tick=1.0,starts=empty", "token-bucket:8/4,starts=empty,tick=1,early=0.5"),
        ("minimum-gap:0.10", "minimum-gap:0.1"),
        ("leaky-bucket:8/4,burst=0,delay=0", "leaky-bucket:8/4"),
        ("leaky-bucket:8/4,delay=3,burst=10", "leaky-bucket:8/4,burst=10,delay=3"),
        ("concurrency:4,takes=0", "concurrency:4"),
        ("builds:10", "builds:10"),
        ("sliding-log:5/1+20/10", "sliding-log:5/1+fixed-window:20/10"),
        ("token-bucket:10/60,burst=5+builds:4", "token-bucket:10/60,burst=5+builds:4"),
    ],
)
def test_limit_has_one_shortest_text_that_is_read_as_itself(text: str, shortest: str) -> None:
    """Usual values, zeros and order make no difference."""
    rate = RateLimit.parse(text)
    assert str(rate) == shortest
    assert RateLimit.parse(shortest) == rate


def test_tiers_of_a_limit_stand_alone() -> None:
    """Each tier is a limit of its own."""
    both = RateLimit.parse("sliding-log:5/1+builds:2")
    assert both.tiers == (RateLimit.parse("sliding-log:5/1"), RateLimit.parse("builds:2"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected [FAMILY:]LIMIT/SECONDS"),
        ("8", "found '8'"),
        ("8/", "found '8/'"),
        ("8/4/2", "found '8/4/2'"),
        ("eight/4", "found 'eight/4'"),
        ("sliding-log", "found 'sliding-log'; expected [FAMILY:]LIMIT/SECONDS"),
        ("0/4", "at least 1 start"),
        ("8/0", "more than 0 seconds"),
        ("8/inf", "more than 0 seconds"),
        ("8/nan", "more than 0 seconds"),
        ("-8/4", "at least 1 start"),
        ("tokenbucket:8/4", "unknown family 'tokenbucket'; expected one of none, fixed-window,"),
        ("tokenbucket:8/4", "did you mean token-bucket?"),
        ("non", "did you mean none?"),
        (":8/4", "unknown family ''"),
        ("none:8/4", "found 'none:8/4'; expected none, which has no numbers"),
        ("none,burst=1", "only token-bucket and leaky-bucket may have 'burst'"),
        ("minimum-gap:0", "expected minimum-gap:SECONDS with more than 0 seconds"),
        ("minimum-gap:1/2", "found 'minimum-gap:1/2'; expected minimum-gap:SECONDS"),
        ("minimum-gap", "e.g. minimum-gap:2"),
        ("concurrency:0", "expected concurrency:N[,takes=SECONDS] with N at least 1"),
        ("concurrency", "e.g. concurrency:4,takes=0.5"),
        ("builds:4/2", "expected builds:N with N at least 1, e.g. builds:4"),
        ("builds:4/", "found 'builds:4/'"),
        ("builds:four", "found 'builds:four'"),
        ("decaying-counter:1/4", "at least 2 starts, since a count that decays is never 0 again"),
        ("token-bucket:8/4,burst=0", "burst=N with N at least 1"),
        ("leaky-bucket:8/4,burst=-1", "burst=N with N at least 0"),
        ("leaky-bucket:8/4,delay=x", "found 'delay=x' in 'leaky-bucket:8/4,delay=x'; expected delay=N"),
        ("token-bucket:8/4,brust=3", "found 'brust=3'"),
        ("token-bucket:8/4,brust=3", "did you mean burst?"),
        ("token-bucket:8/4,", "found ''"),
        ("token-bucket:8/4,tick=0", "expected tick=SECONDS with more than 0 seconds"),
        ("token-bucket:8/4,early=1", "a share of a token from 0 to below 1, e.g. early=0.5"),
        ("token-bucket:8/4,starts=full", "expected starts=empty"),
        ("8/4,burst=3", "only token-bucket and leaky-bucket may have 'burst'; leave it out"),
        ("8/4,opens=clok", "found 'opens=clok' in '8/4,opens=clok'; expected opens=first or opens=clock"),
        ("8/4,opens=clok", "did you mean clock?"),
        ("8/4,block=nan", "expected block=SECONDS with more than 0 seconds"),
        ("8/4,refused=count", "expected refused=restart"),
        ("sliding-log:8/4,refused=restart", "expected refused=count"),
        ("sliding-counter:8/4,rule=above", "expected rule=below"),
        ("8/4,block=1,block=2", "expected each option once"),
        ("8/4,block=1,refused=restart", "found refused=restart and block in"),
        ("8/4,opens=clock,refused=restart", "found refused=restart and opens=clock in"),
        ("concurrency:4,takes=-1", "expected takes=SECONDS with 0 or more seconds"),
        ("concurrency:4,taks=1", "did you mean takes?"),
        ("builds:4,rate=1", "expected no option, as builds has none"),
        ("8/4+", "found ''"),
        ("8/4+none", "found 'none' in '8/4+none'; expected two limits; leave 'none' out"),
        ("1/1+2/2+3/3", "found 3 tiers in '1/1+2/2+3/3'; expected one, or two joined with +"),
    ],
)
def test_text_that_is_no_limit_is_a_usage_error(text: str, says: str) -> None:
    """The message names the place, what was found, what was expected, and the nearest word."""
    with pytest.raises(UsageError) as caught:
        RateLimit.parse(text, where=WHERE)
    assert str(caught.value).startswith(f"{WHERE}: ")
    assert says in str(caught.value)


def test_every_family_and_option_is_documented() -> None:
    """The tables of docs/limits.md name them all, and their examples are legal."""
    rows = re.findall(r"^\| `([^`]+)` \| (.+?) \|", DOCUMENTED, re.MULTILINE)
    families = [text for text, _ in rows if "=" not in text]
    assert {str(RateLimit.parse(text).family) for text in families} == set(FAMILIES)
    documented = {(family, text.partition("=")[0]) for text, of in rows for family in re.findall(r"`([a-z-]+)`", of)}
    assert {(family, name) for family, each in FAMILIES.items() for name in each.options} <= documented
    examples = {RateLimit.parse(text).family: text for text in families if ":" in text}
    for text, of in rows:
        for family in re.findall(r"`([a-z-]+)`", of) if "=" in text else ():
            assert RateLimit.parse(f"{examples[family]},{text}")
