"""A run that begins in a folder that another one has used keeps what that one measured."""

from pathlib import Path

import pytest

from tests.loadlogs import header
from touchstone.check.job import EARLIER, new_log
from touchstone.facts.runlog import RunLogWriter, read


def test_log_of_an_earlier_run_is_kept_by_its_id(tmp_path: Path) -> None:
    run_log = new_log(tmp_path / "run")
    with RunLogWriter(run_log) as writer:
        writer.write(header())
    assert not new_log(tmp_path / "run").exists()
    assert read(tmp_path / "run" / EARLIER / header().run_id / "runlog.jsonl").header == header()


@pytest.mark.parametrize(
    "content", [b"", b"no JSON", b"[" * 100_000, b'{"run_id": "../../elsewhere"}', b'{"run_id": 3}']
)
def test_log_without_an_id_is_kept_all_the_same(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "runlog.jsonl").write_bytes(content)
    new_log(tmp_path)
    (kept,) = (tmp_path / EARLIER).iterdir()
    assert (kept / "runlog.jsonl").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [EARLIER]
