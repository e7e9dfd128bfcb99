"""
The master, its workers and Locust's statistics, in a process that gevent has patched; prints what they do as JSON.

Usage: python -m tests.locust_child DEED FOLDER
"""

import inspect
import json
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
from gevent import monkey
from gevent.event import Event

monkey.patch_all()

import locust.stats  # noqa: E402 - after the patch, as in a Locust process
from locust.event import Events  # noqa: E402 - the same
from locust.rpc.protocol import Message  # noqa: E402 - the same
from locust.stats import RequestStats  # noqa: E402 - the same

from tests.loadlogs import header  # noqa: E402 - the same
from touchstone import __version__  # noqa: E402 - the same
from touchstone.config import Settings  # noqa: E402 - the same
from touchstone.facts import runlog  # noqa: E402 - the same
from touchstone.facts.events import Limit  # noqa: E402 - the same
from touchstone.facts.runlog import RunLogWriter, read  # noqa: E402 - the same
from touchstone.facts.sample import NO_ANSWER, Sample, Window  # noqa: E402 - the same
from touchstone.loadgen import load_run as working  # noqa: E402 - the same
from touchstone.loadgen import master as conducting  # noqa: E402 - the same
from touchstone.loadgen.handover import GO, PART, Go, LoadHandover, Part, deal  # noqa: E402 - the same
from touchstone.loadgen.load_run import LoadRun, LoadWorker  # noqa: E402 - the same
from touchstone.loadgen.locust_listener import fold  # noqa: E402 - the same
from touchstone.loadgen.master import Master  # noqa: E402 - the same
from touchstone.loadgen.not_judged import ending  # noqa: E402 - the same
from touchstone.loadgen.plan import Stage, plan  # noqa: E402 - the same
from touchstone.loadgen.workloads import Options, scenario  # noqa: E402 - the same

KEY = "sk_live_0123456789abcdef"
NAME = "startBuild 202"

# Nothing waits this long unless it hangs.
LIMIT_S = 20.0


def options(**more: Any) -> Options:
    """A few reads a second."""
    chosen = scenario("steady")
    plain = Options(chosen, "constant:4", 3.0, {"read": 1}, seed=1, ready=1)
    return replace(plain, **more)


def handover(folder: Path, workers: int, *, aborts: bool = False, **more: Any) -> LoadHandover:
    """What a master is started with."""
    log = folder / "runlog.jsonl"
    with RunLogWriter(log) as writer:
        writer.write(header())
    stage = Stage({"ready": ("default/a@1.0.0",)}, {})
    go = Go(options(), stage, origin=time.monotonic(), workers=workers)
    (folder / "go.json").write_text(json.dumps(GO.dump_python(go, mode="json")), encoding="utf-8")
    settings = Settings(**more)
    target = replace(settings.target, api_key=KEY, url="http://127.0.0.1:1")
    return LoadHandover(
        settings=replace(settings, target=target),
        run_log=str(log),
        go_file=str(folder / "go.json"),
        limits=(Limit("*", "max_s", 0.01),) if aborts else (),
        aborts=aborts,
        workers=workers,
    )


class Troupe:
    """A master, and workers that do nothing but note what they are told."""

    def __init__(self, folder: Path, workers: int, *, waits: bool = False, **more: Any) -> None:
        self.told: list[tuple[str, str]] = []
        self.messages: list[tuple[str, str, dict[str, Any]]] = []
        self.there = {f"w{number}" for number in range(workers)}
        self.ended = Event()
        self.master = Master(
            handover(folder, workers, **more), self._send, lambda: self.there, self.ended.set, waits=waits
        )
        self.folder = folder

    def _send(self, client: str, data: dict[str, Any]) -> None:
        word = next(iter(data))
        self.told.append((client, word))
        self.messages.append((client, word, data))

    def join(self, client: str, **other: Any) -> None:
        said = {"version": __version__, "scenario": "steady", **other}
        self.master.receive(client, {"join": said, "is_near": True, "clock": None, "sent_at": 0.0})

    def begin(self) -> None:
        for client in sorted(self.there):
            self.join(client)
        for client in sorted(self.there):
            self.report(client, "ready")

    def report(self, client: str, state: str, *events: dict[str, Any]) -> None:
        self.master.receive(client, {"events": list(events), "state": state})

    def wait_for(self, kind: str, client: str) -> None:
        """Waits until a worker is told something."""
        with gevent.Timeout(LIMIT_S):
            while (client, kind) not in self.told:
                gevent.sleep(0.01)

    def outcome(self) -> dict[str, Any]:
        """What came of it, once the master has ended the run."""
        ended = self.ended.wait(LIMIT_S)
        self.master.log.close()
        log = read(self.folder / "runlog.jsonl")
        return {
            "ended": ended,
            "told": self.told,
            "aftermath": [data["after"] for _, kind, data in self.messages if kind == "after"],
            "errors": [case.message for case in log.cases if case.outcome == "error"],
            "warnings": list(log.warnings),
            "ended_by": (found := ending(log)) and found.cause,
            "workers": [[worker.number, worker.state, worker.sent, worker.unsent] for worker in log.workers],
        }


