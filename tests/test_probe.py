"""
The driving of a probe: it sends what is asked and no more, when it is due, writes all of it down, and leaves nothing.
"""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests import probes
from tests.command import PRIMARY, Command, Ended, Shell, gone
from tests.stages import Asgi, descendants
from tests.watched import Watched
from touchstone.check.job import LOAD_TWIN
from touchstone.facts.events import RunLog
from touchstone.facts.probe_events import ProbeStory
from touchstone.facts.runlog import read
from touchstone.limiter.probe import runner
from touchstone.limiter.probe.runner import BUILD_S, probe_command
from touchstone.proof.faults import FAULTS
from touchstone.rules.verdict import judge
from touchstone.twin import RateLimit

pytestmark = pytest.mark.whole


@dataclass
class Asked:
    """What a target was asked, in order: the method and the path of each request.

    Attributes:
        status: Where it is set, what starts are answered with.
    """

    requests: list[tuple[str, str]] = field(default_factory=list)
    status: int = 0

    def wrap(self, app: Asgi) -> Asgi:
        """The same application, listened to."""

        async def heard(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.requests.append((scope["method"], scope["path"]))
                if self.status and scope["method"] == "POST" and scope["path"].endswith("/build"):
                    headers = [(b"content-type", b"application/json")]
                    await send({"type": "http.response.start", "status": self.status, "headers": headers})
                    await send({"type": "http.response.body", "body": b'{"error": "no"}'})
                    return
            await app(scope, receive, send)

        return heard

    @property
    def starts(self) -> int:
        """How many of them were starts."""
        return sum(method == "POST" and path.endswith("/build") for method, path in self.requests)

    def named(self, name: str) -> list[str]:
        """The methods of the requests about a build of this version, in order; reads left out."""
        return [m for m, path in self.requests if m != "GET" and path.endswith("/build") and f"/{name}/" in path]


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe that is over, and what its target saw."""

    ended: Ended
    log: RunLog
    asked: Asked
    launched: list[str]
    left: tuple[list[str], int, int]

    @property
    def story(self) -> ProbeStory:
        """What the log tells of it."""
        assert self.log.probe is not None
        return self.log.probe


During = Callable[["subprocess.Popen[str]", Watched, Asked], None]


def probed(
    folder: Path,
    *flags: str,
    brain: str = probes.BRAIN,
    during: During | None = None,
    call: Command | None = None,
    status: int = 0,
    rate: str = "6/1",
    **settings: Any,
) -> Probed:
    """Probes a twin.

    Args:
        during: What happens meanwhile.
        call: What runs the command in this process; None for a process of its own.
        status: What starts are answered with, whatever the twin says.
    """
    asked, shell = Asked(status=status), probes.shell(folder, brain)
    limit = RateLimit.parse(rate) if rate else None
    with Watched(wrap=asked.wrap, rate=limit, **settings) as twin:
        return probed_again(shell, twin, asked, *flags, during=during, call=call)


def probed_again(
    shell: Shell, twin: Watched, asked: Asked, *flags: str, during: During | None = None, call: Command | None = None
) -> Probed:
    """Probes a twin that is there."""
    arguments = ("probe", "--url", twin.url, "--report-dir", "run", *flags)
    if call:
        ended = call(shell, *arguments)
    else:
        command = shell.start(*arguments)
        if during:
            during(command, twin, asked)
        ended = shell.ended(command)
    left = (twin.refs(), twin.running(), len(shell.journals()))
    return Probed(ended, read(shell.folder / "run" / "runlog.jsonl"), asked, list(twin.launched), left)


def until(command: "subprocess.Popen[str]", text: str) -> None:
    """Waits until a command says that."""
    assert command.stderr is not None
    for line in command.stderr:
        if line.startswith(text):
            return
    raise AssertionError(f"it ended before it said {text!r}")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, call: Command) -> Command:
    """Calls the command line in this process with the brain of a shell: a probe that nobody interrupts, for less."""

    def probe(shell: Shell, *arguments: str) -> Ended:
        brain = shell.environment()["STAND_IN"]
        monkeypatch.setattr(runner, "probe_command", lambda: probes.child(brain))
        return call(shell, *arguments)

    return probe


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Probed:
    """A probe from its beginning to its end."""
    return probed(tmp_path_factory.mktemp("whole"), "--max-builds", "30", latency_s=0.03)


def test_probe_ends_well_and_says_so(whole: Probed) -> None:
    """A limiter that is known for sure is exit code 0, and each stimulus has a line with what is known before it."""
    assert (whole.ended.code, whole.ended.last_line[:7]) == (0, "exit 0:")
    assert "3: two volleys; known: fixed 75 %, gcra 25 %; " in whole.ended.err
    assert "the probe ends (settled); known: fixed 75 %" in whole.ended.err


def test_all_that_is_sent_is_written_down(whole: Probed) -> None:
    """The target saw as many starts as the log has answers; each belongs to a stimulus, and each of those was heard."""
    story = whole.story
    assert story.probing.terms["builds_s"] == BUILD_S
    assert len(story.answers) == whole.asked.starts
    assert [sending.number for sending in story.sent] == [heard.stimulus for heard in story.heard] == [1, 2, 3, 4, 5]
    assert {answered.stimulus for answered in story.answers} == {1, 2, 3, 4, 5}
    assert {answered.status for answered in story.answers} == {202, 429}
    assert story.identified is not None
    assert [step.name for step in story.identified.steps] == [sending.stimulus.name for sending in story.sent]
    assert story.identified.identity.cost.requests == len(story.answers)
    began = sum(answered.status == 202 for answered in story.answers)
    # A refused start counts until a read has shown that it began nothing.
    assert story.heard[-1].builds >= began == len(whole.launched)


def test_nothing_is_sent_before_it_is_due(whole: Probed) -> None:
    """
    Each request goes out at its moment or later, and after the answer to the one before it unless they go together.
    """
    for sending in whole.story.sent:
        answers = iter(whole.story.answers_to(sending.number))
        done_at = 0.0
        for segment in sending.stimulus.segments:
            for at, answer in zip(segment.at, answers, strict=False):
                assert answer.sent_at >= round(at, 6)
                assert segment.together or answer.sent_at >= done_at
                done_at = answer.done_at


def test_volley_is_under_way_at_once(whole: Probed) -> None:
    """The requests of a volley go out on connections of their own before the first of them is answered."""
    answers = whole.story.answers_to(3)
    assert [sorted(answer.stream for answer in each) for each in (answers[:3], answers[3:])] == [[0, 1, 2], [0, 1, 2]]
    for volley in (answers[:3], answers[3:]):
        assert max(answer.sent_at for answer in volley) < min(answer.done_at for answer in volley)


def test_stream_waits_for_no_answer_and_ends_with_a_refusal(tmp_path: Path, here: Command) -> None:
    """
    Of a queue in which each waits a quarter of a second: nothing is sent any more once one is seen to be refused, the
    versions that were not started are there for the next one, and a burst ends once answers are held back.
    """
    run = probed(tmp_path, "--max-builds", "91", call=here, brain=probes.STREAMS, rate="leaky-bucket:4/1,burst=6")
    answers = run.story.answers_to(2)
    refused_at = min(answer.done_at for answer in answers if not answer.accepted)
    assert 7 < len(answers) < 50
    assert all(answer.sent_at <= refused_at for answer in answers)
    assert max(answer.done_at for answer in answers) > refused_at + 0.5
    assert [answer.stream for answer in answers] == list(range(len(answers)))
    for at, answer in zip(run.story.sent[1].stimulus.segments[0].at, answers, strict=False):
        assert answer.sent_at >= round(at, 6)
    burst = run.story.answers_to(3)
    assert 4 < len(burst) < 40
    assert all(answer.accepted for answer in burst)
    refs = {number: [each.ref for each in run.story.answers if each.stimulus == number] for number in (1, 2, 3)}
    assert refs[3][0] not in refs[1] + refs[2]
    assert run.left == ([], 0, 0)


def test_no_start_joins_a_running_build(whole: Probed) -> None:
    """Each start that is accepted begins a build of its own, and none is started again before it was cancelled."""
    accepted = [answered for answered in whole.story.answers if answered.answer.accepted]
    assert len(accepted) == len(whole.launched)
    for answered in accepted:
        methods = whole.asked.named(answered.ref.removeprefix("default/").partition("@")[0])
        assert "DELETE" in methods


def test_refusals_are_judged_and_kept(whole: Probed) -> None:
    """The claims about 429 get their verdicts, and each refusal is kept as an exchange with the number in the log."""
    judged = {claim.claim.id: claim.verdict for claim in judge(whole.log).claims}
    assert judged["limit.has-the-error-shape"] == "upheld"
    refused = {answered.seq for answered in whole.story.answers if answered.status == 429}
    kept = {exchange.seq: exchange for exchange in whole.log.exchanges}
    assert refused
    assert {kept[seq].status for seq in refused} == {429}
    assert {answered.answer.retry_after_s for answered in whole.story.answers if answered.status == 429} != {None}


@pytest.mark.parametrize(
    ("fault", "claim", "actual", "code"),
    [
        ("limit-says-detail", "limit.has-the-error-shape", '{"detail": "slow down"}', 1),
        ("retry-after-has-decimals", "limit.retry-after-is-valid", "'0.", 0),
    ],
)
def test_refusals_that_break_a_claim_are_told(
    tmp_path: Path, here: Command, fault: str, claim: str, actual: str, code: int
) -> None:
    """What is wrong with a 429 is a finding with the exchange that shows it; of a must claim it is exit code 1."""
    shell = probes.shell(tmp_path)
    with FAULTS[fault].twin(replace(LOAD_TWIN, rate=RateLimit.parse("6/1"))) as twin:
        ended = here(shell, "probe", "--url", twin.url, "--report-dir", "run", "--max-builds", "30")
    report = json.loads((tmp_path / "run" / "report.json").read_text("utf-8"))
    (finding,) = report["findings"]
    assert (finding["claim"], ended.code) == (claim, code)
    assert actual in finding["actual"]
    log = read(tmp_path / "run" / "runlog.jsonl")
    assert log.probe is not None
    refused = {answered.seq for answered in log.probe.answers if answered.status == 429}
    assert finding["occurrences"] == len(refused)
    assert set(finding["evidence"]) <= refused & {exchange.seq for exchange in log.exchanges}


def test_nothing_is_left(whole: Probed) -> None:
    """All versions are deleted, all builds cancelled, the journal is gone, and no file holds a key."""
    assert whole.left == ([], 0, 0)
    files = [path for path in whole.ended.folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"runlog.jsonl", "report.html", "report.json", "junit.xml"}
    assert [path for path in files if PRIMARY.encode() in path.read_bytes()] == []


def test_held_builds_stay_until_they_are_freed(tmp_path: Path, here: Command) -> None:
    """
    Builds that are held are in flight until the next stimulus has them freed, and seen to end before its first start.
    """
    run = probed(tmp_path, "--max-builds", "30", call=here, rate="", settle_s=0.4)

    def about(ref: str, method: str, since: int = 0) -> int:
        name = ref.removeprefix("default/").partition("@")[0]
        asked = run.asked.requests
        return next(
            n
            for n in range(since, len(asked))
            if asked[n][0] == method and asked[n][1].endswith("/build") and f"/{name}/" in asked[n][1]
        )

    *_, first, second, last = [answered.ref for answered in run.story.answers]
    began = about(second, "POST")
    for ref in (first, second):
        cancelled = about(ref, "DELETE")
        assert about(ref, "POST") <= began < cancelled < about(ref, "GET", cancelled) < about(last, "POST")
        with pytest.raises(StopIteration):
            about(ref, "GET", about(last, "POST"))
    assert [len(run.story.answers_to(number)) for number in (1, 2, 3, 4, 5)] == [1, 8, 6, 2, 1]


@pytest.mark.parametrize(
    ("flags", "starts", "builds", "spent"),
    [
        (("--max-requests", "7", "--max-builds", "30"), 7, None, "7 requests is spent; raise --max-requests"),
        (("--max-builds", "5"), None, 5, "5 builds is spent; raise --max-builds"),
        (("--max-builds", "30", "--max-seconds", "3"), None, None, "3 s is spent; raise --max-seconds"),
    ],
    ids=["requests", "builds", "seconds"],
)
def test_no_budget_is_overrun(
    tmp_path: Path, here: Command, flags: tuple[str, ...], starts: int | None, builds: int | None, spent: str
) -> None:
    """A probe that would go on without end stops where one of its budgets is spent, and is no pass."""
    run = probed(tmp_path, *flags, call=here, brain=probes.ENDLESS)
    assert run.ended.code == 3
    told = "the limiter is not known for sure (fixed with a probability of 75 %): the budget of"
    assert f"{told} {spent}" in run.ended.last_line
    assert starts is None or run.asked.starts == starts
    assert builds is None or len(run.launched) == builds
    assert run.story.identified is not None
    assert run.story.identified.identity.why == "budget"
    assert run.left == ([], 0, 0)


def interrupting(number: signal.Signals, stimulus: int) -> During:
    """Sends a signal while the stimulus with this number is under way."""

    def interrupt(command: "subprocess.Popen[str]", _twin: Watched, _asked: Asked) -> None:
        until(command, f"{stimulus}: ")
        command.send_signal(number)

    return interrupt


def test_interrupted_probe_clears_up_and_goes_on_later(tmp_path: Path) -> None:
    """It tells what it knows and leaves nothing; resumed, it goes on where it was, with what is left of its budget.

    That holds for Ctrl-C and for SIGTERM, and for a run that was resumed.
    """
    asked, shell, flags = Asked(), probes.shell(tmp_path, probes.ENDLESS), ("--max-requests", "40")
    with Watched(wrap=asked.wrap, rate=RateLimit.parse("6/1")) as twin:
        runs = [probed_again(shell, twin, asked, *flags, during=interrupting(signal.SIGINT, 3))]
        assert_interrupted(runs[0], asked)
        later = interrupting(signal.SIGTERM, len(runs[0].story.sent) + 2)
        runs.append(probed_again(shell, twin, asked, "--resume", "run", during=later))
        assert_interrupted(runs[1], asked)
        assert_went_on(runs[0], runs[1])

        runs.append(probed_again(shell, twin, asked, "--resume", "run", "--seed", "20"))
        assert (runs[2].ended.code, runs[2].left) == (3, ([], 0, 0))
        assert runs[2].ended.err.startswith(f"{len(runs[1].story.sent) + 1}: a burst; known: fixed 75 %")
        assert asked.starts == len(runs[2].story.answers) == 40
        assert_went_on(runs[1], runs[2])
        begun = [len(run.story.sent) for run in runs]
        anew = [sending.stimulus.anew for sending in runs[2].story.sent]
        assert anew == [number >= begun[0] for number in range(begun[2])]

        last = probed_again(shell, twin, asked, "--resume", "run")
        assert (last.ended.code, last.ended.last_line) == (3, runs[2].ended.last_line)
        assert asked.starts == 40


def assert_interrupted(run: Probed, asked: Asked) -> None:
    """It knows that it was interrupted, wrote down all that it sent, and left nothing."""
    assert run.ended.code == 130
    assert run.story.identified is not None
    assert run.story.identified.identity.why == "interrupted"
    assert run.left == ([], 0, 0)
    assert asked.starts == len(run.story.answers) < 40


def assert_went_on(first: Probed, second: Probed) -> None:
    """Nothing of before is lost or sent again, and all that is new is later."""
    story, before = second.story, first.story
    assert story.answers[: len(before.answers)] == before.answers
    assert story.answers[len(before.answers)].answer.sent_at > before.answers[-1].answer.done_at
    assert story.probing.origin_utc == before.probing.origin_utc
    assert [sending.number for sending in story.sent] == list(range(1, len(story.sent) + 1))
    assert {heard.stimulus for heard in story.heard} == {sending.number for sending in story.sent}


def test_killed_probe_is_swept_and_goes_on_later(tmp_path: Path) -> None:
    """After a kill the child is gone, a sweep removes what was left, and what was heard is enough to go on."""
    asked, shell = Asked(), probes.shell(tmp_path, probes.ENDLESS)
    with Watched(wrap=asked.wrap, rate=RateLimit.parse("6/1")) as twin:
        command = shell.start("probe", "--url", twin.url, "--report-dir", "run", "--max-requests", "30")
        until(command, "3: ")
        processes = descendants(command.pid)
        command.kill()
        shell.ended(command)
        assert all(gone(process) for process in processes)
        assert shell.run("sweep", "--url", twin.url).code == 0
        assert (twin.refs(), twin.running()) == ([], 0)
        run = probed_again(shell, twin, asked, "--resume", "run/runlog.jsonl")
        assert run.ended.code == 3
        assert len(run.story.answers) == 30
        assert asked.starts in (30, 31)  # of the one that was under way there may be no answer


def test_server_that_dies_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    """Five requests in a row without an answer end a probe with 3; what was heard before stays without them."""

    def die(command: "subprocess.Popen[str]", twin: Watched, _asked: Asked) -> None:
        until(command, "3: ")
        twin.twin.stop()

    run = probed(tmp_path, brain=probes.ENDLESS, during=die)
    assert run.ended.code == 3
    assert "5 requests in a row told nothing of a limiter, the last with no answer" in run.ended.last_line
    heard = [answered for answered in run.story.answers if answered.heeded]
    assert [answered.status for answered in run.story.answers[-5:]] == [0] * 5
    assert run.story.identified is not None
    assert run.story.identified.identity.cost.requests == len(heard) >= 5


@pytest.mark.parametrize(
    ("status", "starts", "message"),
    [(403, 1, "answered with status 403: the key may not do this"), (503, 5, "5 requests in a row told nothing")],
)
def test_answers_of_another_kind_end_a_probe(
    tmp_path: Path, here: Command, status: int, starts: int, message: str
) -> None:
    """
    A key that may not start builds ends it at once, and a server that fails after five times; the brain hears neither.
    """
    run = probed(tmp_path, "--max-builds", "30", call=here, brain=probes.ENDLESS, status=status)
    assert (run.ended.code, run.asked.starts) == (3, starts)
    assert message in run.ended.last_line
    assert f"{starts} times status {status}" in run.ended.out
    assert run.story.identified is not None
    assert run.story.identified.identity.cost.requests == 0


def test_reads_are_probed_without_a_build(tmp_path: Path, here: Command) -> None:
    """
    With --operation getBuild one version is read that nobody has built, and any answer but a refusal lets it through.
    """
    run = probed(tmp_path, "--operation", "getBuild", call=here)
    assert run.ended.code == 0
    assert (run.asked.starts, run.launched) == (0, [])
    assert {answered.answer.accepted for answered in run.story.answers} == {True}
    assert len({answered.ref for answered in run.story.answers}) == 1
    assert run.left == ([], 0, 0)


def test_reads_need_no_version(tmp_path: Path, here: Command) -> None:
    """Where nothing may be published and nothing is named, a version is read that does not exist."""
    asked, shell = Asked(), probes.shell(tmp_path)
    with Watched(wrap=asked.wrap) as twin:
        settings = f'[targets.own]\nurl = "{twin.url}"\npublish = "never"\n'
        (tmp_path / "touchstone.toml").write_text(settings, "utf-8")
        ended = here(shell, "probe", "--target", "own", "--operation", "getBuild", "--report-dir", "run")
        story = read(tmp_path / "run" / "runlog.jsonl").probe
        assert story is not None
        assert (ended.code, {answered.status for answered in story.answers}) == (0, {404})
        assert {method for method, _ in asked.requests} == {"GET"}


def test_versions_are_used_again(tmp_path: Path, here: Command) -> None:
    """With fewer versions than starts each is started again, once its build is seen to have ended."""
    refs = '["default/one@1.0.0", "default/two@1.0.0", "default/three@1.0.0"]'
    asked, shell = Asked(), probes.shell(tmp_path)
    with Watched(wrap=asked.wrap, build_s=60.0) as twin:
        for name in ("one", "two", "three"):
            twin.publish(name)
        settings = f'[targets.url]\nurl = "{twin.url}"\npublish = "never"\ntemplates = {{ buildable = {refs} }}\n'
        (tmp_path / "touchstone.toml").write_text(settings, "utf-8")
        ended = here(shell, "probe", "--target", "url", "--report-dir", "run")
        story = read(tmp_path / "run" / "runlog.jsonl").probe
        assert story is not None
        accepted = [answered for answered in story.answers if answered.answer.accepted]
        assert (ended.code, len(accepted), len(twin.launched)) == (0, 18, 18)
        assert twin.running() == 0


@pytest.fixture
def nothing_sent() -> Iterator[tuple[Watched, Asked]]:
    """A twin that is not to be asked anything."""
    asked = Asked()
    with Watched(wrap=asked.wrap) as twin:
        yield twin, asked
    assert asked.requests == []


def test_plan_sends_nothing(tmp_path: Path, call: Command, nothing_sent: tuple[Watched, Asked]) -> None:
    """--plan says what a probe would cost at worst."""
    twin, _ = nothing_sent
    flags = ("--max-requests", "60", "--max-builds", "9")
    ended = call(Shell(tmp_path), "probe", "--url", twin.url, "--plan", *flags)
    assert ended.code == 0
    for words in (
        "limiter is behind startBuild",
        "requests  60 at worst",
        "builds    9 at worst",
        "publishes 9 versions",
    ):
        assert words in ended.out
    assert not (tmp_path / "reports").exists()


def test_child_started_by_hand_says_what_to_start(tmp_path: Path) -> None:
    """Whoever starts the child process of a probe is told the command, and the process ends."""
    environment = Shell(tmp_path).environment()
    ended = subprocess.run(
        probe_command(), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert "probe: not started by touchstone; run `touchstone probe`" in ended.stderr
