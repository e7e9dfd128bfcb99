"""`touchstone probe`: it sends what it is to and no more, when due, writes all of it down, and leaves nothing."""

import json
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

from tests import probes
from tests.command import PRIMARY, Command, Ended, Shell, gone
from tests.stages import Asgi, descendants
from tests.watched import Watched
from touchstone.check.job import LOAD_TWIN
from touchstone.facts.events import RunLog
from touchstone.facts.probe import ProbeStory
from touchstone.facts.runlog import read
from touchstone.limiter.probe.runner import BUILD_S
from touchstone.proof.faults import FAULTS
from touchstone.rules.verdict import judge
from touchstone.twin import RateLimit

Requests = Sequence[tuple[str, str]]


def starts(requests: Requests) -> int:
    return sum(method == "POST" and path.endswith("/build") for method, path in requests)


def place(requests: Requests, ref: str, method: str, since: int = 0) -> int | None:
    """The number of the first request of a method about a build of this version; None where there is none."""
    name = ref.removeprefix("default/").partition("@")[0]
    fits = (m == method and p.endswith("/build") and f"/{name}/" in p for m, p in requests[since:])
    return next((number for number, fit in enumerate(fits, since) if fit), None)


def answering(status: int) -> Callable[[Asgi], Asgi]:
    """Has starts be answered with a status, whatever the twin says; 0 for what it says."""

    def wrap(app: Asgi) -> Asgi:
        async def answered(scope: Any, receive: Any, send: Any) -> None:
            if status and scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith("/build"):
                await JSONResponse({"error": "no"}, status)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return answered

    return wrap