def window(worker: int, count: int, took_s: float = 0.001, at_s: int = 1) -> dict[str, Any]:
    """So many reads that took as long."""
    counted = Window(worker, at_s, "getBuild", "200")
    for _ in range(count):
        counted.add(Sample("getBuild", "200", at_s, at_s, at_s + took_s, 10))
    return runlog.encode(counted)


# --- the master -------------------------------------------------------------------------------------------------------


def ordinary(folder: Path) -> dict[str, Any]:
    """Two workers, from their joining to their end."""
    troupe = Troupe(folder, 2)
    troupe.begin()
    troupe.report("w1", "drained")
    troupe.report("w0", "drained")
    troupe.report("w1", "final")
    troupe.report("w0", "final")
    return troupe.outcome()


def shared(folder: Path) -> dict[str, Any]:
    """One of three workers says that a build was accepted, which one of the others has sent all of its own by then."""
    troupe = Troupe(folder, 3)
    troupe.begin()
    troupe.report("w2", "drained")
    troupe.master.receive("w1", {"state": "running", "started": [4, True]})
    heard = [[client, data] for client, kind, data in troupe.messages if kind == "started"]
    for state in ("drained", "final"):
        for client in ("w0", "w1", "w2"):
            troupe.report(client, state)
    return troupe.outcome() | {"heard": heard}


def lost(folder: Path) -> dict[str, Any]:
    """One of two workers is gone after it has sent a part of its share, and the other one goes on."""
    troupe = Troupe(folder, 2)
    troupe.begin()
    troupe.report("w0", "running", window(0, 2))
    troupe.there = {"w1"}
    troupe.report("w1", "drained")
    troupe.wait_for("after", "w1")
    troupe.report("w1", "final")
    return troupe.outcome()


def all_lost(folder: Path) -> dict[str, Any]:
    """All workers are gone."""
    troupe = Troupe(folder, 2)
    troupe.begin()
    troupe.there = set()
    return troupe.outcome()


def slow(folder: Path) -> dict[str, Any]:
    """A worker that was believed lost speaks again."""
    troupe = Troupe(folder, 2)
    troupe.begin()
    troupe.report("w1", "drained")
    troupe.there = {"w1"}
    troupe.wait_for("after", "w1")
    troupe.there = {"w0", "w1"}
    troupe.report("w0", "running", window(0, 2))
    troupe.report("w1", "final")
    waited = not troupe.master._ended
    troupe.report("w0", "drained")
    troupe.report("w0", "final")
    return troupe.outcome() | {"waited": waited}


def early(folder: Path) -> dict[str, Any]:
    """A worker is ended by somebody else before its share is sent."""
    troupe = Troupe(folder, 2)
    troupe.begin()
    troupe.report("w0", "final")
    troupe.report("w1", "drained")
    troupe.report("w1", "final")
    return troupe.outcome()


def late(folder: Path) -> dict[str, Any]:
    """A third worker comes when two have begun."""
    troupe = Troupe(folder, 2)
    troupe.begin()
    troupe.join("w2")
    reason = troupe.messages[-1][2]["refused"]
    for state in ("drained", "final"):
        troupe.report("w0", state)
        troupe.report("w1", state)
    return troupe.outcome() | {"reason": reason}


def unfit(folder: Path) -> dict[str, Any]:
    """Workers that were started for something else, or by other software, or whose schedule is another one."""
    found = {}
    for name, said in (("scenario", {"scenario": "storm"}), ("version", {"version": "0"}), ("schedule", None)):
        (folder / name).mkdir()
        troupe = Troupe(folder / name, 1)
        if said is None:
            troupe.join("w0")
            troupe.master.receive("w0", {"state": "unfit", "reason": "why"})
        else:
            troupe.join("w0", **said)
        found[name] = troupe.outcome()
    return found


