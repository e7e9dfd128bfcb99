"""Journals: leftovers of a run, and whether the run is alive."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from touchstone.check.journal import SUFFIX, Journal, JournalState, leftovers
from touchstone.errors import OutputError, UsageError

URL = "http://127.0.0.1:1/api"
RUN, OTHER = "260102-030405-0000a1", "260102-030405-0000a2"
ONE, TWO = "default/touchstone-1@1.0.0", "default/touchstone-2@1.0.0"


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def abandoned(folder: Path, *refs: str) -> JournalState:
    """The journal of a run that intended *refs* and then ended."""
    with Journal.open(RUN, URL, folder) as journal:
        for ref in refs:
            journal.intend(ref)
    (leftover,) = leftovers(folder)
    return leftover


def resumed(leftover: JournalState) -> Journal:
    journal = Journal.resume(leftover)
    assert journal is not None
    return journal


def full(_descriptor: int, _data: bytes) -> int:
    raise OSError(28, "No space left on device")


def test_step_before_a_request_is_synced_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: syncs.append(os.fstat(descriptor).st_size))
    with Journal.open(RUN, URL, tmp_path / "deep") as journal:
        assert len(syncs) == 2  # the header, and its folder
        syncs.clear()
        journal.intend(ONE, "second")
        header, line = lines_of(journal.path)
        assert header == {"journal": 1, "run_id": RUN, "target_url": URL}
        assert line == {"step": "intend", "ref": ONE, "by": "second"}
        journal.removed(ONE)
        journal.started(ONE, TWO)
        assert journal.builds == (ONE, TWO)
        journal.settled(ONE, TWO)
        journal.settled()
        assert (len(syncs), syncs) == (2, sorted(set(syncs)))
        assert (journal.path.parent, journal.path.stat().st_mode & 0o7777) == (tmp_path / "deep", 0o600)
    assert list((tmp_path / "deep").iterdir()) == []


def test_leftover_lists_what_was_not_removed(tmp_path: Path) -> None:
    with Journal.open(RUN, URL, tmp_path) as journal:
        for ref in (ONE, TWO, "default/gone@1.0.0"):
            journal.intend(ref)
        journal.started(TWO, "others/theirs@1.0.0", ONE)
        journal.settled(ONE)
        journal.removed("default/gone@1.0.0")
        assert (journal.refs, journal.builds) == ((ONE, TWO), (TWO, "others/theirs@1.0.0"))
    with Journal.open(OTHER, URL, tmp_path) as other:
        other.started(ONE)
    left, build_only = leftovers(tmp_path)
    assert (left.path, left.run_id, left.target_url) == (journal.path, RUN, URL)
    assert (left.refs, tuple(left.builds)) == ((ONE, TWO), (TWO, "others/theirs@1.0.0"))
    assert (build_only.refs, tuple(build_only.builds)) == ((), (ONE,))


def test_version_stays_until_it_is_gone_for_each_account(tmp_path: Path) -> None:
    with Journal.open(RUN, URL, tmp_path) as journal:
        for by in ("primary", "second"):
            journal.intend(ONE, by)
        journal.intend(TWO)
        journal.started(ONE)
        journal.removed(ONE, "primary")
        assert (journal.refs, journal.builds) == ((ONE, TWO), (ONE,))
    (leftover,) = leftovers(tmp_path)
    assert leftover.owners == {ONE: {"second": None}, TWO: {"primary": None}}
    with resumed(leftover) as again:
        again.removed(ONE, "second")
        assert (again.refs, again.builds) == ((TWO,), ())
        again.removed(TWO)
    assert (leftovers(tmp_path), Journal.resume(leftover)) == ([], None)


def test_lines_of_many_threads_stay_whole_until_the_end(tmp_path: Path) -> None:
    refs = {f"default/t-{number}@1.0.0" for number in range(40)}
    with Journal.open(RUN, URL, tmp_path) as journal:
        threads = [threading.Thread(target=journal.intend, args=(ref,)) for ref in refs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    journal.close()
    assert {line["ref"] for line in lines_of(journal.path)[1:]} == refs
    with pytest.raises(RuntimeError):
        journal.intend(ONE)


# --- alive or not -----------------------------------------------------------------------------------------------------


def test_live_run_is_no_leftover(tmp_path: Path) -> None:
    leftover = abandoned(tmp_path, ONE)
    with Journal.open(OTHER, URL, tmp_path) as live:
        assert leftovers(tmp_path) == [leftover]
        assert Journal.resume(JournalState(live.path, OTHER, URL, {TWO: {}})) is None


def test_file_that_goes_before_it_is_locked_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leftover, real_open = abandoned(tmp_path, ONE), os.open

    def open_then_lose(path: Path, *args: int) -> int:
        descriptor = real_open(path, *args)
        Path(path).unlink()
        return descriptor

    monkeypatch.setattr(os, "open", open_then_lose)
    assert Journal.resume(leftover) is None


# --- damage -----------------------------------------------------------------------------------------------------------


def test_damaged_lines_do_not_hide_the_others_and_a_torn_one_is_cut(tmp_path: Path) -> None:
    leftover = abandoned(tmp_path, ONE)
    with leftover.path.open("ab") as file:
        file.write(b"\x00\xff\n5\n" + b"[" * 9000 + b"\n" + b'{"step": "intend", "ref": "default/to')
    assert leftovers(tmp_path) == [leftover]
    with resumed(leftover) as journal:
        journal.intend(TWO)
    assert leftovers(tmp_path)[0].refs == (ONE, TWO)


def test_file_that_is_no_journal_is_refused_and_stays(tmp_path: Path) -> None:
    contents = {"a": b"", "b": b"hello\n", "c": b'{"journal": 2, "run_id": "x", "target_url": ""}\n', "d": b"[]\n"}
    for name, content in contents.items():
        (tmp_path / f"{name}{SUFFIX}").write_bytes(content)
    (tmp_path / f"e{SUFFIX}").mkdir()
    refused: list[str] = []
    assert leftovers(tmp_path, None, tmp_path / "missing", refused=lambda path, _: refused.append(path.name[0])) == []
    assert refused == sorted(path.name[0] for path in tmp_path.iterdir()) == list("abcde")


def test_journal_needs_a_folder_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with Journal.open(RUN, URL, tmp_path / "file" / "state", fallback=tmp_path / "reports") as journal:
        assert journal.path.parent == tmp_path / "reports"
    for state in (tmp_path / "file" / "state", None):
        with pytest.raises(UsageError) as error:
            Journal.open(RUN, URL, state)
        assert "XDG_STATE_HOME" in str(error.value)
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError):
        Journal.open(RUN, URL, tmp_path / "full")
    assert list((tmp_path / "full").iterdir()) == []


def test_second_run_with_one_id_is_refused(tmp_path: Path) -> None:
    leftover = abandoned(tmp_path, ONE)
    with pytest.raises(UsageError) as error:
        Journal.open(RUN, URL, tmp_path)
    assert repr(RUN) in str(error.value)
    assert leftovers(tmp_path) == [leftover]
    assert [path.name for path in tmp_path.iterdir()] == [f"{RUN}{SUFFIX}"]


def test_full_disk_stops_the_run_and_keeps_the_journal_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write

    def write_then_full(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", full)
        return real_write(descriptor, data[:5])

    with Journal.open(RUN, URL, tmp_path) as journal:
        journal.intend(TWO)
        monkeypatch.setattr(os, "write", write_then_full)
        with pytest.raises(OutputError):
            journal.intend(ONE)
        journal.removed(TWO)  # what is over already needs no line
        monkeypatch.setattr(os, "write", real_write)
        assert (len(lines_of(journal.path)), journal.refs) == (2, ())
