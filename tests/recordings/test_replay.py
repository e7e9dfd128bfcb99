"""`touchstone replay` judges recordings offline with the rules of a check, and finds a changed byte."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import foreign_files
from tests.command import Shell
from tests.recorded import changed, document, entry, every, recorded, saved
from tests.recordings.conftest import Run
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.files import recordings_dir
from touchstone.recordings.har import decode
from touchstone.recordings.replay import alone

Entry = dict[str, Any]


def test_published_recordings_uphold_every_claim(run: Run) -> None:
    ended = run("replay", keys={})
    assert (ended.code, ended.err) == (0, "")
    assert ended.verdicts() == {claim.id: "upheld" for claim in ledger_of_claims.load().judged()}
    report = ended.report()
    assert all(claim["checks"] for claim in report["claims"])
    assert report["counts"]["exchanges"] == sum(len(recorded(name).exchanges) for name in every())
    assert (report["run"]["kind"], report["warnings"]) == ("recording", [])
    events = [json.loads(line) for line in (ended.results / "runlog.jsonl").read_text("utf-8").splitlines()]
    assert [event["id"] for event in events if event["type"] == "case"] == [f"scenarios.plays[{n}]" for n in every()]
    assert Shell(ended.folder).journals() == []


@pytest.mark.parametrize("name", every())
def test_recording_upholds_the_claims_of_its_scenario_by_itself(name: str) -> None:
    result = alone(recorded(name))
    held = {judgement.claim for judgement in result[0] if judgement.outcome == "held"}
    assert set(recorded(name).claims) - held == set()
    assert result[1] == ()


def status(code: int) -> Callable[[Entry], None]:
    return lambda found: found["response"].update(status=code)


def text(old: str, new: str) -> Callable[[Entry], None]:
    def change(found: Entry) -> None:
        content = found["response"]["content"]
        assert content["text"].count(old) >= 1
        content["text"] = content["text"].replace(old, new, 1)

    return change


READY_LOG = "log ends on ready"

# Scenario, step and operation of an entry; a change; and the claim that it breaks.
CHANGES: dict[str, tuple[str, str, str, Callable[[Entry], None], str]] = {
    "status of a start": ("fresh-build", "building", "startBuild", status(200), "start.answers-202"),
    "status of a read": ("fresh-build", "ready", "getBuild", status(404), "lookup.existing-version-is-found"),
    "status of a cancel": ("cancel-in-flight", "cancelling", "cancelBuild", status(200), "cancel.in-flight-is-202"),
    "status of a refused key": ("missing-key", "key refused", "", status(403), "auth.missing-key-is-401"),
    "enum of a read": ("fresh-build", "ready", "getBuild", text("ready", "reedy"), "status.is-one-of-four"),
    "digest": ("fresh-build", "not built", "", text('"digest":"', '"digest":"f'), "digest.has-the-documented-form"),
    "ref": ("reuse", "reused", "", text("default/t", "default/s"), "start.ref-is-the-path"),
    "JSON": ("fresh-build", "building", "getBuild", text("}", "]"), "http.body-is-json"),
    "phase": ("events-ready", READY_LOG, "", text("compile", "compale"), "events.phase-is-documented"),
    "line of an event": ("events-ready", READY_LOG, "", text('-1"', '-7"'), "events.carry-the-output"),
    "name of a field": ("events-ready", READY_LOG, "", text("\n\ndata:", "\n\ndota:"), "events.watchers-agree"),
}


def spoilt(change: str) -> dict[str, Any]:
    name, step, operation, spoil, _ = CHANGES[change]
    har = document(name)
    spoil(entry(har, step, operation))
    return har


@pytest.mark.parametrize("change", CHANGES)
def test_changed_byte_breaks_the_claim_about_it(change: str) -> None:
    assert CHANGES[change][-1] in {finding.claim for finding in alone(decode(spoilt(change)))[1]}


def test_changed_recording_fails_the_run_and_is_a_warning(tmp_path: Path, run: Run) -> None:
    ended = run("replay", str(saved(spoilt("line of an event"), tmp_path / "changed")), keys={})
    assert ended.code == 1
    assert ended.verdicts()["events.carry-the-output"] == "broken"
    assert [warning.partition(":")[0] for warning in ended.report()["warnings"]] == ["events-ready.har"]


# Other statuses that the documentation allows (facts 7).
ALLOWED = {("publishTemplate", 201, 200), ("startBuild", 202, 200)}


@pytest.mark.parametrize(("name", "every_nth"), [("fresh-build", 5), ("cancel-when-idle", 1)])
def test_other_digit_of_a_status_breaks_a_must_claim(name: str, every_nth: int) -> None:
    missed = set()
    for number, exchange in enumerate(recorded(name).exchanges):
        assert exchange.response is not None
        digits = str(exchange.status)
        codes = [code for code in range(200, 600) if sum(a != b for a, b in zip(str(code), digits, strict=True)) == 1]
        for code in codes[number % every_nth :: every_nth]:
            other = replace(exchange, response=replace(exchange.response, status=code))
            findings = alone(changed(recorded(name), number, lambda _, other=other: other))[1]  # type: ignore[misc]  # a default
            if not any(finding.level == "must" for finding in findings):
                missed.add((exchange.operation, exchange.status, code))
    assert missed <= ALLOWED


def test_recording_without_a_scenario_is_replayed(tmp_path: Path, run: Run) -> None:
    har = document("fresh-build")
    har["log"]["pages"][0]["id"] = "mine"
    ended = run("replay", str(saved(har, tmp_path / "unknown")), keys={})
    assert (ended.code, ended.report()["warnings"]) == (0, [])
    assert ended.verdicts()["status.good-template-ends-ready"] == "upheld"


def test_recordings_follow_each_other_in_one_run_log(tmp_path: Path, run: Run) -> None:
    paths = [str(saved(document("cancel-when-idle"), tmp_path / folder)) for folder in ("one", "two")]
    ended = run("replay", "--speed", "50", *paths, str(recordings_dir() / "events-cancelled.har"), keys={})
    assert ended.code == 0
    numbers = [len(recorded(name).exchanges) for name in ("cancel-when-idle", "cancel-when-idle", "events-cancelled")]
    events = [json.loads(line) for line in (ended.results / "runlog.jsonl").read_text("utf-8").splitlines()]
    exchanges = [event for event in events if event["type"] == "exchange"]
    assert sorted(event["seq"] for event in exchanges) == list(range(1, sum(numbers) + 1))
    first = [event for event in exchanges if event["seq"] <= numbers[0]]
    second = [event for event in exchanges if numbers[0] < event["seq"] <= sum(numbers[:2])]
    assert max(event["done_at"] for event in first) + 1.0 <= min(event["sent_at"] for event in second) + 1e-6


@pytest.mark.parametrize(
    ("file", "content"),
    [("wrong.har", "{"), ("absent.har", None), (".", None)],
    ids=["no HAR", "no file", "no recordings"],
)
def test_unusable_file_is_rejected_before_the_run(file: str, content: str | None, tmp_path: Path, run: Run) -> None:
    if content:
        (tmp_path / file).write_text(content, "utf-8")
    ended = run("replay", file)
    assert (ended.code, ended.err.startswith(f"exit 2: {file}: ")) == (2, True)
    assert not (tmp_path / "reports").exists()


def test_key_of_the_environment_reaches_no_report(tmp_path: Path) -> None:
    key = "sk_live_test_of_the_recorder"
    har = document("fresh-build")
    content = entry(har, "building", "startBuild")["response"]["content"]
    content["text"] = json.dumps(json.loads(content["text"]) | {"status": f"paid by {key}"})
    ended = Shell(tmp_path, {"ORGO_API_KEY": key}).run("replay", str(saved(har, tmp_path / "of-others")))
    assert ended.code == 1
    assert key not in ended.out + ended.err
    files = [path for path in ended.results.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not [path for path in files if key in path.read_text("utf-8")]
    assert "paid by" in (ended.results / "runlog.jsonl").read_text("utf-8")


def test_accounts_of_a_foreign_file_come_from_the_user(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "page.har"
    theirs = foreign_files.status_read("not_built", 1.0, key=foreign_files.OTHER_KEY)
    path.write_text(json.dumps(foreign_files.document(foreign_files.status_read("ready", 0.0), theirs)))
    keys = {"THEIR_KEY": foreign_files.OTHER_KEY}

    refused = run("replay", str(path), keys=keys)
    assert (refused.code, (tmp_path / "reports").exists()) == (2, False)

    ended = run("replay", str(path), "--as", f"primary={foreign_files.KEY}", "--as=second=THEIR_KEY", keys=keys)
    assert (ended.code, ended.report()["counts"]["exchanges"], ended.report()["warnings"]) == (0, 2, [])
    written = [file.read_text("utf-8") for file in ended.results.rglob("*") if file.is_file()]
    assert "primary=<key:primary>" in "".join(written)
    for key in (foreign_files.KEY, foreign_files.OTHER_KEY):
        assert not [text for text in (*written, ended.out, ended.err, refused.err) if key in text]
