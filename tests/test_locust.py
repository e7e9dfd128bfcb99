"""
A load run as its master leads it: who is told what, what becomes of workers that fail, and Locust's statistics.

It all happens in one child process, tests/locust_child.py, since importing Locust changes what Python's sockets do.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command import LIMIT_S

ROOT = Path(__file__).resolve().parent.parent

PLANNED = [["w0", "part"], ["w1", "part"]]
BEGUN = [*PLANNED, ["w0", "began_at"], ["w1", "began_at"]]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the child did, by the name of the deed."""
    command = [sys.executable, "-m", "tests.locust_child", str(tmp_path_factory.mktemp("locust"))]
    ended = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, timeout=LIMIT_S)
    assert ended.returncode == 0, ended.stderr.decode()
    return dict(json.loads(ended.stdout))


# --- conducting ------------------------------------------------------------------------------------------------------


def test_all_begin_together_and_one_does_what_comes_after(said: dict[str, Any]) -> None:
    """Nobody begins before all are ready, and nobody is let go before all have sent their arrivals."""
    assert said["ordinary"]["told"] == [*BEGUN, ["w0", "after"], ["w1", "after"]]
    assert said["ordinary"]["aftermath"] == [True, False]
    assert (said["ordinary"]["ended"], said["ordinary"]["errors"]) == (True, [])


def test_accepted_build_is_told_to_all_others(said: dict[str, Any]) -> None:
    """Whoever watches a build may be on another worker than the one that starts it."""
    accepted = {"started": [4, True]}
    assert said["shared"]["heard"] == [["w0", accepted], ["w2", accepted]]
    assert said["shared"]["ended"]


def test_lost_worker_is_named_with_what_it_did_not_send(said: dict[str, Any]) -> None:
    """A run that loses a worker goes on with the others, ends by itself, and is no pass."""
    lost = said["lost"]
    assert (lost["ended"], lost["told"]) == (True, [*BEGUN, ["w1", "after"]])
    why = "nothing was heard from it any more; of its 6 arrivals it had reported 2 sent and 0 not sent"
    assert lost["errors"] == [f"worker 0 was lost: {why}"]
    assert lost["workers"] == [[0, "lost", 2, 0]]


def test_run_without_any_worker_ends(said: dict[str, Any]) -> None:
    """When all workers are lost there is nothing left to wait for."""
    assert said["all_lost"]["ended"]
    assert [error[:17] for error in said["all_lost"]["errors"]] == ["worker 0 was lost", "worker 1 was lost"]


def test_worker_that_was_only_slow_is_not_lost(said: dict[str, Any]) -> None:
    """A worker that speaks again after it was given up is waited for, and nothing is amiss."""
    assert (said["slow"]["waited"], said["slow"]["ended"], said["slow"]["errors"]) == (True, True, [])


def test_worker_that_ends_before_its_time_is_lost(said: dict[str, Any]) -> None:
    """Somebody who ends one worker by hand does not make a pass of what the others do."""
    assert said["early"]["ended"]
    assert [error.partition(";")[0] for error in said["early"]["errors"]] == [
        "worker 0 was lost: it ended before its part of the schedule did"
    ]


def test_worker_that_comes_too_late_is_refused(said: dict[str, Any]) -> None:
    """A worker more than the run has is told so, and the run goes on without it."""
    assert said["late"]["reason"] == "it came too late: the run has its 2 workers"
    assert (said["late"]["ended"], said["late"]["errors"]) == (True, [])


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("scenario", "'scenario': 'storm'}, and its master {"),
        ("version", "it has {'version': '0', "),
        ("schedule", "why"),
    ],
)
def test_worker_that_does_not_fit_ends_the_run(said: dict[str, Any], kind: str, error: str) -> None:
    """A run that cannot be what it was to be does not begin, and is no pass."""
    unfit = said["unfit"][kind]
    assert unfit["ended"]
    assert "began_at" not in dict(unfit["told"]).values()
    (told,) = unfit["errors"]
    assert error in told


def test_reason_of_a_worker_holds_no_key(said: dict[str, Any]) -> None:
    """Whatever keeps a worker from its part, no key goes to the master with the reason."""
    reason = "ValueError: something with <key:primary> in it"
    assert said["member"]["told"] == [{"state": "unfit", "reason": reason}]
    assert said["member"]["left"] == [reason]


