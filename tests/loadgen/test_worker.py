"""A worker of a load: its clock, its budget, what its clients do with the answers they get, and what it reports."""

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event

from tests.loadgen.handed_over import KEY, LIMIT_S, OWN, READY, handover
from touchstone.check import budget
from touchstone.contract.files import load_dir
from touchstone.facts import runlog
from touchstone.facts.events import Attempt, Build, Case, Remark, Worker
from touchstone.facts.exchange import Exchange
from touchstone.facts.sample import Sample, Window
from touchstone.loadgen import load_run
from touchstone.loadgen import master as master_module
from touchstone.loadgen.handover import PART, LoadHandover, Part, deal
from touchstone.loadgen.load_run import Collector, LoadRun, LoadWorker
from touchstone.loadgen.master import Master
from touchstone.loadgen.metrics import BEHIND_S
from touchstone.loadgen.plan import Stopped, plan
from touchstone.target.bounds import Bounds
from touchstone.target.call import Answer, Call, Head

POLL_S = 0.02
STEADY = {"arrivals": "constant:40", "duration_s": 0.2}


def part_of(given: LoadHandover) -> Part:
    return deal(given.go(), plan(given.go().options), 0)


@dataclass
class Target:
    """Answers for a server: by method and last word of the path, each answer once, the last one again.

    An answer is a status, a JSON object and perhaps Retry-After; with status 0, the kind of an error. *before* gets the
    number of each request.
    """

    answers: dict[str, list[tuple[Any, ...]]]
    takes_s: float = 0.0
    before: Callable[[int], object] = lambda _: None
    sent: list[str] = field(default_factory=list)
    closed: Event = field(default_factory=Event)
    run: LoadRun = field(init=False)

    def send(self, method: str, wire: bytes, stream_s: float = 0.0) -> Answer:
        now = self.run.now
        answer = Answer(sent_at=now())
        what = f"{method} {wire.split()[1].decode().rpartition('/')[2]}"
        self.sent.append(what)
        self.before(len(self.sent))
        known = self.answers[what]
        status, body, *retry_after = known.pop(0) if len(known) > 1 else known[0]
        gevent.sleep(self.takes_s)
        if status:
            after = tuple(("retry-after", str(seconds)) for seconds in retry_after)
            answer.head = Head(status, (("content-type", "application/json"), *after))
            answer.body = json.dumps(body).encode()
        else:
            answer.error = f"{body}: none"
        answer.head_at = answer.done_at = now()
        return answer

    def leave_streams(self) -> None:
        pass

    def close(self) -> None:
        self.closed.set()


def status(ref: str, of: str) -> tuple[int, dict[str, Any]]:
    return 200, {"ref": ref, "status": of}


def reading(takes_s: float = 0.0, before: Callable[[int], object] = lambda _: None) -> Target:
    return Target({"GET build": [status(READY, "ready")]}, takes_s, before)


