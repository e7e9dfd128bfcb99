"""`touchstone replay`: recordings are judged offline by the rules of a check, and what was changed in them is found."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import foreign_files
from tests.command import Command, Ended, Shell, called
from tests.recorded import changed, document, entry, every, recorded, saved, with_body
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.files import recordings_dir
from touchstone.facts.exchange import Exchange
from touchstone.recordings import reader
from touchstone.recordings.har import decode
from touchstone.recordings.replay import WHY, alone, plays

Entry = dict[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A replay of all recordings of the twin, without a key."""
    return Shell(tmp_path_factory.mktemp("whole"), {}).run("replay")


def test_recordings_of_the_twin_break_nothing(whole: Ended) -> None:
    """All are replayed without a target and without a key, and each case passes."""
    assert (whole.code, whole.err) == (0, "")
    assert whole.last_line == "exit 0: no claim broken (130 upheld)"


def test_recordings_judge_every_claim(whole: Ended) -> None:
    """The report names each claim of the ledger, with the checks that judged it."""
    assert whole.verdicts() == {claim.id: "upheld" for claim in ledger_of_claims.load().judged()}
    assert all(claim["checks"] for claim in whole.report()["claims"])


def test_every_recorded_exchange_is_judged(whole: Ended) -> None:
    """As many exchanges are counted as were recorded, and the target is called what it is."""
    report = whole.report()
    assert report["counts"]["exchanges"] == sum(len(recorded(name).exchanges) for name in every())
    bundled = "the recordings of the twin that come with Touchstone"
    assert (report["run"]["target"], report["run"]["kind"]) == (bundled, "recording")
    assert f" exchanges with {bundled} in " in whole.out


def test_each_scenario_is_asked_for_all_that_it_recorded(whole: Ended) -> None:
    """No exchange is left over: the contract tests run on the recordings as they did when these were made."""
    log = (whole.results / "runlog.jsonl").read_text("utf-8")
    assert '"type":"warning"' not in log
    cases = [json.loads(line) for line in log.splitlines() if '"type":"case"' in line]
    assert [case["id"] for case in cases] == [f"scenarios.plays[{name}]" for name in every()]


def test_replay_leaves_no_journal(whole: Ended) -> None:
    """Nothing was published, so there is nothing to remember."""
    assert Shell(whole.folder).journals() == []


# --- what was changed is found ---------------------------------------------------------------------------------------


def status(code: int) -> Callable[[Entry], None]:
    return lambda found: found["response"].update(status=code)


def text(old: str, new: str) -> Callable[[Entry], None]:
    def change(found: Entry) -> None:
        content = found["response"]["content"]
        assert content["text"].count(old) >= 1
        content["text"] = content["text"].replace(old, new, 1)

    return change


LOGS = {
    "ready": "log ends on ready",
    "cancelled": "log ends on cancel",
    "failed": "log ends on install, an error",
}

