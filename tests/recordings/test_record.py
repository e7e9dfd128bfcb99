"""`touchstone record` writes complete recordings of scenarios that passed, without secrets."""

import contextlib
import json
import random
import re
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import respx

from tests.command import KEYS, Shell
from tests.encodings import ENCODINGS, left
from tests.recorded import every, recorded
from tests.recordings.conftest import Run
from tests.watched import Watched
from touchstone.check.job import RECORDED_TWIN
from touchstone.contract.document import Contract
from touchstone.facts.events import Case, Header, RunLog, Target
from touchstone.facts.exchange import Credential, Exchange
from touchstone.facts.leaks import leaks
from touchstone.proof.faults import FAULTS
from touchstone.recordings import har, reader, recorder
from touchstone.recordings.recorder import Written, ending, taken
from touchstone.recordings.recording import Recording, Terms
from touchstone.recordings.replay import alone
from touchstone.target.call import Call
from touchstone.target.keys import Keys
from touchstone.target.transport import Transport

NOWHERE = ("--url", "http://127.0.0.1:9")

# Data that differs in each recording: dates, durations, ids, and claims about overlapping reads.
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


def steady(text: str) -> str:
    """A recording without the data that differs each time."""
    for pattern, substitute in _OTHER_EACH_TIME:
        text = re.sub(pattern, substitute, text)
    return text


def test_chosen_scenarios_are_recorded_as_they_are_published(run: Run) -> None:
    names = ("fresh-build", "cancel-when-idle", "events-cancelled")
    for _ in range(3):
        ended = run("record", "--target", "twin", *names, keys={})
        folder = ended.folder / "tests" / "recordings"
        # A busy machine may miss a build of half a second, which ends with 3.
        if ended.code == 0:
            break
    assert {path.name for path in folder.iterdir()} == {f"{name}.har" for name in names}
    for name in names:
        text = (folder / f"{name}.har").read_text("utf-8")
        assert steady(text) == steady(har.render(recorded(name)))
        assert f"tests/recordings/{name}.har: {len(recorded(name).exchanges)} " in ended.out
        new = reader.read(folder / f"{name}.har")
        assert (new.is_changed, alone(new)[1]) == (False, ())
        assert new.evidence.keys() == {exchange.seq for exchange in new.exchanges}


def test_list_and_plan_send_nothing(tmp_path: Path, run: Run) -> None:
    listed = run("record", "--list", keys={})
    assert (listed.code, sorted(line.split()[0] for line in listed.out.splitlines())) == (0, every())

    planned = run("record", "--plan", *NOWHERE, "fresh-build", "reuse")
    assert planned.code == 0
    assert "scenarios.plays[fresh-build]" in planned.out
    assert "2 builds" in planned.out
    assert not (tmp_path / "reports").exists()


