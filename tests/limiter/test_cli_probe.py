"""The command line of a probe: what it refuses before anything is sent, what it goes on with, how it ends."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.command import KEYS, Ended, Shell, called
from tests.report import identities
from touchstone.check.job import Outcome
from touchstone.config import Flags, load
from touchstone.facts.events import Footer, Header, LedgerClaim, Target
from touchstone.facts.identity import Cost, Identity, Interval, Runner
from touchstone.facts.probe import Answer, Answered, Identified, Knee, KneeTerms, Probing, Terms
from touchstone.facts.runlog import Event, RunLogWriter, read
from touchstone.limiter.probe.runner import Launch, builds_s, no_knee, unsure

Command = Callable[..., Ended]
URL = "http://127.0.0.1:9/api"
TERMS = Terms(seed=20, starts=True, most_requests=50, most_builds=40, most_s=60.0)
OWN = f'[targets.own]\nurl = "{URL}"\n'
NEVER, COSTLY = f'{OWN}publish = "never"\n', f"{OWN}max_builds = 40\n"
KNEE = ["--knee", "--operation", "getBuild"]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `touchstone probe` in this process; `keys` are the variables with keys."""

    def run(*arguments: str, keys: Mapping[str, str] = KEYS) -> Ended:
        return called(Shell(tmp_path, keys=keys), monkeypatch, capsys, "probe", *arguments)

    return run


def log_of(folder: Path, *events: Event, target: Target | None = None, command: str = "probe") -> Path:
    """The run log of a probe with these events after its header."""
    path = folder / "old" / "runlog.jsonl"
    path.parent.mkdir()
    run = ("260102-030405-abcdef", "0.1.0", command, (command,), "2026-01-02T03:04:05Z")
    claims = (LedgerClaim("status.x", "must", "It is so.", "x", "status"),)
    header = Header(*run, target or Target("url", URL, "url"), "quick", 20, False, "*", "ab" * 32, claims)
    with RunLogWriter(path) as writer:
        writer.write(header, *events)
    return path


def begun(knee: KneeTerms | None = None, **terms: Any) -> Probing:
    operation = "getBuild" if knee else "startBuild"
    return Probing(operation, 20, asdict(TERMS) | terms, 1_700_000_000.0, knee=knee)


def of_knee() -> Probing:
    return begun(KneeTerms(0.06, 9_000), starts=False)


def assert_refused(ended: Ended, *values: str) -> None:
    text = " ".join((ended.out + ended.err).split())
    assert (ended.code, "Traceback" in text) == (2, False)
    assert [value for value in values if value not in text] == []


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (["--operation", "cancelBuild"], ["--operation", "cancelBuild", "getTemplate"]),
        (["--max-requests", "0"], ["--max-requests", "'0'"]),
        (["--max-builds", "0"], ["--max-builds", "found 0"]),
        (["--url", "http://other.test/api"], ["another machine"]),
        (["--url", "http://other.test/api", "--allow-load", "another.test"], ["--allow-load other.test"]),
        (["--resume", "nowhere"], ["--resume nowhere"]),
        (["--target", "own"], ["templates.buildable", "--operation getBuild"]),
        (["--knee"], ["--knee", "startBuild", "--operation getBuild"]),
        (["--soak", "401"], ["--soak 401", "400 builds", "--max-builds"]),
        (["--operation", "getBuild", "--soak", "1001"], ["--soak 1001", "1000 requests", "--max-requests"]),
        ([*KNEE, "--slo-ms", "0"], ["--slo-ms", "'0'"]),
        (["--operation", "getBuild", "--slo-ms", "50"], ["--slo-ms 50", "--knee"]),
    ],
    ids=" ".join,
)
def test_flags_that_do_not_fit_are_refused(
    command: Command, tmp_path: Path, arguments: list[str], values: list[str]
) -> None:
    (tmp_path / "touchstone.toml").write_text(NEVER, "utf-8")
    assert_refused(command(*arguments), *values)
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        *((["--seed", "20"], "--seed"), (["--knee"], "--knee"), (["--max-seconds", "60"], "--max-seconds")),
        (["--url", "http://127.0.0.1:8/api"], URL),
    ],
)
def test_probe_goes_on_only_as_it_was_begun(command: Command, tmp_path: Path, arguments: list[str], value: str) -> None:
    log_of(tmp_path, begun())
    assert_refused(command("--resume", "old", "--url", URL, *arguments), "--resume", value)


