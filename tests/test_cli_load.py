"""
The command line of a load: what a plan prints and that it sends nothing, where a load is allowed, and every wrong flag.
"""

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.command import Ended, Shell, called
from touchstone.check.child import child_environment
from touchstone.check.examination import PUBLISH_ADVICE
from touchstone.config import Settings, TargetSettings
from touchstone.errors import UsageError
from touchstone.facts.events import Footer
from touchstone.loadgen import runner
from touchstone.loadgen.handover import LoadHandover, rss_bytes
from touchstone.loadgen.plan import plan
from touchstone.loadgen.runner import (
    Wish,
    check_allowed,
    check_terms,
    is_loopback,
    locust_command,
)
from touchstone.loadgen.workloads import SCENARIOS, Options

Load = Callable[..., Ended]
LOCAL = "http://127.0.0.1:9/api"

STORM = """\
storm: Starts many builds at the same moment, over what the target admits, and backs off until each is built.
target http://127.0.0.1:9/api, arrivals at once, open model, seed 20
from s  start
     0      6
builds    15 at most (40 are allowed)
requests  202 if nothing is refused; 52 of them set up and clear up
seconds   0.5 at least, 2,057 at worst; without set-up, clean-up and slow answers
at worst  each start is refused for 120 s and sent again each second (3 requests a time); every build takes 600 s
"""
STEADY_TABLE = """\
from s  read  start  cancel  stream
     0    10      1       0       0
     1     9      0       1       1
     2    10      1       0       0
     3     9      0       1       1
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Load:
    """The command in this process."""

    def run(*arguments: str) -> Ended:
        return called(Shell(tmp_path), monkeypatch, capsys, "load", *arguments)

    return run


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every connection that is tried; none comes about."""
    tried: list[Any] = []

    def refuse(_socket: socket.socket, address: Any) -> None:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


# --- stopped ----------------------------------------------------------------------------------------------------------


