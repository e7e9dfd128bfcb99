"""Runs the commands of a document in order and compares what they print with the output in the document.

A ```console block has commands after ``$ `` and their output. ``…`` at the end of a line stands for any text. Before a
block, ``<!-- file: PATH -->`` marks a file to write, and ``<!-- numbers differ -->`` an output with other numbers.
A server that a command starts runs until the next one starts.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.command import LIMIT_S

_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>file|numbers differ)(?:: (?P<path>\S+))? -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_PROGRESS = re.compile(r"^\d+ of \d+ cases done, .*\n", re.MULTILINE)  # of a check on a slow machine
_OURS = ("ORGO_", "TOUCHSTONE_", "XDG_", "CI", "FORCE_COLOR", "PYTEST_", "PYTHONPATH", "GITHUB_", "MAKE", "COVERAGE")


@dataclass(frozen=True, slots=True)
class Step:
    """One command with its output, or one file (*path*) with its text."""

    command: str
    text: str
    path: str = ""
    mark: str = ""


def steps(document: str) -> Iterator[Step]:
    """The commands and files of a document, in order."""
    for block in _BLOCK.finditer(document):
        mark = block["mark"] or ""
        if block["path"]:
            yield Step("", block["text"], block["path"], mark)
        elif block["kind"] == "console":
            for part in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                yield Step(command, output.strip("\n"), mark=mark)


@dataclass
class Reader:
    """Somebody who follows a document in a folder of their own.

    Attributes:
        instead: Texts of the document and what takes their place: a port, a folder.
    """

    folder: Path
    instead: Mapping[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(init=False)
    server: "subprocess.Popen[str] | None" = None
    code: int = 0

    def __post_init__(self) -> None:
        home = self.folder / ".home"
        home.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}"
        self.environment = {**kept, "PATH": path, "HOME": str(home), "COLUMNS": "100", "TERM": "dumb"}
        self.state = home / "state"

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def follow(self, document: str) -> list[str]:
        """Does each step; returns the differences."""
        return [wrong for step in steps(document) for wrong in self.do(step)]

    def do(self, step: Step) -> list[str]:
        """Does one step; returns the difference, if any."""
        if step.path:
            (self.folder / step.path).write_text(self._replaced(step.text), encoding="utf-8")
            return []
        printed = self._run(self._replaced(step.command)).strip("\n")
        for text, ours in self.instead.items():
            printed = printed.replace(ours, text)
        if agrees(step.text, printed, numbers=step.mark != "numbers differ"):
            return []
        return [f"$ {step.command}\n--- document\n{step.text}\n--- printed (exit {self.code})\n{printed}"]

    def _run(self, command: str) -> str:
        if command == "echo $?":
            return str(self.code)
        if re.match(r"touchstone serve\b", command):
            return self._serve(command)
        kept = f'{command}\ncode=$?\npwd > "{self.state}.cwd"; env -0 > "{self.state}.env"; exit $code'
        done = subprocess.run(
            ["bash", "-c", kept],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        self.code = done.returncode
        self.folder = Path(Path(f"{self.state}.cwd").read_text("utf-8").strip())
        pairs = Path(f"{self.state}.env").read_text("utf-8").split("\0")
        self.environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        return _PROGRESS.sub("", done.stdout)

    def _serve(self, command: str) -> str:
        """Starts a server; returns what it prints until it has listed its accounts."""
        self.stop()
        self.server = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.server.stdout is not None
        lines: list[str] = []
        for line in self.server.stdout:
            lines.append(line)
            if line.startswith("account restricted"):
                break
        return "".join(lines)

    def stop(self) -> None:
        """Presses Ctrl-C in the terminal of the server."""
        if self.server is not None:
            self.server.send_signal(signal.SIGINT)
            try:
                self.server.communicate(timeout=LIMIT_S)
            finally:
                self.server.kill()
                self.server.wait()
            self.server = None

    def _replaced(self, text: str) -> str:
        for old, new in self.instead.items():
            text = text.replace(old, new)
        return text


def agrees(expected: str, printed: str, *, numbers: bool = True) -> bool:
    """Whether an output is the expected one, apart from run ids, times and counts of exchanges."""
    parts = re.split(r"…$", expected, flags=re.MULTILINE)
    pattern = ".*".join(re.escape(_stable(part, numbers)) for part in parts)
    return re.fullmatch(pattern, _stable(printed, numbers), re.DOTALL) is not None


def _stable(text: str, numbers: bool) -> str:
    text = re.sub(r"\b\d{6}-\d{6}-[0-9a-f]{6}\b", "RUN", " ".join(text.split()))
    text = re.sub(r"[0-9,]+ exchanges with (\S+) in [0-9.]+ s", r"N exchanges with \1 in S s", text)
    text = re.sub(r"─+", "─", re.sub(r"\bin [0-9.]+s\b", "in S s", text))
    return text if numbers else re.sub(r"[0-9][0-9.,]*(?: ?(?:[mµn]?s|%))?\??", "N", text)
