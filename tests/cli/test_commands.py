"""Command line: menu, examples, imports, exit codes, claims."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.main import get_group

from tests.command import PRIMARY, Command, Shell
from tests.report.golden import FOLDER as GOLDEN
from tests.report.golden import agrees
from touchstone import __version__
from touchstone.cli.app import MODULES, app
from touchstone.cli.claims import OPERATIONS, checks_of, example_curl, latest
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.proof import catalogue

LEDGER = ledger_of_claims.load()
BROKEN = "cancel.in-flight-is-202"


def commands(group: Any, name: str = "touchstone") -> Iterator[tuple[str, Any]]:
    """Commands by full name, with the root."""
    yield name, group
    for part in getattr(group, "commands", ()):
        yield from commands(group.commands[part], f"{name} {part}")


COMMANDS = dict(commands(get_group(app)))


def examples(command: Any) -> list[str]:
    return re.findall(r"^ *touchstone (.*)$", (command.epilog or "").partition("Examples:")[2], flags=re.MULTILINE)


def test_every_command_has_valid_examples() -> None:
    for name, found in COMMANDS.items():
        lines = examples(found)
        assert lines or hasattr(found, "commands"), name
        for line in lines:
            assert name == "touchstone" or f"touchstone {line} ".startswith(f"{name} ")
            command, rest = COMMANDS["touchstone"], shlex.split(line)
            while hasattr(command, "commands"):
                command, rest = command.commands[rest[0]], rest[1:]
            assert "--help" in rest or command.make_context(line, rest).args == []


def test_menu_lists_each_command_and_help_keeps_examples_whole(tmp_path: Path, call: Command) -> None:
    menu = call(Shell(tmp_path), "--help").out.partition("Commands:")[2]
    assert re.findall(r"^  ([a-z]+) +[A-Z].*$", menu, flags=re.MULTILINE) == list(MODULES)
    for columns in (40, 80):
        out = call(Shell(tmp_path, columns=columns), "recordings", "lint", "--help").out
        lines = [line.strip() for line in out.partition("Examples:")[2].splitlines() if line.strip()]
        assert lines == [f"touchstone {line}" for line in examples(COMMANDS["touchstone recordings lint"])]
    assert call(Shell(tmp_path), "-h").out == call(Shell(tmp_path), "--help").out
    ended = call(Shell(tmp_path), "-V")
    assert (ended.code, ended.out) == (0, f"touchstone {__version__}\n")


@pytest.mark.parametrize(
    ("module", "others"),
    [
        ("touchstone.cli.app", {"numpy", "pydantic", "jinja2", "jsonschema", "httpx", "starlette", *MODULES.values()}),
        ("touchstone.cli.check", {"pytest", "hypothesis", "schemathesis", "locust", "touchstone.proof.faults"}),
        ("touchstone.cli.serve", {"numpy", "jinja2", "jsonschema", "httpx", "touchstone.proof", "touchstone.rules"}),
    ],
)
def test_command_imports_no_more_than_it_needs(module: str, others: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert others & set(imported.split()) == set()


def test_serve_announces_itself_and_stops_on_a_signal(tmp_path: Path) -> None:
    arguments = ("--port", "0", "--account", "sk_live_mine:scale", "--fault", "cancel-answers-200")
    command = Shell(tmp_path).start("serve", *arguments)
    assert command.stdout
    try:
        assert "cancel-answers-200" in command.stdout.readline()
        url = re.search(r"(http://127\.0\.0\.1:\d+/api)\n", command.stdout.readline())
        assert url
        headers = {"Authorization": "Bearer sk_live_mine"}
        answer = httpx.get(f"{url[1]}/templates/default/x/1.0.0/build", headers=headers, timeout=20)
        assert answer.status_code == 404
        command.terminate()
        out, err = command.communicate(timeout=60)
    finally:
        if command.poll() is None:
            command.kill()
            command.communicate()
    assert (command.returncode, err, PRIMARY in out) == (0, "", False)


@pytest.mark.parametrize(
    ("place", "fault", "code", "text"),
    [
        ("claims.latest", KeyboardInterrupt(), 130, "interrupted\n"),
        ("app.import_module", KeyboardInterrupt(), 130, "before anything was sent"),
        ("claims.latest", OSError(28, "No space left on device", "somewhere"), 3, "somewhere"),
    ],
)
def test_uncaught_error_ends_with_an_exit_code(
    tmp_path: Path,
    call: Command,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    fault: BaseException,
    code: int,
    text: str,
) -> None:
    def fails(*_arguments: Any, **_more: Any) -> None:
        raise fault

    monkeypatch.setattr(f"touchstone.cli.{place}", fails)
    ended = call(Shell(tmp_path), "claims")
    assert (ended.code, ended.err.startswith(f"exit {code}: "), text in ended.err) == (code, True, True)


@pytest.fixture
def reported(tmp_path: Path) -> Callable[..., Path]:
    """Writes a report with one broken claim."""

    def write(name: str, at: int, took_s: float = 1.0, **changes: Any) -> Path:
        started_at = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        run = {"started_at": started_at, "duration_s": took_s}
        report = json.loads((GOLDEN / "check-known.json").read_text("utf-8"))
        finding = {"actual": "200\nand more", "curl": f"curl {name}"}
        report["findings"] = [one | finding for one in report["findings"] if one["claim"] == BROKEN]
        report |= {"run": report["run"] | run | changes.pop("run", {})} | changes
        path = tmp_path / "reports" / name / "report.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(report), "utf-8")
        return path

    return write


def test_latest_report_is_that_of_the_run_that_ended_last(tmp_path: Path, reported: Callable[..., Path]) -> None:
    folder = tmp_path / "reports"
    assert latest(folder) is None
    newer = reported("newer", 200)
    reported("old", 100)
    reported("damaged", 300, claims="no list")
    reported("undated", 400, run={"started_at": "yesterday"})
    found, own = latest(folder), latest(folder / "old")
    assert found is not None
    assert own is not None
    assert (found.path, found.verdicts[BROKEN], "x.y" in found.verdicts) == (newer, "broken", False)
    assert own.path.parent.name == "old"

    long = reported("long", 100, took_s=3600.0)
    os.utime(newer, (2e9, 2e9))  # the time of the file does not matter
    found = latest(folder)
    assert found is not None
    assert found.path == long


def test_claims_equal_the_golden_file(tmp_path: Path, call: Command, reported: Callable[..., Path]) -> None:
    shell, texts = Shell(tmp_path, columns=100), list[str]()

    def add(*arguments: str) -> None:
        ended = call(shell, *arguments)
        assert (ended.code, ended.err) == (0, "")
        lines = [line.rstrip() for line in ended.out.splitlines()]
        assert arguments != ("explain", BROKEN) or f"faults    {', '.join(catalogue.proving(BROKEN))}" in lines
        kept = [line for line in lines if not line.startswith("faults ")]  # the list grows
        texts.append("\n".join([f"$ touchstone {' '.join(arguments)}", *kept]))

    for arguments in (("claims", "cancel.in-*,load.m*"), ("explain", BROKEN), ("explain", "limit.numbers")):
        add(*arguments)
    for name in ("load.p99", "load.drift-bytes", "limit.is-per-key"):
        add("explain", name)
    reported("run", 100)
    add("claims", "cancel.in-*,cancel.s*")
    add("explain", BROKEN)
    agrees("claims.txt", "\n\n".join(texts) + "\n")


def test_claims_lists_the_ledger(tmp_path: Path, call: Command) -> None:
    def listed(*arguments: str) -> set[str]:
        printed = call(Shell(tmp_path), "claims", *arguments).out
        return set(re.findall(r"^ *([a-z]+\.[a-z0-9-]+) ", printed, re.MULTILINE))

    assert listed() == {claim.id for claim in (*LEDGER.judged(), *LEDGER.judged("load"))}
    assert listed("reuse.*") == {claim.id for claim in LEDGER.judged() if claim.subject == "reuse"}
    assert listed("--excluded") == {claim.id for claim in LEDGER.excluded()}


def test_every_judged_claim_has_a_check_and_a_request_of_its_kind() -> None:
    claims = (*LEDGER.judged(), *LEDGER.judged("load"))
    assert [claim.id for claim in claims if not checks_of(claim.id)] == []
    operations = Contract.load().operations
    for claim in LEDGER.judged():
        parts = shlex.split(example_curl(claim))
        method = parts[parts.index("--request") + 1] if "--request" in parts else "GET"
        assert (parts[0], method) == ("curl", operations[OPERATIONS.get(claim.subject, "getBuild")].method)
        assert ("Authorization: Bearer $ORGO_API_KEY" in parts) is ("missing-key" not in claim.id)