def test_run_that_is_stopped_while_it_is_judged_has_its_report(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that was seen is there by then: it is judged and told, and the run ends with 130."""
    judged: list[Footer] = []

    def judge(_log: Path, _settings: Settings, footer: Footer, **_more: bool) -> Footer:
        os.kill(os.getpid(), signal.SIGINT)
        judged.append(footer)
        return footer

    monkeypatch.setattr(runner._Load, "work", lambda _: Footer("", 0.0, 0, ""))
    monkeypatch.setattr(runner, "judge_load_run", judge)
    ended = load("storm")

    assert len(judged) == 1
    assert (ended.code, ended.last_line) == (130, "exit 130: interrupted by SIGINT")
    assert ended.report()["run"]["exit_code"] == 130


# --- plans ------------------------------------------------------------------------------------------------------------


def test_plan_is_printed_and_nothing_is_sent(load: Load, deaf: list[Any], tmp_path: Path) -> None:
    """A plan says what arrives, who sends it and what it costs; it connects to nothing and leaves no file."""
    ended = load("storm", "--url", LOCAL, "--builds", "6", "--plan")

    assert (ended.code, ended.out, ended.err) == (0, STORM, "")
    assert deaf == []
    assert list(tmp_path.iterdir()) == []


def test_plan_shows_the_schedule_by_second_and_action(load: Load) -> None:
    """Each arrival is in one row, by when it is due, and in one column, by what it is."""
    ended = load("steady", "--rate", "11", "--duration", "4", "--plan")

    assert STEADY_TABLE in ended.out


def test_plan_of_a_closed_model_shows_no_schedule(load: Load) -> None:
    """Nothing is due at any second: it is told what clients take in turn, and what of it they do not do twice."""
    ended = load("steady", "--model", "closed", "--users", "3", "--plan")

    assert "arrivals as answered, by 3 clients, closed model" in ended.out
    assert (
        "\nin turn   352 read, again and again; 16 start, 16 cancel, 16 stream, no more than once each\n" in ended.out
    )
    assert "from s" not in ended.out
    assert "90 race, no more than once each\n" in load("churn", "--model", "closed", "--plan").out


def test_long_plan_is_shown_in_a_dozen_spans(load: Load) -> None:
    """An hour has no 3,600 rows, and its rows hold all of it."""
    ended = load("soak", "--plan")
    rows = [line.split() for line in ended.out.splitlines() if line.strip()[:1].isdigit()]

    assert [row[0] for row in rows] == [f"{300 * span:,}" for span in range(12)]
    assert sum(int(number.replace(",", "")) for row in rows for number in row[1:]) == 18_008


@pytest.mark.parametrize(("flags", "spans"), [((), 5), (("--duration", "8"), 8), (("--duration", "2"), 2)])
def test_trace_lasts_as_long_as_its_arrivals(load: Load, tmp_path: Path, flags: tuple[str, ...], spans: int) -> None:
    """A rate is that of the trace, and not of the twenty seconds that the scenario takes otherwise."""
    (tmp_path / "seen.txt").write_text("0.5\n1.25\n4.0\n", encoding="utf-8")
    ended = load("steady", "--arrivals", "trace:seen.txt", *flags, "--plan")

    assert len([line for line in ended.out.splitlines() if line.strip()[:1].isdigit()]) == spans, ended.err


def test_plan_of_the_embedded_twin_knows_its_patience(load: Load) -> None:
    """Nobody waits ten minutes for a build of the embedded twin, and its builds are free."""
    ended = load("storm", "--plan")

    assert "target twin, arrivals at once" in ended.out
    assert "builds    40 at most (10,000 are allowed)" in ended.out
    assert "seconds   0.5 at least, 897 at worst" in ended.out
    assert "every build takes 10 s" in ended.out


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("steady --model closed", "requests  as many as 8 clients get answered in 20 s; 215 of them set up"),
        ("steady --max-requests 700", "requests  839 if nothing is refused; 215 of them set up"),
        ("storm --max-seconds 30", "seconds   0.5 at least, 30 at worst; without"),
        ("churn", "at worst  each start is refused for 120 s and sent again each second (3 requests a time); every"),
    ],
)
def test_plan_says_what_its_figures_assume(load: Load, flags: str, told: str) -> None:
    """
    What depends on the target is said to; what was allowed bounds what may happen; who never comes back costs no more.
    """
    assert told in load(*flags.split(), "--plan").out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("storm", "--url", "http://10.1.2.3/api"), "http://10.1.2.3/api: a load on another machine than this one; if"),
        (
            ("storm", "--url", LOCAL, "--builds", "39"),
            "storm: plans 62 builds, and 40 are allowed; raise --max-builds,",
        ),
        (
            ("steady", "--max-requests", "623"),
            (
                "steady: plans 624 requests if nothing is refused, besides set-up and clean-up, and "
                "--max-requests 623 are allowed; raise it, or lower --rate or --duration\n"
            ),
        ),
        (
            ("churn", "--rate", "8", "--max-requests", "359"),
            (
                "churn: plans 360 requests if nothing is refused, besides set-up and clean-up, and "
                "--max-requests 359 are allowed; raise it, or lower --rate or --duration\n"
            ),
        ),
        (
            ("watchers", "--max-requests", "61"),
            (
                "watchers: plans 62 requests if nothing is refused, besides set-up and clean-up, and "
                "--max-requests 61 are allowed; raise it, or lower --builds or --watchers\n"
            ),
        ),
        (
            ("steady", "--url", LOCAL, "--max-builds", "51"),
            "steady: plans 52 builds, and 51 are allowed; raise --max-builds, or lower --rate or --duration\n",
        ),
        (
            ("storm", "--build-s", "8", "--max-seconds", "5"),
            "storm: takes 8 s at least, and --max-seconds 5 are allowed; raise it, or shorten the load\n",
        ),
        (("watchers", "--watchers", "1"), "--watchers 1: whether all who watch a build get the same log takes two"),
        (
            ("steady", "--max-seconds", "19"),
            "steady: takes 20.3 s at least, and --max-seconds 19 are allowed; raise it, or",
        ),
        (("storm", "--build-s", "10"), "storm: --build-s 10: this target lets a build take 10 s in all; lower it"),
        (
            ("storm", "--url", LOCAL, "--build-s", "600"),
            "storm: --build-s 600: this target lets a build take 600 s in all; low",
        ),
    ],
)
def test_plan_that_may_not_be_carried_out_ends_with_2(load: Load, flags: tuple[str, ...], message: str) -> None:
    """No figure is shown of what is not going to be: what keeps it from being carried out is all there is to say."""
    ended = load(*flags, "--plan")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"exit 2: {message}")


def test_same_terms_hold_without_a_plan(load: Load, deaf: list[Any], tmp_path: Path) -> None:
    """A load that is not allowed is refused before anything is sent or written."""
    ended = load("storm", "--url", "http://10.1.2.3/api")

    assert (ended.code, ended.out, deaf) == (2, "", [])
    assert ended.err.startswith("exit 2: http://10.1.2.3/api: a load on another machine than this one")
    assert list(tmp_path.iterdir()) == []


# --- where a load is allowed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1"])
def test_this_machine_may_be_loaded(host: str) -> None:
    """Every address below 127 is this machine, as is the one of IPv6 in any spelling."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "localhost.example.test", "localhost.", "127.0.0.1.example.test", "127.1", "128.0.0.1", "0.0.0.0", "::"],
)
def test_other_machines_are_not_this_one(host: str) -> None:
    """A name that merely begins like this machine may be anywhere, and what is no address is a name."""
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8123/api",
        "http://LOCALHOST/api",
        "http://127.0.0.2:80",
        "http://[::1]:80/",
        "https://127.0.0.1/a/b",
    ],
)
def test_load_on_this_machine_needs_no_word(url: str) -> None:
    """Port, path and letters of the host do not matter."""
    check_allowed(url, "")


