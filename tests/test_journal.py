"""A journal knows what a run may have left, and whether the run is still alive."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from touchstone.check.journal import SUFFIX, Journal, JournalState, leftovers
from touchstone.errors import OutputError, UsageError

URL = "http://127.0.0.1:1/api"
RUN, OTHER = "260102-030405-0000a1", "260102-030405-0000a2"
ONE, TWO = "default/touchstone-1@1.0.0", "default/touchstone-2@1.0.0"


def lines_of(path: Path) -> list[dict[str, object]]:
    """The lines of a journal as objects."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def abandoned(folder: Path, *refs: str) -> JournalState:
    """What a run leaves that intends *refs* and then lets go of its lock."""
    journal = Journal.open(RUN, URL, folder)
    for ref in refs:
        journal.intend(ref)
    journal.close()
    (leftover,) = leftovers(folder)
    return leftover


def test_line_is_on_disk_before_the_call_returns(tmp_path: Path) -> None:
    """What a run intends is readable by others at once, so that no kill can lose it."""
    journal = Journal.open(RUN, URL, tmp_path / "deep" / "down")
    journal.intend(ONE)
    assert journal.path == tmp_path / "deep" / "down" / f"{RUN}{SUFFIX}"
    assert lines_of(journal.path) == [
        {"journal": 1, "run_id": RUN, "target_url": URL},
        {"step": "intend", "ref": ONE},
    ]
    journal.close()


def test_every_line_is_synced_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step reaches the disk, not only the page cache: a power cut is a kill as well."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    with Journal.open(RUN, URL, tmp_path) as journal:
        before = len(synced)
        journal.intend(ONE)
        journal.removed(ONE)
        sizes = synced[before:]
        assert sizes == sorted(set(sizes))
        assert (len(sizes), sizes[-1]) == (2, journal.path.stat().st_size)


def test_steps_that_are_told_together_are_synced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of versions are told of in one go, and are all on the disk when that is over."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    with Journal.open(RUN, URL, tmp_path) as journal:
        before = len(synced)
        journal.started(ONE, TWO)
        assert (synced[before:], journal.builds) == ([journal.path.stat().st_size], (ONE, TWO))
        journal.settled(ONE, TWO)
        journal.settled()
        assert (len(synced[before:]), synced[-1], journal.builds) == (2, journal.path.stat().st_size, ())


def test_clean_run_leaves_no_file(tmp_path: Path) -> None:
    """A journal whose templates are all removed is deleted, its draft included."""
    with Journal.open(RUN, URL, tmp_path) as journal:
        journal.intend(ONE)
        journal.started(ONE)
        journal.removed(ONE)
    assert list(tmp_path.iterdir()) == []


def test_file_stays_where_the_journal_knows_better(tmp_path: Path) -> None:
    """A caller who believes that all is clean is not believed while a template or a build is open."""
    for run_id, step in ((RUN, "intend"), (OTHER, "started")):
        journal = Journal.open(run_id, URL, tmp_path)
        getattr(journal, step)(ONE)
        journal.close()
    assert [leftover.run_id for leftover in leftovers(tmp_path)] == [RUN, OTHER]


def test_leftover_lists_what_was_not_seen_gone(tmp_path: Path) -> None:
    """Templates intended or created and not removed are left, and builds started and not settled, each in order."""
    journal = Journal.open(RUN, URL, tmp_path)
    for ref in (ONE, TWO, "default/gone@1.0.0"):
        journal.intend(ref)
    journal.started(TWO)
    journal.started("others/theirs@1.0.0")
    journal.started(ONE)
    journal.settled(ONE)
    journal.removed("default/gone@1.0.0")
    assert (journal.refs, journal.builds) == ((ONE, TWO), (TWO, "others/theirs@1.0.0"))
    journal.close()
    (left,) = leftovers(tmp_path)
    assert (left.path, left.run_id, left.target_url) == (journal.path, RUN, URL)
    assert (left.refs, tuple(left.builds)) == ((ONE, TWO), (TWO, "others/theirs@1.0.0"))


def test_journal_knows_which_key_made_what(tmp_path: Path) -> None:
    """
    A name stays until the version of each account is gone; the role of its key is noted, and of older lines nothing.
    """
    journal = Journal.open(RUN, URL, tmp_path)
    for by in ("primary", "second"):
        journal.intend(ONE, by)
    journal.intend(TWO)
    journal.started(ONE)
    journal.removed(ONE, "primary")
    assert lines_of(journal.path)[1] == {"step": "intend", "ref": ONE, "by": "primary"}
    assert (journal.refs, journal.builds) == ((ONE, TWO), (ONE,))
    journal.close()
    (leftover,) = leftovers(tmp_path)
    assert (leftover.refs, leftover.owners) == ((ONE, TWO), {ONE: {"second": None}, TWO: {}})
    again = Journal.resume(leftover)
    assert again is not None
    again.removed(ONE, "second")
    assert (again.refs, again.builds) == ((TWO,), ())
    again.close()


def test_live_run_is_no_leftover(tmp_path: Path) -> None:
    """The journal of a run at work is passed over, and not resumed."""
    leftover = abandoned(tmp_path, ONE)
    with Journal.open(OTHER, URL, tmp_path) as live:
        live.intend(TWO)
        assert leftovers(tmp_path) == [leftover]
        assert Journal.resume(JournalState(live.path, OTHER, URL, {TWO: {}})) is None
        live.removed(TWO)


