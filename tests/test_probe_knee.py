"""The latency knee of a target with few workers: what is sent and reported, and how it goes on after Ctrl-C."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from starlette.middleware.gzip import GZipMiddleware

from tests import probes
from tests.command import Command, Ended, Shell
from tests.stages import Asgi
from tests.watched import Watched
from tests.workers import Workers
from touchstone.facts.probe import ProbeStory
from touchstone.facts.runlog import read

# What a search may end with where the machine has too much else to do.
DISTURBED = ("generator-limited", "unsteady", "never")


def probed(
    shell: Shell, twin: Watched, *flags: str, call: Command | None = None, interrupt_at: str = ""
) -> tuple[Ended, ProbeStory, dict[str, Any]]:
    """Looks for the knee of a twin, in this process where there is *call*: its end, its log, its report.json."""
    arguments = ("probe", "--url", twin.url, "--report-dir", "run", *flags)
    if call:
        ended = call(shell, *arguments)
    else:
        command = shell.start(*arguments)
        if interrupt_at:
            probes.until(command, interrupt_at)
            command.send_signal(signal.SIGINT)
        ended = shell.ended(command)
    story = read(shell.folder / "run" / "runlog.jsonl").probe
    assert story is not None
    assert twin.refs() == []
    return ended, story, json.loads((shell.folder / "run" / "report.json").read_text("utf-8"))["probe"]


def sent_for(story: ProbeStory) -> int:
    return sum(tried.outcome.sent for tried in story.tried)


# It judges times, and beside other tests it would find that the machine has too much else to do.
@pytest.mark.alone
def test_knee_is_found_and_reported(tmp_path: Path) -> None:
    workers = Workers(4, 0.01)  # 400 a second
    with Watched(wrap=workers.wrap) as twin:
        flags = ("--knee", "--operation", "getBuild", "--slo-ms", "100")
        ended, story, report = probed(probes.shell(tmp_path, probes.FREE), twin, *flags)
    knee = story.knee
    assert knee is not None
    # And one that looks whether the target is there, one whether publishing begins a build.
    assert len(workers.reads) == len(story.answers) + sent_for(story) + 2
    assert report["knee"]["requests"] == knee.requests == sent_for(story)
    assert report["knee"]["trials"][0]["stage"] == "capacity"
    assert (workers.busiest > workers.workers, story.finished) == (True, True)
    if knee.why in DISTURBED:
        assert (ended.code, report["knee"]["rate_per_s"]) == (3, None)
        return
    assert (knee.why, ended.code, knee.confirmed_by) == ("confirmed", 0, 2_500)
    assert knee.rate_per_s is not None
    assert 100 < knee.rate_per_s.value < 420
    assert "knee of getBuild: " in ended.out
    assert 'id="knee"' in (tmp_path / "run" / "report.html").read_text("utf-8")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, call: Command) -> Command:
    return probes.in_process(monkeypatch, call)


def test_refused_reads_end_the_search(tmp_path: Path, here: Command) -> None:
    workers = Workers(4, 0.002, refuses_from=150)
    with Watched(wrap=workers.wrap) as twin:
        flags = ("--knee", "--operation", "getBuild")
        ended, story, report = probed(probes.shell(tmp_path, probes.FREE), twin, *flags, call=here)
    assert (ended.code, report["knee"]["why"]) == (3, "rate-limited")
    assert [tried.mark for tried in story.tried][-1] == "refused"
    assert workers.refused == story.tried[-1].outcome.refused > 0


@pytest.mark.alone
def test_interrupted_search_reports_what_is_known_and_goes_on_later(tmp_path: Path) -> None:
    workers, shell = Workers(4, 0.005), probes.shell(tmp_path, probes.FREE)
    flags = ("--knee", "--operation", "getTemplate", "--max-requests", "4400")
    with Watched(wrap=workers.wrap) as twin:
        first, before, report = probed(shell, twin, *flags, interrupt_at="trial 2: overload")
        assert (first.code, report["knee"]["why"], report["sure"]) == (130, "interrupted", True)
        assert (before.tried[0].mark, before.finished) == ("passed", False)
        assert report["knee"]["kept_per_s"] == before.tried[0].trial.rate_per_s

        second, after, report = probed(shell, twin, "--resume", "run")
        assert (second.code, report["knee"]["why"]) == (3, "out of reach")
        assert after.tried[: len(before.tried)] == before.tried
        assert after.answers == before.answers
        done = [tried for tried in after.tried if tried.mark != "cut"]
        assert [tried.trial.number for tried in done] == list(range(1, len(done) + 1))
        assert len(after.answers) + report["knee"]["requests"] <= 4_400
        assert ("trial 1:" in second.err, "trial 2: passed" in second.err) == (False, True)

        third, _, _ = probed(shell, twin, "--resume", "run")
        assert (third.code, third.last_line) == (3, second.last_line)


def packed(app: Asgi) -> Asgi:
    """The same application, each body of which is gzip, whether a client accepts that or not."""
    packing = GZipMiddleware(app, minimum_size=0)

    async def served(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"accept-encoding", b"gzip"), *scope.get("headers", ())]
        await packing({**scope, "headers": headers}, receive, send)

    return served


def test_packed_answers_are_unpacked_before_they_are_judged(tmp_path: Path, here: Command) -> None:
    with Watched(wrap=packed) as twin:
        flags = ("--knee", "--operation", "getBuild", "--max-requests", "200")
        ended, story, report = probed(probes.shell(tmp_path, probes.FREE), twin, *flags, call=here)
    assert sent_for(story) > 0
    assert (ended.code, report["knee"]["why"]) == (3, "out of reach")
    assert "broken" not in ended.out
