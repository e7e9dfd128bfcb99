"""`touchstone record` writes what a scenario expects, whole or not at all, and nothing that is a secret."""

import http.server
import json
import random
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.command import KEYS, Command, Ended, Shell, called, children, gone
from tests.encodings import ENCODINGS, left
from tests.recorded import document, every, recorded
from tests.watched import Watched
from touchstone.contract.document import Contract
from touchstone.facts.events import Case, Header, RunLog, Target
from touchstone.facts.exchange import Credential
from touchstone.facts.leaks import leaks
from touchstone.proof.faults import FAULTS
from touchstone.recordings import har, reader
from touchstone.recordings.recorder import Written, ending, taken
from touchstone.recordings.recording import RUN_ID, Recording, Terms
from touchstone.target.call import Call, Keys
from touchstone.target.transport import Transport
from touchstone.twin.serve import Behaviour

SCENARIOS = ("fresh-build", "cancel-when-idle", "events-cancelled")

# What differs from one recording to the next: dates, durations and ids, and which of the reads sent at once overlapped.
_OTHER_EACH_TIME = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "DATE"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", "DATE"),
    (r"\b[0-9a-f]{64}\b", "DIGEST"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "REQUEST ID"),
    (r'"content": "[0-9a-f]{16}"', "CONTENT"),
    (r'\\"build_time_ms\\":\d+', "BUILD TIME"),
    (r"golden snapshot ready in [\d.]+ s", "BUILD TIME"),
    (r"\bsleep [\d.]+", "SLEEP"),
    (r'"(at_ms|time|wait|receive|size|bytes|latency_s|marker_after_s|sleep_s)": [\d.]+', "NUMBER"),
    (r'\n {5}"status\.concurrent-reads-agree",', ""),
)


def told(text: str) -> str:
    """A recording without what differs each time."""
    for pattern, word in _OTHER_EACH_TIME:
        text = re.sub(pattern, word, text)
    return text


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Some scenarios, recorded anew from the embedded twin."""
    for _ in range(3):
        ended = Shell(tmp_path_factory.mktemp("again"), {}).run("record", "--target", "twin", *SCENARIOS)
        # A machine with too much else to do may miss a build of half a second, which the command says.
        if "expected 200 building, got 200 ready" not in ended.out:
            break
    return ended


def test_recording_again_changes_dates_and_ids_only(again: Ended) -> None:
    """What is in the repository is what the twin answers; recorded again it differs in dates, durations and ids."""
    assert again.code == 0
    for name in SCENARIOS:
        new = (again.folder / "tests" / "recordings" / f"{name}.har").read_text("utf-8")
        old = har.render(recorded(name))
        assert told(new) == told(old)


def test_chosen_scenarios_are_written_and_no_others(again: Ended) -> None:
    """One file a scenario, called like it, and a report as of any other run."""
    files = {path.name for path in (again.folder / "tests" / "recordings").iterdir()}
    assert files == {f"{name}.har" for name in SCENARIOS}
    assert {path.name for path in again.results.iterdir()} >= {"runlog.jsonl", "report.json", "report.html"}
    assert [line for line in again.out.splitlines() if line.endswith(" exchanges")] == [
        f"tests/recordings/{name}.har: {len(recorded(name).exchanges)} exchanges" for name in SCENARIOS
    ]


def test_new_recording_can_be_replayed(again: Ended, call: Command) -> None:
    """What was recorded stands by itself."""
    ended = call(Shell(again.folder, {}), "replay", "--report-dir", "replayed", "tests/recordings")
    assert ended.code == 0


def test_scenarios_cover_what_may_happen() -> None:
    """Both answers to a cancel, each status that a client meets, and the log of each outcome are recorded."""
    seen = {step for name in every() for step in recorded(name).steps}
    assert seen >= {"cancelling", "nothing to cancel", "ready", "failed", "building", "not built", "reused", "limited"}
    assert seen >= {"log ends on ready", "log ends on cancel", "log ends on install, an error"}
    statuses = {exchange.status for name in every() for exchange in recorded(name).exchanges}
    # What the documentation tells of this API, but for 400 and 422 of a path, which stand for nothing of their own.
    assert statuses >= {200, 201, 202, 400, 401, 403, 404, 405, 409, 422, 429}


def test_list_names_each_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each scenario has a recording in the repository, and each recording a scenario; what happens in it is said."""
    ended = called(Shell(tmp_path, {}), monkeypatch, capsys, "record", "--list")
    told = dict(line.split(maxsplit=1) for line in ended.out.splitlines())
    assert (ended.code, sorted(told)) == (0, every())
    assert told["fresh-build"] == "A new version is published, built and ready."
    assert all(story.endswith(".") for story in told.values())


