"""A run that begins in a folder that another one has used leaves what that one measured."""

from pathlib import Path

import pytest

from tests.loadlogs import header
from touchstone.check.job import EARLIER, new_log
from touchstone.facts.runlog import RunLogWriter, read


def log_of(folder: Path) -> bytes:
    """Writes the log of a run; its bytes."""
    run_log = new_log(folder)
    with RunLogWriter(run_log) as writer:
        writer.write(header())
    return run_log.read_bytes()


def test_log_of_an_earlier_run_is_kept_by_its_id(tmp_path: Path) -> None:
    """It can be reported on as before, and nothing of it gets into the new one."""
    before = log_of(tmp_path / "run")
    assert not (tmp_path / "run" / EARLIER).exists()
    assert not new_log(tmp_path / "run").exists()
    kept = tmp_path / "run" / EARLIER / header().run_id / "runlog.jsonl"
    assert kept.read_bytes() == before
    assert read(kept).header.run_id == header().run_id


@pytest.mark.parametrize(
    "content", [b"", b"no JSON", b"[]", b"[" * 100_000, b'{"run_id": "../../elsewhere"}', b'{"run_id": 3}']
)
def test_log_that_tells_no_id_is_kept_all_the_same(tmp_path: Path, content: bytes) -> None:
    """Under a name of its own, in the same folder."""
    (tmp_path / "runlog.jsonl").write_bytes(content)
    new_log(tmp_path)
    (kept,) = (tmp_path / EARLIER).iterdir()
    assert (kept / "runlog.jsonl").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [EARLIER]
