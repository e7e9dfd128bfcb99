"""
The latency knee of a target with few workers: what is sent, written down and told, and how it goes on after Ctrl-C.
"""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from starlette.middleware.gzip import GZipMiddleware

from tests import probes
from tests.command import Ended
from tests.stages import Asgi
from tests.test_probe import until
from tests.watched import Watched
from tests.workers import Workers
from touchstone.facts.probe_events import ProbeStory
from touchstone.facts.runlog import read

# What may be told where the machine has too much else to do.
DISTURBED = ("generator-limited", "unsteady", "never")


def probed(
    folder: Path, workers: Workers, *flags: str, interrupt_at: str = ""
) -> tuple[Ended, ProbeStory, dict[str, Any]]:
    """Looks for the knee of a twin behind *workers*: how that ended, what its log tells, and its report.json."""
    shell = probes.shell(folder, probes.FREE)
    with Watched(wrap=workers.wrap) as twin:
        return _probed(shell, twin, *flags, interrupt_at=interrupt_at)


def _probed(shell: Any, twin: Watched, *flags: str, interrupt_at: str = "") -> tuple[Ended, ProbeStory, dict[str, Any]]:
    command = shell.start("probe", "--url", twin.url, "--report-dir", "run", *flags)
    if interrupt_at:
        until(command, interrupt_at)
        command.send_signal(signal.SIGINT)
    ended = shell.ended(command)
    story = read(shell.folder / "run" / "runlog.jsonl").probe
    assert story is not None
    assert twin.refs() == []
    return ended, story, json.loads((shell.folder / "run" / "report.json").read_text("utf-8"))["probe"]


def sent_for(story: ProbeStory) -> int:
    """Reads that the trials of a log sent."""
    return sum(tried.outcome.sent for tried in story.tried)


# It judges times, and beside other tests it would find that the machine has too much else to do.
@pytest.mark.alone
def test_knee_is_found_and_told_everywhere(tmp_path: Path) -> None:
    """
    Every read is one of the log, the target was over-driven, and what is told lies below its capacity of 400 a second.
    """
    workers = Workers(4, 0.01)
    ended, story, report = probed(tmp_path, workers, "--knee", "--operation", "getBuild", "--slo-ms", "100")
    knee = story.knee
    assert knee is not None
    # And one that looks whether the target is there, one whether publishing begins a build.
    assert len(workers.reads) == len(story.answers) + sent_for(story) + 2
    assert report["knee"]["requests"] == knee.requests == sent_for(story)
    assert report["knee"]["trials"][0]["stage"] == "capacity"
    assert workers.busiest > workers.workers
    assert story.finished
    if knee.why in DISTURBED:
        assert (ended.code, report["knee"]["rate_per_s"]) == (3, None)
        return
    assert (knee.why, ended.code) == ("confirmed", 0)
    assert knee.rate_per_s is not None
    assert 100 < knee.rate_per_s.value < 420
    assert knee.confirmed_by == 2_500
    assert "knee of getBuild: " in ended.out
    assert "confirmed by 2,500" in " ".join(ended.out.split())
    assert 'id="knee"' in (tmp_path / "run" / "report.html").read_text("utf-8")


@pytest.mark.alone
def test_refused_reads_end_the_search(tmp_path: Path) -> None:
    """A 429 is no latency: the trial is stopped, nothing follows, and the run ends with 3."""
    workers = Workers(4, 0.002, refuses_from=150)
    ended, story, report = probed(tmp_path, workers, "--knee", "--operation", "getBuild")
    assert (ended.code, report["knee"]["why"]) == (3, "rate-limited")
    assert [tried.mark for tried in story.tried][-1] == "refused"
    assert workers.refused == story.tried[-1].outcome.refused > 0
    assert ended.last_line.startswith("exit 3: the knee is not known: a rate limit hides it: reads were refused at ")


@pytest.mark.alone
def test_interrupted_search_tells_what_is_known_and_goes_on_later(tmp_path: Path) -> None:
    """No trial is lost, nothing is asked twice but the one that was cut short, and the budget is that of both."""
    workers, shell = Workers(4, 0.005), probes.shell(tmp_path, probes.FREE)
    flags = ("--knee", "--operation", "getTemplate", "--max-requests", "4400")
    with Watched(wrap=workers.wrap) as twin:
        first, before, report = _probed(shell, twin, *flags, interrupt_at="trial 2: capacity")
        assert (first.code, report["knee"]["why"]) == (130, "interrupted")
        assert report["sure"]
        assert before.tried[0].mark == "passed"
        assert report["knee"]["kept_per_s"] == before.tried[0].trial.rate_per_s
        assert not before.finished

        second, after, report = _probed(shell, twin, "--resume", "run")
        assert (second.code, report["knee"]["why"]) == (3, "out of reach")
        assert after.tried[: len(before.tried)] == before.tried
        assert after.answers == before.answers
        done = [tried for tried in after.tried if tried.mark != "cut"]
        assert [tried.trial.number for tried in done] == list(range(1, len(done) + 1))
        assert len(after.answers) + report["knee"]["requests"] <= 4_400
        assert "trial 1:" not in second.err
        assert "trial 2: passed" in second.err

        third, _, _ = _probed(shell, twin, "--resume", "run")
        assert (third.code, third.last_line) == (3, second.last_line)


def packed(app: Asgi) -> Asgi:
    """The same application, each body of which is gzip, whether it was asked for or not."""
    packing = GZipMiddleware(app, minimum_size=0)

    async def served(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"accept-encoding", b"gzip"), *scope.get("headers", ())]
        await packing({**scope, "headers": headers}, receive, send)

    return served


def test_packed_answers_are_unpacked_before_they_are_judged(tmp_path: Path) -> None:
    """Nothing is wrong with an answer in gzip: a trial that judged it as it was sent would be one of faults."""
    shell = probes.shell(tmp_path, probes.FREE)
    with Watched(wrap=packed) as twin:
        ended, story, _ = _probed(shell, twin, "--knee", "--operation", "getBuild", "--max-requests", "200")
    assert sent_for(story) > 0
    assert ended.last_line.startswith("exit 3: the knee is not known: ")
    assert "broken" not in ended.out
