"""Runs one command against one hostile server, measures it, and checks what no run may do."""

import base64
import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from hypothesis.configuration import storage_directory
from hypothesis.internal.charmap import charmap

from tests.command import Shell
from tests.hostile.catalogue import FLAWS
from tests.hostile.detours import authority
from tests.hostile.server import Server
from touchstone.check.job import EMBEDDED_TWIN
from touchstone.errors import HarnessError
from touchstone.facts.runlog import read
from touchstone.twin import Twin

MOST_S = 20.0
MOST_BYTES = 300 * 1024 * 1024

_POLL_S = 0.02
# Only a hang takes so long.
_KILLED_AFTER_S = 100.0
_PAGE_BYTES = resource.getpagesize()

COMMANDS: dict[str, tuple[str, ...]] = {
    "check": ("check", "--profile", "quick"),
    "load": (
        *("load", "steady", "--duration", "1", "--rate", "12", "--mix", "read=50,start=15,cancel=15,stream=20"),
        *("--max-seconds", "12"),
    ),
    "storm": ("load", "storm", "--builds", "3", "--max-seconds", "18"),
    "record": ("record", "fresh-build"),
}

_SETTINGS = """
[targets.hostile]
url = "{url}"
request_timeout_s = 1.0
build_timeout_s = 3.0
cancel_timeout_s = 1.0
patience_s = 1.0
max_builds = 60
"""

# Output without a terminal consists of text and line feeds; these are the forbidden characters.
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
_TOO_LATE = "the generator was"
_LAST = re.compile(r"exit (\d+): ")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one command; *wrong* lists what no run may do."""

    flaw: str
    command: str
    code: int
    out: str
    err: str
    seconds: float
    peak_bytes: int
    wrong: tuple[str, ...] = ()
    broken: tuple[str, ...] = field(default=())

    @property
    def last_line(self) -> str:
        lines = (self.out.strip() or self.err.strip()).splitlines()
        return lines[-1] if lines else ""


def run(flaw: str, command: str, more: Sequence[str] = ()) -> Outcome:
    """Runs a command, with *more* arguments, against a hostile server; repeats a load whose generator was late."""
    outcome = _run(flaw, command, more)
    return _run(flaw, command, more) if _TOO_LATE in outcome.last_line else outcome


def _run(flaw: str, command: str, more: Sequence[str]) -> Outcome:
    with (
        tempfile.TemporaryDirectory(prefix="hostile-") as name,
        Twin(EMBEDDED_TWIN) as twin,  # its own: builds of others would use its capacity
        Server(FLAWS[flaw], twin.url, under_load=COMMANDS[command][0] == "load") as server,
    ):
        folder = Path(name)
        shell = Shell(folder, columns=120)
        (folder / "touchstone.toml").write_text(_SETTINGS.format(url=server.url), "utf-8")
        authority().cert_pem.write_to_path(str(folder / "authority.pem"))
        arguments = [*COMMANDS[command], "--target", "hostile", *more]
        code, seconds, peak_bytes = _measured(shell, arguments)
        out, err = ((folder / name).read_bytes().decode("utf-8", "replace") for name in ("stdout", "stderr"))
        broken, wrong = _wrong(shell, code, out, err, server)
    too_much = [f"took {seconds:.1f} s"] if seconds > MOST_S else []
    too_much += [f"took {peak_bytes >> 20} MB"] if peak_bytes > MOST_BYTES else []
    return Outcome(flaw, command, code, out, err, seconds, peak_bytes, (*too_much, *wrong), broken)


def _measured(shell: Shell, arguments: list[str]) -> tuple[int, float, int]:
    """Exit code, seconds and peak memory of a command with its child processes."""
    environment = shell.environment() | {"SSL_CERT_FILE": str(shell.folder / "authority.pem")}
    # Hypothesis builds character tables once on a machine: 190 MB that are not the command's own.
    charmap()
    environment |= {"HYPOTHESIS_STORAGE_DIRECTORY": str(storage_directory().path)}
    began_at = time.monotonic()
    with (shell.folder / "stdout").open("wb") as out, (shell.folder / "stderr").open("wb") as err:
        streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err}
        child = subprocess.Popen([*shell.program, *arguments], cwd=shell.folder, env=environment, **streams)
        peak_bytes = 0
        while child.poll() is None:
            peak_bytes = max(peak_bytes, sum(map(_rss_bytes, _tree(child.pid))))
            if time.monotonic() - began_at > _KILLED_AFTER_S:
                for pid in _tree(child.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_POLL_S)
    return child.returncode, time.monotonic() - began_at, peak_bytes


def _tree(pid: int) -> Iterator[int]:
    """A process and all its descendants."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for word in (task / "children").read_text().split():
                yield from _tree(int(word))


