"""Each fault that load shows is found and blamed on what it breaks; a correct server is blamed for nothing."""

from concurrent.futures import Future, ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.command import Ended
from tests.loads import Load, broken, run_load
from touchstone.facts.runlog import read
from touchstone.loadgen.plan import SCENARIOS, Options, plan
from touchstone.loadgen.runner import CLEAN_UP, SET_UP
from touchstone.proof import catalogue

STORM = ("--builds", "8", "--build-s", "0.2")
FAIR = ("--duration", "12")
WATCH = ("--builds", "1", "--watchers", "9", "--build-s", "2", "--lines", "20")
WIDE: dict[str, Any] = {"rate": "20/1", "capacity": 8}

CORRECT = (
    Load("storm", flags=STORM),
    Load("steady", flags=("--duration", "5", "--rate", "12"), rate="20/1", capacity=6),
    Load("churn", flags=("--duration", "5")),
    Load("watchers", flags=WATCH),
    # With three builds and two workers some watch a build whose start another worker sends, one build at a time.
    Load("watchers", capacity=1, flags=("--build-s", "1.2", "--builds", "3", "--watchers", "3", "--processes", "2")),
    Load("soak", flags=("--duration", "5", "--rate", "12"), rate="20/1", capacity=6),
    Load("fairness", flags=FAIR),
)
FAULTY = (
    Load("storm", "limit-is-503", flags=STORM),
    Load("storm", "refused-start-builds", flags=STORM),
    Load("storm", "polling-is-charged", flags=STORM),
    Load("storm", "retry-after-is-too-short", flags=STORM),
    Load("storm", "limit-never-ends", flags=STORM, patience_s=3.0),
    Load("storm", "crowded-build-vanishes", **WIDE, flags=STORM),
    Load("steady", "crowded-read-fails", flags=("--duration", "5", "--rate", "40"), **WIDE),
    Load("watchers", "crowded-log-drops-lines", flags=WATCH),
    Load("fairness", "limit-is-shared", flags=FAIR),
    Load("storm", "full-host-builds", flags=STORM),
    Load("storm", "crowded-refusal-builds", "12/2", 4, ("--builds", "16", "--build-s", "0.2")),
    Load("storm", "retry-after-is-over", rate="12/2", flags=STORM),
    Load("storm", "crowded-build-never-ends", **WIDE, flags=STORM, build_timeout_s=3.0),
    Load("storm", "crowded-start-is-423", **WIDE, flags=STORM),
    Load("watchers", "crowded-log-ends-early", flags=WATCH),
    Load("fairness", "greedy-key-shuts-out-others", flags=FAIR),
)
# A limit that takes longer than anybody waits, and a key that starts too seldom: a claim that they are for stays open.
OPEN = (
    Load("storm", rate="4/60", capacity=8, flags=("--builds", "6", "--build-s", "0.2"), patience_s=3.0),
    Load("fairness", flags=("--duration", "6")),
)
OPEN_CLAIM = {"storm": "limit.reads-are-not-charged", "fairness": "limit.is-per-key"}
# What a storm says refused it, where only one thing can have.
REFUSED = (
    (Load("storm", rate="60/1", flags=STORM), {"capacity"}, True),
    (Load("storm", rate="4/2", capacity=0, flags=STORM), {"rate", "either"}, False),
)
AT_A_TIME = 6

# An answer that breaks a promise may be an error as well, and then its share is above what thresholds allow.
CONSEQUENCES = ("load.errors",)

pytestmark = pytest.mark.prove


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[Load, "Future[Ended]"]:
    """The runs that tests need, some of them beside each other: they wait most of the time."""
    cases = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    loads: list[Load] = [case.params["load"] for case in cases if case]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return {load: pool.submit(run_load, load, tmp_path_factory.mktemp(load.name)) for load in loads}


@pytest.mark.parametrize("load", CORRECT, ids=lambda load: load.name)
def test_correct_server_is_blamed_for_nothing(runs: dict[Load, "Future[Ended]"], load: Load) -> None:
    ended = runs[load].result()
    assert (broken(ended), ended.code) == (set(), 0), ended.out
    log = read(ended.results / "runlog.jsonl")
    assert log.workload
    planned = plan(Options(**{**log.workload.options, "scenario": SCENARIOS[load.scenario]}))
    around = sum(exchange.case in (SET_UP, CLEAN_UP, "smoke") for exchange in log.exchanges)
    assert (len(log.builds) <= planned.builds(), around <= planned.around()) == (True, True)
    if all(window.outcome != "429" for window in log.windows):
        assert sum(window.count for window in log.windows) <= planned.sends()


@pytest.mark.parametrize("load", OPEN, ids=lambda load: load.scenario)
def test_run_that_cannot_show_what_it_is_for_is_no_pass(runs: dict[Load, "Future[Ended]"], load: Load) -> None:
    ended = runs[load].result()
    assert (broken(ended), ended.code) == (set(), 3), ended.out
    assert OPEN_CLAIM[load.scenario] in ended.last_line


@pytest.mark.parametrize(("load", "findings", "is_full_host"), REFUSED, ids=["full-host", "rate-limit"])
def test_storm_distinguishes_a_full_host_from_a_rate_limit(
    runs: dict[Load, "Future[Ended]"], load: Load, findings: set[str], is_full_host: bool
) -> None:
    found = runs[load].result().report()["load"]["capacity"]
    assert found["finding"] in findings
    assert found["room"]["is_full_host"] is is_full_host
    assert not is_full_host or found["at_least"] == load.capacity == found["at_most"]


@pytest.mark.parametrize("load", FAULTY, ids=lambda load: load.name)
def test_fault_is_found_and_blamed_rightly(runs: dict[Load, "Future[Ended]"], load: Load) -> None:
    """Every claim that the fault breaks is broken, and no other but those that it cannot help."""
    ended = runs[load].result()
    fault = catalogue.fault(load.fault)
    found = broken(ended)
    assert ended.code == 1, ended.out
    assert found >= set(fault.breaks)
    allowed = (*fault.breaks, *fault.also, *CONSEQUENCES)
    assert {claim for claim in found if not any(fnmatchcase(claim, one) for one in allowed)} == set()
