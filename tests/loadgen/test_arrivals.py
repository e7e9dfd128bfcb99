"""Arrival curves and traces: what their text means, how many arrivals they expect, and when each is due."""

import math
from pathlib import Path

import numpy as np
import pytest

from touchstone.errors import UsageError
from touchstone.loadgen.arrivals import Trace, due_times, parse

DURATION_S = 40.0


@pytest.mark.parametrize(
    ("text", "half", "whole"),
    [
        ("100", 2000, 4000),
        ("ramp:5..50", 325, 1100),
        ("ramp:5..50/10s", 775, 1775),
        ("staircase:10..50/5", 360, 1200),
        ("spike:10..100@8s+2s", 380, 580),
        ("spike:10..0@8s+2.5s", 175, 375),
    ],
)
def test_count_is_the_integral_of_the_rate(text: str, half: int, whole: int) -> None:
    curve = parse(text, DURATION_S)
    assert [curve.count(at_s) for at_s in (0.0, 20.0, DURATION_S)] == pytest.approx([0, half, whole])
    due_s = due_times(curve, DURATION_S, seed=1)
    # Each arrival is due where the integral passes its middle.
    assert [curve.count(float(at_s)) for at_s in due_s] == pytest.approx(np.arange(whole) + 0.5, abs=1e-6)
    assert np.all(np.diff(due_s) >= 0)
    assert 0 <= due_s[0] <= due_s[-1] < DURATION_S


@pytest.mark.parametrize(
    ("text", "duration_s", "due_s"),
    [
        ("4", 2.0, [0.125 + n / 4 for n in range(8)]),
        # Half of the arrival at 4.25 s falls before the pause and half after it: it is due as the pause begins.
        ("spike:2..0@4.25s+6s", 12.0, [*(0.25 + n / 2 for n in range(9)), 10.75, 11.25, 11.75]),
    ],
)
def test_arrivals_have_equal_gaps_but_for_a_pause(text: str, duration_s: float, due_s: list[float]) -> None:
    assert due_times(parse(text, duration_s), duration_s, seed=1).tolist() == pytest.approx(due_s)


@pytest.mark.parametrize("text", ["poisson:50", "poisson:ramp:0..100", "poisson:spike:20..0@10s+20s"])
def test_poisson_process_has_the_mean_and_dispersion_of_one(text: str) -> None:
    curve = parse(text, DURATION_S)
    due_s = due_times(curve, DURATION_S, 1)
    expected = curve.count(DURATION_S)
    assert abs(len(due_s) - expected) < 4 * math.sqrt(expected)
    # In the curve's own time the process has rate 1: cells of ten expected arrivals each.
    own = np.array([curve.count(float(at_s)) for at_s in due_s])
    cells = np.bincount((own / 10).astype(int), minlength=int(expected / 10))[: int(expected / 10)]
    dispersion = float(np.var(cells, ddof=1) / np.mean(cells))
    assert abs(dispersion - 1) < 4 * math.sqrt(2 / (len(cells) - 1))


@pytest.mark.parametrize(
    "text",
    [
        *("rmap:5..50", "", "constant:fast", "-20", "0", "1e9", "ramp:5-50", "ramp:5..50/0s", "ramp:0..0"),
        *("staircase:10..50/1", "spike:10..100@8s+0s", "spike:10..100@40s+2s", "poisson:-1", "poisson:trace:times.csv"),
    ],
)
def test_text_that_describes_nothing_is_an_error(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(text, DURATION_S)
    assert str(error.value).startswith(f"--arrivals: found {text!r}")


@pytest.mark.parametrize(
    ("text", "duration_s", "quoted"),
    [("0.01", 20.0, "constant:0.01"), ("100000", 3600.0, "360,000,000"), ("trace:", 20.0, "trace:FILE")],
)
def test_schedule_of_no_or_too_many_arrivals_is_an_error(text: str, duration_s: float, quoted: str) -> None:
    with pytest.raises(UsageError, match=rf"^--arrivals: .*{quoted}"):
        due_times(parse(text, duration_s), duration_s, seed=1)


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("\ufeffat_s\n# seen on Monday\n0.5\n\n1.25   # the busy hour\n1.25\n39.5\n41\n", ()),
        (
            "operation, at_s\nread, 0.5\nstart, 1.25\nread, 1.25\nread, 39.5\nstart, 41\n",
            ("read", "start", "read", "read", "start"),
        ),
    ],
    ids=["table", "operations"],
)
def test_trace_is_read_from_a_file(text: str, actions: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text, "utf-8")
    found = parse(f"trace:{path}", DURATION_S)
    assert isinstance(found, Trace)
    assert found.actions == actions
    assert due_times(found, DURATION_S, seed=1).tolist() == [0.5, 1.25, 1.25, 39.5]
    assert (found.count(1.25), found.count(DURATION_S)) == (1, 4)
    assert str(found) == f"trace:{path}"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"0.5\n2\n1.5\n", ":3: found 1.5 after 2;"),
        (b"0.5\nsoon\n", ":2: found 'soon';"),
        (b"time,operation\n1,read\n", ":1: found the columns time, operation;"),
        (b"operation,at_s\nread\n", ":2: found '';"),
        (b"# nothing\n", ""),
        (b"\xff\xfe\x00", ""),
        (None, ""),
    ],
)
def test_trace_that_cannot_be_read_is_an_error(content: bytes | None, place: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        parse(f"trace:{path}", DURATION_S)
    assert f"{path}{place}" in str(error.value)
