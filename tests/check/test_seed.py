"""A check with one seed sends the same generated requests again."""

import re
from itertools import groupby
from pathlib import Path

import pytest

from tests.command import Shell
from touchstone.facts import runlog
from touchstone.facts.exchange import Exchange

# The cases that generate: requests from the contract, and walks through the life of a build.
CLAIMS = "http.status-is-documented"


def requests(run_log: Path) -> list[tuple[str, str, bytes]]:
    """What the generating cases of a run sent, run ids left out; repeated polls depend on time and count once."""
    log = runlog.read(run_log)

    def sent(exchange: Exchange) -> tuple[str, str, bytes]:
        path = re.sub(r"^https?://[^/]+", "", exchange.request.url).replace(log.header.run_id, "RUN")
        return exchange.request.method, path, exchange.request.body.replace(log.header.run_id.encode(), b"RUN")

    generated = [e for e in log.exchanges if e.case.startswith(("generated.", "walks.links"))]
    ordered = sorted(generated, key=lambda e: e.seq)
    kept = (e for e in ordered if e.operation != "getBuild" or e.case.startswith("generated."))
    return [request for request, _ in groupby(map(sent, kept))]


@pytest.mark.whole
def test_one_seed_sends_the_same_requests(tmp_path: Path) -> None:
    shell, arguments = Shell(tmp_path, {}), ("check", "--target", "twin", "--profile", "quick", "--claims", CLAIMS)
    seeds = {"a": "7", "b": "7", "c": "8"}
    commands = [shell.start(*arguments, "--report-dir", name, "--seed", seed) for name, seed in seeds.items()]
    assert [shell.ended(command).code for command in commands] == [0, 0, 0]
    first, again, other = (requests(tmp_path / name / "runlog.jsonl") for name in seeds)
    assert len(first) > 15
    assert again == first
    assert other != first
