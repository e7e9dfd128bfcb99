"""The master of a load: who is sent what, what becomes of workers that fail, and what ends a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from tests.loadgen.handed_over import LIMIT_S, handover
from touchstone import __version__
from touchstone.errors import RunLogError
from touchstone.facts import runlog
from touchstone.facts.events import RunLog
from touchstone.facts.runlog import read
from touchstone.facts.sample import UNSENT, Sample, Window
from touchstone.loadgen import master
from touchstone.loadgen.master import Master
from touchstone.loadgen.not_judged import ending


class Troupe:
    """A master, and workers that only keep what they are sent; *present* are those that are there."""

    def __init__(self, folder: Path, workers: int, *, waits: bool = False, **more: Any) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.present = {f"w{number}" for number in range(workers)}
        self.ends: list[None] = []
        self._ended = Event()
        self.master = Master(
            handover(folder, workers, **more),
            lambda client, data: self.messages.append((client, data)),
            lambda: self.present,
            self._end,
            waits=waits,
        )
        self._folder = folder

    @property
    def sent(self) -> list[tuple[str, str]]:
        return [(client, next(iter(data))) for client, data in self.messages]

    def _end(self) -> None:
        self.ends.append(None)
        self._ended.set()

    def join(self, client: str, **other: Any) -> None:
        fit = {"version": __version__, "scenario": "steady", **other}
        self.master.receive(client, {"join": fit, "sent_at": 0.0})

    def begin(self) -> None:
        for client in sorted(self.present):
            self.join(client)
        for client in sorted(self.present):
            self.report(client, "ready")

    def report(self, client: str, state: str, *windows: Window) -> None:
        self.master.receive(client, {"events": [runlog.encode(window) for window in windows], "state": state})

    def drain(self, *clients: str) -> None:
        for state in ("drained", "final"):
            for client in clients:
                self.report(client, state)

    def wait_for(self, kind: str, client: str) -> None:
        with gevent.Timeout(LIMIT_S):
            while (client, kind) not in self.sent:
                gevent.sleep(0.005)

    def log(self) -> RunLog:
        assert self._ended.wait(LIMIT_S)
        gevent.sleep(0)
        assert len(self.ends) == 1
        self.master.log.close()
        return read(self._folder / "runlog.jsonl")


def errors(log: RunLog) -> list[str]:
    return [case.id.rpartition(".")[2] for case in log.cases if case.outcome == "error"]


def window(worker: int, count: int, took_s: float = 0.001, at_s: int = 1) -> Window:
    counted = Window(worker, at_s, "getBuild", "200")
    for _ in range(count):
        counted.add(Sample("getBuild", "200", at_s, at_s, at_s + took_s, 10))
    return counted


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(master, "WATCH_S", 0.02)


@pytest.fixture
def troupe(tmp_path: Path) -> Callable[..., Troupe]:
    return lambda workers, **more: Troupe(tmp_path, workers, **more)


PLANNED = [("w0", "part"), ("w1", "part")]
BEGUN = [*PLANNED, ("w0", "began_at"), ("w1", "began_at")]


def test_all_begin_together_and_one_does_what_comes_after(troupe: Callable[..., Troupe]) -> None:
    run = troupe(2)
    run.join("w0")
    run.report("w0", "ready")
    run.join("w1")
    assert run.sent == PLANNED
    run.report("w1", "ready")
    assert run.sent == BEGUN
    began_at = {data["began_at"] for _, data in run.messages if "began_at" in data}
    run.report("w1", "drained")
    assert run.sent == BEGUN
    run.report("w0", "drained")
    assert [data for _, data in run.messages[4:]] == [{"after": True}, {"after": False}]
    run.report("w1", "final")
    assert run.ends == []
    run.report("w0", "final")
    log = run.log()
    assert log.workload
    assert (began_at, log.workload.workers, errors(log), ending(log)) == ({log.workload.began_at}, 2, [], None)
    assert log.workload.began_at >= 1


def play(run: Troupe, steps: str) -> None:
    """Has workers in turn be gone, come back, join, wait until they are sent something, or report a state."""
    for step in steps.split(", "):
        client, act, *kind = step.split()
        if act in ("gone", "back"):
            run.present ^= {client}
        elif act == "joins":
            run.join(client)
        elif act == "awaits":
            run.wait_for(kind[0], client)
        else:
            run.report(client, act)


@pytest.mark.parametrize(
    ("steps", "sent", "lost"),
    [
        ("w0 gone, w1 gone", [], ["worker-0", "worker-1"]),
        (
            "w1 drained, w0 gone, w1 awaits after, w0 back, w0 running, w1 final, w0 drained, w0 final",
            *([("w1", "after"), ("w0", "after")], []),
        ),
        ("w0 final, w1 drained, w1 final", [("w1", "after")], ["worker-0"]),
        ("w2 joins, w0 gone, w1 gone", [("w2", "refused")], ["worker-0", "worker-1"]),
    ],
    ids=["all-lost", "only-slow", "ends-before-its-part", "comes-too-late"],
)
def test_run_goes_on_with_the_workers_it_has(
    troupe: Callable[..., Troupe], steps: str, sent: list[tuple[str, str]], lost: list[str]
) -> None:
    run = troupe(2)
    run.begin()
    play(run, steps)
    assert (errors(run.log()), run.sent) == (lost, BEGUN + sent)


def test_lost_worker_is_written_down_as_far_as_it_reported(troupe: Callable[..., Troupe]) -> None:
    run = troupe(2)
    run.begin()
    run.report("w0", "running", window(0, 2), Window(0, 2, "getBuild", UNSENT, 1))
    play(run, "w0 gone, w1 drained, w1 awaits after, w1 final")
    log = run.log()
    (worker,) = log.workers
    assert (errors(log), run.sent) == (["worker-0"], [*BEGUN, ("w1", "after")])
    assert (worker.number, worker.state, worker.sent, worker.unsent, worker.assigned) == (0, "lost", 2, 1, 3)


@pytest.mark.parametrize("other", [{"scenario": "storm"}, {"version": "0"}, {}])
def test_worker_that_cannot_take_part_ends_the_run(troupe: Callable[..., Troupe], other: dict[str, str]) -> None:
    run = troupe(1)
    run.join("w0", **other)
    if not other:
        run.master.receive("w0", {"state": "unfit", "reason": "why"})
    (message,) = [case.message for case in run.log().cases]
    assert run.sent == [("w0", "refused" if other else "part")]
    assert (str(other)[1:-1] or "why") in message


@pytest.mark.parametrize("waits", [True, False])
def test_worker_lost_before_the_run_may_be_replaced_elsewhere(troupe: Callable[..., Troupe], waits: bool) -> None:
    run = troupe(1, waits=waits)
    run.join("w0")
    run.present = {"w1"}
    if waits:
        with gevent.Timeout(LIMIT_S):
            while ("w1", "part") not in run.sent:
                gevent.sleep(0.005)
                run.join("w1")
        run.report("w1", "ready")
        run.drain("w1")
        assert ("w1", "began_at") in run.sent
    assert errors(run.log()) == ([] if waits else ["worker-0"])


def test_stopped_run_waits_for_the_last_reports(troupe: Callable[..., Troupe], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(master, "STOP_S", 0.05)
    run = troupe(2)
    run.begin()
    run.master.stop("why")
    run.master.stop("again")
    run.report("w0", "final", window(0, 3))
    log = run.log()
    assert run.sent == [*BEGUN, ("w0", "stop"), ("w1", "stop")]
    assert (log.warnings, errors(log)) == (("why",), ["worker-1"])
    assert sum(each.count for each in log.windows) == 3


def test_end_of_max_seconds_cuts_a_run_off(troupe: Callable[..., Troupe]) -> None:
    run = troupe(1, max_seconds=0.05)
    run.begin()
    run.wait_for("stop", "w0")
    run.report("w0", "final")
    log = run.log()
    assert (len(errors(log)), "--max-seconds" in str(ending(log))) == (1, True)


@pytest.mark.parametrize(("count", "took_s", "is_broken"), [(50, 0.5, True), (5, 0.5, False), (50, 0.001, False)])
def test_broken_threshold_ends_a_run_that_is_to_abort(
    troupe: Callable[..., Troupe], count: int, took_s: float, is_broken: bool
) -> None:
    run = troupe(1, aborts=True)
    run.begin()
    run.report("w0", "running", *(window(0, count, took_s, at_s) for at_s in (1, 9)))
    if is_broken:
        run.wait_for("stop", "w0")
    gevent.sleep(0.05)
    run.drain("w0")
    log = run.log()
    assert (("w0", "stop") in run.sent, errors(log)) == (is_broken, [])
    assert ("--abort-on-fail" in str(ending(log))) == is_broken


def test_run_whose_log_takes_no_more_is_stopped(troupe: Callable[..., Troupe]) -> None:
    run = troupe(1)
    run.begin()
    run.master.log.lost = RunLogError("no room")
    run.wait_for("stop", "w0")
    run.drain("w0")
