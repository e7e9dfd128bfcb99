"""`touchstone drift` compares the responses of a target with recordings, and reports changes that break a claim."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.command import Ended
from tests.recorded import changed, document, recorded, saved
from tests.recordings.conftest import Run
from touchstone.check.job import RECORDED_TWIN
from touchstone.contract.files import recordings_dir
from touchstone.facts.exchange import Chunk, Response
from touchstone.proof.faults import FAULTS
from touchstone.proof.variants import VARIANTS
from touchstone.recordings.drifting import Severity, drift
from touchstone.recordings.reader import read
from touchstone.recordings.recording import Recording, step
from touchstone.twin import TwinSettings
from touchstone.twin.serve import Behaviour

NAME = "fresh-build"
WHERE = "getBuild (ready)"
INTEGER = "an integer in the recording"


def changes(*answers: tuple[int, Response]) -> dict[str, Severity]:
    """The drift after replacing some responses of the recording."""
    now = recorded(NAME)
    for number, response in answers:
        now = changed(now, number, lambda each, new=response: replace(each, response=new))  # type: ignore[misc]  # a default
    return drift({NAME: recorded(NAME)}, {NAME: now})


def answer_of(number: int) -> Response:
    response = recorded(NAME).exchanges[number].response
    assert response is not None
    return response


def answer(number: int, **fields: Any) -> Response:
    """One response with changed members of its body; None removes a member."""
    response = answer_of(number)
    body = {name: value for name, value in (response.json() | fields).items() if value is not None}
    return replace(response, body=json.dumps(body).encode())


def numbers(name: str, operation: str) -> list[int]:
    """The exchanges of one operation with this step."""
    pairs = enumerate(recorded(NAME).exchanges)
    return [number for number, each in pairs if (step(each), each.operation) == (name, operation)]


READY = numbers("ready", "getBuild")
START = numbers("building", "startBuild")[0]


def test_other_values_of_the_same_shape_are_no_drift() -> None:
    others = [(n, answer(n, digest="0" * 64, build_time_ms=7)) for n in READY]
    later = [(n, replace(r, headers=(("content-type", "application/json"), ("date", "x")))) for n, r in others]
    assert changes() == changes(*later) == {}


@pytest.mark.parametrize(
    ("fields", "severity", "change"),
    [
        ({"eta_s": 1.5}, "compatible", f"{WHERE}: field eta_s is new: a number"),
        (
            {"build_time_ms": "7"},
            "breaking",
            f"{WHERE}: field build_time_ms: an integer in the recording, a string now",
        ),
        ({"build_time_ms": None}, "breaking", f"{WHERE}: field build_time_ms is gone; it was an integer"),
        ({"parts": [{"id": 1}]}, "compatible", f"{WHERE}: field parts[].id is new: an integer"),
    ],
)
def test_fields_are_compared_by_name_and_type(fields: dict[str, Any], severity: str, change: str) -> None:
    assert changes(*((n, answer(n, **fields)) for n in READY)) == {change: severity}


def test_new_value_of_a_field_is_breaking_and_a_missing_one_is_not() -> None:
    def with_modes(*modes: str) -> Recording:
        old = recorded(NAME)
        new = {number: answer(number, mode=mode) for number, mode in zip(READY, modes, strict=False)}
        exchanges = (replace(e, response=new.get(number, e.response)) for number, e in enumerate(old.exchanges))
        return replace(old, exchanges=tuple(exchanges))

    both, one = {NAME: with_modes("cold", "warm")}, {NAME: with_modes("cold", "cold")}
    fewer = f"{WHERE}: field mode: cold or warm in the recording, cold now"
    assert list(drift(both, one).items()) == [(fewer, "compatible")]
    more = f"{WHERE}: field mode: cold in the recording, cold or warm now"
    assert list(drift(one, both).items()) == [(more, "breaking")]


def test_status_media_type_and_header_names_are_compared() -> None:
    other = replace(answer_of(START), status=200, headers=(("Content-Type", "text/x; charset=a"), ("X-New", "1")))
    assert changes((START, other)) == {
        "startBuild (building): status: 202 in the recording, 200 now": "breaking",
        "startBuild (building): media type: application/json in the recording, text/x now": "breaking",
        "startBuild (building): header x-new is new": "cosmetic",
    }


def test_removal_of_a_header_is_breaking_only_if_clients_need_it() -> None:
    json_only, whole = (("content-type", "application/json"),), (("retry-after", "1"), ("cache-control", "no-store"))
    old = changed(
        recorded(NAME), START, lambda each: replace(each, response=replace(answer_of(START), headers=json_only + whole))
    )
    now = changed(
        recorded(NAME), START, lambda each: replace(each, response=replace(answer_of(START), headers=json_only))
    )
    assert drift({NAME: old}, {NAME: now}) == {
        "startBuild (building): header cache-control is gone": "cosmetic",
        "startBuild (building): header retry-after is gone": "breaking",
    }


def test_phases_of_a_log_are_compared_and_prose_is_not() -> None:
    stream = numbers("log ends on ready", "streamBuildEvents")
    body = answer_of(stream[0]).body
    other = body.replace(b'"phase":"snapshot"', b'"phase":"freezing"').replace(b"took a snapshot", b"froze it well")
    (change,) = changes(*((n, replace(answer_of(n), body=other, chunks=(Chunk(1.0, other),))) for n in stream))
    assert change.startswith("streamBuildEvents (log ends on ready): field phase: archive or boot or")
    assert "freezing" in change


def test_missing_step_is_placed_after_the_one_before() -> None:
    now = recorded(NAME)
    kept = tuple(each for number, each in enumerate(now.exchanges) if number not in numbers("not built", "getBuild"))
    (change,) = drift({NAME: now}, {NAME: replace(now, exchanges=kept)})
    assert change == f"{NAME}: steps after 'getTemplate: 200': not built in the recording, nothing now"


# --- the command -----------------------------------------------------------------------------------------------------

SETTINGS = """[targets.other]
url = "{url}"
api_key_env = "ORGO_API_KEY"
second_api_key_env = "ORGO_SECOND_API_KEY"
restricted_api_key_env = "ORGO_RESTRICTED_API_KEY"
build_timeout_s = 10
cancel_timeout_s = 3
templates = {{ restricted = ["default/legacy-demo@1.0.0"] }}
"""


def compared(run: Run, behaviour: Behaviour, folder: Path, *recordings: str) -> tuple[Ended, dict[str, Any]]:
    """Runs the command against a twin with this behaviour; returns drift.json as well."""
    with behaviour.twin(RECORDED_TWIN) as twin:
        (folder / "touchstone.toml").write_text(SETTINGS.format(url=twin.url), "utf-8")
        ended = run("drift", "--target", "other", *(str(recordings_dir() / f"{name}.har") for name in recordings))
    return ended, json.loads((ended.results / "drift.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("name", "recording", "part", "claim"),
    [
        ("start-while-building-is-409", "joined-build", "startBuild: 409", ""),
        ("combined-lavish", "cancel-when-idle", "field api_revision is new: an integer", ""),
        ("cancel-answers-200", "events-cancelled", "cancelBuild: 200 now", "cancel.in-flight-is-202"),
        ("ready-has-no-build-time", "fresh-build", "field build_time_ms is gone", "status.ready-has-build-time"),
        ("small-plan-is-402", "below-plan", "402", "access.start-needs-scale"),
    ],
)
def test_drift_fails_only_if_it_breaks_a_claim(
    name: str, recording: str, part: str, claim: str, tmp_path: Path, run: Run
) -> None:
    ended, summary = compared(run, {**VARIANTS, **FAULTS}[name], tmp_path, recording)
    assert (ended.code, part in ended.out, summary["not_compared"]) == (int(bool(claim)), True, {})
    assert any(part in change for change in summary["changes"])
    assert not claim or ended.verdicts()[claim] == "broken"


def test_unchanged_target_has_not_drifted(run: Run) -> None:
    paths = [str(recordings_dir() / f"{name}.har") for name in ("fresh-build", "cancel-when-idle")]
    ended = run("drift", "--target", "twin", *paths, keys={})
    summary = json.loads((ended.results / "drift.json").read_text("utf-8"))
    assert (ended.code, summary["changes"], summary["not_compared"]) == (0, [], {})


def test_fail_on_sets_the_exit_code_and_out_has_new_recordings(tmp_path: Path, run: Run) -> None:
    with VARIANTS["combined-lavish"].twin(RECORDED_TWIN) as twin:
        (tmp_path / "touchstone.toml").write_text(SETTINGS.format(url=twin.url), "utf-8")
        command = ("drift", "--target", "other", str(recordings_dir() / "fresh-build.har"), "--out", "new")
        ended = run(*command, "--fail-on", "breaking")
        stricter = run(*command, "--fail-on", "compatible")
    assert (ended.code, stricter.code) == (0, 1)
    assert "compatible: " in ended.out
    assert "breaking: " not in ended.out
    assert read(tmp_path / "new" / "fresh-build.har").steps == recorded("fresh-build").steps


def test_missing_limit_of_the_target_is_a_change(tmp_path: Path, run: Run) -> None:
    with Behaviour("roomy", "").twin(TwinSettings(build_s=0.05)) as twin:
        ended = run("drift", "--url", twin.url, str(recordings_dir() / "capacity.har"))
    (change,) = json.loads((ended.results / "drift.json").read_text("utf-8"))["changes"]
    assert (ended.code, change.partition(":")[0]) == (0, "capacity")


def test_unreachable_target_cannot_be_compared(run: Run) -> None:
    ended = run("drift", "--url", "http://127.0.0.1:9", str(recordings_dir() / "fresh-build.har"))
    summary = json.loads((ended.results / "drift.json").read_text("utf-8"))
    assert (ended.code, list(summary["not_compared"]), summary["changes"]) == (3, ["fresh-build"], [])


def test_files_without_a_scenario_or_with_the_same_one_are_rejected(tmp_path: Path, run: Run) -> None:
    har = document("fresh-build")
    har["log"]["pages"][0]["id"] = "mine"
    path = saved(har, tmp_path / "unknown")
    unknown = run("drift", "--target", "twin", str(path))
    assert (unknown.code, str(path) in unknown.err) == (2, True)

    paths = [str(saved(document("fresh-build"), tmp_path / folder)) for folder in ("one", "two")]
    twice = run("drift", "--target", "twin", *paths)
    assert (twice.code, [path for path in paths if path not in twice.err]) == (2, [])
    assert not (tmp_path / "reports").exists()
