"""
What tells how often the tests fail counts what pytest printed, and never takes a run without tests for a steady one.
"""

from unittest.mock import Mock

import pytest

from tests import steadiness
from tests.steadiness import Round, main, summed_up, told

PASSED = "....\n10612 passed, 3 skipped in 301.22s (0:05:01)\n"
FAILED = """F...
=========================== short test summary info ============================
FAILED tests/test_load.py::test_one - assert 1 == 2
ERROR tests/test_run.py::test_two - OSError
2 failed, 10610 passed, 1 error in 299.01s
"""


def test_a_run_in_which_all_passed_is_steady() -> None:
    """Passed and skipped tests are counted from the last line."""
    one = summed_up(7, 0, PASSED, 301.4)
    assert one == Round(7, 0, 10612, 3, (), 301.4)
    assert one.steady
    assert told(one) == "seed 7: 10,612 passed, 0 failed, 3 skipped, 301 s"


def test_a_run_with_failures_names_each_of_them() -> None:
    """Failures and errors are both told, with the exit code."""
    one = summed_up(8, 1, FAILED, 299.0)
    assert not one.steady
    assert told(one).splitlines() == [
        "seed 8: 10,610 passed, 2 failed, exit 1, 299 s",
        "  FAILED tests/test_load.py::test_one - assert 1 == 2",
        "  ERROR tests/test_run.py::test_two - OSError",
    ]


@pytest.mark.parametrize(("code", "printed"), [(5, "no tests ran in 0.02s\n"), (0, ""), (-9, "....\n"), (2, PASSED)])
def test_a_run_that_ended_otherwise_is_not_steady(code: int, printed: str) -> None:
    """A run without tests, one that was killed and one with another exit code count as failures."""
    assert not summed_up(1, code, printed, 1.0).steady


def test_each_run_has_its_own_order_and_one_failure_is_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The seeds follow each other, arguments reach pytest, and the exit code is 1 where one run of many had a failure.
    """
    asked = []

    def ran(seed: int, arguments: list[str]) -> Round:
        asked.append((seed, arguments))
        return summed_up(seed, int(seed == 4), FAILED if seed == 4 else PASSED, 1.0)

    monkeypatch.setattr(steadiness, "run", ran)
    assert main(["--runs", "3", "--first", "3", "--busy", "0", "-k", "load"]) == 1
    assert asked == [(seed, ["-k", "load"]) for seed in (3, 4, 5)]
    assert capsys.readouterr().out.endswith("3 of 3 runs, 31,834 passed, 1 with failures\n")
    assert main(["--runs", "1", "--busy", "0"]) == 0


def test_what_keeps_processors_busy_makes_room_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many processes as are asked for turn at that niceness, and each is ended with the runs."""
    processes: list[Mock] = []

    def started(command: list[str]) -> Mock:
        processes.append(Mock(command=command))
        return processes[-1]

    monkeypatch.setattr("subprocess.Popen", started)
    monkeypatch.setattr(steadiness, "run", lambda seed, _: summed_up(seed, 0, PASSED, 1.0))
    assert main(["--runs", "1", "--busy", "2", "--nice", "19"]) == 0
    assert [process.command[2:] for process in processes] == [[steadiness.BUSY, "19"]] * 2
    assert all(process.kill.called and process.wait.called for process in processes)