@pytest.mark.parametrize(
    ("log", "value"),
    [
        ({"command": "load"}, "`touchstone load`"),
        ({"events": [begun()], "target": Target("twin", "http://127.0.0.1:1/api", "embedded")}, "embedded twin"),
        ({"events": [begun(most_fun=1)]}, "'most_fun'"),
    ],
    ids=["another command", "twin is gone", "another version"],
)
def test_log_that_cannot_go_on_is_refused(command: Command, tmp_path: Path, log: dict[str, Any], value: str) -> None:
    more = dict(log)
    log_of(tmp_path, *more.pop("events", ()), **more)
    assert_refused(command("--resume", "old", "--url", URL), value)


def test_damaged_event_is_an_error_with_its_line(command: Command, tmp_path: Path) -> None:
    with log_of(tmp_path, begun()).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"type": "stimulus", "number": "x", "name": "y", "segments": []}) + "\n")
    ended = command("--resume", "old", "--url", URL)
    assert (ended.code, "line 3: stimulus.number" in ended.err) == (3, True)


def test_finished_probe_is_reported_again_and_nothing_is_sent(command: Command, tmp_path: Path) -> None:
    path = log_of(tmp_path, begun(), Identified(Identity((), (), Cost(9, 3, 6, 2.0), why="budget")))
    with RunLogWriter(path) as writer:
        writer.write(Footer("2026-01-02T03:05:05Z", 60.0, 3, "the budget is spent"))
    ended = command("--resume", "old", keys={})
    assert (ended.code, ended.last_line) == (3, "exit 3: the budget is spent")
    assert (path.parent / "report.html").exists()


