"""
The worker's side of a side-car, in a process that gevent has patched, as Locust's is; prints what came of it as JSON.

Usage: python -m tests.bulk_child DEED URL
"""

import json
import os
import signal
import sys
import time
from typing import Any

import gevent
from gevent import monkey

monkey.patch_all()

from tests.bulk_driver import setup_for, shot  # noqa: E402 - after the patch, as in a Locust process
from touchstone.errors import TargetError  # noqa: E402 - the same
from touchstone.facts.sample import NO_ANSWER, UNSENT, Sample, Window, cell, middle_s  # noqa: E402 - the same  # noqa: E402 - the same
from touchstone.loadgen.bulk_link import SideCar, fold  # noqa: E402 - the same
from touchstone.loadgen.bulk_wire import Setup  # noqa: E402 - the same

KEY = "sk_live_0123456789abcdef"

# Nothing waits this long unless it hangs.
LIMIT_S = 20.0


def setup(url: str) -> Setup:
    return setup_for(url, [shot("/a"), shot("/b")], secrets=(KEY.encode(),), max_connections=2)


def told(side_car: SideCar) -> str:
    """The error that ends the reports."""
    try:
        for _ in side_car.reports():
            pass
    except TargetError as error:
        return str(error)
    return "no error"


def run(url: str) -> dict[str, Any]:
    """A whole run, beside a greenlet that wants to do something else."""
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            gevent.sleep(0.001)
            ticks += 1

    ticker = gevent.spawn(tick)
    side_car = SideCar(worker=3)
    side_car.start(setup(url))
    side_car.send_schedule([number / 100 for number in range(20)], [0] * 20)
    side_car.send_schedule([number / 100 for number in range(20, 30)], [1] * 10)
    side_car.prepare(LIMIT_S)
    ticks_before = ticks
    side_car.go(time.monotonic())
    reports = list(side_car.reports())
    ticker.kill()
    side_car.kill()
    counts = {(w.operation, w.outcome): 0 for report in reports for w in report.windows}
    for window in (window for report in reports for window in report.windows):
        counts[window.operation, window.outcome] += window.count
        assert window.worker == 3
    return {
        "counts": sorted((*name, count) for name, count in counts.items()),
        "is_final": [report.final for report in reports],
        "others_ran": ticks > ticks_before,
    }


def stop(url: str) -> dict[str, Any]:
    """A run that another greenlet stops."""
    side_car = SideCar()
    side_car.start(setup(url))
    side_car.send_schedule([60.0], [0])
    side_car.go(time.monotonic())
    gevent.spawn(side_car.stop, 1.0)
    last = list(side_car.reports())[-1]
    side_car.stop(1.0)  # too late, which is no error
    return {"undue": last.undue, "is_final": last.final}


def die(url: str) -> dict[str, Any]:
    """
    Side-cars that end before their time: killed by somebody, by us, by a fault of their own; and one without an end.
    """
    found = []
    for _ in range(4):
        side_car = SideCar()
        side_car.start(setup(url))
        side_car.send_schedule([60.0], [0])
        side_car.go(time.monotonic())
        found.append(side_car)
    os.kill(found[0]._process.pid, signal.SIGKILL)
    gevent.spawn(found[1].kill)
    found[2]._write(b"?\x04\x00\x00\x00abcd")
    errors = [told(side_car) for side_car in found[:3]]
    # What it said last is kept in a file; it may hold anything.
    found[3]._stderr.write(f"x {KEY} y".encode())
    found[3]._stderr.flush()
    gevent.spawn(found[3].kill)
    return {"errors": [*errors, told(found[3])]}


def hang(url: str) -> dict[str, Any]:
    """A side-car that is not ready in time."""
    side_car = SideCar()
    side_car.start(setup(url))
    os.kill(side_car._process.pid, signal.SIGSTOP)
    try:
        side_car.prepare(0.05)
    except TargetError as error:
        return {"error": str(error)}
    finally:
        side_car.kill()
    return {"error": "none"}


def stats(_url: str) -> dict[str, Any]:
    """Windows in Locust's statistics, and the same samples one by one."""
    import locust.stats
    from locust.stats import RequestStats

    folded, logged = RequestStats(), RequestStats()
    locust.stats.bucket_response_time = lambda ms: middle_s(cell(ms / 1e3)) * 1e3
    for outcome in ("202", "429", NO_ANSWER):
        for part in range(2):
            window = Window(0, part, "startBuild", outcome)
            for number in range(100):
                sample = Sample("startBuild", outcome, part, part, part + (number + 1) * 1.37e-3, 10)
                window.add(sample)
                logged.log_request("", f"startBuild {outcome}", sample.response_s * 1e3, 10)
                if outcome == NO_ANSWER:
                    logged.log_error("", f"startBuild {outcome}", outcome)
            fold(folded, window)
    fold(folded, Window(0, 2, "startBuild", UNSENT, 7))
    for _ in range(7):
        logged.log_error("", f"startBuild {UNSENT}", UNSENT)
    fold(folded, Window(0, 2, "getBuild", "200"))

    def seen(kept: RequestStats) -> Any:
        entries = {key[0]: entry for key, entry in kept.entries.items()} | {"total": kept.total}
        rows = {name: entry.serialize() for name, entry in entries.items()}
        for row in rows.values():
            row["response_times"] = sorted(row["response_times"].items())
            row["requests"] = sum(row.pop("num_reqs_per_sec").values())
            row["failures"] = sum(row.pop("num_fail_per_sec").values())
            row["start_time"] = row["last_request_timestamp"] = None
            row["total_response_time"] = round(row["total_response_time"], 6)
        percentiles = [entry.get_response_time_percentile(0.99) for entry in entries.values()]
        return json.loads(json.dumps([rows, percentiles, [error.occurrences for error in kept.errors.values()]]))

    return {"folded": seen(folded), "logged": seen(logged)}


DEEDS = {deed.__name__: deed for deed in (run, stop, die, hang, stats)}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(DEEDS[sys.argv[1]](sys.argv[2])))
