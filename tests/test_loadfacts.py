"""What a load run writes down besides samples: each fact comes back from the run log, and a damaged one is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.loadlogs import ENDS, LIMITS, Storm, header, log_of, workload, write
from tests.test_runlog import FINDING
from touchstone.errors import RunLogError
from touchstone.facts.events import Attempt, Build, BuildEnd, Occurrence, Remark, Worker
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.facts.sample import Window
from touchstone.loadgen.load_run import Collector
from touchstone.report.view import view
from touchstone.rules.verdict import CheckCount, judge

ATTEMPT = Attempt(7, 2, "default/a@1.0.0", "second", "alone", True, 1.0, 1.25, 1.5, 429, 3.0, True, 31)
BUILD = Build(7, "default/a@1.0.0", "primary", 1.5, 4.0, "ready", 3.75, 40)
WORKER = Worker(1, "lost", 9.5, 40, 2, 60, 0.011, 7.5, 0.4, 0.97, 61_000_000, 0.0012, 0.0002, "no word from it")
PLANNED = workload("storm", limits=LIMITS, options={"mix": {"start": 1}, "max_requests": None})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the run log goes."""
    return tmp_path / "runlog.jsonl"


def log_with(path: Path, event: dict[str, Any]) -> Path:
    """A run log whose second line is this event."""
    with RunLogWriter(path) as writer:
        writer.write(header())
        writer.write(event)
        writer.write(Remark("after"))
    return path


def event_of(kind: str, fact: Attempt | Build | Worker, **changes: Any) -> dict[str, Any]:
    """A fact as an event, with these fields otherwise; an ellipsis takes one out."""
    values = {name: getattr(fact, name) for name in fact.__slots__} | changes
    return {"type": kind} | {name: value for name, value in values.items() if value is not ...}


def test_every_fact_of_a_load_comes_back(path: Path) -> None:
    """What a load run wrote is what a reader gives back, each kind in its order."""
    others = (
        replace(ATTEMPT, status=0, retry_after_s=None, gave_up=False, phase="", credential="primary"),
        replace(ATTEMPT, number=3),
    )
    log = log_of(
        PLANNED,
        attempts=(ATTEMPT, *others),
        builds=tuple(replace(BUILD, end=end, want=want, seen_building_at=None) for want, end in enumerate(ENDS)),
        workers=(WORKER, replace(WORKER, number=0, state="done", behind_from_s=None, note="")),
        windows=(Window(0, 3, "getBuild", "unsent", 4),),
    )

    assert read(write(log, path)) == log
    assert get_args(BuildEnd) == ENDS


def test_last_workload_counts(path: Path) -> None:
    """The parent says what is planned, and whoever conducts the run says again when it began."""
    with RunLogWriter(path) as writer:
        writer.write(header())
        writer.write(replace(PLANNED, began_at=0.0))
        writer.write(PLANNED)

    assert read(path).workload == PLANNED


def test_unknown_fields_are_passed_over(path: Path) -> None:
    """A later writer may say more of a fact; this one reads what it knows, as of any other event."""
    assert read(log_with(path, event_of("attempt", ATTEMPT, mood="fine"))).attempts == (ATTEMPT,)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (event_of("attempt", ATTEMPT, status="fine"), r"attempt\.status: .* got 'fine'"),
        (event_of("attempt", ATTEMPT, credential="third"), r"attempt\.credential: .* got 'third'"),
        (event_of("attempt", ATTEMPT, seq=...), r"attempt\.seq: Field required"),
        (event_of("build", BUILD, end="lost"), r"build\.end: .*'unfinished', got 'lost'"),
        (event_of("build", BUILD, accepted_at=None), r"build\.accepted_at: .* got None"),
        (event_of("worker", WORKER, state="gone"), r"worker\.state: .* got 'gone'"),
        (event_of("worker", WORKER, sent=[1]), r"worker\.sent: .* got \[1\]"),
        ({"type": "workload", "scenario": "storm"}, r"workload\.says: Field required"),
        ({"type": "workload", "model": "half-open"}, r"workload\.\w+: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "event",
)
def test_damaged_fact_is_an_error_with_its_place(path: Path, event: dict[str, Any], message: str) -> None:
    """A fact that no writer of ours can have written is named by line, field and what was found."""
    with pytest.raises(RunLogError, match=rf"^{path}: line 2: {message}"):
        read(log_with(path, event))


def finding_event(**changes: Any) -> dict[str, Any]:
    """What a worker tells of a finding."""
    collector = Collector(0)
    collector.write(Occurrence(FINDING, "load.storm", 4))
    (event,) = collector.drain()
    return event | changes


@pytest.mark.parametrize("times", ["4", 0, -3, 1.5, True, None])
def test_number_of_times_that_is_none_is_an_error_with_its_place(path: Path, times: object) -> None:
    """A finding that was met so many times says how many; a number that counts nothing is damage."""
    with pytest.raises(RunLogError, match=r"line 2: finding\.times: Input should be "):
        read(log_with(path, finding_event(times=times)))


def test_times_of_a_finding_add_up_everywhere(path: Path) -> None:
    """Occasions that somebody counted weigh as much as occasions that were written down one by one."""
    with RunLogWriter(path) as writer:
        writer.write(header())
        writer.write(finding_event())
        writer.write(Occurrence(FINDING, "load.storm"))
    log = read(path)

    assert log.occurrences == (Occurrence(FINDING, "load.storm", 4), Occurrence(FINDING, "load.storm"))
    (claim,) = (claim for claim in judge(log).claims if claim.claim.id == FINDING.claim)
    assert claim.checks == (CheckCount(FINDING.check, broken=5),)
    assert [found.occurrences for found in view(log).findings] == [5]


def test_whole_run_survives_the_run_log(path: Path) -> None:
    """A storm with hundreds of facts is judged alike before it is written and after it is read."""
    log = Storm(starts=12, capacity=3).run()
    again = read(write(log, path))

    assert (again.attempts, again.builds, again.workers) == (log.attempts, log.builds, log.workers)
    assert [w.response.cells for w in again.windows] == [w.response.cells for w in log.windows]
    assert judge(again) == judge(log)