def test_budget_of_a_worker_is_kept_and_its_end_is_told_once(said: dict[str, Any]) -> None:
    """Whoever asks when nothing is left is refused, however often, and one warning says so."""
    assert said["budget"]["admitted"] == [True] * 3 + [False] * 3
    (warning,) = said["budget"]["warnings"]
    assert warning.startswith("--max-requests 3: worker 0 had sent its 3 requests by second ")


def test_part_of_a_worker_is_done_once(said: dict[str, Any]) -> None:
    """When Locust deals its users anew, a worker that gets a second one does not send its share again."""
    assert said["member"]["entered"] == ["once"]


def test_worker_may_be_followed_by_another_one_before_the_run_begins(said: dict[str, Any]) -> None:
    """On other machines somebody may start one more; a process that was started here is missed at once."""
    assert said["replaced"]["may"]["errors"] == []
    assert ["w1", "began_at"] in said["replaced"]["may"]["told"]
    assert said["replaced"]["not"]["errors"] == ["worker 0 ended before the run began"]


def test_run_that_is_stopped_waits_for_last_words(said: dict[str, Any]) -> None:
    """Each worker is told to stop once; what one tells after that counts, and one that tells nothing is lost."""
    stopped = said["stopped"]
    assert stopped["told"] == [*BEGUN, ["w0", "stop"], ["w1", "stop"]]
    assert (stopped["ended"], stopped["warnings"]) == (True, ["why"])
    assert [error.partition(";")[0] for error in stopped["errors"]] == [
        "worker 1 was lost: it did not stop when it was told to"
    ]


def test_time_of_a_run_that_is_over_ends_it(said: dict[str, Any]) -> None:
    """A run that --max-seconds cuts off has not shown what it was to show."""
    assert said["overdue"]["ended"]
    assert said["overdue"]["errors"] == ["stopped by --max-seconds 0.1: what was not over by then was cut off"]
    assert said["overdue"]["ended_by"] == "--max-seconds ended the run"


def test_broken_threshold_ends_a_run_that_is_to_abort(said: dict[str, Any]) -> None:
    """The reader is told which threshold it was; whether that is a finding, the thresholds say in the end."""
    assert said["broken"]["ended"]
    assert said["broken"]["warnings"] == ["stopped by --abort-on-fail: * max_s is beyond 0.01"]
    assert said["broken"]["errors"] == []
    assert said["broken"]["ended_by"] == "--abort-on-fail ended the run"
    assert said["ordinary"]["ended_by"] is None


def test_clock_of_another_machine_is_found_within_its_told_error(said: dict[str, Any]) -> None:
    """
    A clock that is 1,000 s ahead, beyond a network that takes from 5 to 15 ms each way, is known to half of the fastest
    round trip.
    """
    clock = said["clock"]
    assert clock["off_s"] <= clock["told_s"] <= 0.008
    assert clock["offset_s"] == pytest.approx(1000.0, abs=clock["told_s"])


# --- Locust's statistics ---------------------------------------------------------------------------------------------


def test_percentiles_of_locust_are_exact_to_a_thousandth(said: dict[str, Any]) -> None:
    """
    Folded in as windows, or gathered by a master: each percentile is within 0.1 % of the truth.
    """
    assert said["statistics"]["off_share"] <= 0.001
    assert said["statistics"]["counts"] == [[41 * 73, 41 * 73]] * 2


def test_outcome_has_its_own_name_and_a_429_is_no_failure(said: dict[str, Any]) -> None:
    """Statuses that a contract foresees are no failures in Locust's statistics; 5xx are, and so is no answer at all."""
    good = {f"startBuild {status}": [1, 0] for status in (200, 202, 404, 409, 429)}
    bad = {f"startBuild {outcome}": [1, 1] for outcome in ("500", "503", "no-answer")}
    assert said["failures"] == good | bad


def test_what_is_used_of_locust_without_a_promise_is_there(said: dict[str, Any]) -> None:
    """The installed Locust has what its documentation does not promise: a new one that lacks it is noticed here."""
    assert said["assumptions"] == {
        "states": ["ready", "missing"],
        "exit": None,
        "unhandled": False,
        "messages": ["self", "msg_type", "data", "client_id"],
    }
