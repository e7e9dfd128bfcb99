"""What whole runs cost against what their plans say, and watchers whose builds are accepted one after the other."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.command import PRIMARY, SECOND, Shell
from tests.loads import THRESHOLDS
from tests.watched import Watched
from touchstone.facts.events import RunLog
from touchstone.facts.runlog import read
from touchstone.loadgen.metrics import punctuality
from touchstone.loadgen.plan import plan
from touchstone.loadgen.setup import CLEAN_UP, SET_UP
from touchstone.loadgen.workloads import SCENARIOS, Options
from touchstone.twin import RateLimit

pytestmark = pytest.mark.whole

LIMITED: dict[str, Any] = {"rate": RateLimit.parse("12/1"), "capacity": 3}
# With three builds and two workers some watch a build whose start another worker sends.
WAIT = ("watchers", "--build-s", "1.2", "--builds", "3", "--watchers", "3", "--processes", "2")
RUNS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "storm": (("storm", "--builds", "4"), {}),
    "steady": (("steady", "--duration", "3"), {}),
    "churn": (("churn", "--duration", "3"), {}),
    "watchers": (("watchers", "--build-s", "1.2"), {}),
    "soak": (("soak", "--duration", "4"), {}),
    "fairness": (("fairness", "--duration", "4"), {}),
    "storm refused": (("storm", "--builds", "4"), LIMITED),
    "steady refused": (("steady", "--duration", "3"), LIMITED),
    "watchers wait": (WAIT, {"capacity": 1}),
}


def load(name: str, folder: Path) -> tuple[int, RunLog]:
    """A small run: how many builds the twin began, and the run log."""
    flags, settings = RUNS[name]
    with Watched(**settings) as watched:
        (folder / "thresholds.toml").write_text(THRESHOLDS, encoding="utf-8")
        (folder / "touchstone.toml").write_text(
            f'[targets.served]\nurl = "{watched.url}"\napi_key = "{PRIMARY}"\nsecond_api_key = "{SECOND}"\n'
            "max_builds = 100\nbuild_timeout_s = 8.0\ncancel_timeout_s = 3\npatience_s = 20\n",
            encoding="utf-8",
        )
        ended = Shell(folder).run("load", *flags, "--target", "served", "--thresholds", "thresholds.toml")
        # Where nothing is refused a short run may show too little of what it is for.
        assert ended.code in ((0,) if settings else (0, 3)), ended.out + ended.err
        assert (watched.refs(), watched.running()) == ([], 0)
        return len(watched.launched), read(ended.results / "runlog.jsonl")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with ThreadPoolExecutor(4) as pool:
        return {name: pool.submit(load, name, tmp_path_factory.mktemp(name.replace(" ", "-"))) for name in RUNS}


@pytest.mark.parametrize("name", [name for name in RUNS if name != "watchers wait"])
def test_run_costs_no_more_than_planned(runs: dict[str, Any], name: str) -> None:
    launched, log = runs[name].result()
    found = plan(Options(**{**log.workload.options, "scenario": SCENARIOS[log.workload.scenario]}))
    around = sum(exchange.case in (SET_UP, CLEAN_UP, "smoke") for exchange in log.exchanges)
    sent, paced = (sum(w.count for w in log.windows if w.paced or not only) for only in (False, True))
    assert launched <= found.builds()
    assert (paced, punctuality(log).unsent) == (len(found.schedule), 0)
    if "refused" not in name:
        assert "429" not in {window.outcome for window in log.windows}
        assert (sent <= found.sends(), around <= found.around()) == (True, True)


def test_watchers_wait_until_their_build_is_accepted(runs: dict[str, Any]) -> None:
    _, log = runs["watchers wait"].result()
    ends = Counter[str]()
    for window in log.windows:
        ends[window.outcome] += window.count * (window.operation == "streamBuildEvents")
    assert (+ends, punctuality(log).unwatched) == ({"200": 9}, 0)
