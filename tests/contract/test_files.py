"""Bundled files are found, and only regular user files of limited size are read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Command, Shell
from touchstone.contract import files
from touchstone.contract.files import UnfitFileError, contract_tests_dir, openapi_dir, read_regular, recordings_dir
from touchstone.errors import ContractError

ROOT = Path(__file__).resolve().parent.parent.parent


def test_checkout_has_its_folders_beside_the_package() -> None:
    assert (openapi_dir(), contract_tests_dir()) == (ROOT / "openapi", ROOT / "contract_tests")
    assert recordings_dir() == ROOT / "tests" / "recordings"


def test_folder_of_the_wheel_comes_before_one_beside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PACKAGE", tmp_path / "touchstone")
    (tmp_path / "openapi").mkdir()
    with pytest.raises(ContractError) as raised:  # a foreign folder of that name
        openapi_dir()
    assert all(str(place / "openapi") in str(raised.value) for place in (tmp_path, tmp_path / "touchstone" / "_bundle"))
    for place in (tmp_path, tmp_path / "touchstone" / "_bundle"):
        (place / "openapi").mkdir(parents=True, exist_ok=True)
        (place / "openapi" / "builds.yaml").touch()
    assert openapi_dir() == tmp_path / "touchstone" / "_bundle" / "openapi"


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def long(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(5 << 30)  # takes no space on the disk


# Nothing writes to the pipe: a command that opened it would wait until the test ends.
COMMANDS = {
    "check --config FILE --plan": ("FILE", 2),
    "load steady --thresholds FILE --plan": ("FILE", 2),
    "report FILE": ("FILE", 2),
    "compare FILE FILE": ("FILE", 2),
    "probe --resume FILE": ("FILE", 2),
    "replay FILE": ("FILE", 2),
    "recordings lint FILE": ("FILE", 1),
}


@pytest.mark.parametrize("fill", [pipe, device, long])
@pytest.mark.parametrize("line", COMMANDS)
def test_command_rejects_an_unfit_file_by_name(
    tmp_path: Path, call: Command, line: str, fill: Callable[[Path], None]
) -> None:
    name, code = COMMANDS[line]
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    fill(tmp_path / name)
    ended = call(Shell(tmp_path), *line.split())
    assert "Traceback" not in ended.err
    assert (ended.code, Path(name).name in ended.out + ended.err) == (code, True)


@pytest.mark.parametrize("fill", [pipe, device])
@pytest.mark.parametrize(
    ("line", "name", "code"),
    [
        # The missing baseline ends the check before it lists its cases, which takes a process.
        ("check --last-failed --baseline none --plan", "reports/runlog.jsonl", 2),
        ("claims", "reports/report.json", 0),
        ("sweep", "state/touchstone/journals/x.journal", 0),
    ],
)
def test_command_skips_an_unfit_file_of_its_own(
    tmp_path: Path, call: Command, line: str, name: str, code: int, fill: Callable[[Path], None]
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    fill(tmp_path / name)
    ended = call(Shell(tmp_path), *line.split())
    assert ended.code == code
    assert "Traceback" not in ended.err


def test_file_beyond_its_limit_is_not_read_in_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"123")
    assert read_regular(path, 3) == b"123"
    with pytest.raises(UnfitFileError):
        read_regular(path, 2)
    opened = list(Path("/proc/self/fd").iterdir())
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == len(opened)  # no descriptor leaks
