"""The command line of a probe: what it refuses before anything is sent, and what it goes on with."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.command import KEYS, Ended, Shell, called
from tests.report import identities
from tests.test_runlog import HEADER
from touchstone.config import Flags, load
from touchstone.facts.events import Footer, Header, Target
from touchstone.facts.identity import Cost, Identity, Interval, Runner
from touchstone.facts.observed import Answer
from touchstone.facts.probe_events import (
    Answered,
    Heard,
    Identified,
    Knee,
    KneeTerms,
    Outcome,
    Probing,
    Sending,
    Trial,
    Tried,
)
from touchstone.facts.runlog import Event, RunLogWriter, read
from touchstone.facts.stimulus import Stimulus, drain
from touchstone.limiter.probe.runner import builds_s, no_knee, unsure
from touchstone.limiter.terms import Terms

Command = Callable[..., Ended]
URL = "http://127.0.0.1:9/api"
TERMS = Terms(seed=20, starts=True, most_requests=50, most_builds=40, most_s=60.0)
NEVER = '[targets.own]\nurl = "http://127.0.0.1:9/api"\npublish = "never"\n'
COSTLY = '[targets.own]\nurl = "http://127.0.0.1:9/api"\nmax_builds = 40\n'


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process; `keys` are the variables with keys."""

    def run(*arguments: str, keys: Mapping[str, str] = KEYS) -> Ended:
        return called(Shell(tmp_path, keys=keys), monkeypatch, capsys, *arguments)

    return run


def log_of(folder: Path, *events: Event, target: Target | None = None, command: str = "probe") -> Path:
    """The run log of a probe with these events after its header."""
    path = folder / "old" / "runlog.jsonl"
    path.parent.mkdir()
    values = {name: getattr(HEADER, name) for name in HEADER.__dataclass_fields__}
    header = Header(**values | {"command": command, "target": target or Target("url", URL, "url")})
    with RunLogWriter(path) as writer:
        writer.write(header, *events)
    return path


def begun(**terms: Any) -> Probing:
    """The event with which a probe begins."""
    return Probing("startBuild", 20, asdict(TERMS) | terms, 1_700_000_000.0)


def ended(identity: Identity) -> Identified:
    """The event with which it ends."""
    return Identified(identity)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--operation", "cancelBuild"],
            "--operation: found 'cancelBuild'; expected one of 'startBuild', 'getBuild', 'getTemplate'",
        ),
        (["--max-requests", "0"], "--max-requests: found '0'; expected greater than or equal to 1"),
        (["--max-builds", "0"], "--max-builds: found 0; expected a whole number of 1 or more"),
        (["--url", "http://other.test/api"], "a load on another machine than this one; if that is meant"),
        (["--url", "http://other.test/api", "--allow-load", "another.test"], "add --allow-load other.test"),
        (["--resume", "nowhere"], "--resume nowhere: no such file; expected a runlog.jsonl of `touchstone probe`"),
        (["--target", "own"], "name some in templates.buildable, or probe with --operation getBuild"),
        (["--knee"], "--knee: startBuild is no read, and each would begin a build; expected --operation getBuild or"),
        (["--knee", "--operation", "startBuild"], "expected --operation getBuild or --operation getTemplate"),
        (
            ["--knee", "--operation", "getBuild", "--slo-ms", "0"],
            "--slo-ms: found '0'; expected greater than or equal to 1",
        ),
        (["--operation", "getBuild", "--slo-ms", "50"], "--slo-ms 50: is about the knee of reads; add --knee"),
        (
            ["--knee", "--operation", "getBuild", "--url", "http://other.test/api"],
            "a load on another machine than this",
        ),
    ],
)
def test_flags_that_do_not_fit_are_refused(
    command: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    """A wrong flag ends with 2, and the message says what was expected; nothing was sent, and nothing is left."""
    (tmp_path / "touchstone.toml").write_text(NEVER, "utf-8")
    told = command("probe", *arguments)
    assert (told.code, "Traceback" in told.err) == (2, False)
    assert message in " ".join((told.out + told.err).split())
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--operation", "getBuild"], "--operation getBuild: that probe was begun with startBuild; leave the flag out"),
        (["--seed", "3"], "--seed 3: that probe was begun with 20"),
        (["--max-requests", "60"], "--max-requests 60: that probe was begun with 50"),
        (["--max-builds", "41"], "--max-builds 41: that probe was begun with 40"),
        (["--max-seconds", "61"], "--max-seconds 61.0: that probe was begun with 60.0"),
        (["--url", "http://127.0.0.1:8/api"], f"that probe was of url {URL}, and this one would be of url"),
        (["--knee"], "--knee: that probe was begun with none; leave the flag out, or begin a new probe"),
        (["--slo-ms", "50"], "--slo-ms 50.0: that probe was begun with none"),
    ],
)
def test_flags_of_another_probe_are_refused(
    command: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    """An interrupted probe goes on as it was begun, or not at all."""
    log_of(tmp_path, begun())
    url = [] if "--url" in arguments else ["--url", URL]
    told = command("probe", "--resume", "old", *url, *arguments)
    assert (told.code, "Traceback" in told.err) == (2, False)
    assert message in " ".join(told.err.split())


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ({"command": "load"}, "the run log of `touchstone load`; expected one of `touchstone probe` that had begun"),
        (
            {"events": [begun()], "target": Target("twin", "http://127.0.0.1:1/api", "embedded")},
            "that probe was of the embedded twin, which ended with it; begin a new probe",
        ),
        ({"events": [begun(most_fun=1)]}, "'most_fun'; go on with the version of touchstone that wrote them"),
    ],
)
def test_log_that_cannot_go_on_is_refused(command: Command, tmp_path: Path, log: dict[str, Any], message: str) -> None:
    """A log of another command, of a twin that is gone, or of another version is told as what it is."""
    log_of(tmp_path, *log.pop("events", ()), **log)
    told = command("probe", "--resume", "old", "--url", URL)
    assert (told.code, "Traceback" in told.err) == (2, False)
    assert message in " ".join(told.err.split())


