"""On a terminal of 40 columns, a dumb one, and one without colours, what commands tell is whole and legible."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import Command, Shell
from tests.watched import WAITING, Watched
from touchstone.cli.app import main

NARROW = 40
WIDE = 400
TELLING = (
    "claims cancel.*",
    "claims --excluded",
    "explain cancel.in-flight-is-202",
    "explain cancel.nothing",
    "load steady --plan",
    "load storm --plan",
    "probe --plan",
    f"check --plan --claims {WAITING}",
    "report run",
    "compare run run --report-dir compared",
    "sweep",
)
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
_COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-7]|4[0-7]|9[0-7]|38|48)[;m]")
_WORD = re.compile(r"[A-Za-z][\w.-]*[A-Za-z]{2}")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a terminal was sent."""

    code: int
    raw: str

    @property
    def lines(self) -> list[str]:
        """Its lines, without what only a terminal sees."""
        return [line.rstrip() for line in _ESCAPE.sub("", self.raw).replace("\r", "").splitlines()]


@contextmanager
def terminal(columns: int = NARROW) -> Iterator[tuple[int, bytearray]]:
    """A terminal, and what is written to it until the end."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    written = bytearray()
    reader = threading.Thread(target=_read, args=(master, written))
    reader.start()
    try:
        yield slave, written
    finally:
        os.close(slave)
        reader.join()
        os.close(master)


def _read(master: int, written: bytearray) -> None:
    with contextlib.suppress(OSError):  # the other end is closed
        while piece := os.read(master, 65_536):
            written += piece


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Shown]:
    """Calls a command in this process, which writes to a terminal."""

    def run(shell: Shell, *arguments: str, **variables: str) -> Shown:
        with monkeypatch.context() as patch:
            for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "CI"):
                patch.delenv(name, raising=False)
            for name, value in (shell.environment() | {"TERM": "xterm-256color"} | variables).items():
                patch.setenv(name, value)
            patch.chdir(shell.folder)
            patch.setattr(sys, "argv", ["touchstone", *arguments])
            with terminal() as (slave, written), os.fdopen(os.dup(slave), "w", encoding="utf-8") as stream:
                patch.setattr(sys, "stdout", stream)
                patch.setattr(sys, "stderr", stream)
                with pytest.raises(SystemExit) as end:
                    main()
        return Shown(int(end.value.code or 0), written.decode())

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a run on a narrow terminal, and what that showed."""
    place = tmp_path_factory.mktemp("narrow")
    shell = Shell(place)
    flags = ("--claims", WAITING, "--profile", "quick", "--report-dir", "run")
    environment = {name: value for name, value in shell.environment().items() if name not in ("COLUMNS", "NO_COLOR")}
    with Watched() as twin, terminal() as (slave, written):
        command = [sys.executable, "-m", "touchstone", "check", *flags, "--url", twin.url]
        ended = subprocess.run(
            command,
            cwd=place,
            env=environment | {"TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            check=False,
        )
    (place / "shown.txt").write_bytes(written)
    assert ended.returncode == 0, written
    return place


@pytest.mark.parametrize("line", TELLING)
def test_narrow_terminal_breaks_no_word(
    folder: Path, on_terminal: Callable[..., Shown], call: Command, line: str
) -> None:
    """
    Each word of 40 columns is one of a wide pipe; a line is longer only where one word is, or a command to be copied.
    """
    narrow = on_terminal(Shell(folder, columns=NARROW), *line.split())
    wide = call(Shell(folder, columns=WIDE), *line.split())
    assert narrow.code == wide.code
    words = set(_WORD.findall(" ".join((wide.out + wide.err).split())))
    broken = set(_WORD.findall(" ".join(narrow.lines))) - words - TITLES
    assert not {word for word in broken if not word.endswith("...")}, narrow.lines
    for told in narrow.lines:
        begins = told.split()[0] if told.strip() else ""
        assert len(told) <= NARROW or told.strip() == begins or begins in ("curl", "report:", "touchstone"), told


# Of lists that are tables where there is room; and what Click cuts.
TITLES = frozenset({"not", "judged", "because", "and"})


def test_narrow_run_shows_its_progress_and_its_report(folder: Path) -> None:
    """What moves while a run is under way stays on its line, and what is left of it is the report."""
    shown = Shown(0, (folder / "shown.txt").read_text("utf-8"))
    assert "exit 0: no must claim broken" in " ".join(shown.lines[-3:])
    assert "Traceback" not in shown.raw


@pytest.mark.parametrize("line", ["report run", "claims cancel.*", "--help", "explain cancel.nothing"])
def test_dumb_terminal_is_sent_text_only(folder: Path, on_terminal: Callable[..., Shown], line: str) -> None:
    """No escape sequence reaches a terminal that knows none."""
    assert "\x1b" not in on_terminal(Shell(folder, columns=80), *line.split(), TERM="dumb").raw


@pytest.mark.parametrize("line", ["report run", "claims cancel.*"])
def test_no_color_is_heeded(
    folder: Path, on_terminal: Callable[..., Shown], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """Whoever wants no colours gets none.

    Source: no-color.org.
    """
    shell = Shell(folder, columns=80)
    assert not _COLOUR.search(on_terminal(shell, *line.split(), NO_COLOR="1").raw)


def test_colours_that_are_forced_reach_a_pipe(folder: Path) -> None:
    """Whoever wants colours gets them without a terminal as well.

    Source: force-color.org.
    """
    forced = subprocess.run(
        [sys.executable, "-m", "touchstone", "report", "run"],
        cwd=folder,
        env=Shell(folder).environment() | {"FORCE_COLOR": "1", "TERM": "xterm-256color"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert _COLOUR.search(forced.stdout)
