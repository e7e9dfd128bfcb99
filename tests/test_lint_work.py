"""What is looked through in a long recording grows about as its length does, whatever one version has gone through."""

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType

from touchstone.contract.files import recordings_dir
from touchstone.recordings import reader
from touchstone.recordings.replay import alone


def lengthened(folder: Path, entries: int) -> Path:
    """A recording in which one version goes through the same again and again."""
    document = json.loads((recordings_dir() / "fresh-build.har").read_text("utf-8"))
    once = document["log"]["entries"]
    document["log"]["entries"] = []
    for number in range(entries):
        entry = json.loads(json.dumps(once[number % len(once)]))
        later_s = 10.0 * (number // len(once))
        began = datetime.fromisoformat(entry["startedDateTime"]) + timedelta(seconds=later_s)
        entry["startedDateTime"] = began.isoformat()
        entry["_exchange"]["seq"] = number + 1
        for name in {"sent_at", "head_at", "done_at"} & entry["_exchange"].keys():
            entry["_exchange"][name] += later_s
        document["log"]["entries"].append(entry)
    path = folder / f"{entries}.har"
    path.write_text(json.dumps(document), "utf-8")
    return path


def work(path: Path) -> int:
    """How many functions are called to judge a recording."""
    recording = reader.read(path)
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        alone(recording).findings()
    finally:
        sys.setprofile(None)
    return calls


def test_work_grows_about_as_the_recording_does(tmp_path: Path) -> None:
    """Four times the entries cost far less than sixteen times the work."""
    short, long = (work(lengthened(tmp_path, entries)) for entries in (240, 960))
    assert long < 7 * short