def test_probe_that_is_over_is_told_again(command: Command, tmp_path: Path) -> None:
    """The log of a finished probe gives its reports once more, and nothing is sent, whatever the target."""
    path = log_of(tmp_path, begun(), ended(Identity((), (), Cost(9, 3, 6, 2.0), why="budget")))
    with RunLogWriter(path) as writer:
        writer.write(Footer("2026-01-02T03:05:05Z", 60.0, 3, "the budget is spent"))
    told = command("probe", "--resume", "old", keys={})
    assert (told.code, told.last_line) == (3, "exit 3: the budget is spent")
    assert (path.parent / "report.html").exists()


@pytest.mark.parametrize("asked", [(), ("--advise",)])
def test_advice_is_told_where_it_is_asked_for(command: Command, tmp_path: Path, asked: tuple[str, ...]) -> None:
    """With --advise a probe says what a client should do, also one that is told again; report.json always has it."""
    answered = Answered(1, Answer(1.2, 1.3, accepted=True), 202, 8, "a/b@1")
    path = log_of(tmp_path, begun(), answered, ended(identities.identity("token-bucket:10/4,burst=5")))
    told = command("probe", "--resume", "old", *asked, keys={})
    assert ("What a client should do" in told.out) == bool(asked)
    assert json.loads((path.parent / "report.json").read_text("utf-8"))["probe"]["advice"]["burst"] == 5


@pytest.mark.parametrize(
    ("settings", "flags", "builds"),
    [
        ("", (), 400),
        ("", ("--url", URL), 400),
        ("", ("--url", URL, "--max-builds", "40"), 40),
        (COSTLY, ("--target", "own"), 40),
        (COSTLY, ("--target", "own", "--max-builds", "50"), 50),
    ],
)
def test_builds_are_what_somebody_said_or_the_probes_own_default(
    command: Command, tmp_path: Path, settings: str, flags: tuple[str, ...], builds: int
) -> None:
    """A number of builds that a flag or the file tells is kept, also where it is the default of a check."""
    (tmp_path / "touchstone.toml").write_text(settings, "utf-8")
    told = command("probe", "--plan", *flags)
    assert told.code == 0
    assert f"builds    {builds} at worst" in told.out


@pytest.mark.parametrize(
    ("settings", "lasts_s"),
    [
        (COSTLY, 300.0),
        (COSTLY + "build_timeout_s = 60\n", 54.0),
        (COSTLY + 'publish = "never"\ntemplates = { buildable = ["a/b@1.0.0"] }\n', 0.0),
    ],
)
def test_builds_last_as_long_as_they_were_published_to(tmp_path: Path, settings: str, lasts_s: float) -> None:
    """Of versions that somebody else published nobody knows."""
    (tmp_path / "touchstone.toml").write_text(settings, "utf-8")
    own = load(Flags(target="own"), {"ORGO_API_KEY": "sk_live_own_account"}, tmp_path, 400)
    assert builds_s(own) == lasts_s


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        (Identity((), (), Cost(1, 0, 1, 1.0), sure=True, why="settled"), ""),
        (
            Identity((), (Runner("token-bucket", 0.612, "x"),), Cost(50, 0, 1, 1.0), why="budget"),
            (
                "the limiter is not known for sure (token bucket with a probability of 61 %): "
                "the budget of 50 requests is spent; raise --max-requests"
            ),
        ),
        (
            Identity((), (), Cost(49, 0, 49, 1.0), unlimited_to=49, why="budget"),
            "no limit was met by 49 requests: the budget of 60 s is spent; raise --max-seconds",
        ),
        (
            Identity((), (), Cost(1, 0, 1, 1.0), why="nothing left to learn"),
            "the limiter is not known for sure: no request that may be sent would tell more",
        ),
    ],
)
def test_unsure_probe_says_why(tmp_path: Path, identity: Identity, reason: str) -> None:
    """A limiter that is not known for sure is no pass, and the reason says what would help."""
    assert unsure(read(log_of(tmp_path, begun(), ended(identity))).probe) == reason
    assert unsure(None)