def test_unknown_scenario_names_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that does not exist is no reason to record anything."""
    ended = called(Shell(tmp_path, {}), monkeypatch, capsys, "record", "fresh-bild")
    told_it = "exit 2: 'fresh-bild': no such scenario; did you mean fresh-build?; see `touchstone record --list`\n"
    assert (ended.code, ended.err) == (2, told_it)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../up", "/tmp/up", "..", "a/b"])
def test_name_of_a_target_leads_nowhere(tmp_path: Path, call: Command, name: str) -> None:
    """It is refused before anything is sent, and a folder can be named in its place."""
    (tmp_path / "touchstone.toml").write_text(f'[targets.{json.dumps(name)}]\nurl = "http://127.0.0.1:9"\n', "utf-8")
    ended = call(Shell(tmp_path), "record", "--target", name, "missing-key")
    assert (ended.code, "give --out" in ended.err) == (2, True)
    assert call(Shell(tmp_path), "record", "--target", name, "missing-key", "--out", "mine").code == 3


def test_folder_that_cannot_be_written_is_refused_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is recorded that could not be kept."""
    (tmp_path / "file").write_text("", "utf-8")
    ended = called(
        Shell(tmp_path), monkeypatch, capsys, "record", "--url", "http://127.0.0.1:9", "--out", "file/x", "fresh-build"
    )
    told_it = f"--out file/x: {tmp_path}/file is no folder; expected a folder that recordings can be written into"
    assert (ended.code, ended.err) == (2, f"exit 2: {told_it}\n")
    assert not (tmp_path / "reports").exists()