def test_wrong_arguments_are_rejected_before_any_request(tmp_path: Path, run: Run) -> None:
    unknown = run("record", "fresh-bild")
    assert (unknown.code, "fresh-build?" in unknown.err) == (2, True)
    (tmp_path / "file").write_text("", "utf-8")
    no_folder = run("record", *NOWHERE, "--out", "file/x", "fresh-build")
    assert (no_folder.code, "file/x" in no_folder.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_target_name_that_is_no_folder_needs_out(tmp_path: Path, run: Run) -> None:
    name = "../up"
    (tmp_path / "touchstone.toml").write_text(f'[targets.{json.dumps(name)}]\nurl = "http://127.0.0.1:9"\n', "utf-8")
    ended = run("record", "--target", name, "missing-key")
    assert (ended.code, "--out" in ended.err) == (2, True)
    assert run("record", "--target", name, "missing-key", "--out", "mine").code == 3
    assert not (tmp_path / "mine").exists()


def test_unexpected_response_leaves_the_earlier_file(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "events-cancelled.har").write_text("as it was", "utf-8")
    with FAULTS["cancel-answers-200"].twin(RECORDED_TWIN) as twin:
        ended = run("record", "--url", twin.url, "--out", "kept", "events-cancelled", "fresh-build")
    assert ended.code == 1
    assert (folder / "events-cancelled.har").read_text("utf-8") == "as it was"
    assert reader.read(folder / "fresh-build.har").target == "url"


def test_requested_scenario_without_its_subject_is_missing(tmp_path: Path, run: Run) -> None:
    with Watched() as watched:
        keys = {"ORGO_API_KEY": KEYS["ORGO_API_KEY"]}
        ended = run("record", "--url", watched.url, "other-account", "cancel-when-idle", keys=keys)
    assert (ended.code, ended.last_line.endswith(": other-account")) == (3, True)
    assert [path.name for path in (tmp_path / "recordings" / "url").iterdir()] == ["cancel-when-idle.har"]


def test_interrupted_recording_keeps_finished_scenarios(tmp_path: Path) -> None:
    with Watched(builds=2, build_s=0.3) as watched:
        shell = Shell(tmp_path)
        names = ("fresh-build", "failed-build", "events-ready")
        command = shell.start("record", "--url", watched.url, "--out", "new", *names)
        assert watched.reached.wait(60)
        wait_for(tmp_path / "new" / "fresh-build.har")  # written before the others are over
        command.send_signal(signal.SIGINT)
        ended = shell.ended(command)
        assert watched.refs() == []
    assert ended.code == 130
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["fresh-build.har"]
    assert reader.read(tmp_path / "new" / "fresh-build.har").name == "fresh-build"


def wait_for(path: Path) -> None:
    for _ in range(3000):
        if path.exists():
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{path} was not written")


PATH = Path("a.har")


@pytest.mark.parametrize(
    ("code", "recorded_path", "requested", "expected", "missing"),
    [
        (0, PATH, (), 0, ""),
        (3, PATH, (), 0, ""),
        (0, PATH, ("b",), 3, "b"),
        (0, None, (), 3, "a"),
        (1, PATH, (), 1, ""),
        (130, PATH, (), 130, ""),
        (3, None, (), 3, "no answer"),
    ],
)
def test_exit_code_of_a_recording(
    code: int, recorded_path: Path | None, requested: tuple[str, ...], expected: int, missing: str
) -> None:
    written = (Written("a", recorded_path, "not played"), Written("b", None, "no limit", is_absent=True))
    ended, reason = ending(code, "no answer", written, requested)
    assert ended == expected
    assert reason.startswith(f"{int(recorded_path is not None)} of 2 ")
    assert reason.endswith(missing)


# --- from a run log --------------------------------------------------------------------------------------------------

HEADER = Header(
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


def run_log(recording: Recording, **fields: Any) -> RunLog:
    case = Case(recording.case, "", "passed", 1.0, began_at=recording.recorded_at)
    return RunLog(HEADER, recording.exchanges, cases=(case,), **fields)


def test_unrelated_429_is_left_out() -> None:
    limited = recorded("rate-limit")
    chance = tuple(replace(each, note={}) if each.status == 429 else each for each in limited.exchanges)
    for exchanges, expected in ((limited.exchanges, 4), (chance, 0)):
        again = taken(run_log(replace(limited, exchanges=exchanges)), ["rate-limit"], limited.terms)["rate-limit"]
        assert isinstance(again, Recording)
        assert sum(exchange.status == 429 for exchange in again.exchanges) == expected
        assert [exchange.seq for exchange in again.exchanges] == list(range(1, len(again.exchanges) + 1))


def test_scenario_with_a_cut_body_or_a_failed_case_is_not_recorded() -> None:
    reuse = recorded("reuse")
    failed = Case(reuse.case, "", "failed", 1.0, message="otherwise")
    assert isinstance(taken(run_log(reuse, cut_bytes={(1, "response"): 9}), ["reuse"], Terms())["reuse"], str)
    assert taken(replace(run_log(reuse), cases=(failed,)), ["reuse"], Terms())["reuse"] == "otherwise"
    assert isinstance(taken(run_log(reuse), ["republish"], Terms())["republish"], str)


# --- secrets ---------------------------------------------------------------------------------------------------------

SECRETS = {
    "primary": "sk_live_Qd8rT2vX5zB7nM4k",
    "second": "sk_live_Wf3hJ6pL9sC1gY8u",
    "restricted": "tok-Ea5+Rb/7Vx=0Nq2",
}


def echo(request: httpx.Request) -> httpx.Response:
    """Repeats the request in a header, a body, an error and events."""
    body, url = request.read().decode(), str(request.url)
    location = {"Location": url}
    if request.url.path.endswith("/events"):
        frames = [json.dumps({"ts": "x", "line": body}), json.dumps({"line": url})]
        text = "".join(f"data: {frame}\n\n" for frame in frames)
        return httpx.Response(200, headers=location | {"Content-Type": "text/event-stream"}, text=text)
    return httpx.Response(404, headers=location, json={"error": f"no {body} here", "debug": url})


def recording_with_keys(encoding: str) -> str:
    """The text of a recording of requests that have three encoded keys in every place."""
    chance, url = random.Random(encoding), "http://echo.test"
    exchanges: list[Exchange] = []
    keys = Keys(SECRETS["primary"], SECRETS["second"], SECRETS["restricted"])
    credentials: tuple[Credential, ...] = ("primary", "second", "restricted", "query", "malformed", "longer")
    transport = Transport(url, keys, Contract.load(), exchanges.append)
    with contextlib.closing(transport), respx.mock() as router:
        router.route().mock(side_effect=echo)
        for number, credential in enumerate(credentials):
            hidden = " ".join(ENCODINGS[encoding](key, chance) for key in SECRETS.values())
            printable = re.sub(r"[^!-~]", "_", hidden)
            path = ("/repeat", "/events")[number % 2]
            call = Call(
                method="POST",
                path=f"{path}?key={quote(SECRETS['restricted'], safe='')}",
                query={"name": " ".join(SECRETS.values()), "password": SECRETS["second"]},
                headers={"Idempotency-Key": printable, "Last-Event-ID": printable},
                body=hidden.encode(),
                credential=credential,
                note={"marker": "m"},
                stream_s=5.0 if path == "/events" else 0.0,
            )
            transport.send(call, "scenarios.plays[keys]")
    case = Case("scenarios.plays[keys]", "", "passed", 1.0, began_at="2026-01-02T03:04:05.000000Z")
    log = RunLog(replace(HEADER, target=Target("echo", url, "url")), tuple(exchanges), cases=(case,))
    result = taken(log, ["keys"], Terms())["keys"]
    assert isinstance(result, Recording)
    return har.render(result)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_part_of_a_key_is_recorded_in_any_encoding(encoding: str) -> None:
    text = recording_with_keys(encoding)
    assert left(text, list(SECRETS.values())) == set()
    assert leaks(text, SECRETS) == ()
    # The evidence is still there.
    assert text.count("<key:") >= 50
    assert "no <key:primary> <key:second> <key:restricted> here" in text or encoding != "plain"


def test_recording_with_a_secret_is_not_written(tmp_path: Path) -> None:
    leaky = replace(recorded("cancel-when-idle"), target=KEYS["ORGO_SECOND_API_KEY"])
    written = recorder.written("cancel-when-idle", leaky, tmp_path, {"second": KEYS["ORGO_SECOND_API_KEY"]})
    assert (written.path, KEYS["ORGO_SECOND_API_KEY"] in str(written)) == (None, False)
    assert list(tmp_path.iterdir()) == []
