"""The command line: what it refuses, what it tells without a network, and with which exit code."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.command import KEYS, PRIMARY, Ended, Shell, called
from touchstone import __version__
from touchstone.cli.app import MODULES, main
from touchstone.contract import claims as ledger_of_claims

Command = Callable[..., Ended]
STAGING = '[targets.staging]\nurl = "http://127.0.0.1:9/api"\n'


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process; `keys` are the variables with keys, none by default."""

    def run(*arguments: str, keys: Mapping[str, str] = {}) -> Ended:
        return called(Shell(tmp_path, keys=keys), monkeypatch, capsys, *arguments)

    return run


def refused(ended: Ended) -> str:
    """What a command said that ended with 2 and left nothing behind."""
    assert ended.code == 2
    assert "Traceback" not in ended.out + ended.err
    assert not (ended.folder / "reports").exists()
    return " ".join((ended.out + ended.err).split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{STAGING}build_timout_s = 3\n",
            "[targets.staging] build_timout_s: unknown key; did you mean build_timeout_s?",
        ),
        (f"{STAGING}build_timeout_s = 0\n", "build_timeout_s: found 0; expected a number of seconds above 0"),
        (f'{STAGING}publish = "maybe"\n', "publish: found 'maybe'; expected raw, wrapped or never"),
        ("targets = 3\n", "targets: found 3; expected a table"),
        ("[targets", "touchstone.toml: not TOML"),
        (STAGING, "the variable ORGO_API_KEY is not set; export ORGO_API_KEY=<your key>"),
    ],
)
def test_settings_that_do_not_fit_are_refused(command: Command, tmp_path: Path, text: str, message: str) -> None:
    """A wrong settings file ends with 2, and the message says where, what, and what was expected."""
    (tmp_path / "touchstone.toml").write_text(text, "utf-8")
    said = refused(command("check", "--target", "staging"))
    assert said.startswith("exit 2: touchstone.toml")
    assert message in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "fast"], "--profile: found 'fast'; expected one of 'quick', 'standard', 'thorough'"),
        (["--claims", "cancle.*"], "--claims 'cancle.*': no claim matches"),
        (["--config", "nowhere.toml"], "nowhere.toml: cannot be read: No such file or directory"),
        (["--target", "stagging"], "--target 'stagging': no such target"),
        (["--url", "127.0.0.1:8123"], "--url: found '127.0.0.1:8123'; expected"),
        (["--url", "http://127.0.0.1:9/api"], "the variable ORGO_API_KEY is not set"),
        (["--url", "http://127.0.0.1:9", "--target", "x"], "--target and --url: both are given"),
        (["--max-builds", "0"], "--max-builds: found 0; expected a whole number of 1 or more"),
        (["--max-seconds", "-1"], "--max-seconds: found -1.0; expected a number of seconds above 0"),
        (["--seed", "x"], "--seed: found 'x'; expected a valid integer"),
        (["--seed", "1.5"], "--seed: found '1.5'; expected a valid integer"),
        (["--max-builds", "ten"], "--max-builds: found 'ten'; expected a valid integer"),
        (["--max-seconds", "long"], "--max-seconds: found 'long'; expected a valid number"),
        (["--clams", "x"], "No such option: --clams"),
    ],
)
def test_flags_that_do_not_fit_are_refused(command: Command, arguments: Sequence[str], message: str) -> None:
    """A wrong flag or value ends with 2 and names it."""
    assert message in refused(command("check", *arguments))


def test_key_is_not_shown_when_it_does_not_fit(command: Command) -> None:
    """A key that cannot be sent is refused without being repeated."""
    said = refused(command("check", "--url", "http://127.0.0.1:9", keys={"ORGO_API_KEY": "sk_live_ä_secret"}))
    assert "ORGO_API_KEY" in said
    assert "secret" not in said