def test_plan_names_what_would_be_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scenarios with their builds, and nothing is sent."""
    arguments = ("record", "--plan", "--url", "http://127.0.0.1:9", "fresh-build", "reuse")
    ended = called(Shell(tmp_path), monkeypatch, capsys, *arguments)
    assert ended.code == 0
    assert "scenarios.plays[fresh-build]" in ended.out
    assert "2 cases" in ended.out
    assert "at most 2 builds" in ended.out
    assert list(tmp_path.glob("reports")) == []


def test_answer_that_is_not_expected_is_not_recorded(tmp_path: Path, call: Command) -> None:
    """A scenario that meets a finding leaves the file of an earlier time as it was; the others are written."""
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "events-cancelled.har").write_text("as it was", "utf-8")
    with faulty("cancel-answers-200") as url:
        ended = call(Shell(tmp_path), "record", "--url", url, "--out", "kept", "events-cancelled", "fresh-build")
    assert ended.code == 1
    assert "events-cancelled: not recorded: " in ended.out
    assert (folder / "events-cancelled.har").read_text("utf-8") == "as it was"
    assert reader.read(folder / "fresh-build.har").target == "url"


def test_interrupted_recording_keeps_what_is_whole(tmp_path: Path) -> None:
    """
    Ctrl-C in the second scenario: the first one's file is there, the second one's is not, and nothing is left behind.
    """
    with Watched(builds=2, build_s=0.3) as watched:
        shell = Shell(tmp_path)
        command = shell.start("record", "--url", watched.url, "--out", "made", "fresh-build", "failed-build")
        assert watched.reached.wait(60)
        command.send_signal(signal.SIGINT)
        ended = shell.ended(command)
        assert watched.refs() == []
    assert ended.code == 130
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["fresh-build.har"]
    assert reader.read(tmp_path / "made" / "fresh-build.har").name == "fresh-build"


def test_killed_recording_keeps_what_is_whole(tmp_path: Path) -> None:
    """Files are written as their scenarios end, so that even a kill leaves those of the finished ones."""
    with Watched(builds=2, build_s=0.3) as watched:
        names = ("fresh-build", "failed-build", "cancel-in-flight", "events-ready")
        command = Shell(tmp_path).start("record", "--url", watched.url, "--out", "made", *names)
        assert watched.reached.wait(60)
        child = children(command.pid)[0]
        whole = wait_for(tmp_path / "made" / "fresh-build.har")
        # The others take their time: the first file is not written with them at the end.
        assert {path.name for path in whole.parent.iterdir()} == {"fresh-build.har"}
        command.kill()
        Shell(tmp_path).ended(command)
        assert gone(child)
    assert reader.read(whole).name == "fresh-build"


def wait_for(path: Path) -> Path:
    """The file, once it is there."""
    for _ in range(1200):
        if path.exists():
            return path
        threading.Event().wait(0.05)
    raise AssertionError(f"{path} was not written")


def test_what_a_target_does_not_have_is_missed_where_it_was_asked_for(tmp_path: Path, call: Command) -> None:
    """Without a second account a recording of all is complete; one that was asked for is not there."""
    with Watched() as watched:
        shell = Shell(tmp_path, {"ORGO_API_KEY": KEYS["ORGO_API_KEY"]})
        ended = call(shell, "record", "--url", watched.url, "other-account", "cancel-when-idle")
    assert (ended.code, ended.last_line) == (3, "exit 3: 1 of 2 scenarios recorded; missing: other-account")
    assert [path.name for path in (tmp_path / "recordings" / "url").iterdir()] == ["cancel-when-idle.har"]


@pytest.mark.parametrize(
    ("code", "named", "expected"),
    [
        (0, (), (0, "1 of 2 scenarios recorded")),
        (3, (), (0, "1 of 2 scenarios recorded")),
        (0, ("b",), (3, "1 of 2 scenarios recorded; missing: b")),
        (1, (), (1, "1 of 2 scenarios recorded; a claim is broken")),
        (130, (), (130, "1 of 2 scenarios recorded; interrupted")),
    ],
)
def test_ending_says_what_is_missing(code: int, named: tuple[str, ...], expected: tuple[int, str]) -> None:
    """What the target does not have is missing only where it was asked for by name."""
    written = (Written("a", Path("a.har")), Written("b", None, "no limit", is_absent=True))
    assert ending(code, "why", written, named) == expected


def test_ending_says_why_nothing_was_recorded() -> None:
    """
    Where no scenario came to its end because the target could not be judged, the last line says what was in the way.
    """
    written = (Written("a", None, "it was not played"), Written("b", None, "it was not played"))
    assert ending(3, "no answer", written, ()) == (3, "0 of 2 scenarios recorded; no answer")


def test_unreachable_target_writes_nothing(tmp_path: Path, call: Command) -> None:
    """Where nobody answers there is nothing to record."""
    ended = call(Shell(tmp_path), "record", "--url", "http://127.0.0.1:9", "--out", "made", "fresh-build")
    assert ended.code == 3
    assert "fresh-build: not recorded: it was not played" in ended.out
    assert not (tmp_path / "made").exists()


# --- secrets ---------------------------------------------------------------------------------------------------------

SECRETS = {
    "primary": "sk_live_Qd8rT2vX5zB7nM4k",
    "second": "sk_live_Wf3hJ6pL9sC1gY8u",
    "restricted": "tok-Ea5+Rb/7Vx=0Nq2",
}


RUN_HEADER = Header(
    run_id="260102-030405-abcdef",
    tool_version="1.0.0",
    command="record",
    argv=(),
    started_at="",
    target=Target("somewhere", "http://somewhere.test", "url"),
    profile="thorough",
    seed=1,
    strict=False,
    claims_glob="*",
    contract_sha256="",
    claims=(),
)


class Parrot(http.server.BaseHTTPRequestHandler):
    """Repeats the query of a request in a header, in a body, in an error and in events."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """The body says where it is to be repeated."""
        said = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.path.startswith("/events"):
            frames = [json.dumps({"ts": "x", "line": said}), json.dumps({"line": self.path})]
            self._answer(200, "text/event-stream", "".join(f"data: {frame}\n\n" for frame in frames))
        else:
            self._answer(404, "application/json", json.dumps({"error": f"no {said} here", "debug": self.path}))

    def _answer(self, status: int, media_type: str, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Location", self.path)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the standard library's
        """Says nothing."""


@pytest.fixture(scope="module")
def parrot() -> Iterator[str]:
    """The base URL of a server that repeats what it hears."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Parrot) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def spoken(url: str, encoding: str) -> str:
    """The text of a recording of a client that writes three keys, so encoded, into every place that there is."""
    chance, exchanges = random.Random(encoding), []
    keys = Keys(SECRETS["primary"], SECRETS["second"], SECRETS["restricted"])
    transport = Transport(url, keys, Contract.load(), exchanges.append)
    credentials: tuple[Credential, ...] = ("primary", "second", "restricted", "query", "malformed", "longer")
    for number, credential in enumerate(credentials):
        hidden = " ".join(ENCODINGS[encoding](key, chance) for key in SECRETS.values())
        sayable = re.sub(r"[^!-~]", "_", hidden)
        path = ("/speak", "/events")[number % 2]
        transport.send(
            Call(
                method="POST",
                path=f"{path}?said={quote(SECRETS['restricted'], safe='')}",
                query={"name": " ".join(SECRETS.values()), "password": SECRETS["second"]},
                headers={"Idempotency-Key": sayable, "Last-Event-ID": sayable},
                body=hidden.encode(),
                credential=credential,
                note={"marker": "m"},
                stream_s=5.0 if path == "/events" else 0.0,
            ),
            "scenarios.plays[spoken]",
        )
    transport.close()
    case = Case("scenarios.plays[spoken]", "", "passed", 1.0, began_at="2026-01-02T03:04:05.000000Z")
    header = replace(RUN_HEADER, target=Target("parrot", url, "url"))
    made = taken(RunLog(header, tuple(exchanges), cases=(case,)), ["spoken"], Terms())["spoken"]
    assert isinstance(made, Recording)
    return har.render(made)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_key_is_in_a_recording_in_any_encoding(encoding: str, parrot: str) -> None:
    """Three keys in headers, queries, bodies, errors and events, of requests and answers, as they are and encoded: no
    part of one can be read in the file, and its evidence is still there.
    """
    text = spoken(parrot, encoding)
    assert left(text, list(SECRETS.values())) == set()
    assert leaks(text, SECRETS) == ()
    assert text.count("<key:") >= 50
    assert "no <key:primary> <key:second> <key:restricted> here" in text or encoding != "plain"


