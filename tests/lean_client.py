"""The lean client in its child process, as the tests speak to it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lean_server import LIMIT_S

ROOT = Path(__file__).resolve().parent.parent


class Client:
    """The lean client in its child process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.lean_child"]
        self._child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, *what: Any) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(what) + "\n")
        self._child.stdin.flush()

    def hear(self) -> Any:
        assert self._child.stdout is not None
        return json.loads(self._child.stdout.readline())

    def do(self, *what: Any) -> Any:
        self.say(*what)
        return self.hear()

    def connect(
        self,
        url: str,
        timeout_s: float = LIMIT_S,
        trust: Path | None = None,
        most: int | None = None,
        idle_s: float = LIMIT_S,
    ) -> None:
        problem = self.do("connect", url, timeout_s, str(trust) if trust else None, most, idle_s)
        assert problem == ""

    def send(self, *requests: list[Any]) -> list[dict[str, Any]]:
        """The answers to requests that are sent one after the other."""
        return list(self.do("in_turn", requests))

    def send_at_once(self, *requests: list[Any]) -> list[dict[str, Any]]:
        """The answers to requests that are sent at the same time."""
        self.do("begin", requests)
        return list(self.do("ended"))

    def stream(self, limit_s: float = LIMIT_S) -> dict[str, Any]:
        self.do("begin_stream", limit_s)
        return dict(self.do("ended")[0])

    def end(self) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        assert self._child.wait(LIMIT_S) == 0
        self._child.stdout.close()


@pytest.fixture(scope="module")
def process() -> Iterator[Client]:
    client = Client()
    yield client
    client.end()


@pytest.fixture
def client(process: Client) -> Iterator[Client]:
    """The client, without connections before and after."""
    yield process
    process.do("close")
    assert process.do("is_emptied")


def looks(answer: dict[str, Any]) -> tuple[int, str, str]:
    """What most tests ask of an answer: status, body and error."""
    assert answer["in_order"]
    return answer["status"], answer["body"], answer["error"]