def replaced(folder: Path) -> dict[str, Any]:
    """A worker is gone before the run begins: another one takes its place where one may come."""
    (folder / "may").mkdir()
    troupe = Troupe(folder / "may", 1, waits=True)
    troupe.join("w0")
    troupe.there = {"w1"}
    with gevent.Timeout(LIMIT_S):
        while ("w1", "part") not in troupe.told:
            gevent.sleep(0.01)
            troupe.told.clear()
            troupe.join("w1")
    troupe.report("w1", "ready")
    troupe.report("w1", "drained")
    troupe.report("w1", "final")
    (folder / "not").mkdir()
    alone = Troupe(folder / "not", 1)
    alone.join("w0")
    alone.there = set()
    return {"may": troupe.outcome(), "not": alone.outcome()}


def stopped(folder: Path) -> dict[str, Any]:
    """A run that is told to stop: one worker tells what it knows, the other one never does."""
    conducting.STOP_S = 0.1
    troupe = Troupe(folder, 2)
    troupe.begin()
    troupe.master.stop("why")
    troupe.master.stop("again")
    troupe.report("w0", "final", window(0, 3))
    return troupe.outcome()


def overdue(folder: Path) -> dict[str, Any]:
    """The time of the run is over while it goes on."""
    troupe = Troupe(folder, 1, max_seconds=0.1)
    troupe.begin()
    troupe.wait_for("stop", "w0")
    troupe.report("w0", "final")
    return troupe.outcome()


def broken(folder: Path) -> dict[str, Any]:
    """A threshold is broken while the run goes on."""
    troupe = Troupe(folder, 1, aborts=True)
    troupe.begin()
    troupe.report("w0", "running", window(0, 50, 0.5, at_s=1), window(0, 50, 0.5, at_s=9))
    troupe.wait_for("stop", "w0")
    troupe.report("w0", "final")
    return troupe.outcome()


class Elsewhere:
    """The clock of this machine, which stands still between messages, and that of another one beyond a slow network."""

    AHEAD_S = 1000.0

    def __init__(self) -> None:
        self.now_s = 50.0
        self.random = random.Random(7)

    def monotonic(self) -> float:
        return self.now_s

    def travel(self) -> None:
        self.now_s += self.random.uniform(0.005, 0.015)


class Ahead:
    """The clock of the other machine."""

    def __init__(self, elsewhere: Elsewhere) -> None:
        self._elsewhere = elsewhere

    def monotonic(self) -> float:
        return self._elsewhere.now_s + self._elsewhere.AHEAD_S


def clock(folder: Path) -> dict[str, Any]:
    """How a worker finds its master's clock, 1,000 s behind its own, over a network of 5 to 15 ms each way."""
    elsewhere = Elsewhere()
    started = elsewhere.now_s = time.monotonic()
    parts: list[Part] = []
    conducting.time = elsewhere  # type: ignore[assignment]  # all that is asked of it is the time
    working.time = Ahead(elsewhere)  # type: ignore[assignment]  # the same
    drawn_up = handover(folder, 1)

    def to_worker(_client: str, data: dict[str, Any]) -> None:
        elsewhere.travel()
        if "part" in data:
            parts.append(PART.validate_python(data["part"]))
        worker.receive(data)

    def to_master(data: dict[str, Any]) -> None:
        elsewhere.travel()
        master.receive("w0", data)

    master = Master(drawn_up, to_worker, lambda: ["w0"], lambda: None)
    remote = replace(drawn_up, run_log="", go_file="")
    worker = LoadWorker(remote, "steady", to_master, lambda _window: None, lambda _reason: None)
    worker._join()
    conducting.time = working.time = time  # type: ignore[assignment]  # the real one again
    (part,) = parts
    assert started < elsewhere.now_s
    truth = drawn_up.go().origin + elsewhere.AHEAD_S
    return {"off_s": abs(part.origin - truth), "told_s": part.clock_error_s, "offset_s": part.clock_offset_s}


# --- a worker --------------------------------------------------------------------------------------------------------


def part_of(drawn_up: LoadHandover) -> dict[str, Any]:
    """The message with the part of the one worker."""
    go = drawn_up.go()
    return {"part": PART.dump_python(deal(go, plan(go.options), 0))}