def test_spent_builds_are_told_with_those_that_may_have_begun(tmp_path: Path) -> None:
    """Of a start that was not answered nobody knows, so it is counted as a build that was spent."""
    answers = [Answered(1, Answer(1.0, 1.1, number > 0), 202 if number else 0) for number in range(40)]
    found = Identity((), (), Cost(39, 0, 39, 1.0), why="budget")
    events = (begun(), *answers, ended(found))
    reason = unsure(read(log_of(tmp_path, *events)).probe)
    assert reason == "the limiter is not known for sure: the budget of 40 builds is spent; raise --max-builds"


def test_facts_of_a_probe_come_back(tmp_path: Path) -> None:
    """What was asked, sent, answered and heard is read as it was written; a failure is no part of the story."""
    stimulus = Stimulus("a burst", (drain(1.0, 3),), frees=1, bits=0.5)
    answers = (
        Answered(1, Answer(1.2, 1.3, True, stream=1), 202, 8, "a/b@1"),
        Answered(1, Answer(1.1, 1.4, False, 2.0, {"remaining": 0.0}), 429, 7, "a/c@1"),
        Answered(1, Answer(1.3, 1.4, False), 503, 9, "a/d@1"),
    )
    heard = Heard(1, 1.4, {"fixed": 1.0}, 3, 1, 1)
    facts = (Sending(1, stimulus), *answers, heard)
    story = read(log_of(tmp_path, begun(), *facts)).probe
    assert story is not None
    assert (story.sent, story.answers, story.heard) == ((Sending(1, stimulus),), answers, (heard,))
    assert story.answers_to(1) == (answers[1].answer, answers[0].answer)
    assert (story.last_at, story.finished) == (1.4, False)


def test_damaged_event_names_its_line(command: Command, tmp_path: Path) -> None:
    """An event with a value that cannot be is an error with its place."""
    path = log_of(tmp_path, begun())
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"type": "stimulus", "number": "x", "name": "y", "segments": []}) + "\n")
    told = command("probe", "--resume", "old", "--url", URL)
    assert told.code == 3
    assert "line 3: stimulus.number: Input should be a valid integer" in told.err


def of_knee() -> Probing:
    """The event with which a probe begins that looks for a knee."""
    terms = asdict(replace(TERMS, starts=False))
    return Probing("getBuild", 20, terms, 1_700_000_000.0, knee=KneeTerms(0.06, 9_000))


def settled() -> Identity:
    """No limit was met."""
    return Identity((), (), Cost(9, 0, 0, 1.0), unlimited_to=9, sure=True, why="settled")


def test_plan_of_a_knee_says_that_it_is_a_load(command: Command) -> None:
    """What is asked of the target, for how many requests and seconds at worst; nothing is sent."""
    told = command("probe", "--knee", "--operation", "getBuild", "--slo-ms", "80", "--plan")
    words = " ".join(told.out.split())
    assert told.code == 0
    assert "the highest rate at which 99 % are answered within 80 ms. A LOAD" in words
    assert "requests 25,000 at worst" in words
    assert "builds 0 at worst" in words
    assert "seconds 900 at worst" in words


def test_knee_that_was_asked_for_otherwise_is_refused(command: Command, tmp_path: Path) -> None:
    """The limit and the budget are those with which the search was begun."""
    log_of(tmp_path, of_knee())
    for flags, message in ((["--slo-ms", "80"], "begun with 60.0"), (["--max-requests", "50"], "begun with 9000")):
        told = command("probe", "--resume", "old", "--url", URL, *flags)
        assert (told.code, message in " ".join(told.err.split())) == (2, True)


@pytest.mark.parametrize(
    ("knee", "reason"),
    [
        (None, "the probe ended before it knew anything of the knee"),
        (Knee(0.06, "confirmed", Interval(150, 144, 158)), ""),
        (Knee(0.06, "seconds"), "the knee is not known: the time is over; raise --max-seconds"),
    ],
)
def test_knee_that_is_not_told_is_a_reason(tmp_path: Path, knee: Knee | None, reason: str) -> None:
    """A probe that was to find one and did not is no success; one that was not to has nothing to say."""
    told = [] if knee is None else [knee]
    story = read(log_of(tmp_path, of_knee(), ended(settled()), *told)).probe
    assert story is not None
    assert no_knee(story) == reason
    assert no_knee(replace(story, probing=replace(story.probing, knee=None))) == ""
    assert story.finished == (knee is not None)


def test_trials_stand_in_the_log_as_they_were(tmp_path: Path) -> None:
    """Whatever is written is read again."""
    trial = Trial(1, "bracket", 141.25, 800, 20_001, 24)
    tried = Tried(trial, Outcome(due=800, sent=800, slow=3, blocks=((400, 3), (400, 0)), p99_s=0.05), "passed")
    found = Knee(0.06, "confirmed", Interval(150, 144, 158), missed=Interval(0.01, 0.0, 0.02))
    log = log_of(tmp_path, of_knee(), trial, tried, found)
    story = read(log).probe
    assert story is not None
    assert (story.tried, story.knee) == ((tried,), found)
