"""`touchstone load`: what a plan costs, where a load is allowed, every wrong flag, and what the child is given."""

import os
import re
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.command import Ended, Shell, called
from touchstone.check import job
from touchstone.config import Settings, TargetSettings
from touchstone.errors import UsageError
from touchstone.facts.events import Case, Footer
from touchstone.facts.runlog import Event, RunLogWriter, read
from touchstone.loadgen import runner
from touchstone.loadgen.handover import JOINED, REFUSAL, LoadHandover
from touchstone.loadgen.metrics import TARGET
from touchstone.loadgen.plan import SCENARIOS, Options, plan
from touchstone.loadgen.runner import SLACK_S, Launch, check_allowed, check_terms

Load = Callable[..., Ended]
LOCAL = "--url http://127.0.0.1:9/api"
FAR = "--url http://10.1.2.3/api"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Load:
    return lambda arguments: called(Shell(tmp_path), monkeypatch, capsys, "load", *arguments.split())


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Addresses to which a connection was tried; none is made."""
    tried: list[Any] = []

    def refuse(_socket: socket.socket, address: Any) -> None:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


def figures(ended: Ended, line: str) -> list[str]:
    """The numbers in a line of a plan, given how it begins."""
    (found,) = [text for text in ended.out.splitlines() if text.startswith(line)]
    return re.findall(r"\d(?:[\d.,]*\d)?", found)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (f"storm --builds 6 {LOCAL}", {"builds": "15 64", "requests": "202 52", "at worst": "120 3 600"}),
        ("storm", {"builds": "40 10,000", "seconds": "0.5 897", "at worst": "120 3 10", "target": "20"}),
        ("steady --model closed", {"requests": "8 20 215", "in turn": "352 16 16 16", "target": "8 20"}),
        ("soak --rate 0.00005 --duration 60000", {"target": "0.00005 20"}),
        (f"storm {FAR} --allow-load 10.1.2.3", {"builds": "40 64"}),
    ],
)
def test_plan_shows_the_cost_and_sends_nothing(
    load: Load, connects: list[Any], tmp_path: Path, flags: str, expected: dict[str, str]
) -> None:
    ended = load(f"{flags} --plan")
    assert (ended.code, ended.err, connects, list(tmp_path.iterdir())) == (0, "", [], [])
    assert ended.out.startswith(f"{flags.partition(' ')[0]}: ")
    found = {line: figures(ended, line) for line in expected}
    found["target"] = [figure for figure in found.get("target", []) if figure not in ("127.0.0.1", "9")]
    assert found == {"target": []} | {line: numbers.split() for line, numbers in expected.items()}


@pytest.mark.parametrize(
    ("arguments", "data"),
    [
        # costs more than was allowed
        (f"storm {LOCAL} --builds 45 --plan", "storm 71 64 --max-builds"),
        (f"steady {LOCAL} --max-builds 51", "steady 52 51 --max-builds"),
        ("steady --max-requests 623 --plan", "steady 624 --max-requests 623"),
        ("storm --build-s 8 --max-seconds 5", "storm 8 --max-seconds 5"),
        ("steady --max-seconds 19", "steady 20.3 --max-seconds 19"),
        ("storm --build-s 10", "storm --build-s 10"),
        ("watchers --watchers 1", "--watchers 1"),
        (f"storm {FAR} --plan", "http://10.1.2.3/api --allow-load 10.1.2.3"),
        # flags that do not fit
        ("", "SCENARIO"),
        ("strom", "'strom' storm"),
        *((f"steady --rate {rate}", f"--rate {rate}") for rate in ("0", "nan", "1e+12")),
        ("steady --rate 5 --arrivals 6", "--rate --arrivals"),
        ("steady --arrivals trace:nowhere.csv", "--arrivals nowhere.csv"),
        *((f"steady --duration {duration}", f"--duration {duration}") for duration in ("0.0", "inf")),
        ("storm --duration 9", "--duration 9 storm --rate --arrivals"),
        ("steady --mix nonsense", "--mix 'nonsense' cancel, read, start, stream"),
        ("steady --model x", "--model 'x' 'open', 'closed'"),
        ("storm --model closed", "--model closed storm steady, churn, soak"),
        ("steady --model closed --rate 30", "--rate 30.0 --users"),
        ("steady --users 3", "--users 3 --model closed"),
        ("steady --builds 4", "--builds 4 steady storm, churn, watchers"),
        ("storm --rate 4 --builds 9", "--builds 9 constant:4"),
        ("steady --master --processes 2", "--master --processes"),
        ("steady --expect-workers 2", "--expect-workers 2 --master"),
        ("steady --worker there --master", "--worker --master"),
        ("steady --worker there --plan", "--worker --plan"),
        ("steady --worker there", "--worker --url"),
        (f"steady --worker there {FAR}", "http://10.1.2.3/api"),
        ("steady --worker a..b", "--worker 'a..b' --port"),
        ("steady --thresholds nowhere.toml", "nowhere.toml"),
        ("storm --thresholds other.toml --plan", "other.toml storm steady"),
        ("steady --seed -1", "--seed -1"),
        # numbers out of range
        *((f"storm --builds {number}", f"--builds '{number}'") for number in ("0", "100001", "many")),
        *((f"storm --build-s {number}", f"--build-s '{number}'") for number in ("-1", "nan")),
        *((f"storm {flag} 0", f"{flag} '0'") for flag in ("--lines", "--processes", "--watchers", "--users", "--port")),
        *((f"storm {flag} 99999", f"{flag} '99999'") for flag in ("--lines", "--processes", "--web-ui")),
    ],
)
def test_wrong_flag_ends_with_2_before_anything_is_sent(
    load: Load, connects: list[Any], tmp_path: Path, arguments: str, data: str
) -> None:
    (tmp_path / "other.toml").write_text("[steady.getBuild]\np99_s = 1\n", encoding="utf-8")
    ended = load(arguments)
    assert (ended.code, ended.out, connects) == (2, "", []), ended.out
    assert [item for item in data.split() if item not in ended.err] == [], ended.err
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("url", "allowed_host", "is_allowed"),
    [
        # this machine needs no permission, in whatever spelling
        *((f"http://{host}:80/api", "", True) for host in ("LOCALHOST", "127.255.255.254", "[0:0:0:0:0:0:0:1]")),
        # what merely resembles it does
        *((f"http://{host}/", "", False) for host in ("localhost.", "127.1", "128.0.0.1", "[::]", "127.0.0.1.test")),
        ("http:///api", "", False),
        ("https://127.0.0.1@api.example.test", "127.0.0.1", False),
        # another machine needs its own name, in whatever case
        ("https://API.example.test:8443/v1", "api.Example.Test", True),
        ("https://api.example.test", "", False),
        *(("https://api.example.test", host, False) for host in ("example.test", "*")),
        *(("http://[2001:db8::1]:80", host, True) for host in ("2001:db8::1", "[2001:DB8::1]")),
        ("https://[2001:db8::1]:443", "2001:db8::2", False),
    ],
)
def test_load_is_allowed_on_this_machine_or_a_given_one(url: str, allowed_host: str, is_allowed: bool) -> None:
    if is_allowed:
        check_allowed(url, allowed_host)
    else:
        with pytest.raises(UsageError):
            check_allowed(url, allowed_host)


def test_fairness_needs_two_keys_and_a_version_of_each() -> None:
    chosen, target = SCENARIOS["fairness"], TargetSettings("served", "http://127.0.0.1:9/api", "one")
    load_plan = plan(Options(chosen, chosen.arrivals, chosen.duration_s, chosen.mix, 20))
    for changes in ({}, {"second_api_key": "two", "publish": "never"}):
        with pytest.raises(UsageError):
            check_terms(Settings(target=replace(target, **changes)), load_plan, Launch())  # type: ignore[arg-type]  # fields
    check_terms(Settings(target=replace(target, second_api_key="two", publish="raw")), load_plan, Launch())


class Child:
    """Takes the place of Locust: keeps what it is given, writes *facts* into the run log, and ends with *code*."""

    def __init__(self, code: int = 0, printed: str = "", *facts: Event) -> None:
        self.code, self.printed, self.facts = code, printed, facts
        self.handover: LoadHandover | None = None
        self.max_seconds: float | None = None

    def __call__(self, _command: Any, environment: dict[str, str], output: Path, run_log: Path, *more: Any) -> int:
        _, _, max_seconds, *looks = more
        output.write_text(self.printed, encoding="utf-8")
        self.handover = LoadHandover.received(environment)
        self.go = self.handover.go() if self.handover.go_file else None
        self.max_seconds = max_seconds
        for look in looks * 2:
            look()
        if self.facts:
            with RunLogWriter(run_log) as writer:
                writer.write(*self.facts)
        return self.code


def test_child_is_given_what_is_left_after_the_set_up(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child()
    monkeypatch.setattr(job, "watched", child)
    ended = load("steady --rate 4 --duration 1 --mix read=1,start=1 --processes 3 --abort-on-fail --max-requests 99")
    handover, go, log = child.handover, child.go, read(ended.results / "runlog.jsonl")
    assert ended.code == 3  # no worker has reported anything
    assert handover
    assert go
    assert (handover.aborts, go.workers, go.options.max_requests) == (True, 3, 99)
    assert go.first_seq == 1 + max(e.seq for e in log.exchanges if e.case != "clean-up")
    assert go.builds == 10_000 - len(go.stage.refs("ready"))
    assert (len(go.stage.refs("own")), set(go.stage.contents)) == (2, {*go.stage.refs("own"), *go.stage.refs("ready")})
    assert child.max_seconds
    assert child.max_seconds > SLACK_S
    assert not Path(handover.go_file).exists()
    (memory,) = [worker for worker in log.workers if worker.number == TARGET]
    assert memory.rss_bytes > 0


@pytest.mark.parametrize(
    ("child", "data"),
    [
        (Child(2), "2 locust.log"),
        (Child(0, "", Case("load.storm", "", "error", 0.0, (), "a mistake of ours")), "mistake"),
    ],
)
def test_child_that_failed_is_no_pass_and_leaves_nothing(
    load: Load, monkeypatch: pytest.MonkeyPatch, child: Child, data: str
) -> None:
    monkeypatch.setattr(job, "watched", child)
    ended = load("storm --builds 1 --max-seconds 9")
    assert (ended.code, child.max_seconds) == (3, 9.0)
    assert all(item in ended.last_line for item in data.split())
    assert (ended.report()["left_behind"], Shell(ended.folder).journals()) == ([], [])


def test_run_interrupted_while_it_is_judged_has_its_report(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[Footer] = []

    def judge(_log: Path, _settings: Settings, footer: Footer, **_more: bool) -> Footer:
        os.kill(os.getpid(), signal.SIGINT)
        judged.append(footer)
        return footer

    monkeypatch.setattr(runner._Load, "work", lambda _: Footer("", 0.0, 0, ""))
    monkeypatch.setattr(runner, "judge_load_run", judge)
    ended = load("storm")
    assert (len(judged), ended.code, ended.report()["run"]["exit_code"]) == (1, 130, 130)


@pytest.mark.parametrize(
    ("child", "master", "code"),
    [
        (Child(0), "127.0.0.1", 0),
        (Child(3), "127.0.0.1", 3),  # no master
        (Child(3), "mastre.invalid", 2),
        (Child(3, f"{JOINED}\n{REFUSAL}too late"), "127.0.0.1", 3),
    ],
)
def test_exit_code_of_a_worker(
    load: Load, monkeypatch: pytest.MonkeyPatch, child: Child, master: str, code: int
) -> None:
    monkeypatch.setattr(job, "watched", child)
    ended = load(f"steady --worker {master} {LOCAL} --max-seconds 7")
    assert (ended.code, child.max_seconds) == (code, 7.0)
    assert child.handover
    assert (child.handover.run_log, child.handover.settings.target.url) == ("", "http://127.0.0.1:9/api")


def test_interrupted_worker_ends_with_130(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return 1

    monkeypatch.setattr(job, "watched", interrupt)
    assert load(f"steady --worker 127.0.0.1 {LOCAL}").code == 130