def member(folder: Path) -> dict[str, Any]:
    """A worker that meets an error of ours before the run begins."""
    told: list[dict[str, Any]] = []
    left: list[str] = []
    drawn_up = handover(folder, 1)
    worker = LoadWorker(drawn_up, "steady", told.append, lambda _window: None, left.append)
    worker.receive(part_of(drawn_up))
    entered: list[str] = []

    def fail(*_: Any) -> None:
        entered.append("once")
        raise ValueError(f"something with {KEY} in it")

    working.LoadRun = fail  # type: ignore[assignment,misc]  # it cannot get ready
    for _ in range(2):
        worker.work(lambda _run: None, lambda: None)
    working.LoadRun = LoadRun  # type: ignore[misc]  # the real one again
    gevent.sleep(0)
    return {"entered": entered, "told": told, "left": left}


def budget(folder: Path) -> dict[str, Any]:
    """A worker whose budget is three requests asks for six."""
    drawn_up = handover(folder, 1)
    go = drawn_up.go()
    go = replace(go, options=replace(go.options, max_requests=3))
    run = LoadRun(deal(go, plan(go.options), 0), drawn_up.settings.target, lambda *_: None)
    admitted = [run.admit() for _ in range(6)]
    return {"admitted": admitted, "warnings": [e["text"] for e in run.collector.drain() if e["type"] == "warning"]}


# --- statistics ------------------------------------------------------------------------------------------------------


def statistics(_folder: Path) -> dict[str, Any]:
    """
    What Locust says of known times, folded in as windows, and gathered by a master from two workers.
    """
    # Each many times over, so that it does not matter how a rank is rounded.
    times_s = [time_s for time_s in (0.0001 * 1.37**number for number in range(41)) for _ in range(73)]
    folded = RequestStats()
    workers = [RequestStats(), RequestStats()]
    for number, time_s in enumerate(times_s):
        counted = Window(0, 0, "startBuild", "202")
        counted.add(Sample("startBuild", "202", 0.0, 0.0, time_s, 10))
        fold(folded, counted)
        fold(workers[number % 2], counted)
    gathered = at_master(workers)
    off = 0.0
    for share in (0.5, 0.9, 0.95, 0.99, 0.999):
        truth_ms = times_s[round(share * len(times_s)) - 1] * 1e3
        for stats in (folded, gathered):
            for entry in (stats.get(NAME, ""), stats.total):
                off = max(off, abs(entry.get_response_time_percentile(share) / truth_ms - 1))
    counts = [[stats.get(NAME, "").num_requests, stats.total.num_requests] for stats in (folded, gathered)]
    return {"off_share": off, "counts": counts}


def at_master(workers: list[RequestStats]) -> RequestStats:
    """What a master makes of the statistics of its workers, by Locust's own messages."""
    gathered, receiving = RequestStats(), Events()
    locust.stats.setup_distributed_stats_event_listeners(receiving, gathered)
    for worker in workers:
        sending = Events()
        locust.stats.setup_distributed_stats_event_listeners(sending, worker)
        data: dict[str, Any] = {}
        sending.report_to_master.fire(client_id="w", data=data)
        told = Message.unserialize(Message("stats", data, "w").serialize())
        receiving.worker_report.fire(client_id="w", data=told.data)
    return gathered


def failures(_folder: Path) -> dict[str, Any]:
    """How often each outcome counts as a failure."""
    stats = RequestStats()
    for outcome in ("200", "202", "404", "409", "429", "500", "503", NO_ANSWER):
        counted = Window(0, 0, "startBuild", outcome)
        counted.add(Sample("startBuild", outcome, 0.0, 0.0, 0.001, 10))
        fold(stats, counted)
    return {entry.name: [entry.num_requests, entry.num_failures] for entry in stats.entries.values()}


def assumptions(_folder: Path) -> dict[str, Any]:
    """What of Locust is used here though no page of its documentation promises it."""
    from locust import log, runners
    from locust.env import Environment

    return {
        "states": [runners.STATE_INIT, runners.STATE_MISSING],
        "exit": Environment().process_exit_code,
        "unhandled": log.unhandled_greenlet_exception,
        "messages": [*inspect.signature(runners.MasterRunner.send_message).parameters],
    }


DEEDS = {
    deed.__name__: deed
    for deed in (
        *(
            ordinary,
            shared,
            lost,
            all_lost,
            slow,
            early,
            late,
            unfit,
            replaced,
            stopped,
            overdue,
            broken,
            clock,
            member,
        ),
        *(budget, statistics, failures, assumptions),
    )
}


def main(folder: Path) -> None:
    """Does everything, each in a folder of its own."""
    said = {}
    for name, deed in DEEDS.items():
        (folder / name).mkdir()
        said[name] = deed(folder / name)
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
