"""Follows a document word for word: writes the files that it shows, runs its commands in order, and compares what they
print with what it shows.

A block of ```console holds commands after ``$ `` with their output; a line ``…`` stands for any lines. A comment before
a block says more: ``<!-- file: PATH -->`` that it is a file, ``<!-- add to: PATH -->`` the end of one,
``<!-- change: PATH -->`` a difference, its parts apart by ``@@``, and ``<!-- numbers differ -->`` that numbers in the
output are others each time. A server that a command starts runs until the next one is started.
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
from tests.readme import normal

ROOT = Path(__file__).resolve().parent.parent

_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>file|add to|change|numbers differ)(?:: (?P<path>\S+))? -->\n)?"
    r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_OURS = ("ORGO_", "TOUCHSTONE_", "XDG_", "CI", "FORCE_COLOR", "PYTEST_", "PYTHONPATH", "GITHUB_", "MAKE", "COVERAGE")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        command: What to run; empty where a file is to be written.
        path: The file, from the folder of the document's reader.
        text: What the file holds, or what the command prints.
        mark: What the comment before the block says.
    """

    command: str
    text: str
    path: str = ""
    mark: str = ""


def steps(document: str) -> Iterator[Step]:
    """What a document asks its reader to do, in order."""
    for block in _BLOCK.finditer(document):
        mark = block["mark"] or ""
        if block["path"]:
            yield Step("", block["text"], block["path"], mark)
        elif block["kind"] == "console":
            for part in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                while command.endswith("\\"):
                    more, _, output = output.partition("\n")
                    command = f"{command}\n{more.removeprefix('> ')}"
                yield Step(command, output.strip("\n"), mark=mark)


@dataclass
class Reader:
    """Somebody who does what a document says, with a home and an environment of his own.

    Attributes:
        folder: Where he is.
        instead: What stands in the document, and what he takes in its place: a port, a folder.
    """

    folder: Path
    instead: Mapping[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(init=False)
    served: "subprocess.Popen[str] | None" = None
    code: int = 0

    def __post_init__(self) -> None:
        home = self.folder / ".home"
        home.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}"
        kept |= {name: value for name, value in os.environ.items() if name == "HYPOTHESIS_STORAGE_DIRECTORY"}
        self.environment = {**kept, "PATH": path, "HOME": str(home), "COLUMNS": "100", "TERM": "dumb"}
        self.state = home / "state"

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def follow(self, document: str) -> list[str]:
        """Does everything in it; returns what was shown otherwise than it came, none where all is true."""
        return [wrong for step in steps(document) for wrong in self.do(step)]

    def do(self, step: Step) -> list[str]:
        """Does one thing."""
        if step.path:
            path = self.folder / step.path
            path.parent.mkdir(parents=True, exist_ok=True)
            before = "" if step.mark == "file" else path.read_text("utf-8")
            # What is added to a module begins after two blank lines, which no block of code can show.
            before += "\n\n" if step.mark == "add to" and path.suffix == ".py" else ""
            text = changed(before, step.text) if step.mark == "change" else before + self._taken(step.text)
            path.write_text(text, encoding="utf-8")
            return []
        printed = self._shown(self._run(self._taken(step.command)))
        if agrees(step.text, printed, numbers=step.mark != "numbers differ"):
            return []
        return [f"$ {step.command}\n--- shown\n{step.text}\n--- printed (exit {self.code})\n{printed}"]

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
        return done.stdout

    def _serve(self, command: str) -> str:
        """Starts a server in a terminal of its own; returns what it says until it listens and has told its accounts."""
        self.stop()
        self.served = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.served.stdout is not None
        said: list[str] = []
        for line in self.served.stdout:
            said.append(line)
            if line.startswith("account restricted"):
                break
        return "".join(said)

    def stop(self) -> None:
        """Presses Ctrl-C where a server runs."""
        if self.served is not None:
            self.served.send_signal(signal.SIGINT)
            try:
                self.served.communicate(timeout=LIMIT_S)
            finally:
                self.served.kill()
                self.served.wait()
            self.served = None

    def _taken(self, text: str) -> str:
        for shown, taken in self.instead.items():
            text = text.replace(shown, taken)
        return text

    def _shown(self, text: str) -> str:
        for shown, taken in self.instead.items():
            text = text.replace(taken, shown)
        return text.strip("\n")


def changed(text: str, difference: str) -> str:
    """A text with each part of a difference made, which must fit exactly one place."""
    for part in re.split(r"^@@$\n", difference, flags=re.MULTILINE):
        lines = part.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if not line.startswith("+"))
        new = "".join(line[1:] for line in lines if not line.startswith("-"))
        assert text.count(old) == 1, f"fits {text.count(old)} places:\n{old}"
        text = text.replace(old, new)
    return text


def agrees(shown: str, printed: str, *, numbers: bool = True) -> bool:
    """Whether what a document shows is what came, but for what differs from run to run."""
    parts = re.split(r"^…$", shown, flags=re.MULTILINE)
    pieces = [re.escape(" ".join(_plain(part, numbers).split())) for part in parts]
    pattern = ".*".join(pieces)
    return re.fullmatch(pattern, " ".join(_plain(printed, numbers).split()), re.DOTALL) is not None


def _plain(text: str, numbers: bool) -> str:
    text = re.sub(r"\b\d{6}-\d{6}-[0-9a-f]{6}\b", "RUN", normal(text))
    text = re.sub(r"[0-9,]+ exchanges with (\S+) in [0-9.]+ s", r"N exchanges with \1 in S s", text)
    text = re.sub(r"\bin [0-9.]+s\b", "in S s", text)
    text = re.sub(r"─+", "─", text)
    return text if numbers else re.sub(r"[0-9][0-9.,]*(?: ?(?:[mµn]?s|%))?\??", "N", text)
