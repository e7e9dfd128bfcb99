"""A plan says what a run would do, sends nothing, and is never exceeded by the run."""

import json
import re
from pathlib import Path

from tests.command import Command, Ended, Shell
from tests.watched import Watched
from touchstone.check import runner
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims

CLAIMS = "reuse.*,publish.force-replaces,cancel.next-build-completes"


def planned(ended: Ended) -> tuple[int, int]:
    """The number of cases and the most builds that a plan promises."""
    found = re.search(r"(\d+) cases, \d+ claims; at most (\d+) builds?", " ".join(ended.out.split()))
    assert found, ended.out + ended.err
    return int(found[1]), int(found[2])


def test_plan_sends_nothing_and_writes_nothing(tmp_path: Path, call: Command) -> None:
    """
    A plan for a target that does not listen is made all the same, leaves no file, and tells where the budget is small.
    """
    shell = Shell(tmp_path)
    flags = ("--url", "http://127.0.0.1:9/api", "--claims", CLAIMS, "--max-builds", "2")
    ended = call(shell, "check", "--plan", *flags)
    _, builds = planned(ended)
    told = " ".join(ended.out.split())
    assert (ended.code, ended.err) == (0, "")
    assert "nothing was sent to http://127.0.0.1:9/api" in told
    assert builds > 2
    why = "the budget is smaller than the plan: claims may be left unjudged and the run end with 3"
    assert f"{why}; --max-builds {builds} lets all cases run" in told
    assert list(shell.files()) == []


def test_run_keeps_to_its_plan(tmp_path: Path, call: Command) -> None:
    """A run begins at most as many builds as its plan says, also where builds are so fast that cases are repeated."""
    with Watched(build_s=0.0, settle_s=0.0) as watched:
        arguments = ("check", "--url", watched.url, "--profile", "quick", "--claims", CLAIMS)
        cases, builds = planned(call(Shell(tmp_path), *arguments, "--plan"))
        assert watched.launched == []
        ended = call(Shell(tmp_path), *arguments)
        assert ended.code == 0, ended.out
        assert 0 < len(watched.launched) <= builds
    log = (ended.results / "runlog.jsonl").read_text("utf-8").splitlines()
    assert sum(event["type"] == "case" for event in map(json.loads, log)) == cases


def test_whole_plan_covers_the_ledger(tmp_path: Path) -> None:
    """The cases of the standard profile together set out to show every judged claim."""
    rows = json.loads(runner.plan(Settings(), tmp_path))
    shown = {claim for row in rows for claim in row["claims"]}
    assert {claim.id for claim in ledger_of_claims.load().judged()} - shown == set()
    assert len({row["case"] for row in rows}) == len(rows)
