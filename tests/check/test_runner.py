"""A run keeps to its plan and its bounds, publishes nothing if publishing is off, and writes only to its folders."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.command import Ended, Shell
from tests.inline import inline, listed
from tests.loadlogs import header
from tests.watched import ENDLESS_S, WAITING, Watched
from touchstone.check import runner
from touchstone.check.examination import PUBLISH_ADVICE
from touchstone.check.job import EARLIER, new_log
from touchstone.config import Settings
from touchstone.contract import claims as ledger_of_claims
from touchstone.facts.runlog import RunLogWriter, read
from touchstone.twin import Engine
from touchstone.twin.catalog import Version


def quick(url: str, claims: str, *more: str) -> tuple[str, ...]:
    return ("check", "--url", url, "--profile", "quick", "--claims", claims, *more)


def planned(ended: Ended) -> tuple[int, int]:
    """Numbers of cases and builds in a plan."""
    parts = ended.out.replace(",", "").split()
    cases = next(i for i, part in enumerate(parts) if part in ("case", "cases") and parts[i - 1].isdigit())
    return int(parts[cases - 1]), int(parts[parts.index("most") + 1])


def sending(ended: Ended) -> set[str]:
    """Cases with requests in the run log."""
    events = map(json.loads, (ended.results / "runlog.jsonl").read_text("utf-8").splitlines())
    return {event["case"] for event in events if event["type"] == "exchange"} - {"clean-up"}


def test_plan_sends_and_writes_nothing(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    ended = inline(shell, *quick("http://127.0.0.1:9/api", "start.concurrent*", "--plan", "--max-builds", "1"))
    _, builds = planned(ended)
    assert (ended.code, ended.err) == (0, "")
    assert f"--max-builds {builds}" in " ".join(ended.out.split())
    assert list(shell.files()) == []


def test_run_keeps_to_its_plan(tmp_path: Path) -> None:
    with Watched(build_s=0.0, settle_s=0.0) as watched:
        arguments = quick(watched.url, "reuse.status-code,start.concurrent*")
        cases, builds = planned(inline(Shell(tmp_path), *arguments, "--plan"))
        assert watched.received == []
        ended = inline(Shell(tmp_path), *arguments)
        assert 0 < len(watched.launched) <= builds
    assert (ended.code, sum(ended.report()["cases"].values())) == (0, cases)


def test_whole_plan_covers_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "subprocess", SimpleNamespace(run=listed))
    rows = json.loads(runner.plan(Settings(), tmp_path))
    planned_claims = {claim for row in rows for claim in row["claims"]}
    assert {claim.id for claim in ledger_of_claims.load().judged()} - planned_claims == set()
    assert len({row["id"] for row in rows}) == len(rows)


# --- publish = "never" -----------------------------------------------------------------------------------

SETTINGS = """
[targets.staging]
url = "{url}"
max_builds = 400
publish = "never"
[targets.staging.templates]
buildable = ["default/given@1.0.0"]
restricted = ["default/legacy-demo@1.0.0"]
"""
FEW = "auth.missing-key-text,auth.scheme-*,publish.*,reuse.s*,access.start*,access.publish*,http.wrong-method-is-405"


def staging(shell: Shell, watched: Watched) -> None:
    """Writes the settings of a target with one version."""
    watched.publish("given")
    watched.received.clear()
    (shell.folder / "touchstone.toml").write_text(SETTINGS.format(url=watched.url), "utf-8")


def assert_nothing_was_published(watched: Watched) -> None:
    creating = [path for method, path in watched.received if method in ("POST", "PUT", "PATCH")]
    assert [path for path in creating if path.endswith("/templates")] == []
    assert watched.received
    assert watched.refs() == ["default/given@1.0.0"]


@pytest.mark.parametrize(
    ("profile", "claims"), [("quick", FEW), pytest.param("standard", "*", marks=pytest.mark.whole)], ids=["few", "all"]
)
def test_check_publishes_nothing_as_its_plan_says(tmp_path: Path, profile: str, claims: str) -> None:
    shell, arguments = Shell(tmp_path), ("check", "--target", "staging", "--profile", profile, "--claims", claims)
    with Watched() as watched:
        staging(shell, watched)
        cases, builds = planned(inline(shell, *arguments, "--plan"))
        ended = inline(shell, *arguments)
        assert_nothing_was_published(watched)
        assert 0 < len(watched.launched) <= builds
        harmless = ("GET", "HEAD", "OPTIONS")
        changes = [path for method, path in watched.received if "/given/" in path and method not in harmless]
    assert {path.partition("/given/")[2] for path in changes} <= {"1.0.0/build"}
    # The last case is about templates of the run.
    assert (ended.code, len(sending(ended))) == (0, cases - (claims == "*"))
    verdicts = ended.verdicts()
    unjudged = {claim for claim in verdicts if claim.startswith("publish.")} | {"access.publish-needs-scale"}
    assert {verdicts[claim] for claim in unjudged} == {"not-applicable"}
    assert {verdicts["access.start-needs-scale"], verdicts["auth.missing-key-text"]} == {"upheld"}
    assert PUBLISH_ADVICE in {claim["reason"] for claim in ended.report()["claims"]}


@pytest.mark.parametrize(
    "arguments",
    [
        ("record", "--out", "kept"),
        pytest.param(("load", "storm", "--builds", "1", "--build-s", "0.05", "--seed", "1"), marks=pytest.mark.whole),
        pytest.param(("probe", "--max-builds", "3"), marks=pytest.mark.whole),
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_other_command_publishes(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    shell = Shell(tmp_path)
    with Watched() as watched:
        staging(shell, watched)
        ended = inline(shell, *arguments, "--target", "staging")
        assert_nothing_was_published(watched)
    assert "Traceback" not in ended.out + ended.err


# --- bounds and places ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "bound", "settings"),
    [
        (WAITING, ("--max-seconds", "0.5"), {"build_s": ENDLESS_S}),
        ("cancel.next-build-completes", ("--max-builds", "1"), {}),
    ],
    ids=["seconds", "builds"],
)
def test_spent_bound_is_no_pass_and_cleans_up(
    tmp_path: Path, claims: str, bound: tuple[str, str], settings: Mapping[str, Any]
) -> None:
    with Watched(**settings) as watched:
        ended = inline(Shell(tmp_path), *quick(watched.url, claims, *bound))
        assert (watched.refs(), watched.running(), Shell(tmp_path).journals()) == ([], 0, [])
        assert len(watched.launched) <= 1
    assert (ended.code, ended.verdicts()) == (3, {claims: "could-not-run"})
    assert bound[0] in ended.out


def test_check_that_was_cut_short_goes_on_with_the_other_cases(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    with Watched() as watched:
        first = inline(shell, *quick(watched.url, "start.*,cancel.next*", "--max-builds", "2"))
        code, run_log, resume = first.code, first.results / "runlog.jsonl", ("--resume", str(first.results))
        done = {case.id for case in read(run_log).cases if case.outcome == "passed"}
        again = inline(shell, "check", "--url", watched.url, *resume)
        assert "is complete" in inline(shell, "check", "--url", watched.url, *resume).err
        assert (watched.refs(), watched.running(), shell.journals()) == ([], 0, [])
    assert (code, again.code, set(again.verdicts().values()) - {"not-applicable"}) == (3, 0, {"upheld"})
    ids = [case.id for case in read(run_log).cases]
    assert (bool(done), done <= set(ids), len(ids)) == (True, True, len(set(ids)))


class Queues(Engine):
    """Answers a start with another status."""

    def building_body(self, version: Version) -> Any:
        return {**super().building_body(version), "status": "queued"}


def test_first_broken_claim_that_is_not_known_ends_the_run_if_asked(tmp_path: Path) -> None:
    with Watched(engine=Queues) as watched:
        claim = inline(Shell(tmp_path), *quick(watched.url, "*", "--fail-fast")).report()["findings"][0]["claim"]
        (tmp_path / "known").write_text(claim)
        ended = inline(Shell(tmp_path), *quick(watched.url, "*", "--fail-fast", "--baseline", "known"))
        assert (watched.refs(), watched.running(), Shell(tmp_path).journals()) == ([], 0, [])
    assert ended.code == 1
    assert "ended at the first broken" in ended.out
    assert len(watched.received) < 1000


@pytest.mark.parametrize("dangles", [True, False])
def test_results_go_through_no_link_and_are_for_the_user_alone(tmp_path: Path, dangles: bool) -> None:
    results, outside = tmp_path / "results", tmp_path / "outside"
    for folder in (results, outside):
        folder.mkdir(mode=0o700)
    names = {"runlog.jsonl", "report.json", "report.html", "junit.xml", "pytest.log"}
    for name in names:
        (results / name).symlink_to(outside / name)
        if not dangles:
            (outside / name).write_text("mine", "utf-8")
    before = os.umask(0o077)
    try:
        arguments = ("--claims", "auth.scheme-ignores-case", "--profile", "quick", "--report-dir", "results")
        assert inline(Shell(tmp_path), "check", *arguments).code == 0
    finally:
        os.umask(before)
    assert {path.read_text("utf-8") for path in outside.iterdir()} == (set() if dangles else {"mine"})
    written = list(results.iterdir())
    assert {path.name for path in written} == names
    assert [path for path in written if path.is_symlink() or path.stat().st_mode & 0o077] == []


# --- earlier run logs -------------------------------------------------------------------------------------------------


def test_log_of_an_earlier_run_is_kept_by_its_id(tmp_path: Path) -> None:
    run_log = new_log(tmp_path / "run")
    with RunLogWriter(run_log) as writer:
        writer.write(header())
    assert not new_log(tmp_path / "run").exists()
    assert read(tmp_path / "run" / EARLIER / header().run_id / "runlog.jsonl").header == header()