@pytest.fixture
def scenarios(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The user that follows a schedule, with the scenario `steady`; Locust without its changes to Python's sockets."""
    monkeypatch.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")
    monkeypatch.syspath_prepend(str(load_dir()))
    from steady import Steady

    from touchstone.loadgen import locust_listener

    monkeypatch.setattr(load_run, "POLL_S", POLL_S)
    monkeypatch.setattr(load_run, "_JITTER_S", 0.0)
    clients = dict.fromkeys(dir(Steady), Steady)
    monkeypatch.setattr(locust_listener.ArrivalUser, "clients", clients, raising=False)
    return locust_listener


def run_against(server: Target, given: LoadHandover, **part: Any) -> LoadRun:
    """What the clients of a worker share, with *server* in the place of connections."""
    run = LoadRun(replace(part_of(given), **part), given.settings.target, lambda *_: None)
    run.connections, server.run = server, run  # type: ignore[assignment]  # all that is used of it
    return run


Load = Callable[..., list[Any]]


@pytest.fixture
def load(tmp_path: Path, scenarios: ModuleType) -> Load:
    def loaded(server: Target, *, stop_after_s: float | None = None, **more: Any) -> list[Any]:
        more["options"] = STEADY | more.get("options", {})
        run = run_against(server, handover(tmp_path, **more))
        user = scenarios.ArrivalUser(None)
        sending = gevent.spawn(user.send_all, run)
        if stop_after_s is not None:
            gevent.sleep(stop_after_s)
            run.stopped.set()
        with gevent.Timeout(LIMIT_S):
            sending.join()
            run.flows.join()
        run.report_judged()
        run.report_state("done")
        return [runlog.decode(event) for event in run.collector.drain()]

    return loaded


def of(kind: type[Any], facts: list[Any]) -> list[Any]:
    return [fact for fact in facts if isinstance(fact, kind)]


def counts(facts: list[Any]) -> Counter[tuple[str, str, bool]]:
    """Requests by operation, outcome, and whether they were the first of an arrival."""
    found: Counter[tuple[str, str, bool]] = Counter()
    for window in of(Window, facts):
        found[window.operation, window.outcome, window.paced] += window.count
    return found


def test_each_arrival_is_sent_when_it_is_due(load: Load) -> None:
    facts = load(reading(0.05))
    assert counts(facts) == {("getBuild", "200", True): 8}
    (state,) = of(Worker, facts)
    assert (state.state, state.sent, state.unsent, state.assigned, state.undone) == ("done", 8, 0, 8, 0)
    assert state.rss_bytes > 0
    (window,) = of(Window, facts)
    assert (0.05 <= window.service.min_s <= window.response.max_s, of(Case, facts)) == (True, [])


@pytest.mark.parametrize(("room_bytes", "most", "kept"), [(30_000, 99, 1), (10**9, 3, 3), (10**9, 99, 8)])
def test_exchanges_are_kept_within_bounds(
    load: Load, monkeypatch: pytest.MonkeyPatch, room_bytes: int, most: int, kept: int
) -> None:
    monkeypatch.setattr(load_run, "MAX_KEPT", most)
    long = status(READY, "ready")[1] | {"more": "w" * 20_000}
    facts = load(Target({"GET build": [(200, long)]}), target={"bounds": Bounds(max_total_bytes=room_bytes)})
    assert len(of(Exchange, facts)) == kept


def test_arrival_sent_late_has_waited_since_it_was_due(load: Load) -> None:
    # The whole worker stands still at first.
    (window,) = of(Window, load(reading(before=lambda number: time.sleep(0.1 * (number == 1)))))
    assert window.response.sum_s - window.service.sum_s > 0.05


def test_budget_of_requests_is_kept_and_its_end_reported_once(load: Load) -> None:
    facts = load(reading(), options={"max_requests": 3})
    assert counts(facts) == {("getBuild", "200", True): 3, ("getBuild", "unsent", True): 5}
    (state,), (remark,) = of(Worker, facts), of(Remark, facts)
    assert (state.sent, state.unsent, state.over_budget) == (3, 5, 5)
    assert state.spent_at_s is not None
    assert "--max-requests 3" in remark.text


def test_closed_model_sends_in_turn_and_starts_once_each(load: Load) -> None:
    target = Target({"GET build": [status(READY, "ready")], "POST build": [ACCEPTED]}, takes_s=0.005)
    options = {"model": "closed", "users": 2, "mix": {"read": 3, "start": 1}, "duration_s": 0.4}
    facts = load(target, options=options | {"arrivals": "constant:10"})
    sent = counts(facts)
    assert (sent["startBuild", "202", True], sent["getBuild", "200", True] > 4) == (1, True)
    assert [text.text for text in of(Remark, facts) if "closed model" in text.text]
    (state,) = of(Worker, facts)
    assert (state.undone, state.late_p99_s) == (0, 0.0)


BUILDING, ACCEPTED = status(OWN[0], "building"), (202, {"ref": OWN[0], "status": "building"})
REFUSED = (429, {"error": "later"}, 0)
ONE_START = {"mix": {"start": 1}, "arrivals": "constant:10", "duration_s": 0.1}


def test_refused_start_is_repeated_as_advised(load: Load) -> None:
    reads = [status(OWN[0], "not_built")] * 2 + [BUILDING, status(OWN[0], "ready")]
    target = Target({"POST build": [REFUSED, ACCEPTED], "GET build": reads})
    facts = load(target, options=ONE_START)
    assert target.sent == ["POST build", "GET build", "GET build", "POST build", "GET build", "GET build"]
    attempts = of(Attempt, facts)
    tries = [(a.number, a.status, a.retry_after_s, a.gave_up, a.fresh) for a in attempts]
    assert tries == [(1, 429, 0.0, False, True), (2, 202, None, False, True)]
    (build,) = of(Build, facts)
    assert (build.end, build.seen_building_at is not None) == ("ready", True)
    assert build.accepted_at == pytest.approx(attempts[1].done_at)
    assert counts(facts)["startBuild", "429", True] == counts(facts)["startBuild", "202", False] == 1


def test_start_refused_for_longer_than_patience_is_given_up(load: Load) -> None:
    target = Target({"POST build": [(429, {"error": "later"}, 9)], "GET build": [BUILDING]})
    facts = load(target, options=ONE_START, target={"patience_s": 5.0})
    assert [(a.status, a.gave_up) for a in of(Attempt, facts)] == [(429, True)]
    assert (target.sent, of(Build, facts)) == (["POST build"], [])


@pytest.mark.parametrize(("error", "unsent"), [("ConnectError", True), ("ReadTimeout", False)])
def test_start_is_unsent_only_where_no_connection_came_about(load: Load, error: str, unsent: bool) -> None:
    facts = load(Target({"POST build": [(0, error)]}), options=ONE_START)
    assert [(attempt.status, attempt.unsent) for attempt in of(Attempt, facts)] == [(0, unsent)]
    assert of(Build, facts) == []


READY_BUILD, NOT_BUILT = status(OWN[0], "ready"), status(OWN[0], "not_built")


@pytest.mark.parametrize(
    ("action", "reads", "end"),
    [
        ("start", [BUILDING, READY_BUILD], "ready"),
        ("start", [BUILDING, NOT_BUILT], "vanished"),
        ("start", [(404, {"error": "unknown"})], "vanished"),
        ("start", [NOT_BUILT, NOT_BUILT, NOT_BUILT, BUILDING, READY_BUILD], "ready"),
        ("start", [BUILDING], "stuck"),
        ("start", [(500, {"error": "x"})], "unread"),
        ("start", [(0, "ReadTimeout")], "silent"),
        ("stream", [BUILDING, status(OWN[0], "failed")], "failed"),
        ("cancel", [BUILDING, NOT_BUILT], "cancelled"),
        ("cancel", [READY_BUILD], "ready"),  # too late to cancel
    ],
)
def test_build_is_polled_to_its_end(
    load: Load, monkeypatch: pytest.MonkeyPatch, action: str, reads: list[tuple[Any, ...]], end: str
) -> None:
    monkeypatch.setattr(budget, "SILENT_S", 0.1)
    answers = {"POST build": [ACCEPTED], "GET build": reads, "DELETE build": [(202, {})], "GET events": [(200, {})]}
    target = Target(answers)
    facts = load(target, options=ONE_START | {"mix": {action: 1}}, target={"build_timeout_s": 0.3})
    (build,) = of(Build, facts)
    assert (build.end, build.ref, build.ended_at > build.accepted_at) == (end, OWN[0], True)
    assert ("DELETE build" in target.sent, "GET events" in target.sent) == (end == "cancelled", action == "stream")


def test_build_of_a_stopped_run_is_unfinished(load: Load) -> None:
    target = Target({"POST build": [ACCEPTED], "GET build": [BUILDING]})
    (build,) = of(Build, load(target, options=ONE_START, stop_after_s=0.2))
    assert build.end == "unfinished"


def test_error_in_a_client_is_reported_and_the_others_go_on(load: Load) -> None:
    def fail(number: int) -> None:
        if number in (3, 4):
            raise ValueError(f"a mistake with {KEY}")

    facts = load(reading(before=fail))
    (case,) = of(Case, facts)
    assert (case.outcome, KEY in case.message, "a mistake" in case.message) == ("error", False, True)
    assert counts(facts)["getBuild", "200", True] == 6


@pytest.mark.parametrize(
    ("samples", "sent", "behind_from_s"),
    [
        ([(5.0, 0.02, True), (5.0, 7.0, False)], 1, None),  # only what is paced
        ([(3.0, BEHIND_S - 0.001, True), (9.0, 0.11, True), (7.5, 2.0, True), (8.0, 0.5, True)], 4, 7.5),
    ],
)
def test_generator_is_behind_from_the_first_late_arrival_on(
    samples: list[tuple[float, float, bool]], sent: int, behind_from_s: float | None
) -> None:
    collector = Collector(0)
    for at, late_s, paced in samples:
        collector.sample(Sample("getBuild", "200", at, at + late_s, at + late_s + 0.01), paced=paced)
    assert (collector.sent, collector.late.count, collector.behind_from_s) == (sent, sent, behind_from_s)


def test_start_beyond_the_builds_of_the_part_is_not_sent(tmp_path: Path) -> None:
    target = Target({"POST build": [ACCEPTED], "GET build": [BUILDING]})
    run = run_against(target, handover(tmp_path), builds=0)
    with pytest.raises(Stopped):
        run.send(Call("startBuild", OWN[0]), 0.0, paced=True, keep=True)
    assert "POST build" not in target.sent
    assert of(Case, [runlog.decode(event) for event in run.collector.drain()])


def test_start_by_another_worker_wakes_who_waits_for_it(tmp_path: Path) -> None:
    given, reported = handover(tmp_path), list[tuple[int, bool]]()
    run = LoadRun(part_of(given), given.settings.target, lambda build, accepted: reported.append((build, accepted)))
    waiting = gevent.spawn(run.accepted_at, 4, LIMIT_S)
    gevent.sleep(0)
    run.note_start(4, accepted=True)
    run.settle_start(5, accepted=False)
    assert waiting.get(timeout=LIMIT_S) == pytest.approx(run.now(), abs=1.0)
    assert (run.accepted_at(5, LIMIT_S), run.accepted_at(6, 0.0), reported) == (None, None, [(5, False)])


class Job:
    def __init__(self, folder: Path, **more: Any) -> None:
        self.given = handover(folder, **more)
        self.sent: list[dict[str, Any]] = []
        self.left: list[str] = []
        self.windows: list[Window] = []
        self.worker = LoadWorker(self.given, "steady", self.sent.append, self.windows.append, self.left.append)

    def states(self) -> list[str]:
        return [data["state"] for data in self.sent if "state" in data]


def test_worker_reports_each_of_its_stages(tmp_path: Path) -> None:
    job, after, answered = Job(tmp_path), list[str](), Event()

    def send_all(run: LoadRun) -> None:
        run.collector.skip("getBuild", 0.5)
        run.spawn(answered.wait)

    working = gevent.spawn(job.worker.work, send_all, lambda: after.append(job.worker.phase))
    job.worker.receive({"part": PART.dump_python(part_of(job.given))})
    gevent.sleep(0.01)
    assert job.states() == ["ready"]
    job.worker.receive({"began_at": 0.0})
    gevent.sleep(0.01)
    assert "drained" not in job.states()
    answered.set()
    gevent.sleep(0.01)
    assert (job.states()[-1], after) == ("drained", [])
    job.worker.receive({"after": True})
    working.join(LIMIT_S)
    job.worker.receive({"stop": True})
    job.worker.finish()
    job.worker.work(send_all, lambda: after.append("again"))
    assert (job.states().count("final"), job.states()[-1], after) == (1, "final", ["aftermath"])
    assert [window.count for window in job.windows] == [1]


def test_worker_that_is_stopped_cuts_off_what_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_run, "GRACE_S", 0.02)
    job = Job(tmp_path)
    target = Target({"GET build": [(0, "PoolTimeout")]}, before=lambda _: target.closed.wait())

    def send_all(run: LoadRun) -> None:
        run.connections, target.run = target, run  # type: ignore[assignment]  # all that is used of it
        run.admit()
        run.spawn(lambda: run.send(Call("getBuild", READY), 0.0, paced=True, keep=True))

    working = gevent.spawn(job.worker.work, send_all, lambda: None)
    job.worker.receive({"part": PART.dump_python(part_of(job.given))})
    job.worker.receive({"began_at": 0.0})
    with gevent.Timeout(LIMIT_S):
        while not target.sent:
            gevent.sleep(0.005)
    job.worker.receive({"stop": True})
    working.join(LIMIT_S)
    facts = [runlog.decode(event) for data in job.sent for event in data.get("events", ())]
    assert [(window.outcome, window.count) for window in of(Window, facts)] == [("cut-off", 1)]
    assert of(Exchange, facts) == []
    (state,) = of(Worker, facts)
    assert (state.state, state.undone, job.states()[-1]) == ("done", 1, "final")