# Scenario, step and operation of an entry, one byte of it, and the claim that is broken by that.
CHANGES: dict[str, tuple[str, str, str, Callable[[Entry], None], str]] = {
    "status of a start": ("fresh-build", "building", "startBuild", status(200), "start.answers-202"),
    "status of a read": ("fresh-build", "ready", "getBuild", status(404), "lookup.existing-version-is-found"),
    "status of a cancel": ("cancel-in-flight", "cancelling", "cancelBuild", status(200), "cancel.in-flight-is-202"),
    "status of an idle cancel": ("cancel-when-idle", "nothing to cancel", "", status(405), "cancel.idle-is-404"),
    "status of a refused key": ("missing-key", "key refused", "", status(403), "auth.missing-key-is-401"),
    "status of a conflict": ("republish", "publish conflicts", "", status(200), "publish.other-content-is-409"),
    "enum of a read": ("fresh-build", "ready", "getBuild", text("ready", "reedy"), "status.is-one-of-four"),
    "enum of a cancel": ("cancel-in-flight", "cancelling", "", text("ling", "lang"), "cancel.says-cancelling"),
    "field of a read": ("failed-build", "failed", "getBuild", text('"error"', '"errol"'), "status.failed-has-error"),
    "digest": ("fresh-build", "not built", "", text('"digest":"', '"digest":"f'), "digest.has-the-documented-form"),
    "ref": ("reuse", "reused", "", text("default/t", "default/s"), "start.ref-is-the-path"),
    "JSON": ("fresh-build", "building", "getBuild", text("}", "]"), "http.body-is-json"),
    "phase": ("events-ready", LOGS["ready"], "", text("compile", "compale"), "events.phase-is-documented"),
    "last phase": ("events-cancelled", LOGS["cancelled"], "", text("cancel", "cancal"), "events.phase-is-documented"),
    "level": ("events-failed", LOGS["failed"], "", text('"error"', '"errer"'), "events.level-is-documented"),
    "time of an event": ("events-ready", LOGS["ready"], "", text('"ts":"2', '"ts":"x'), "events.timestamps-are-iso"),
    "line of an event": ("events-ready", LOGS["ready"], "", text('-1"', '-7"'), "events.carry-the-output"),
    "name of a field": ("events-ready", LOGS["ready"], "", text("\n\ndata:", "\n\ndota:"), "events.watchers-agree"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_byte_breaks_the_claim_that_it_is_about(change: str) -> None:
    """
    One byte of a status, an enum, a body or an event changed in a recording is found, and blamed on the right claim.
    """
    name, step, operation, spoil, claim = CHANGES[change]
    har = document(name)
    spoil(entry(har, step, operation))
    broken = {finding.claim for finding in alone(decode(har)).findings()}
    assert claim in broken


@pytest.mark.parametrize("change", ["status of a start", "line of an event"])
def test_changed_recording_makes_the_run_fail(change: str, tmp_path: Path, call: Command) -> None:
    """The command ends with 1 and names the claim."""
    name, step, operation, spoil, claim = CHANGES[change]
    har = document(name)
    spoil(entry(har, step, operation))
    ended = call(Shell(tmp_path, {}), "replay", str(saved(har, tmp_path / "changed")))
    assert ended.code == 1
    assert ended.verdicts()[claim] == "broken"
    # Nobody answers at the address of a recording, so that there is nothing to send again.
    assert "curl" not in ended.out


def statuses(recording_name: str) -> Iterator[tuple[int, int]]:
    """Each entry of a recording with each status that differs from its own in one digit."""
    for number, exchange in enumerate(recorded(recording_name).exchanges):
        for code in range(200, 600):
            if sum(a != b for a, b in zip(str(code), str(exchange.status), strict=True)) == 1:
                yield number, code


# Another status that the documentation lets stand in the place of the recorded one: facts 7.
ALLOWED = {("publishTemplate", 201): {200}, ("startBuild", 202): {200}}


@pytest.mark.parametrize("name", ["fresh-build", "cancel-when-idle"])
def test_every_other_status_is_found(name: str) -> None:
    """
    Whatever digit of whatever status is changed, a must claim is broken, unless the new status is allowed as well.
    """
    missed = set()
    for number, code in statuses(name):
        spoilt = changed(recorded(name), number, lambda e, code=code: _answering(e, code))  # type: ignore[misc]  # a default
        if not any(finding.level == "must" for finding in alone(spoilt).findings()):
            exchange = recorded(name).exchanges[number]
            missed.add((number, exchange.operation, exchange.status, code))
    assert {m for m in missed if m[3] not in ALLOWED.get((m[1], m[2]), set())} == set()


@pytest.mark.parametrize("name", every())
def test_every_frame_counts(name: str) -> None:
    """In each log that two have followed, another letter in any frame is found by one of the two differing."""
    recording = recorded(name)
    logs = [n for n, e in enumerate(recording.exchanges) if e.response and e.response.chunks and e.status == 200]
    followed = [n for n in logs if any(_beside(recording.exchanges[n], recording.exchanges[m]) for m in logs if m != n)]
    missed = []
    for number in followed:
        exchange = recording.exchanges[number]
        assert exchange.response is not None
        start = 0
        for chunk in exchange.response.chunks:
            at = start + chunk.data.rindex(b'"line":"') + len(b'"line":"')
            body = exchange.response.body
            other = with_body(exchange, body[:at] + b"#" + body[at + 1 :])
            if not alone(changed(recording, number, lambda _, other=other: other)).findings():  # type: ignore[misc]  # a default
                missed.append((number, chunk.data))
            start += len(chunk.data)
    # Two versions that share their builds share their logs, too, and nobody says which of them was followed.
    assert [m for m in missed if name != "shared-digest"] == []


@pytest.mark.parametrize("name", every())
def test_each_recording_shows_what_its_scenario_sets_out_to_show(name: str) -> None:
    """Also by itself: whoever replays one file gets a verdict on each claim that it is about, and no finding."""
    judged = alone(recorded(name))
    held = {judgement.claim for judgement in judged.judgements if judgement.outcome == "held"}
    assert set(recorded(name).claims) - held == set()
    assert judged.findings() == ()


# --- what does not fit -----------------------------------------------------------------------------------------------


def test_request_that_was_not_recorded_names_the_nearest(tmp_path: Path, call: Command) -> None:
    """Where the scenario asks for more than was recorded, the run is no pass and says what is missing."""
    har = document("cancel-when-idle")
    har["log"]["entries"].remove(entry(har, "nothing to cancel"))
    ended = call(Shell(tmp_path, {}), "replay", str(saved(har, tmp_path / "short")))
    assert ended.code == 3
    told = " ".join(ended.out.split())
    assert "not in this recording; the nearest is entry 1; method: sent 'DELETE', recorded 'GET'" in told


def test_request_that_was_changed_is_no_pass(tmp_path: Path, call: Command) -> None:
    """A read of another version in the place of the scenario's own leaves the scenario without an answer."""
    har = document("fresh-build")
    asked = entry(har, "not built")["request"]
    asked["url"] = asked["url"].replace("/1.0.0/build", "/1.0.1/build")
    ended = call(Shell(tmp_path, {}), "replay", str(saved(har, tmp_path / "elsewhere")))
    assert ended.code == 3
    assert "fresh-build.har: was changed since it was recorded" in " ".join(ended.out.split())


def test_answer_that_fits_the_rules_and_not_the_story_is_no_pass(tmp_path: Path, call: Command) -> None:
    """Where no claim is broken, and yet it is not what the scenario expects, that is said: exit code 3."""
    har = document("unknown-version")
    entry(har, "no such method")["response"]["status"] = 400
    ended = call(Shell(tmp_path, {}), "replay", "--no-strict", str(saved(har, tmp_path / "other")))
    assert ended.code == 3
    assert "expected 404 or 405, got 400" in " ".join(ended.out.split())


def test_file_of_others_is_not_taken_for_all_that_happened(tmp_path: Path) -> None:
    """A version that is there and then is not was deleted by somebody whom the file does not show."""
    har = document("fresh-build")
    del har["log"]["_touchstone"]
    har["log"]["entries"][-1]["response"].update(
        status=404,
        content={"size": 0, "mimeType": "application/json", "text": '{"error": "Template version not found."}'},
    )
    path = saved(har, tmp_path / "others")
    assert reader.read(path).origin == "har"
    judged = alone(reader.read(path))
    assert judged.findings() == ()
    assert any(judgement.actual.startswith(WHY) for judgement in judged.judgements)


def test_recording_that_nobody_asks_for_is_listed_and_judged(tmp_path: Path, call: Command) -> None:
    """An exchange beyond the scenario is named in a warning, and a fault in it is found all the same."""
    har = document("cancel-when-idle")
    more = document("cancel-when-idle")["log"]["entries"][-1]
    more["_exchange"]["seq"] += 1
    text("not_built", "not_bailt")(more)
    har["log"]["entries"].append(more)
    ended = call(Shell(tmp_path, {}), "replay", str(saved(har, tmp_path / "more")))
    assert ended.code == 1
    assert "1 recorded, but not asked for by the scenario: GET /templates/" in " ".join(ended.out.split())
    assert ended.verdicts()["status.is-one-of-four"] == "broken"


def test_recording_of_an_unknown_scenario_is_played_as_it_is(tmp_path: Path, call: Command) -> None:
    """Without a scenario of that name the requests are sent as they were recorded, and judged."""
    har = document("fresh-build")
    har["log"]["pages"][0]["id"] = "mine"
    ended = call(Shell(tmp_path, {}), "replay", str(saved(har, tmp_path / "unknown")))
    assert ended.code == 0
    assert ended.verdicts()["status.good-template-ends-ready"] == "upheld"
    assert '"type":"warning"' not in (ended.results / "runlog.jsonl").read_text("utf-8")


def test_two_recordings_of_one_scenario_are_two_cases(tmp_path: Path, call: Command) -> None:
    """Recordings of several targets can be judged in one run, each by itself."""
    for folder in ("one", "two"):
        saved(document("cancel-when-idle"), tmp_path / folder)
    ended = call(Shell(tmp_path, {}), "replay", str(tmp_path / "one"), str(tmp_path / "two"))
    assert ended.code == 0
    assert ended.report()["counts"]["exchanges"] == 2 * len(recorded("cancel-when-idle").exchanges)


def test_speed_replays_waits(tmp_path: Path, call: Command) -> None:
    """A recording can be replayed at a pace; the verdicts are the same."""
    ended = call(Shell(tmp_path, {}), "replay", "--speed", "50", str(recordings_dir() / "events-cancelled.har"))
    assert ended.code == 0
    assert ended.verdicts()["events.cancelled-ends-on-cancel"] == "upheld"


WRONG: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "is empty; expected a HAR file"),
    "no JSON": ("{", "line 1: Expecting property name"),
    "no HAR": ("{}", "/log: is missing"),
    "an entry without a request": (
        '{"log": {"version": "1.2", "creator": {"name": "x", "version": "1"}, "entries": [{}]}}',
        "/log/entries/0/cache: is missing (and 5 more); expected HAR 1.2",
    ),
    "no text": (b"\xff\xfe\x00", "byte 0 is no UTF-8"),
    "words": ("[]", "is no JSON object; expected a HAR file"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_file_that_is_no_recording_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the file, the place and what was expected; nothing is run."""
    content, told = WRONG[kind]
    path = tmp_path / "wrong.har"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = called(Shell(tmp_path, {}), monkeypatch, capsys, "replay", "wrong.har")
    assert ended.code == 2
    assert "exit 2: wrong.har: " in ended.err
    assert any(part in ended.err for part in told.split("|"))
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("absent.har", "absent.har: no such file; expected a HAR file or a folder of HAR files"),
        (".", ".: holds no recording; expected *.har; make some with `touchstone record`"),
    ],
)
def test_path_without_recordings_is_refused(
    argument: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is not there and a folder without recordings are named, with what to do."""
    ended = called(Shell(tmp_path, {}), monkeypatch, capsys, "replay", argument)
    assert (ended.code, ended.err) == (2, f"exit 2: {told}\n")


def test_recordings_are_told_apart_by_number() -> None:
    """A second recording of a scenario has a number behind its name."""
    path = str(recordings_dir() / "reuse.har")
    assert list(plays((path, path))) == ["reuse", "reuse-2"]


def _answering(exchange: Exchange, code: int) -> Exchange:
    assert exchange.response is not None
    return replace(exchange, response=replace(exchange.response, status=code))


def _beside(one: Exchange, other: Exchange) -> bool:
    same = (one.operation, one.ref) == (other.operation, other.ref)
    return same and one.sent_at < other.done_at and other.sent_at < one.done_at


def test_key_of_the_environment_reaches_no_report(tmp_path: Path, call: Command) -> None:
    """
    A key that somebody's recording holds in a body, and that this run does not use, is kept out of all that it writes.
    """
    key = "sk_live_test_of_whoever_recorded"
    har = document("fresh-build")
    told = entry(har, "building", "startBuild")["response"]["content"]
    told["text"] = json.dumps(json.loads(told["text"]) | {"status": f"paid by {key}"})
    ended = call(Shell(tmp_path, {"ORGO_API_KEY": key}), "replay", str(saved(har, tmp_path / "of-others")))
    assert ended.code == 1
    assert key not in ended.out + ended.err
    left = [path for path in ended.results.rglob("*") if path.is_file()]
    assert len(left) >= 4
    assert not [path for path in left if key in path.read_text("utf-8")]
    assert "paid by" in (ended.results / "runlog.jsonl").read_text("utf-8")


def test_user_says_whose_the_keys_of_a_file_are(tmp_path: Path, call: Command) -> None:
    """Without that, nothing is run; a key on the command line is in no report, and it may come from a variable."""
    path = tmp_path / "page.har"
    theirs = foreign_files.status_read("not_built", 1.0, key=foreign_files.OTHER_KEY)
    path.write_text(json.dumps(foreign_files.document(foreign_files.status_read("ready", 0.0), theirs)))
    shell = Shell(tmp_path, {"THEIR_KEY": foreign_files.OTHER_KEY})

    refused = call(shell, "replay", str(path))
    assert (refused.code, "--as primary=KEY" in refused.err) == (2, True)

    told = call(shell, "replay", str(path), "--as", f"primary={foreign_files.KEY}", "--as=second=THEIR_KEY")
    assert (told.code, told.report()["counts"]["exchanges"], told.report()["warnings"]) == (0, 2, [])
    written = [file.read_text("utf-8") for file in told.results.rglob("*") if file.is_file()]
    assert "primary=<key:primary>" in "".join(written)
    for key in (foreign_files.KEY, foreign_files.OTHER_KEY):
        assert not [text for text in (*written, told.out, told.err, refused.err) if key in text]
