"""A load worker starts, steers and reads a side-car without keeping its greenlets waiting, and is told when it dies."""

import json
import subprocess
import sys
from typing import Any

from tests.bulk_driver import LIMIT_S, ROOT
from tests.lean_server import always, serving

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
NOWHERE = "http://127.0.0.1:1"


def child(deed: str, url: str = NOWHERE) -> Any:
    """What a function of tests/bulk_child.py says."""
    command = [sys.executable, "-m", "tests.bulk_child", deed, url]
    ended = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, timeout=LIMIT_S * 3)
    assert ended.returncode == 0, ended.stderr.decode()
    return json.loads(ended.stdout)


def test_reports_are_read_while_other_greenlets_run() -> None:
    """All that a schedule in two parts holds comes back as windows of the worker, and others go on meanwhile."""
    with serving(always(OK)) as server:
        said = child("run", server.url)
    assert said["counts"] == [["/a", "200", 20], ["/b", "200", 10]]
    assert said["is_final"] == [False] * (len(said["is_final"]) - 1) + [True]
    assert said["others_ran"]


def test_stop_from_another_greenlet_ends_the_reports() -> None:
    """A stop is followed by the final report, and one that comes too late does nothing."""
    assert child("stop") == {"undue": 1, "is_final": True}


def test_side_car_that_dies_is_told_with_its_last_words() -> None:
    """
    Whatever ends a side-car early, the reader of its reports gets an error with exit status and last words, no key in
    them.
    """
    killed, ended, faulty, talking = child("die")["errors"]
    start = "load: the bulk engine ended before its last report, with exit status"
    assert killed == ended == f"{start} -9 and said nothing"
    assert faulty.startswith(f"{start} 70; it said:")
    assert "kind b'?' and 4 bytes" in faulty
    assert talking == f"{start} -9; it said: x <key:0> y"


def test_side_car_that_hangs_is_told() -> None:
    """A side-car that is not ready in time is an error, and is gone."""
    assert child("hang") == {"error": "load: the bulk engine is not ready within 0.05 s"}


def test_windows_are_in_locusts_statistics_as_if_logged_one_by_one() -> None:
    """
    Requests, extremes, sums, cells, percentiles, failures and errors of each row and of all together are the same.
    """
    said = child("stats")
    assert said["folded"] == said["logged"]
