"""Watchers of builds that are not accepted at once: they wait for that, and those that waited in vain are told of."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.command import Ended, Shell
from tests.loadlogs import log_of, worker, workload
from tests.loads import THRESHOLDS
from tests.stages import Asgi
from tests.watched import Watched
from touchstone.facts.events import RunLog, Tally
from touchstone.facts.runlog import read
from touchstone.loadgen.metrics import punctuality
from touchstone.loadgen.not_judged import unwatched
from touchstone.report.load_sentences import sentence

OF_LOGS = {"events.answers-200", "events.watchers-agree", "events.carry-the-output"}
WHY = "watchers did not watch, since the start of their build was not accepted"


def ran(idle_of: tuple[int, ...], judged: tuple[str, ...] = ()) -> RunLog:
    """A run of 12 watchers by some workers, each of which had so many of them without anything to watch."""
    workers = tuple(worker(number, sent=6 - idle, assigned=6, unwatched=idle) for number, idle in enumerate(idle_of))
    return log_of(
        workload("watchers", scheduled={"startBuild": 2, "streamBuildEvents": 12}),
        workers=workers,
        tallies=tuple(Tally("load", "rule", claim, held=1) for claim in judged),
    )


def test_who_did_not_watch_is_counted_over_all_workers() -> None:
    """What a worker says last counts, and nobody of them is missing."""
    log = ran((2, 5))
    earlier = worker(1, state="running", at_s=4.0, unwatched=1)
    log = RunLog(header=log.header, workload=log.workload, workers=(*log.workers, earlier))

    assert unwatched(log)[0] == f"7 of 12 {WHY}; lower --builds, or raise patience_s of the target"
    told = sentence("generator", punctuality(log), 3.0)
    assert "7 watchers did not watch, as the start of their build was not accepted" in told
    assert "nobody knows" in told  # of those that log_of has no windows for


def test_claims_about_logs_stay_open_for_want_of_watchers() -> None:
    """
    Those that were judged by watchers that had something to watch are not named; nor is anything where all watched.
    """
    none = {(notice.claim, notice.verdict) for notice in unwatched(ran((6, 6)))[1]}
    some = [notice.claim for notice in unwatched(ran((6, 5), ("events.answers-200", "events.carry-the-output")))[1]]

    assert none == {(claim, "indeterminate") for claim in OF_LOGS}
    assert some == ["events.watchers-agree"]
    assert unwatched(ran((0, 0))) == ("", [])


# --- from end to end --------------------------------------------------------------------------------------------------


def never(app: Asgi) -> Asgi:
    """The same application without room for any build."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"][-6:]) != ("POST", "/build"):
            await app(scope, receive, send)
            return
        body = b'{"error": "rate limit: come back later"}'
        headers = [(b"content-type", b"application/json"), (b"retry-after", b"1")]
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return wrapped


RUNS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    # With three builds and two workers some watch a build whose start another worker sends.
    "later": ({"capacity": 1}, ("--builds", "3", "--watchers", "3", "--processes", "2")),
    "never": ({"wrap": never}, ("--builds", "2", "--watchers", "3")),
}


def run(name: str, folder: Path) -> Ended:
    """Watches a target that does not take all builds at once."""
    more, flags = RUNS[name]
    with Watched(**more) as twin:
        (folder / "thresholds.toml").write_text(THRESHOLDS, encoding="utf-8")
        (folder / "touchstone.toml").write_text(
            f'[targets.served]\nurl = "{twin.url}"\nbuild_timeout_s = 8.0\ncancel_timeout_s = 3\n'
            f"patience_s = {2 if name == 'never' else 30}\n",
            encoding="utf-8",
        )
        sizes = ("--build-s", "1.2", "--thresholds", "thresholds.toml", "--target", "served")
        return Shell(folder).run("load", "watchers", *sizes, *flags)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """All runs beside each other: they wait most of the time."""
    with ThreadPoolExecutor() as pool:
        made = {name: pool.submit(run, name, tmp_path_factory.mktemp(name)) for name in RUNS}
    return {name: future.result() for name, future in made.items()}


def followed(ended: Ended) -> Counter[str]:
    """How often requests for a log ended how."""
    log, found = read(ended.results / "runlog.jsonl"), Counter[str]()
    for window in log.windows:
        if window.operation == "streamBuildEvents":
            found[window.outcome] += window.count
    return found


def test_watchers_wait_until_their_build_is_accepted(runs: dict[str, Ended]) -> None:
    """Where builds are let in one after the other, each watcher gets the whole log of its own, and none a 404."""
    ended = runs["later"]
    assert followed(ended) == {"200": 9}
    assert (ended.code, ended.report()["load"]["generator"]["unwatched"]) == (0, 0), ended.out
    assert "did not watch" not in ended.out


def test_watchers_without_a_build_are_told_of(runs: dict[str, Ended]) -> None:
    """Where no start is accepted nobody watches, which the reports say, and the claims about logs stay open."""
    ended, report = runs["never"], runs["never"].report()
    assert followed(ended) == {}
    assert ended.code == 3, ended.out
    assert report["load"]["generator"]["unwatched"] == 6
    assert report["load"]["generator"]["unknown"] == 0
    told = f"6 of 6 {WHY}; lower --builds, or raise patience_s of the target"
    assert told in report["warnings"]
    assert told in " ".join(ended.out.split())
    assert told in (ended.results / "report.html").read_text(encoding="utf-8")
    open_ = {claim["id"]: claim["reason"] for claim in report["claims"] if claim["verdict"] == "indeterminate"}
    assert {claim: open_.get(claim) for claim in OF_LOGS} == dict.fromkeys(OF_LOGS, told)
