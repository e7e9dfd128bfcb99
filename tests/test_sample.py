"""Samples and their windows: three times of one request, and what a damaged window in a run log says of itself."""

from pathlib import Path
from typing import Any

import pytest

from tests.loadlogs import header
from touchstone.errors import RunLogError
from touchstone.facts import runlog
from touchstone.facts.events import Remark
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.facts.sample import Histogram, Sample, Window

LATE = Sample("getBuild", "200", 1.0, 1.25, 1.75, 96)


def window() -> Window:
    """A window of one sample."""
    found = Window(2, 1, "getBuild", "200")
    found.add(LATE)
    return found


def log_with(path: Path, **changes: Any) -> Path:
    """A run log whose second line is a window with these fields otherwise; None takes one out."""
    event = runlog.encode(window()) | changes
    with RunLogWriter(path) as writer:
        writer.write(header())
        writer.write({name: value for name, value in event.items() if value is not ...})
        writer.write(Remark("after"))
    return path


def test_response_counts_from_the_due_moment_and_service_from_sending() -> None:
    """What a user waited is what the generator was late by and what the target took."""
    assert (LATE.response_s, LATE.service_s, LATE.late_s) == (0.75, 0.5, 0.25)
    assert LATE.response_s == LATE.service_s + LATE.late_s


def test_window_adds_each_time_to_its_histogram() -> None:
    """Counts and bytes add up, and no time gets into another's histogram."""
    found = window()
    found.add(Sample("getBuild", "200", 1.5, 1.5, 1.625, 4))

    assert (found.count, found.body_bytes) == (2, 100)
    assert (found.response.max_s, found.service.max_s, found.late.max_s) == (0.75, 0.5, 0.25)
    assert (found.response.sum_s, found.service.sum_s, found.late.sum_s) == (0.875, 0.625, 0.25)


def test_windows_share_no_histogram() -> None:
    """Each window starts with histograms of its own."""
    assert window().late.count == 1
    assert Window(0, 0, "getBuild", "200").late == Histogram()


CELLS: dict[str, Any] = {"cells": [[1000, 1]], "sum_s": 0.1, "min_s": 0.1, "max_s": 0.1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": "many"}, "window.count: "),
        ({"count": -1}, "window.count: "),
        ({"count": True}, "window.count: "),
        ({"at_s": 1.5}, "window.at_s: "),
        ({"worker": ...}, "window.worker: Field required"),
        ({"operation": ...}, "window.operation: Field required"),
        ({"outcome": 200}, "window.outcome: "),
        ({"paced": "no"}, "window.paced: "),
        ({"paced": 0}, "window.paced: "),
        ({"done_at": -1.0}, "window.done_at: "),
        ({"done_at": "soon"}, "window.done_at: "),
        ({"late": []}, r"window.late: expected the cells of a histogram, got \[\]"),
        ({"late": "none"}, "window.late: expected the cells of a histogram, got 'none'"),
        ({"late": CELLS | {"cells": [[1000]]}}, "window.late: expected the cells of a histogram"),
        ({"late": CELLS | {"cells": [[1000, -1]]}}, "window.late: expected the cells of a histogram"),
        ({"late": CELLS | {"cells": [[10.5, 1]]}}, "window.late: expected the cells of a histogram"),
        ({"late": CELLS | {"cells": [["1000", 1]]}}, "window.late: expected the cells of a histogram"),
        ({"late": CELLS | {"cells": 7}}, "window.late: expected the cells of a histogram"),
        ({"late": {"cells": [[1000, 1]]}}, "window.late: expected the cells of a histogram"),
        ({"late": CELLS | {"sum_s": float("inf")}}, "window.late: expected the cells of a histogram"),
        ({"late": CELLS | {"max_s": None}}, "window.late: expected the cells of a histogram"),
        ({"late": CELLS | {"min_s": -0.1}}, "window.late: expected the cells of a histogram"),
        ({"late": CELLS | {"sum_s": 10**400}}, "window.late: expected the cells of a histogram"),
    ],
    ids=str,
)
def test_damaged_window_is_an_error_with_its_place(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """A window that no writer of ours can have written is named by line and field."""
    path = log_with(tmp_path / "runlog.jsonl", **changes)

    with pytest.raises(RunLogError, match=rf"^{path}: line 2: {message}"):
        read(path)


@pytest.mark.parametrize("number", [b"Infinity", b"NaN", b"1e999"])
def test_number_that_json_does_not_have_is_an_error_with_its_place(tmp_path: Path, number: bytes) -> None:
    """Python's reader lets them through; a histogram does not."""
    path = log_with(tmp_path / "runlog.jsonl", late=CELLS)
    path.write_bytes(path.read_bytes().replace(b"[1000,1]", b"[" + number + b",1]"))

    with pytest.raises(RunLogError, match=r"line 2: window\.late: expected the cells of a histogram"):
        read(path)


def test_window_of_an_older_writer_is_paced(tmp_path: Path) -> None:
    """A window that does not say whether the schedule paced it is one that it did."""
    (found,) = read(log_with(tmp_path / "runlog.jsonl", paced=..., later="unheard of")).windows

    assert found == window()