def test_report_folder_that_cannot_be_written_is_refused(command: Command, tmp_path: Path) -> None:
    """A file where the report folder should be ends with 2 before anything is sent."""
    (tmp_path / "taken").write_text("x")
    said = refused(command("check", "--url", "http://127.0.0.1:9/api", "--report-dir", "taken", keys=KEYS))
    assert "the report folder cannot be written" in said
    assert "--report-dir" in said


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["report", "nowhere.jsonl"], 2, "nowhere.jsonl: no such file"),
        (["report", "."], 2, "runlog.jsonl: no such file"),
        (["explain", "cancel.in-flight-is-203"], 2, "did you mean cancel.in-flight-is-202?"),
        (["claims", "nothing.*"], 2, "no claim matches"),
        (["serve", "--rate", "8"], 2, "--rate: found '8'; expected"),
        (
            ["serve", "--retry-after", "never"],
            2,
            "--retry-after: found 'never'; expected one of 'seconds', 'date', 'none'",
        ),
        (["serve", "--account", ":scale"], 2, "--account ':scale': expected KEY:scale or KEY:hacker"),
        (["serve", "--account", ":sk_live_mine"], 2, "--account a text of 13 characters (not shown): expected KEY"),
        (
            ["serve", "--account", "scale:sk_live_mine"],
            2,
            "--account a text of 18 characters (not shown): expected KEY",
        ),
        (["serve", "--account", "k:gold"], 2, "--account 'k:gold': expected KEY:scale or KEY:hacker"),
        (["serve", "--base-path", "api"], 2, "base_path: found 'api'; expected a path such as /api"),
        (["unknown"], 2, "No such command 'unknown'"),
    ],
)
def test_other_commands_refuse_what_does_not_fit(
    command: Command, arguments: Sequence[str], code: int, message: str
) -> None:
    """Every command answers a wrong argument with 2 and one message."""
    ended = command(*arguments)
    assert "Traceback" not in ended.err
    assert (ended.code, message in " ".join((ended.out + ended.err).split())) == (code, True), ended.err


def test_foreign_file_is_no_run_log(command: Command, tmp_path: Path) -> None:
    """A file that touchstone did not write gives 3 and says which line is not one of a run log."""
    (tmp_path / "other.jsonl").write_text('{"type": "other"}\n')
    ended = command("report", "other.jsonl")
    assert ended.code == 3
    assert "other.jsonl: line 1: expected the header of a run log" in ended.err
    assert "Traceback" not in ended.err


def test_version_is_printed(command: Command) -> None:
    """`--version` prints it."""
    ended = command("--version")
    assert (ended.code, ended.out) == (0, f"touchstone {__version__}\n")


def test_help_lists_each_command(command: Command) -> None:
    """`--help` has a line for each command, with what its own help begins with."""
    listed = re.findall(r"^  ([a-z]+) +([A-Z].*)$", command("--help").out.partition("Commands:")[2], flags=re.MULTILINE)
    assert [name for name, _ in listed] == list(MODULES)
    assert [name for name, says in listed if says not in command(name, "--help").out] == []


@pytest.mark.parametrize(
    ("module", "others"),
    [
        ("touchstone.cli.app", {"numpy", "pydantic", "jinja2", "jsonschema", "httpx", "starlette", *MODULES.values()}),
        (
            "touchstone.cli.check",
            {"pytest", "hypothesis", "schemathesis", "locust", "touchstone.proof.faults"},
        ),
        ("touchstone.cli.serve", {"numpy", "jinja2", "jsonschema", "httpx", "touchstone.proof", "touchstone.rules"}),
    ],
)
def test_command_imports_no_more_than_it_needs(module: str, others: set[str]) -> None:
    """A command does not wait for what another one needs."""
    script = f"import sys, {module}; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert others & set(imported.split()) == set()


