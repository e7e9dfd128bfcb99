"""Arrival curves: what their text means, what they expect, and when that comes due."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from touchstone.errors import UsageError
from touchstone.loadgen.arrivals import HELP, Curve, Times, Trace, due_times, parse

DURATION_S = 40.0

CURVES = (
    "constant:100",
    "constant:0.3",
    "ramp:5..50",
    "ramp:50..0",
    "ramp:0..50/10s",
    "staircase:10..50/5",
    "staircase:50..0/3",
    "spike:10..100@8s+2s",
    "spike:10..0@8s+2.5s",
    "spike:0..100@0s+2s",
)


@st.composite
def curve_texts(draw: st.DrawFn) -> str:
    """The text of some curve."""
    rates = st.integers(0, 4000).map(lambda number: f"{number / 100:g}")
    low, high = draw(rates), draw(st.integers(1, 4000).map(lambda number: f"{number / 100:g}"))
    times = st.integers(1, 400).map(lambda number: f"{number / 10:g}s")
    forms = (
        f"constant:{high}",
        f"ramp:{low}..{high}",
        f"ramp:{high}..{low}/{draw(times)}",
        f"staircase:{low}..{high}/{draw(st.integers(2, 9))}",
        f"spike:{low}..{high}@{draw(st.integers(0, 39))}s+{draw(times)}",
    )
    return draw(st.sampled_from(forms))


def expected_rate(text: str, at_s: float) -> float:
    """The rate that a text describes; at a step it is the new one."""
    curve = parse(text, DURATION_S)
    assert isinstance(curve, Curve)
    piece = [piece for piece in curve.pieces if piece.from_s <= at_s][-1]
    return piece.rate_per_s + piece.slope_per_s2 * (at_s - piece.from_s)


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("100", [100, 100, 100, 100]),
        ("ramp:5..50", [5, 14, 16.25, 27.5]),
        ("ramp:0..50/10s", [0, 40, 50, 50]),
        ("staircase:10..50/5", [10, 20, 20, 30]),
        ("spike:10..100@8s+2s", [10, 100, 10, 10]),
    ],
)
def test_rate_is_what_the_text_says(text: str, rates: list[float]) -> None:
    """At each moment the rate is the one that the kind and its numbers describe."""
    assert [expected_rate(text, at_s) for at_s in (0.0, 8.0, 10.0, 20.0)] == pytest.approx(rates)


@pytest.mark.parametrize("text", CURVES)
def test_count_is_the_integral_of_the_rate(text: str) -> None:
    """The expected number agrees with a sum over ten thousand slices of the run, and with one over a part of it."""
    curve = parse(text, DURATION_S)
    for until_s in (7.3, 20.0, DURATION_S):
        middles = (np.arange(10_000) + 0.5) * until_s / 10_000
        total = sum(expected_rate(text, float(at_s)) for at_s in middles) * until_s / 10_000
        # A step within a slice is off by half a slice at most.
        assert curve.count(until_s) == pytest.approx(total, abs=100 * until_s / 10_000)


def test_count_before_the_beginning_is_nothing() -> None:
    """Nothing is expected before the run begins."""
    assert parse("ramp:5..50", DURATION_S).count(0) == 0


@settings(max_examples=60)
@given(text=curve_texts())
def test_arrival_is_due_where_the_integral_passes_its_middle(text: str) -> None:
    """For any curve, the n-th arrival is due where n and a half are expected, in order, and within the run."""
    curve = parse(text, DURATION_S)
    assume(curve.count(DURATION_S) > 0.5)
    due_s = due_times(curve, DURATION_S, seed=1)
    counts = [curve.count(float(at_s)) for at_s in due_s[:: max(1, len(due_s) // 50)]]
    assert counts == pytest.approx(np.arange(len(due_s))[:: max(1, len(due_s) // 50)] + 0.5, abs=1e-6)
    assert np.all(np.diff(due_s) >= 0)
    assert 0 <= due_s[0] <= due_s[-1] < DURATION_S
    assert abs(len(due_s) - curve.count(DURATION_S)) <= 0.5


@settings(max_examples=40)
@given(text=curve_texts(), at_s=st.floats(0.1, 39.9))
def test_no_moment_is_more_than_half_an_arrival_off(text: str, at_s: float) -> None:
    """At any moment, as many arrivals have come due as the integral says, give or take a half."""
    curve = parse(text, DURATION_S)
    assume(curve.count(DURATION_S) > 0.5)
    due_s = due_times(curve, DURATION_S, seed=1)
    assert abs(np.searchsorted(due_s, at_s) - curve.count(at_s)) <= 0.5 + 1e-6


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("100", 4000),
        ("ramp:5..50", 1100),
        ("ramp:5..50/10s", 1775),
        ("staircase:10..50/5", 1200),
        ("spike:10..100@8s+2s", 580),
        ("0.1", 4),
    ],
)
def test_number_of_arrivals_is_exact(text: str, number: int) -> None:
    """A whole number of expected arrivals is the number of arrivals."""
    assert len(due_times(parse(text, DURATION_S), DURATION_S, seed=1)) == number


def test_constant_arrivals_have_equal_gaps() -> None:
    """At a constant rate each arrival has a slot of its own and comes in the middle of it."""
    due_s = due_times(parse("4", 2.0), 2.0, seed=1)
    assert due_s.tolist() == [0.125, 0.375, 0.625, 0.875, 1.125, 1.375, 1.625, 1.875]


def test_pause_has_no_arrival() -> None:
    """While the rate is 0 nothing is due, and what comes after it is not early."""
    due_s = due_times(parse("spike:2..0@4s+6s", 14.0), 14.0, seed=1)
    assert due_s.tolist() == pytest.approx([0.25 + n / 2 for n in range(8)] + [10.25 + n / 2 for n in range(8)])
    # Half of the arrival at 4.25 s falls before the pause and half after it: it is due as the pause begins.
    due_s = due_times(parse("spike:2..0@4.25s+6s", 12.0), 12.0, seed=1)
    assert due_s.tolist() == pytest.approx([0.25 + n / 2 for n in range(9)] + [10.75, 11.25, 11.75])


def test_last_arrival_is_within_the_run() -> None:
    """Rounding in the last place pushes no arrival to the end of the run or past it."""
    for rate in range(4, 60):
        assert due_times(parse(f"ramp:0..{rate}", rate / 7), rate / 7, seed=1)[-1] < rate / 7


@pytest.mark.parametrize("text", [*CURVES, "poisson:20", "poisson:ramp:5..50/10s"])
def test_text_of_a_curve_reads_back(text: str) -> None:
    """A curve is written as it was read, and a bare number is a constant rate."""
    curve = parse(text, DURATION_S)
    assert str(curve) == text
    assert parse(str(curve), DURATION_S) == curve
    assert str(parse("20.5", DURATION_S)) == "constant:20.5"
    assert str(parse("poisson:constant:20", DURATION_S)) == "poisson:20"


@pytest.mark.parametrize("text", ["poisson:50", "poisson:ramp:0..100", "poisson:spike:20..0@10s+20s"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_poisson_process_has_the_mean_and_dispersion_of_one(text: str, seed: int) -> None:
    """The number is within four deviations of its mean, and counts of equal expectation vary as much as their mean."""
    curve = parse(text, DURATION_S)
    assert curve.is_poisson
    due_s = due_times(curve, DURATION_S, seed)
    expected = curve.count(DURATION_S)
    assert abs(len(due_s) - expected) < 4 * math.sqrt(expected)
    # In the curve's own time the process has rate 1: cells of ten expected arrivals each.
    own = np.array([curve.count(float(at_s)) for at_s in due_s])
    cells = np.bincount((own / 10).astype(int), minlength=int(expected / 10))[: int(expected / 10)]
    dispersion = float(np.var(cells, ddof=1) / np.mean(cells))
    assert abs(dispersion - 1) < 4 * math.sqrt(2 / (len(cells) - 1))
    gaps = np.sort(np.diff(own))
    distance = np.max(np.abs(np.arange(1, len(gaps) + 1) / len(gaps) - (1 - np.exp(-gaps))))
    assert distance < 1.95 / math.sqrt(len(gaps))  # Kolmogorov and Smirnov, at one in a thousand


def test_poisson_arrivals_fall_within_the_run() -> None:
    """They are in order, none is at its end, and a rate of 0 lets none through."""
    due_s = due_times(parse("poisson:spike:20..0@10s+20s", DURATION_S), DURATION_S, seed=5)
    assert np.all(np.diff(due_s) > 0)
    assert 0 < due_s[0] < due_s[-1] < DURATION_S
    assert not np.any((due_s > 10) & (due_s < 30))


def test_same_seed_gives_the_same_times_anywhere() -> None:
    """Every worker draws the times of a Poisson process by the seed; another seed gives others."""
    curve = parse("poisson:ramp:5..50", DURATION_S)
    found = due_times(curve, DURATION_S, seed=20)
    assert due_times(curve, DURATION_S, seed=20).tolist() == found.tolist()
    assert due_times(curve, DURATION_S, seed=21)[:3].tolist() != found[:3].tolist()


FORMS = (
    "constant:20, ramp:5..50 or ramp:5..50/10s, staircase:10..50/5, spike:10..100@8s+2s, poisson: and one of these, "
    "trace:FILE"
)
KINDS = "constant, poisson, ramp, spike, staircase, trace"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rmap:5..50", f"found 'rmap:5..50'; expected {FORMS}; did you mean ramp?"),
        ("", f"found ''; expected {FORMS}; known: {KINDS}"),
        ("times.csv", f"found 'times.csv'; expected {FORMS}; known: {KINDS}"),
        ("constant:fast", "found 'constant:fast'; expected constant:20"),
        ("-20", "found '-20'; expected constant:20"),
        ("20/s", "found '20/s'; expected constant:20"),
        ("0", "found '0'; expected constant:20 with a rate above 0"),
        ("1e9", "found '1e9'; expected constant:20"),
        (400 * "9", "found a text of 400 characters (not shown); expected constant:20"),
        ("ramp", "found 'ramp'; expected ramp:5..50 or ramp:5..50/10s"),
        ("ramp:5-50", "found 'ramp:5-50'; expected ramp:5..50 or ramp:5..50/10s"),
        ("ramp:5..50/10", "found 'ramp:5..50/10'; expected ramp:5..50 or ramp:5..50/10s"),
        ("ramp:5..50/0s", "found 'ramp:5..50/0s'; expected a ramp over more than 0 seconds"),
        ("ramp:0..0", "found 'ramp:0..0'; expected ramp:5..50 or ramp:5..50/10s with a rate above 0"),
        ("staircase:10..50", "found 'staircase:10..50'; expected staircase:10..50/5"),
        ("staircase:10..50/1", "found 'staircase:10..50/1'; expected a staircase of 2 levels or more"),
        ("spike:10..100@8s", "found 'spike:10..100@8s'; expected spike:10..100@8s+2s"),
        ("spike:10..100@8s+0s", "found 'spike:10..100@8s+0s'; expected a spike that lasts more than 0 seconds"),
        (
            "spike:10..100@40s+2s",
            "found 'spike:10..100@40s+2s'; expected a spike that begins before the run ends, after 40 s",
        ),
        ("poisson:-1", "found 'poisson:-1'; expected poisson:constant:20"),
        ("poisson:spick:1..2@1s+1s", "; did you mean spike?"),
        ("poisson:trace:times.csv", "expected poisson:constant:20, poisson:ramp:5..50 or ramp:5..50/10s, "),
        ("trace:", "found a trace without a file; expected trace:FILE, a file of arrival times"),
    ],
)
def test_text_that_describes_nothing_is_an_error(text: str, told: str) -> None:
    """The message says where the text stands, what it was, what is expected, and the nearest kind."""
    with pytest.raises(UsageError) as error:
        parse(text, DURATION_S)
    assert str(error.value).startswith("--arrivals: found ")
    assert told in str(error.value)


def test_every_form_of_the_help_line_can_be_read() -> None:
    """What the help of the flag shows is what the flag takes."""
    shown = HELP.removeprefix("Arrivals a second: ").removesuffix(".")
    forms = [form.split()[-1] for part in shown.split(", ") for form in part.split(" or ")]
    read = [str(parse(form, DURATION_S)) for form in forms if ":" in form and form != "trace:FILE"]
    assert read == ["ramp:5..50", "ramp:5..50/10s", "staircase:10..50/5", "spike:10..100@8s+2s"]


def test_schedule_without_an_arrival_is_an_error() -> None:
    """A run that would send nothing is refused before it begins."""
    with pytest.raises(UsageError) as error:
        due_times(parse("0.01", 20.0), 20.0, seed=1)
    assert str(error.value) == ("--arrivals: constant:0.01 makes no arrival in 20 s; raise the rate or run for longer")


class Rounded(Trace):
    """Arrivals that rounding has put out of order, and onto the end of the run."""

    def due(self, _duration_s: float, _seed: int) -> Times:
        return np.array([0.25, np.nextafter(0.25, 0), 1.0])


def test_rounding_reorders_nothing() -> None:
    """An error in the last place neither swaps two arrivals nor takes one out of the run."""
    assert due_times(Rounded("", ()), 1.0, seed=1).tolist() == [0.25, 0.25, np.nextafter(1.0, 0)]


def test_too_many_arrivals_are_an_error() -> None:
    """A schedule that would fill the memory is refused, with its size and the largest that is taken."""
    curve = parse("100000", 3600.0)
    with pytest.raises(
        UsageError, match=r"^--arrivals: constant:100000 makes 360,000,000 arrivals in 3600 s; expected "
    ):
        due_times(curve, 3600.0, seed=1)


TRACES = {
    "plain": ("# seen on Monday\n0.5\n\n1.25   # the busy hour\n1.25\n39.5\n41\n", ()),
    "table": ("\ufeffat_s\n0.5\n1.25\n1.25\n39.5\n41\n", ()),
    "operations": (
        "operation, at_s\nread, 0.5\nstart, 1.25\nread, 1.25\nread, 39.5\nstart, 41\n",
        ("read", "start", "read", "read", "start"),
    ),
}


@pytest.mark.parametrize("kind", TRACES)
def test_trace_is_read_from_a_file(kind: str, tmp_path: Path) -> None:
    """A list of times or a table is sent again as it is, up to the end of the run."""
    text, operations = TRACES[kind]
    (tmp_path / "seen.csv").write_text(text, "utf-8")
    found = parse(f"trace:{tmp_path / 'seen.csv'}", DURATION_S)
    assert isinstance(found, Trace)
    assert found.actions == operations
    assert due_times(found, DURATION_S, seed=1).tolist() == [0.5, 1.25, 1.25, 39.5]
    assert (found.count(1.25), found.count(DURATION_S)) == (1, 4)
    assert str(found) == f"trace:{tmp_path / 'seen.csv'}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("0.5\n2\n1.5\n", "seen.csv:3: found 1.5 after 2; expected times in order; sort the file"),
        ("0.5\nsoon\n", "seen.csv:2: found 'soon'; expected seconds since the run began, such as 12.5"),
        ("-1\n", "seen.csv:1: found '-1'; expected seconds"),
        ("nan\n", "seen.csv:1: found 'nan'; expected seconds"),
        ("time,operation\n1,read\n", "seen.csv:1: found the columns time, operation; expected one of them to be at_s"),
        ("operation,at_s\nread\n", "seen.csv:2: found ''; expected seconds"),
        ("# nothing\n", "seen.csv holds no arrival; expected one time in seconds a line, or a table with"),
    ],
)
def test_trace_that_cannot_be_read_is_an_error(content: str, told: str, tmp_path: Path) -> None:
    """The message names the file, the line, what is there and what is expected."""
    (tmp_path / "seen.csv").write_text(content, "utf-8")
    with pytest.raises(UsageError) as error:
        parse(f"trace:{tmp_path / 'seen.csv'}", DURATION_S)
    assert told in str(error.value)


def test_trace_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A missing file and one that is no text are told with the flag that named them."""
    with pytest.raises(UsageError, match=r"^--arrivals: .*seen.csv cannot be read: No such file"):
        parse(f"trace:{tmp_path / 'seen.csv'}", DURATION_S)
    (tmp_path / "seen.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"^--arrivals: .*seen.csv is no text; expected one time"):
        parse(f"trace:{tmp_path / 'seen.csv'}", DURATION_S)