def test_worker_that_cannot_get_ready_names_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError(f"something with {KEY} in it")

    monkeypatch.setattr(load_run, "LoadRun", fail)
    job = Job(tmp_path)
    job.worker.receive({"part": PART.dump_python(part_of(job.given))})
    for _ in range(2):  # Locust asks again
        job.worker.work(lambda _run: None, lambda: None)
    gevent.sleep(0)
    (message,), (reason,) = job.sent, job.left
    assert message == {"state": "unfit", "reason": reason}
    assert (KEY in reason, "something with" in reason) == (False, True)


def test_refused_worker_leaves_and_joins_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_run, "JOIN_S", 0.01)
    job = Job(tmp_path)
    joining = gevent.spawn(job.worker.join)
    with gevent.Timeout(LIMIT_S):
        while len(job.sent) < 2:
            gevent.sleep(0.005)
    job.worker.receive({"refused": "too late"})
    joining.join(LIMIT_S)
    assert (joining.ready(), job.left) == (True, ["too late"])


def test_clock_of_another_machine_is_known_to_half_a_round_trip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead_s, given, began_at = 1000.0, handover(tmp_path), time.monotonic()
    now = [began_at]
    monkeypatch.setattr(master_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(load_run, "time", SimpleNamespace(monotonic=lambda: now[0] + ahead_s))

    def to_worker(_client: str, data: dict[str, Any]) -> None:
        now[0] += 0.015
        worker.receive(data)

    def to_master(data: dict[str, Any]) -> None:
        now[0] += 0.005
        master.receive("w0", data)

    master = Master(given, to_worker, lambda: ["w0"], lambda: None)
    worker = LoadWorker(replace(given, run_log="", go_file=""), "steady", to_master, lambda _: None, lambda _: None)
    worker.join()
    master.stop()
    part = worker._part.get(block=False)
    assert part.clock_error_s == pytest.approx(0.01, abs=1e-5)
    assert abs(part.origin - given.go().origin - ahead_s) <= part.clock_error_s