def test_port_in_use_is_told(command: Command) -> None:
    """`serve` on a taken port ends with 2 and says so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = command("serve", "--port", str(server.getsockname()[1]))
    assert ended.code == 2
    assert "in use" in ended.err
    assert "Traceback" not in ended.err


def test_serve_announces_itself_and_stops_on_a_signal(tmp_path: Path) -> None:
    """`serve` prints where it listens once it answers, and ends cleanly when it is told to."""
    command = Shell(tmp_path).start("serve", "--port", "0", "--account", "sk_live_mine:scale", "--latency-s", "0.01")
    assert command.stdout
    try:
        first = command.stdout.readline()
        url = re.fullmatch(r"twin listening on (http://127\.0\.0\.1:\d+/api)\n", first)
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
    assert (command.returncode, err) == (0, "")
    assert PRIMARY not in out


def test_output_on_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    """A reader that goes away early, such as head, is no reason for a traceback."""
    shell = Shell(tmp_path)
    command = shell.start("claims")
    assert command.stdout
    command.stdout.close()
    try:
        assert command.stderr
        said = command.stderr.read()
        command.wait(60)
    finally:
        if command.poll() is None:
            command.kill()
        assert command.stderr
        command.stderr.close()
    assert "Traceback" not in said


def test_claims_lists_the_ledger(command: Command) -> None:
    """`claims` shows each claim of the ledger that a check or a load run judges, and with a glob those that match."""
    ledger = ledger_of_claims.load()
    ended = command("claims")
    shown = set(re.findall(r"^ *([a-z]+\.[a-z0-9-]+) ", ended.out, flags=re.MULTILINE))
    assert (ended.code, shown) == (0, {claim.id for claim in (*ledger.judged(), *ledger.judged("load"))})
    some = command("claims", "reuse.*")
    assert set(re.findall(r"^ *([a-z]+\.[a-z0-9-]+) ", some.out, flags=re.MULTILINE)) == {
        claim.id for claim in ledger.judged() if claim.subject == "reuse"
    }


def test_excluded_claims_are_listed_with_their_reasons(command: Command) -> None:
    """`claims --excluded` shows what is deliberately not judged."""
    ended = command("claims", "--excluded")
    assert ended.code == 0
    assert [claim.id for claim in ledger_of_claims.load().excluded() if claim.id not in ended.out] == []


def test_check_prints_and_writes_its_report(tmp_path: Path) -> None:
    """
    A check without a terminal prints its report and no progress; report.json has counts that agree with its claims.
    """
    ended = Shell(tmp_path).run("check", "--claims", "start.ref-*,cancel.in-*", "--profile", "quick")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("report: reports/")
    report = json.loads((ended.results / "report.json").read_text("utf-8"))
    assert {"schema_version", "run", "claims", "findings", "counts"} <= set(report)
    assert {"id", "target", "started_at", "duration_s", "exit_code", "reason"} <= set(report["run"])
    assert report["counts"]["claims"] == len(report["claims"]) == 2
    assert report["counts"]["upheld"] == 2
    assert report["counts"]["exchanges"] > 0


@pytest.mark.parametrize(
    ("notes", "told"),
    [((), "exit 130: interrupted"), ((" before anything was sent",), "exit 130: interrupted before anything was sent")],
)
def test_interrupt_that_no_command_takes_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], notes: tuple[str, ...], told: str
) -> None:
    """Typer would end with 130 and say nothing."""
    interrupt = KeyboardInterrupt()
    for note in notes:
        interrupt.add_note(note)

    def interrupted(*_arguments: Any, **_more: Any) -> None:
        raise interrupt

    monkeypatch.setattr("touchstone.cli.claims.print_claims", interrupted)
    monkeypatch.setattr("sys.argv", ["touchstone", "claims"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().err) == (130, f"{told}\n")


def test_interrupt_while_a_command_is_loaded_sent_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That takes most of a second, and the last line says so."""

    def interrupted(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("touchstone.cli.app.import_module", interrupted)
    monkeypatch.setattr("sys.argv", ["touchstone", "load", "storm"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().err) == (130, "exit 130: interrupted before anything was sent\n")