def test_secret_in_a_finished_file_keeps_it_from_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What redaction missed is seen by a second look, and nothing is written."""
    from touchstone.recordings import recorder

    leaky = replace(recorded("cancel-when-idle"), target=KEYS["ORGO_SECOND_API_KEY"])
    written = recorder.written("cancel-when-idle", leaky, tmp_path, {"second": KEYS["ORGO_SECOND_API_KEY"]})
    assert written.path is None
    assert re.fullmatch(r"line \d+ of it would hold the second key", written.why)
    assert list(tmp_path.iterdir()) == []


def test_refusal_met_by_chance_is_left_out() -> None:
    """A 429 that was waited out is no part of a scenario; one that the scenario is about is."""
    made = recorded("rate-limit")
    chance = tuple(replace(e, note={}) if e.status == 429 else e for e in made.exchanges)
    case = Case(made.case, "", "passed", 1.0, began_at=made.recorded_at)
    for exchanges, expected in ((made.exchanges, 4), (chance, 0)):
        again = taken(RunLog(RUN_HEADER, exchanges, cases=(case,)), ["rate-limit"], made.terms)["rate-limit"]
        assert isinstance(again, Recording)
        assert sum(exchange.status == 429 for exchange in again.exchanges) == expected
        assert [exchange.seq for exchange in again.exchanges] == list(range(1, len(again.exchanges) + 1))


def test_names_in_recordings_are_the_same_each_time() -> None:
    """Whoever uses a recording can rely on the name of its version."""
    for name in every():
        refs = {exchange.ref for exchange in recorded(name).exchanges if exchange.ref and "touchstone" in exchange.ref}
        assert any(f"touchstone-{RUN_ID}-{name}" in ref for ref in refs)
        assert "127.0.0.1" not in json.dumps(document(name))


def faulty(name: str) -> Any:
    """A served twin with a fault; its URL."""
    from contextlib import contextmanager

    from touchstone.check.job import RECORDED_TWIN

    behaviour: Behaviour = FAULTS[name]

    @contextmanager
    def served() -> Iterator[str]:
        with behaviour.twin(RECORDED_TWIN) as twin:
            yield twin.url

    return served()