@pytest.mark.parametrize("allows", ["api.example.test", "API.Example.Test", ""])
@pytest.mark.parametrize("url", ["https://api.example.test/v1", "https://API.example.test:8443"])
def test_another_machine_needs_its_own_name(url: str, allows: str) -> None:
    """The host that the caller names may be loaded, whatever the case of its letters, and no host is none."""
    if allows:
        check_allowed(url, allows)
        return
    with pytest.raises(UsageError, match=r"agrees, add --allow-load api\.example\.test$"):
        check_allowed(url, allows)


@pytest.mark.parametrize(
    ("url", "allows"),
    [
        ("https://api.example.test", "example.test"),
        ("https://api.example.test", "api.example.test:443"),
        ("https://api.example.test", "*"),
        ("https://localhost.example.test", "localhost"),
        ("https://127.0.0.1@api.example.test", "127.0.0.1"),
        ("https://[2001:db8::1]:443", "2001:db8::2"),
        ("http:///api", ""),
    ],
)
def test_another_name_does_not_allow_it(url: str, allows: str) -> None:
    """Neither a part of the name nor a pattern, nor what stands before the host, allows a load."""
    with pytest.raises(UsageError, match="a load on another machine than this one"):
        check_allowed(url, allows)


@pytest.mark.parametrize("allows", ["2001:db8::1", "[2001:db8::1]", "2001:DB8::1"])
def test_address_may_be_named_with_or_without_brackets(allows: str) -> None:
    """An IPv6 address is named as in the URL or without its brackets."""
    check_allowed("http://[2001:db8::1]:80/api", allows)


def test_allowed_host_is_planned(load: Load, deaf: list[Any]) -> None:
    """With the right name the plan ends with 0, with a wrong one with 2; nothing is sent either way."""
    url = ("storm", "--url", "http://10.1.2.3/api", "--plan")

    assert load(*url, "--allow-load", "10.1.2.3").code == 0
    assert load(*url, "--allow-load", "10.1.2.4").code == 2
    assert deaf == []


def test_user_in_a_url_is_refused_and_not_shown(load: Load) -> None:
    """A name and a password before the host are refused like anywhere else."""
    ended = load("storm", "--url", "http://me:hush@127.0.0.1/api", "--plan")

    assert (ended.code, "hush" in ended.err) == (2, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "fairness: needs two keys; set second_api_key_env, or ORGO_SECOND_API_KEY, to another account's key"),
        (
            {"second_api_key": "two", "publish": "never"},
            f"fairness: needs a version of each key; {PUBLISH_ADVICE}",
        ),
    ],
)
def test_fairness_needs_two_keys_and_a_version_of_each(changes: dict[str, Any], message: str) -> None:
    """Without a second account, or without versions of both, nothing could be compared."""
    target = replace(TargetSettings("served", LOCAL, "one"), **changes)

    with pytest.raises(UsageError) as raised:
        check_terms(Settings(target=target), plan(_fairness()), Wish())
    assert str(raised.value) == message
    check_terms(Settings(target=replace(target, second_api_key="two", publish="raw")), plan(_fairness()), Wish())