def test_killed_run_is_a_leftover(tmp_path: Path) -> None:
    """A run that is killed outright lets go of its lock, and its journal tells what it was about to create."""
    program = (
        "import sys, signal; from pathlib import Path; from touchstone.check.journal import Journal\n"
        f"journal = Journal.open({RUN!r}, {URL!r}, Path(sys.argv[1])); journal.intend({ONE!r})\n"
        "print('ready', flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        alive = leftovers(tmp_path)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert (alive, leftovers(tmp_path)) == ([], [JournalState(tmp_path / f"{RUN}{SUFFIX}", RUN, URL, {ONE: {}})])


def test_torn_last_line_is_cut(tmp_path: Path) -> None:
    """Half a line was never followed by its request: it is not counted, and the next line does not run into it."""
    leftover = abandoned(tmp_path, ONE)
    with leftover.path.open("a") as file:
        file.write('{"step": "intend", "ref": "default/to')
    assert leftovers(tmp_path) == [leftover]
    journal = Journal.resume(leftover)
    assert journal is not None
    journal.intend(TWO)
    journal.close()
    assert leftovers(tmp_path)[0].refs == (ONE, TWO)


def test_damaged_line_in_the_middle_keeps_the_others(tmp_path: Path) -> None:
    """A damaged line does not keep the rest of a journal from being swept."""
    leftover = abandoned(tmp_path, ONE)
    with leftover.path.open("ab") as file:
        file.write(b"\x00\xff\n5\n" + json.dumps({"step": "intend", "ref": TWO}).encode() + b"\n")
    assert leftovers(tmp_path)[0].refs == (ONE, TWO)


def test_resumed_journal_is_finished_like_an_own_one(tmp_path: Path) -> None:
    """A sweep takes a leftover over, removes what is left one by one, and the file goes with the last one."""
    journal = Journal.resume(abandoned(tmp_path, ONE, TWO))
    assert journal is not None
    journal.removed(ONE)
    journal.close()
    (leftover,) = leftovers(tmp_path)
    assert leftover.refs == (TWO,)
    again = Journal.resume(leftover)
    assert again is not None
    again.removed(TWO)
    again.close()
    assert (leftovers(tmp_path), Journal.resume(leftover)) == ([], None)


def test_file_replaced_before_the_lock_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal deleted between its opening and its locking is finished, not left."""
    leftover = abandoned(tmp_path, ONE)
    real_open = os.open

    def open_then_lose(path: Path, *args: int) -> int:
        descriptor = real_open(path, *args)
        Path(path).unlink()
        return descriptor

    monkeypatch.setattr(os, "open", open_then_lose)
    assert Journal.resume(leftover) is None


def test_file_that_is_no_journal_is_passed_over(tmp_path: Path) -> None:
    """An empty file, a foreign one, one of another version and a folder are not leftovers, and stay as they are."""
    contents = {"a": b"", "b": b"hello\n", "c": b'{"journal": 2, "run_id": "x", "target_url": ""}\n', "d": b"[]\n"}
    for name, content in contents.items():
        (tmp_path / f"{name}{SUFFIX}").write_bytes(content)
    (tmp_path / f"e{SUFFIX}").mkdir()
    assert leftovers(tmp_path, None, tmp_path / "missing") == []
    assert {path.name[0] for path in tmp_path.iterdir()} == set("abcde")


def test_folder_that_cannot_be_made_falls_back(tmp_path: Path) -> None:
    """Where the state folder cannot be written, the journal goes to the folder of the reports."""
    (tmp_path / "file").write_text("")
    journal = Journal.open(RUN, URL, tmp_path / "file" / "state", fallback=tmp_path / "reports")
    assert journal.path.parent == tmp_path / "reports"
    journal.close()


@pytest.mark.parametrize("state", ["file/state", None])
def test_no_folder_at_all_is_a_usage_error(tmp_path: Path, state: str | None) -> None:
    """Without a journal nothing may be created, so the run ends with the reason and the way out."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be written: .*; set XDG_STATE_HOME to a writable folder"):
        Journal.open(RUN, URL, tmp_path / state if state else None)


def test_second_run_with_one_id_is_refused(tmp_path: Path) -> None:
    """A journal is never overwritten."""
    leftover = abandoned(tmp_path, ONE)
    with pytest.raises(UsageError, match=f"run {RUN!r} has a journal already"):
        Journal.open(RUN, URL, tmp_path)
    assert leftovers(tmp_path) == [leftover]
    assert [path.name for path in tmp_path.iterdir()] == [f"{RUN}{SUFFIX}"]


def test_full_disk_stops_the_run_and_keeps_the_journal_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that cannot be written is an error, and what was written of it is taken back."""
    real_write = os.write

    def write_then_full(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", full)
        return real_write(descriptor, data[:5])

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with Journal.open(RUN, URL, tmp_path) as journal:
        monkeypatch.setattr(os, "write", write_then_full)
        with pytest.raises(OutputError, match="cannot be written: No space left on device"):
            journal.intend(ONE)
        monkeypatch.setattr(os, "write", real_write)
        assert (len(lines_of(journal.path)), journal.refs) == (1, ())


def test_line_after_close_is_a_mistake(tmp_path: Path) -> None:
    """A closed journal protects nothing, so writing to it is refused; closing it again is harmless."""
    journal = Journal.open(RUN, URL, tmp_path)
    journal.close()
    journal.close()
    with pytest.raises(RuntimeError, match="journal is closed"):
        journal.intend(ONE)


def test_lines_of_many_threads_stay_whole(tmp_path: Path) -> None:
    """Threads that write at the same time do not tear each other's lines."""
    refs = {f"default/t-{number}@1.0.0" for number in range(40)}
    with Journal.open(RUN, URL, tmp_path) as journal:
        threads = [threading.Thread(target=journal.intend, args=(ref,)) for ref in refs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {line["ref"] for line in lines_of(journal.path)[1:]} == refs