def _rss_bytes(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    return 0


# --- what no run may do ----------------------------------------------------------------------------------------------


def _wrong(shell: Shell, code: int, out: str, err: str, server: Server) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The claims that were found broken, and what no run may do."""
    wrong = [*_misreported(code, out, err), *_leaked(shell, out + err, server)]
    folders = [path for path in (shell.folder / "reports").glob("*") if path.is_dir()]
    broken: tuple[str, ...] = ()
    if not folders:
        wrong.append("left no folder of results")
    for folder in folders:
        broken, problems = _results(folder, code, records="scenarios recorded" in out)
        wrong += problems
    return broken, tuple(wrong)


def _misreported(code: int, out: str, err: str) -> Iterator[str]:
    if code not in (0, 1, 2, 3):
        yield f"ended with {code}"
    if "Traceback" in out + err:
        yield "printed a traceback"
    if found := _CONTROL.search(out + err):
        yield f"sent {found.group()!r} to the terminal"
    lines = out.strip().splitlines()
    last = _LAST.match(lines[-1]) if lines else None
    if last is None or int(last[1]) != code:
        yield f"its last line is {lines[-1] if lines else ''!r}, and it ended with {code}"


def _leaked(shell: Shell, printed: str, server: Server) -> Iterator[str]:
    for key in shell.keys.values():
        spellings = (key.encode(), base64.b64encode(key.encode()).rstrip(b"="))
        for path in shell.files():
            data = path.read_bytes()
            if any(spelling in data for spelling in spellings):
                yield f"wrote a key into {path.relative_to(shell.folder)}"
        if key in printed:
            yield "printed a key"
        if any(key.encode() in request for request in server.elsewhere.received):
            yield "sent a key to another host"
    if server.elsewhere.received:
        yield "sent a request to another host"


def _results(folder: Path, code: int, *, records: bool) -> tuple[tuple[str, ...], list[str]]:
    """The claims that the reports of a run call broken, and what is wrong with them.

    A run of `record`, which *records*, ends with 3 where a recording is missing though all else is fine.
    """
    wrong: list[str] = []
    broken: tuple[str, ...] = ()
    try:
        if not read(folder / "runlog.jsonl").footer:
            wrong.append("its run log has no footer")
        report = json.loads((folder / "report.json").read_text("utf-8"))
        broken = tuple(claim["id"] for claim in report["claims"] if claim["verdict"] == "broken")
        missing = records and (report["run"]["exit_code"], code) == (0, 3)
        if report["run"]["exit_code"] != code and not missing:
            wrong.append(f"report.json says exit {report['run']['exit_code']}")
        ET.parse(folder / "junit.xml")
        page = (folder / "report.html").read_text("utf-8")
        wrong += _markup_in(page)
    except (OSError, ValueError, KeyError, ET.ParseError, HarnessError) as error:
        wrong.append(f"its results cannot be read: {type(error).__name__}: {error}")
    return broken, wrong


class _Markup(HTMLParser):
    """Looks for what `GARBAGE` would be in a page if it were markup there."""

    def __init__(self) -> None:
        super().__init__()
        self.found = False
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        self.found |= tag == "img" or any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.found |= self._tag == "script" and data.startswith("alert(")


def _markup_in(page: str) -> Iterator[str]:
    parser = _Markup()
    parser.feed(page)
    if parser.found:
        yield "its page holds markup of the target"
    if found := _CONTROL.search(page.replace("\t", " ")):
        yield f"its page holds {found.group()!r}"