def _fairness() -> Options:
    chosen = SCENARIOS["fairness"]
    return Options(chosen, chosen.arrivals, chosen.duration_s, chosen.mix, 20)


# --- wrong flags ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("strom", "scenario 'strom': no such scenario; did you mean storm?"),
        ("steady --rate 0", "--rate 0: expected arrivals a second, more than 0 and below 1e+09"),
        ("steady --rate nan", "--rate nan: expected arrivals a second, more than 0"),
        ("steady --rate -3", "--rate -3: expected arrivals a second, more than 0"),
        ("steady --rate inf", "--rate inf: expected arrivals a second, more than 0"),
        ("steady --rate 1e12", "--rate 1e+12: expected arrivals a second, more than 0 and below 1e+09"),
        ("steady --rate 5 --arrivals 6", "--rate and --arrivals: both are given; keep one of the two"),
        ("steady --arrivals rmap:1..5", "--arrivals: found 'rmap:1..5'; expected "),
        ("steady --arrivals trace:nowhere.csv", "--arrivals: {folder}/nowhere.csv cannot be read: No such file or dir"),
        ("steady --arrivals trace:", "--arrivals: found a trace without a file; expected trace:FILE"),
        ("steady --duration -1", "--duration: found -1.0; expected a number of seconds above 0"),
        ("steady --duration 0", "--duration: found 0.0; expected a number of seconds above 0"),
        ("steady --duration inf", "--duration: found inf; expected a number of seconds above 0"),
        (
            "storm --duration 9",
            "--duration 9: storm begins all at once; leave it out, or give --rate or --arrivals with",
        ),
        ("watchers --duration 9", "--duration 9: watchers begins all at once; leave it out\n"),
        ("steady --mix nonsense", "--mix 'nonsense': unknown action; known: cancel, read, start, stream"),
        ("steady --mix=", "--mix '': unknown action; known: cancel, read, start, stream"),
        ("steady --model x", "--model: found 'x'; expected one of 'open', 'closed'"),
        ("storm --model closed", "--model closed: storm goes by its schedule; it is for steady, churn, soak"),
        (
            "steady --model closed --rate 30",
            (
                "--rate 30.0: a closed model sends as soon as it is answered; leave it out and give --users, "
                "or leave out --model closed"
            ),
        ),
        ("churn --model closed --arrivals 5", "--arrivals 5: a closed model sends as soon as it is answered; leave"),
        ("steady --users 3", "--users 3: an open model goes by its schedule; add --model closed"),
        ("steady --builds 4", "--builds 4: steady has no use for it; it is for storm, churn, watchers"),
        ("storm --watchers 4", "--watchers 4: storm has no use for it; it is for watchers"),
        ("storm --lines 4", "--lines 4: storm has no use for it; it is for steady, watchers, soak"),
        ("watchers --rate 4", "--rate 4.0: watchers has no use for it; it is for storm, steady, churn, soak, fairness"),
        ("churn --mix race=1", "--mix race=1: churn has no use for it; it is for steady, soak, fairness"),
        ("fairness --build-s 2", "--build-s 2.0: fairness has no use for it; it is for "),
        ("storm --rate 4 --builds 9", "--builds 9: constant:4 says how many; leave one of the two out"),
        ("storm --build-s inf", "--build-s: found 'inf'; expected less than or equal to 1000000000"),
        (
            "steady --master --processes 2",
            "--master and --processes: both are given; a master has its workers on other",
        ),
        ("steady --expect-workers 2", "--expect-workers 2: it is for a master; add --master"),
        (
            "steady --worker there --master",
            "--worker and --master: both are given; a worker does what its master plans",
        ),
        ("steady --worker there --processes 2", "--worker and --processes: both are given; a worker does what"),
        ("steady --worker there --plan", "--worker and --plan: both are given; a worker does what its master plans"),
        ("steady --worker there", "--worker: the embedded twin belongs to one process; name a target with --url"),
        ("steady --worker there --url http://10.1.2.3", "http://10.1.2.3: a load on another machine than this one"),
        (
            "steady --thresholds nowhere.toml",
            "nowhere.toml: cannot be read: No such file or directory; give a file like",
        ),
        ("steady --thresholds nowhere.toml --plan", "nowhere.toml: cannot be read: No such file or directory; give a"),
        ("steady --thresholds odd.toml", "odd.toml: [steady.getBuild] p98_s: unknown statistic; did you mean p9"),
        ("storm --thresholds other.toml", "other.toml: no limit for storm; found limits only for steady; expected a"),
        ("storm --thresholds other.toml --plan", "other.toml: no limit for storm; found limits only for steady"),
        ("steady --seed -1", "--seed: found -1; expected a whole number of 0 or more"),
        ("steady --max-seconds 0", "--max-seconds: found 0.0; expected a number of seconds above 0"),
        ("steady --target nowhere", "--target 'nowhere': no such target in the working directory"),
    ],
)
def test_wrong_flag_names_itself_its_value_and_what_was_expected(
    load: Load, deaf: list[Any], tmp_path: Path, arguments: str, message: str
) -> None:
    """Whatever does not fit ends with 2 and one line that says what was found and expected, before anything is sent."""
    (tmp_path / "odd.toml").write_text("[steady.getBuild]\np98_s = 1\n", encoding="utf-8")
    (tmp_path / "other.toml").write_text("[steady.getBuild]\np99_s = 1\n", encoding="utf-8")
    ended = load(*arguments.split())

    assert (ended.code, deaf) == (2, [])
    assert ended.err.startswith(f"exit 2: {message}".replace("{folder}", str(tmp_path)))
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        *("--builds 0", "--builds 100001", "--watchers 0", "--lines 0", "--lines 10001", "--build-s -1"),
        *("--build-s nan", "--users 0", "--max-requests 0", "--processes 0", "--processes 65", "--port 0"),
        *("--web-ui -3", "--web-ui 65536", "--expect-workers 0", "--builds many", "--rate fast"),
    ],
)
def test_number_out_of_range_names_its_flag(load: Load, arguments: str) -> None:
    """What cannot be a value of a flag is refused by its name, with what was found and what may be given."""
    flag, found = arguments.split()
    ended = load("storm", flag, found)

    assert ended.code == 2
    assert ended.err.startswith(f"exit 2: {flag}: found '{found}'; expected ")


