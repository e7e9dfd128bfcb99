"""A limiter that is a process of its own: started on a port that is taken already, and stopped for certain."""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from touchstone.twin import Twin, TwinSettings

# Nothing waits longer for anything.
START_S = 30.0
STOP_S = 10.0

# Where servers are that only root is thought to start.
_SYSTEM = ("/usr/sbin", "/usr/local/sbin")


@dataclass(frozen=True, slots=True)
class Place:
    """What a configuration is written from.

    Attributes:
        folder: Where the process may write; its alone.
        listener: File descriptor of the socket that it is handed, which listens already.
        port: The port of that socket.
        twin: Host and port of the twin.
    """

    folder: Path
    listener: int
    port: int
    twin: str


@dataclass(frozen=True, slots=True)
class Command:
    """What to run.

    Attributes:
        words: The command line.
        environment: Variables that it gets besides those of this process.
        log: Where it writes why it ended; what it prints counts as well.
    """

    words: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None


def program(name: str) -> str:
    """The path of a program; empty where there is none."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM))) or ""


@contextlib.contextmanager
def before_twin(settings: TwinSettings, folder: Path, command: Callable[[Place], Command]) -> Iterator[str]:
    """Starts a twin, and the limiter that *command* says how to start; the base URL behind which both are.

    Raises:
        RuntimeError: the limiter died, or does not answer.
    """
    with Twin(settings) as twin, socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        port = listener.getsockname()[1]
        place = Place(folder, listener.fileno(), port, twin.url.removeprefix("http://").partition("/")[0])
        url = f"http://127.0.0.1:{port}{settings.base_path}"
        with _running(command(place), folder, listener, url):
            yield url


@contextlib.contextmanager
def _running(command: Command, folder: Path, listener: socket.socket, url: str) -> Iterator[None]:
    said = folder / "output.txt"
    with said.open("wb") as output:
        process = subprocess.Popen(
            command.words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(listener.fileno(),),
            env={**os.environ, **command.environment},
        )
    # From here on it is the only one that listens: a connection is refused once it is gone.
    listener.close()
    try:
        _answering(process, command, said, url)
        yield
        if process.poll() is not None:
            raise RuntimeError(_died(process, command, said))
    finally:
        process.kill()
        process.wait(STOP_S)


def _answering(process: "subprocess.Popen[bytes]", command: Command, said: Path, url: str) -> None:
    try:
        # Before it accepts connections they wait in the queue of its socket: no need to try again.
        httpx.get(f"{url}/", timeout=START_S, trust_env=False)
    except httpx.HTTPError as error:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S if not isinstance(error, httpx.TimeoutException) else 0)
        raise RuntimeError(_died(process, command, said)) from error


def _died(process: "subprocess.Popen[bytes]", command: Command, said: Path) -> str:
    state = "does not answer" if process.returncode is None else f"ended with {process.returncode}"
    logs = [log.read_text("utf-8", "replace") for log in (said, command.log) if log and log.exists()]
    return f"{Path(command.words[0]).name} {state}; it said: {' '.join(logs).strip() or 'nothing'}"
