"""Loads from end to end: several processes that share the work, and Locust's own page."""

import contextlib
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.command import KEYS, LIMIT_S, Command, Shell
from tests.loads import THRESHOLDS, broken
from tests.stages import Asgi, command_line, descendants, free_port
from tests.watched import Watched
from touchstone.facts.runlog import read


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "thresholds.toml").write_text(THRESHOLDS, encoding="utf-8")
    return Shell(tmp_path)


def test_workers_share_a_load_and_judge_every_answer(shell: Shell, call: Command) -> None:
    commands, reads, odd = list[str](), list[str](), b'{"status": "sleeping"}'

    def odd_in_the_end(app: Asgi) -> Asgi:
        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and (scope["method"], scope["path"][-6:]) == ("GET", "/build"):
                reads.append(scope["path"])
            if len(reads) == 60 and not commands:
                commands.extend(command_line(process) for process in descendants(os.getpid()))
            if len(reads) <= 60 or scope["path"] != reads[-1] or scope["method"] != "GET":
                await app(scope, receive, send)
                return
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(odd))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": odd})

        return wrapped

    flags = ("--rate", "200", "--duration", "1", "--mix", "read=1", "--max-builds", "8", "--processes", "2")
    with Watched(wrap=odd_in_the_end) as twin:
        ended = call(shell, "load", "steady", "--url", twin.url, "--thresholds", "thresholds.toml", *flags)
        assert (twin.refs(), twin.running()) == ([], 0)
    assert (ended.code, broken(ended)) == (1, {"status.is-one-of-four", "status.body-is-documented"}), ended.out
    log = read(ended.results / "runlog.jsonl")
    assert log.footer
    assert {(window.operation, window.outcome) for window in log.windows} == {("getBuild", "200")}
    assert sum(window.count for window in log.windows) == ended.report()["load"]["generator"]["sent"] == 200
    assert {worker.number for worker in log.workers if worker.state == "done"} == {0, 1}
    for window in log.windows:
        assert window.at_s + window.response.min_s <= window.done_at < log.footer.duration_s
    locusts = [command for command in commands if "locust" in command]
    assert len(locusts) == 1 + 2
    files = [path for path in ended.results.rglob("*") if path.is_file()]
    assert {"runlog.jsonl", "locust.log", "report.html"} <= {path.name for path in files}
    kept = [*(command.encode() for command in commands), *(path.read_bytes() for path in files)]
    assert not [key for key in KEYS.values() if any(key.encode() in text for text in kept)]


@pytest.mark.whole
def test_page_of_locust_shows_a_load_that_ends_by_itself(shell: Shell) -> None:
    port, rows, page = free_port(), list[str](), ""
    flags = ("--duration", "4", "--rate", "60", "--mix", "read=59,start=1", "--max-builds", "10")
    command = shell.start("load", "soak", *flags, "--thresholds", "thresholds.toml", "--web-ui", str(port))
    while command.poll() is None and not rows:
        with contextlib.suppress(httpx.TransportError):
            stats = httpx.get(f"http://127.0.0.1:{port}/stats/requests", timeout=LIMIT_S).json()["stats"]
            rows = [row["name"] for row in stats if row["num_requests"] and row["name"] != "Aggregated"]
            page = httpx.get(f"http://127.0.0.1:{port}/", timeout=LIMIT_S).text
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.wait(0.1)
    ended = shell.ended(command)
    assert (ended.code, "getBuild 200" in rows, "<html" in page) == (0, True, True), ended.out
    assert ended.report()["load"]["generator"]["sent"] == 240