def test_missing_scenario_is_asked_for(load: Load) -> None:
    """Without a scenario nothing is loaded, and the help that names them is named."""
    ended = load()

    assert (ended.code, "Missing argument 'SCENARIO'" in ended.err) == (2, True)
    assert "touchstone load --help" in ended.err


def test_small_rate_is_written_as_arrivals_are_read(load: Load) -> None:
    """A rate far below one has no exponent in the plan, and is the rate that was given."""
    ended = load("soak", "--rate", "0.00005", "--duration", "60000", "--plan")

    assert ended.code == 0
    assert "arrivals constant:0.00005," in ended.out


def test_help_fits_80_columns(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a narrow terminal no line of the help is cut or wrapped by the terminal."""
    environment = Shell.environment
    monkeypatch.setattr(Shell, "environment", lambda shell: environment(shell) | {"COLUMNS": "80"})
    ended = load("--help")

    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 80
    assert {name for name in SCENARIOS if name not in ended.out} == set()
    assert "[default: 40; embedded twin: 10,000]" in " ".join(ended.out.split())


# --- what the child is started with -----------------------------------------------------------------------------------


def test_locust_is_told_no_key_and_its_own_variables_are_left_out() -> None:
    """
    Keys go through the environment alone, which other processes of the machine do not see, and never on a command line.
    """
    handover = LoadHandover(Settings(target=TargetSettings(api_key="hush")), "")
    environment = child_environment(handover, {"LOCUST_USERS": "9", "GEVENT_LOOP": "x", "PATH": "/bin"})
    commands = [locust_command("storm", wish) for wish in (Wish(), Wish(processes=3), Wish(expects=2, port=5557))]

    assert (environment.keys() & {"LOCUST_USERS", "GEVENT_LOOP"}, environment["PATH"]) == (set(), "/bin")
    assert "hush" not in str(commands)
    assert ["--processes" in command for command in commands] == [False, True, False]
    assert ["--master" in command for command in commands] == [False, False, True]
    assert commands[2][commands[2].index("--expect-workers") + 1] == "2"


def test_memory_of_this_process_is_told() -> None:
    """A process has some memory in use."""
    assert rss_bytes() > 5_000_000