def refusing_a_cancel(app: Asgi) -> Asgi:
    """Refuses the first cancel of a build."""
    refused: list[int] = []

    async def answered(scope: Any, receive: Any, send: Any) -> None:
        if not refused and scope["type"] == "http" and scope["method"] == "DELETE" and scope["path"].endswith("/build"):
            refused.append(429)
            await JSONResponse({"error": "no"}, 429)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return answered


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe that is over, the requests that its target received, and what is left: versions, builds, journals."""

    ended: Ended
    log: RunLog
    requests: Requests
    launched: list[str]
    left: tuple[list[str], int, int]

    @property
    def story(self) -> ProbeStory:
        assert self.log.probe is not None
        return self.log.probe


During = Callable[["subprocess.Popen[str]", Watched], None]


def probed(
    shell: Shell, twin: Watched, *flags: str, call: Command | None = None, during: During | None = None
) -> Probed:
    """Probes a twin, in this process where there is *call*; *flags* name the target where they say `--target`."""
    target = () if "--target" in flags else ("--url", twin.url)
    arguments = ("probe", *target, "--report-dir", "run", *flags)
    if call:
        ended = call(shell, *arguments)
    else:
        command = shell.start(*arguments)
        if during:
            during(command, twin)
        ended = shell.ended(command)
    left = (twin.refs(), twin.running(), len(shell.journals()))
    log = read(shell.folder / "run" / "runlog.jsonl")
    return Probed(ended, log, list(twin.received), list(twin.launched), left)


def once(
    folder: Path,
    *flags: str,
    brain: str = probes.BRAIN,
    call: Command | None = None,
    status: int = 0,
    rate: str = "6/1",
    during: During | None = None,
    **settings: Any,
) -> Probed:
    with Watched(wrap=answering(status), rate=RateLimit.parse(rate) if rate else None, **settings) as twin:
        return probed(probes.shell(folder, brain), twin, *flags, call=call, during=during)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, call: Command) -> Command:
    return probes.in_process(monkeypatch, call)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Probed:
    return once(tmp_path_factory.mktemp("whole"), "--max-builds", "30", latency_s=0.1)


def test_probe_writes_down_all_that_it_sends(whole: Probed) -> None:
    story = whole.story
    assert (whole.ended.code, story.probing.terms["builds_s"]) == (0, BUILD_S)
    third = next(line for line in whole.ended.err.splitlines() if line.startswith("3: "))
    assert [text for text in ("two volleys", "fixed 75 %, gcra 25 %") if text not in third] == []
    assert len(story.answers) == starts(whole.requests)
    assert [sending.number for sending in story.sent] == [each.stimulus for each in story.ended] == [1, 2, 3, 4, 5]
    assert {answered.stimulus for answered in story.answers} == {1, 2, 3, 4, 5}
    assert {answered.status for answered in story.answers} == {202, 429}
    assert story.identified is not None
    assert [step.name for step in story.identified.steps] == [sending.stimulus.name for sending in story.sent]
    assert story.identified.identity.cost.requests == len(story.answers)
    began = sum(answered.status == 202 for answered in story.answers)
    assert story.ended[-1].builds >= began == len(whole.launched)


def test_requests_are_sent_when_due_and_volleys_at_once(whole: Probed) -> None:
    for sending in whole.story.sent:
        answers, done_at = iter(whole.story.answers_to(sending.number)), 0.0
        for segment in sending.stimulus.segments:
            for at, answer in zip(segment.at, answers, strict=False):
                assert answer.sent_at >= round(at, 6)
                assert segment.together or answer.sent_at >= done_at
                done_at = answer.done_at
    volleys = whole.story.answers_to(3)
    for volley in (volleys[:3], volleys[3:]):
        assert sorted(answer.stream for answer in volley) == [0, 1, 2]
        assert max(answer.sent_at for answer in volley) < min(answer.done_at for answer in volley)


def test_refusals_are_judged_and_kept(whole: Probed) -> None:
    judged = {claim.claim.id: claim.verdict for claim in judge(whole.log).claims}
    assert judged["limit.has-the-error-shape"] == "upheld"
    refused = {answered.seq for answered in whole.story.answers if answered.status == 429}
    kept = {exchange.seq: exchange.status for exchange in whole.log.exchanges}
    assert refused
    assert {kept[seq] for seq in refused} == {429}
    assert {answered.answer.retry_after_s for answered in whole.story.answers if answered.status == 429} != {None}


def test_nothing_is_left_and_no_file_holds_a_key(whole: Probed) -> None:
    assert whole.left == ([], 0, 0)
    files = [path for path in whole.ended.folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"runlog.jsonl", "report.html", "report.json", "junit.xml"}
    assert [path for path in files if PRIMARY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("fault", "claim", "actual", "code"),
    [
        ("limit-says-detail", "limit.has-the-error-shape", '{"detail": "slow down"}', 1),
        pytest.param("retry-after-has-decimals", "limit.retry-after-is-valid", "'0.", 0, marks=pytest.mark.whole),
    ],
)
def test_refusals_that_break_a_claim_are_findings(
    tmp_path: Path, here: Command, fault: str, claim: str, actual: str, code: int
) -> None:
    with FAULTS[fault].twin(replace(LOAD_TWIN, rate=RateLimit.parse("6/1"))) as twin:
        ended = here(probes.shell(tmp_path), "probe", "--url", twin.url, "--report-dir", "run", "--max-builds", "30")
    (finding,) = json.loads((tmp_path / "run" / "report.json").read_text("utf-8"))["findings"]
    assert (finding["claim"], actual in finding["actual"], ended.code) == (claim, True, code)
    log = read(tmp_path / "run" / "runlog.jsonl")
    assert log.probe is not None
    refused = {answered.seq for answered in log.probe.answers if answered.status == 429}
    assert finding["occurrences"] == len(refused)
    assert set(finding["evidence"]) <= refused & {exchange.seq for exchange in log.exchanges}


def test_limit_on_all_requests_ends_a_probe_of_starts(tmp_path: Path, here: Command) -> None:
    with Watched(wrap=refusing_a_cancel, rate=RateLimit.parse("6/1")) as twin:
        run = probed(probes.shell(tmp_path), twin, call=here)
    assert run.ended.code == 3
    assert "use --operation getBuild, which sends nothing else" in " ".join(run.ended.out.split())
    assert run.left == ([], 0, 0)


@pytest.mark.whole
def test_stream_waits_for_no_answer_and_ends_with_a_refusal(tmp_path: Path, here: Command) -> None:
    run = once(tmp_path, "--max-builds", "91", call=here, brain=probes.STREAMS, rate="leaky-bucket:4/1,burst=6")
    answers, burst = run.story.answers_to(2), run.story.answers_to(3)
    refused_at = min(answer.done_at for answer in answers if not answer.accepted)
    assert 7 < len(answers) < 50
    assert all(answer.sent_at <= refused_at for answer in answers)
    assert max(answer.done_at for answer in answers) > refused_at + 0.5
    assert [answer.stream for answer in answers] == list(range(len(answers)))
    for at, answer in zip(run.story.sent[1].stimulus.segments[0].at, answers, strict=False):
        assert answer.sent_at >= round(at, 6)
    # The burst ends once answers are held back; versions that the stream did not start are there for it.
    assert (4 < len(burst) < 40, all(answer.accepted for answer in burst)) == (True, True)
    refs = {number: [each.ref for each in run.story.answers if each.stimulus == number] for number in (1, 2, 3)}
    assert refs[3][0] not in refs[1] + refs[2]
    assert run.left == ([], 0, 0)


def test_held_builds_stay_until_they_are_freed(tmp_path: Path, here: Command) -> None:
    run = once(tmp_path, "--max-builds", "30", call=here, rate="", settle_s=0.4)
    requests = run.requests
    *_, first, second, last = [answered.ref for answered in run.story.answers]
    began, final = place(requests, second, "POST"), place(requests, last, "POST")
    assert began is not None
    assert final is not None
    for ref in (first, second):
        cancelled = place(requests, ref, "DELETE") or 0
        ended = place(requests, ref, "GET", cancelled) or 0
        assert (place(requests, ref, "POST") or 0) <= began < cancelled < ended < final
        assert place(requests, ref, "GET", final) is None
    assert [len(run.story.answers_to(number)) for number in (1, 2, 3, 4, 5)] == [1, 8, 6, 2, 1]


@pytest.mark.parametrize(
    ("flags", "count", "builds"),
    [
        (("--max-builds", "30", "--max-requests", "7"), 7, None),
        (("--max-builds", "5"), None, 5),
        pytest.param(("--max-builds", "30", "--max-seconds", "3"), None, None, marks=pytest.mark.whole),
    ],
    ids=["requests", "builds", "seconds"],
)
def test_no_budget_is_overrun(
    tmp_path: Path, here: Command, flags: tuple[str, ...], count: int | None, builds: int | None
) -> None:
    run = once(tmp_path, *flags, call=here, brain=probes.ENDLESS)
    assert (run.ended.code, flags[-2] in run.ended.last_line) == (3, True)
    assert count in (None, starts(run.requests))
    assert builds in (None, len(run.launched))
    assert run.story.identified is not None
    assert run.story.identified.identity.why == "budget"
    assert run.left == ([], 0, 0)


@pytest.mark.parametrize(("status", "count"), [(403, 1), (503, 5)])
def test_answers_of_another_kind_end_a_probe(tmp_path: Path, here: Command, status: int, count: int) -> None:
    run = once(tmp_path, "--max-builds", "8", call=here, brain=probes.ENDLESS, status=status)
    assert (run.ended.code, starts(run.requests)) == (3, count)
    assert f"status {status}" in run.ended.last_line
    assert run.story.identified is not None
    assert run.story.identified.identity.cost.requests == 0


def test_reads_are_probed_without_a_build(tmp_path: Path, here: Command) -> None:
    run = once(tmp_path, "--operation", "getBuild", call=here)
    assert (run.ended.code, starts(run.requests), run.launched, run.left) == (0, 0, [], ([], 0, 0))
    assert {answered.answer.accepted for answered in run.story.answers} == {True}
    assert len({answered.ref for answered in run.story.answers}) == 1


def probed_unpublished(folder: Path, call: Command, settings: str, *flags: str, names: Sequence[str] = ()) -> Probed:
    """Probes a target on which nothing may be published."""
    with Watched(build_s=60.0) as twin:
        for name in names:
            twin.publish(name)
        twin.received.clear()
        text = f'[targets.own]\nurl = "{twin.url}"\npublish = "never"\n{settings}'
        (folder / "touchstone.toml").write_text(text, "utf-8")
        return probed(probes.shell(folder), twin, "--target", "own", *flags, call=call)


def test_reads_need_no_version(tmp_path: Path, here: Command) -> None:
    run = probed_unpublished(tmp_path, here, "", "--operation", "getBuild")
    assert (run.ended.code, {answered.status for answered in run.story.answers}) == (0, {404})
    assert {method for method, _ in run.requests} == {"GET"}


def test_versions_are_started_again_once_their_builds_ended(tmp_path: Path, here: Command) -> None:
    names = ("one", "two", "three")
    refs = ", ".join(f'"default/{name}@1.0.0"' for name in names)
    run = probed_unpublished(tmp_path, here, f"templates = {{ buildable = [{refs}] }}\n", names=names)
    accepted = sum(answered.answer.accepted for answered in run.story.answers)
    assert (run.ended.code, accepted, len(run.launched), run.left[1]) == (0, 18, 18, 0)


def test_plan_sends_nothing(tmp_path: Path, call: Command) -> None:
    with Watched() as twin:
        ended = call(Shell(tmp_path), "probe", "--url", twin.url, "--plan")
        assert (ended.code, twin.received, (tmp_path / "reports").exists()) == (0, [], False)


def interrupting(number: signal.Signals, stimulus: int) -> During:
    """Sends a signal while the stimulus with this number is under way."""

    def interrupt(command: "subprocess.Popen[str]", _twin: Watched) -> None:
        probes.until(command, f"{stimulus}: ")
        command.send_signal(number)

    return interrupt


def assert_interrupted(run: Probed) -> None:
    """It knows that it was interrupted, wrote down all that it sent, and left nothing."""
    assert (run.ended.code, run.left) == (130, ([], 0, 0))
    assert run.story.identified is not None
    assert run.story.identified.identity.why == "interrupted"
    assert starts(run.requests) == len(run.story.answers) < 40


def assert_went_on(first: Probed, second: Probed) -> None:
    """Nothing of before is lost or sent again, and all that is new is later."""
    story, before = second.story, first.story
    assert story.answers[: len(before.answers)] == before.answers
    assert story.answers[len(before.answers)].answer.sent_at > before.answers[-1].answer.done_at
    assert story.probing.origin_utc == before.probing.origin_utc
    assert [sending.number for sending in story.sent] == list(range(1, len(story.sent) + 1))
    assert {each.stimulus for each in story.ended} == {sending.number for sending in story.sent}


@pytest.mark.whole
def test_interrupted_probe_clears_up_and_goes_on_later(tmp_path: Path) -> None:
    shell = probes.shell(tmp_path, probes.ENDLESS)
    with Watched(rate=RateLimit.parse("6/1")) as twin:
        first_signal = interrupting(signal.SIGINT, 3)
        runs = [probed(shell, twin, "--max-requests", "40", during=first_signal)]
        assert_interrupted(runs[0])
        later = interrupting(signal.SIGTERM, len(runs[0].story.sent) + 2)
        runs.append(probed(shell, twin, "--resume", "run", during=later))
        assert_interrupted(runs[1])
        assert_went_on(runs[0], runs[1])

        runs.append(probed(shell, twin, "--resume", "run"))
        assert (runs[2].ended.code, runs[2].left) == (3, ([], 0, 0))
        assert starts(twin.received) == len(runs[2].story.answers) == 40
        assert_went_on(runs[1], runs[2])
        begun = [len(run.story.sent) for run in runs]
        anew = [sending.stimulus.anew for sending in runs[2].story.sent]
        assert anew == [number >= begun[0] for number in range(begun[2])]

        last = probed(shell, twin, "--resume", "run")
        assert (last.ended.code, last.ended.last_line) == (3, runs[2].ended.last_line)
        assert starts(twin.received) == 40


@pytest.mark.whole
def test_killed_probe_is_swept_and_goes_on_later(tmp_path: Path) -> None:
    shell = probes.shell(tmp_path, probes.ENDLESS)
    with Watched(rate=RateLimit.parse("6/1")) as twin:
        command = shell.start("probe", "--url", twin.url, "--report-dir", "run", "--max-requests", "30")
        probes.until(command, "3: ")
        processes = descendants(command.pid)
        command.kill()
        shell.ended(command)
        assert all(gone(process) for process in processes)
        assert shell.run("sweep", "--url", twin.url).code == 0
        assert (twin.refs(), twin.running()) == ([], 0)
        run = probed(shell, twin, "--resume", "run/runlog.jsonl")
        assert (run.ended.code, len(run.story.answers)) == (3, 30)
        assert starts(twin.received) in (30, 31)  # of the one that was under way there may be no answer


@pytest.mark.whole
def test_dying_server_ends_the_probe_and_nothing_is_lost(tmp_path: Path) -> None:
    def die(command: "subprocess.Popen[str]", twin: Watched) -> None:
        probes.until(command, "3: ")
        twin.twin.stop()

    run = once(tmp_path, brain=probes.ENDLESS, during=die)
    assert run.ended.code == 3
    evidence = [answered for answered in run.story.answers if answered.is_evidence]
    assert [answered.status for answered in run.story.answers[-5:]] == [0] * 5
    assert run.story.identified is not None
    assert run.story.identified.identity.cost.requests == len(evidence) >= 5
