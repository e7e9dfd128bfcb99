"""`touchstone drift` tells what a target answers otherwise than it did, and whether that matters."""

import json
from pathlib import Path

import pytest

from tests.command import Command, Ended, Shell, called
from tests.recorded import document, saved
from touchstone.check.job import RECORDED_TWIN
from touchstone.contract.files import recordings_dir
from touchstone.proof.faults import FAULTS
from touchstone.proof.variants import VARIANTS
from touchstone.recordings.drifting import ending
from touchstone.twin import TwinSettings
from touchstone.twin.serve import Behaviour

# A variant, the recordings that show how it differs, and a part of what is told of that; nothing of it breaks a claim.
PERMITTED = {
    "start-while-building-is-409": ("joined-build", "startBuild: 409"),
    "digest-covers-name-and-version": (
        "shared-digest",
        "steps after 'published': reused in the recording, building → ",
    ),
    "combined-lavish": ("cancel-when-idle", ": field api_revision is new: an integer"),
    "combined-calm": ("unknown-version", "log ends on nothing"),
    "combined-proxy": ("unknown-version", ": field request_id is gone; it was a text"),
}

# A fault, the recordings that show it, what is told of it, and the claim that it breaks.
FAULTY = {
    "cancel-answers-200": ("events-cancelled", "cancelBuild: 200 now", "cancel.in-flight-is-202"),
    "unbuilt-cancel-is-accepted": ("cancel-when-idle", "nothing to cancel", "cancel.idle-is-404"),
    "unknown-is-410": ("unknown-version", "410", "lookup.unknown-version-is-404"),
    "ready-has-no-build-time": ("fresh-build", "field build_time_ms is gone", "status.ready-has-build-time"),
    "small-plan-is-402": ("below-plan", "402", "access.start-needs-scale"),
}


def drift(call: Command, behaviour: Behaviour, recording: str, folder: Path) -> Ended:
    """The command, against a twin that behaves so."""
    with behaviour.twin(RECORDED_TWIN) as twin:
        settings = [
            "[targets.other]",
            f'url = "{twin.url}"',
            'api_key_env = "ORGO_API_KEY"',
            'second_api_key_env = "ORGO_SECOND_API_KEY"',
            'restricted_api_key_env = "ORGO_RESTRICTED_API_KEY"',
            "build_timeout_s = 10",
            "cancel_timeout_s = 3",
            'templates = { restricted = ["default/legacy-demo@1.0.0"] }',
        ]
        (folder / "touchstone.toml").write_text("\n".join(settings), "utf-8")
        path = recordings_dir() / f"{recording}.har"
        return call(Shell(folder), "drift", "--target", "other", str(path))


@pytest.mark.parametrize("name", PERMITTED)
def test_drift_that_breaks_nothing_is_a_list(name: str, tmp_path: Path, call: Command) -> None:
    """
    A target that reads the documentation otherwise has changed, which is said in words, and is right: exit code 0.
    """
    recording, told = PERMITTED[name]
    ended = drift(call, VARIANTS[name], recording, tmp_path)
    assert ended.code == 0
    assert told in ended.out
    assert ended.last_line.endswith(", none breaks a claim")
    changes = json.loads((ended.results / "drift.json").read_text("utf-8"))["changes"]
    assert ended.last_line == f"exit 0: other: {amount(len(changes))}, none breaks a claim"


@pytest.mark.parametrize("name", FAULTY)
def test_drift_that_breaks_a_claim_fails(name: str, tmp_path: Path, call: Command) -> None:
    """A target with a fault has drifted as well, and the claim that this breaks is named: exit code 1."""
    recording, told, claim = FAULTY[name]
    ended = drift(call, FAULTS[name], recording, tmp_path)
    assert ended.code == 1
    assert told in ended.out
    assert ended.verdicts()[claim] == "broken"
    assert ended.last_line.endswith("a claim is broken")


def test_unchanged_target_has_not_drifted(tmp_path: Path, call: Command) -> None:
    """The twin answers as it was recorded; no ids, dates or durations are told."""
    paths = [str(recordings_dir() / f"{name}.har") for name in ("fresh-build", "cancel-when-idle")]
    ended = call(Shell(tmp_path, {}), "drift", "--target", "twin", *paths)
    assert (ended.code, ended.last_line) == (0, "exit 0: twin: no drift")


def test_limit_that_is_not_met_is_a_change(tmp_path: Path, call: Command) -> None:
    """A host with room for all builds has no capacity to show, which is no fault."""
    with Behaviour("roomy", "").twin(TwinSettings(build_s=0.05)) as twin:
        ended = call(Shell(tmp_path), "drift", "--url", twin.url, str(recordings_dir() / "capacity.har"))
    assert ended.code == 0
    assert "capacity: 6 builds at once met no limit of the host" in ended.out


def test_target_that_does_not_answer_cannot_be_compared(tmp_path: Path, call: Command) -> None:
    """Nothing is said of a target that is not there: exit code 3."""
    path = str(recordings_dir() / "fresh-build.har")
    ended = call(Shell(tmp_path), "drift", "--url", "http://127.0.0.1:9", path)
    assert ended.code == 3
    assert "fresh-build: not compared: it was not played" in ended.out
    told = "exit 3: url: 1 scenario could not be compared: http://127.0.0.1:9: no answer: ConnectError"
    assert ended.last_line.startswith(told)


@pytest.mark.parametrize(
    ("compared", "why", "told"),
    [
        (2, "", "api: 1 change; 1 scenario could not be compared"),
        (2, "no answer", "api: 1 change; 1 scenario could not be compared: no answer"),
        (0, "", "api: 1 scenario could not be compared"),
    ],
)
def test_last_line_counts_changes_only_where_something_was_compared(compared: int, why: str, told: str) -> None:
    """What kept the run from its end comes last; of nothing compared no changes are counted."""
    assert ending(3, "api", int(bool(compared)), 1, compared, why) == told


def test_recording_of_no_scenario_cannot_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody can play again is refused with what could be."""
    har = document("fresh-build")
    har["log"]["pages"][0]["id"] = "mine"
    path = saved(har, tmp_path / "unknown")
    ended = called(Shell(tmp_path), monkeypatch, capsys, "drift", "--target", "twin", str(path))
    told = f"exit 2: {path}: no recording of a scenario; see `touchstone record --list`, or leave it out\n"
    assert (ended.code, ended.err) == (2, told)


def test_two_recordings_of_one_scenario_cannot_be_compared_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of them would be passed over in silence."""
    paths = [str(saved(document("fresh-build"), tmp_path / folder)) for folder in ("one", "two")]
    ended = called(Shell(tmp_path), monkeypatch, capsys, "drift", "--target", "twin", *paths)
    told = f"exit 2: {paths[1]}: of the same scenario as {paths[0]}; compare with one of them at a time\n"
    assert (ended.code, ended.err) == (2, told)


def amount(number: int) -> str:
    """So many changes, in words."""
    return f"{number} change" + ("" if number == 1 else "s")