@pytest.mark.parametrize("flags", [(), ("--advise",)])
def test_advice_is_always_in_the_report_and_on_request_on_the_terminal(
    command: Command, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    answered = Answered(1, Answer(1.2, 1.3, accepted=True), 202, 8, "a/b@1")
    path = log_of(tmp_path, begun(), answered, Identified(identities.identity("token-bucket:10/4,burst=5")))
    ended = command("--resume", "old", *flags, keys={})
    assert ("What a client should do" in ended.out) == bool(flags)
    assert json.loads((path.parent / "report.json").read_text("utf-8"))["probe"]["advice"]["burst"] == 5


@pytest.mark.parametrize(
    ("settings", "flags", "counts"),
    [
        ("", (), (1_000, 400, 900)),
        ("", ("--url", URL, "--max-builds", "40"), (1_000, 40, 900)),
        (COSTLY, ("--target", "own"), (1_000, 40, 900)),
        (COSTLY, ("--target", "own", "--max-builds", "50", "--max-seconds", "60"), (1_000, 50, 60)),
        ("", (*KNEE, "--slo-ms", "80"), (25_000, 0, 900)),
    ],
)
def test_plan_has_the_budget_of_flags_settings_or_defaults(
    command: Command, tmp_path: Path, settings: str, flags: tuple[str, ...], counts: tuple[int, ...]
) -> None:
    (tmp_path / "touchstone.toml").write_text(settings, "utf-8")
    ended = command("--plan", *flags)
    text = " ".join(ended.out.split())
    names = ("requests", "builds", "seconds")
    assert ended.code == 0
    assert [f"{name} {count:,} at worst" in text for name, count in zip(names, counts, strict=True)] == [True] * 3
    assert ("80 ms" in text) == ("--knee" in flags)


@pytest.mark.parametrize(
    ("settings", "lasts_s"),
    [
        (COSTLY, 300.0),
        (COSTLY + "build_timeout_s = 60\n", 54.0),
        (NEVER + 'templates = { buildable = ["a/b@1.0.0"] }\n', 0.0),
    ],
)
def test_builds_last_as_long_as_they_were_published_to(tmp_path: Path, settings: str, lasts_s: float) -> None:
    (tmp_path / "touchstone.toml").write_text(settings, "utf-8")
    assert builds_s(load(Flags(target="own"), {"ORGO_API_KEY": "sk_live_own_account"}, tmp_path, 400)) == lasts_s


def known(cost: int = 1, **values: Any) -> Identity:
    return Identity((), values.pop("families", ()), Cost(cost, 0, cost, 1.0), **values)


@pytest.mark.parametrize(
    ("identity", "values"),
    [
        (known(sure=True, why="settled"), None),
        (known(50, families=(Runner("token-bucket", 0.612, "x"),), why="budget"), ["61 %", "50", "--max-requests"]),
        (known(49, unlimited_to=49, why="budget"), ["49", "60 s", "--max-seconds"]),
        (known(why="nothing left to learn"), []),
        (known(why="nothing left to learn", notes=("the key is used",)), ["the key is used"]),
        (None, []),
    ],
)
def test_unsure_probe_names_the_budget_to_raise(tmp_path: Path, identity: Identity | None, values: list[str]) -> None:
    story = read(log_of(tmp_path, begun(), *([Identified(identity)] if identity else []))).probe
    reason = unsure(story)
    assert bool(reason) == (values is not None)
    assert [value for value in values or [] if value not in reason] == []
    assert ("--max" in reason) == ("--max" in str(values))


REFUSED = [Answered(1, Answer(sent_at, sent_at + 0.1, False, 100.0), 429) for sent_at in (2.0, 59.9)]
SHUT = Identified(Identity((), (), Cost(2, 1, 1, 60.0), refused_for_s=58.0, why="budget"))


@pytest.mark.parametrize(("answer", "seconds"), [(True, [60.0, 1000.0]), (False, [60.0])])
def test_terminal_asks_whether_to_go_on_for_as_long_as_a_window_needs(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, answer: bool, seconds: list[float]
) -> None:
    log = log_of(tmp_path, begun(), Answered(1, Answer(1.0, 1.1, True), 202), *REFUSED, SHUT)
    launched: list[Launch] = []

    def probe(_settings: Any, launch: Launch, *_: Any) -> Outcome:
        launched.append(launch)
        log_now = log if len(launched) == 1 else log_of(tmp_path / "second", begun(), Identified(known(sure=True)))
        return Outcome(3, log_now.parent, log_now)

    (tmp_path / "second").mkdir()
    monkeypatch.setattr("touchstone.cli.probe.probing.probe", probe)
    monkeypatch.setattr("touchstone.cli.probe.confirm", lambda _: answer)
    terminal = SimpleNamespace(argv=[""], stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("touchstone.cli.probe.sys", terminal)
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    assert command("--url", URL, "--max-seconds", "60").code == 3
    assert [launch.terms.most_s for launch in launched] == seconds
    assert all(launch.past and launch.past.probe for launch in launched[1:])


def test_builds_that_may_have_begun_count_as_spent(tmp_path: Path) -> None:
    answers = [Answered(1, Answer(1.0, 1.1, number > 0), 202 if number else 0) for number in range(40)]
    story = read(log_of(tmp_path, begun(), *answers, Identified(known(39, why="budget")))).probe
    assert "--max-builds" in unsure(story)


@pytest.mark.parametrize(
    ("knee", "value"),
    [(None, "ended"), (Knee(0.06, "confirmed", Interval(150, 144, 158)), ""), (Knee(0.06, "seconds"), "--max-seconds")],
)
def test_knee_that_was_not_found_is_a_reason(tmp_path: Path, knee: Knee | None, value: str) -> None:
    identified = Identified(known(9, unlimited_to=9, sure=True, why="settled"))
    story = read(log_of(tmp_path, of_knee(), identified, *([knee] if knee else []))).probe
    assert story is not None
    assert (value in no_knee(story), bool(no_knee(story))) == (True, bool(value))
    assert no_knee(replace(story, probing=replace(story.probing, knee=None))) == ""
    assert story.finished == (knee is not None)
