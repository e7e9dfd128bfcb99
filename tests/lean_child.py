"""The lean client in a process that gevent has patched, as Locust's is; it does what standard input says, line by line.

Each line is a list of JSON: the name of a function of `Child` and its arguments. Each is answered by one line.
"""

import json
import os
import resource
import ssl
import sys
import time
from typing import Any

import gevent
from gevent import monkey
from gevent.event import Event

from touchstone.errors import UsageError

monkey.patch_all()

from touchstone.loadgen import lean  # noqa: E402 - after the patch, as in a Locust process
from touchstone.target.answer import Answer  # noqa: E402

# Nothing waits this long unless it hangs.
LIMIT_S = 20.0
# As they are before a test makes another one of them.
CONSTANTS = {"LONGEST_IDLE_S": lean.LONGEST_IDLE_S}


def told(answer: Answer) -> dict[str, Any]:
    """An answer as JSON values, its bytes as the characters with the same numbers."""
    return {
        "status": answer.status,
        "headers": answer.head.headers if answer.head else None,
        "body": answer.body.decode("latin-1"),
        "chunks": [data.decode("latin-1") for _, data in answer.chunks],
        "error": answer.error,
        "closed": answer.closed,
        "in_order": 0 < answer.sent_at <= answer.head_at <= answer.done_at,
        "rising": sorted(at for at, _ in answer.chunks) == [at for at, _ in answer.chunks],
    }


def wire(method: str, target: str, size: int = 0) -> bytes:
    """A request with *size* bytes of body."""
    return f"{method} {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * size


def say(what: Any) -> None:
    """Answers."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Child:
    """What can be asked for."""

    def __init__(self) -> None:
        self.connections = lean.Connections("http://127.0.0.1:1", LIMIT_S)
        self.greenlets: list[gevent.Greenlet] = []
        self.until = Event()

    def constants(self) -> dict[str, float]:
        return CONSTANTS

    def connect(self, url: str, timeout_s: float, trust: str | None, most: int | None, idle_s: float) -> str:
        lean.LONGEST_IDLE_S = idle_s
        context = ssl.create_default_context(cafile=trust) if trust else None
        if context:
            context.post_handshake_auth = True
        self.until = Event()
        try:
            self.connections = lean.Connections(url, timeout_s, ssl_context=context, max_connections=most)
        except UsageError as error:
            return str(error)
        return ""

    def begin(self, requests: list[list[Any]]) -> None:
        """Starts requests, each in a greenlet of its own."""
        send = self.connections.send
        self.greenlets = [gevent.spawn(send, request[0], wire(*request)) for request in requests]

    def begin_stream(self, limit_s: float) -> None:
        stream = self.connections.stream
        self.greenlets = [gevent.spawn(stream, wire("GET", "/events"), limit_s, self.until)]

    def leave(self) -> None:
        self.until.set()

    def ended(self) -> list[dict[str, Any]]:
        """The answers to what was begun."""
        gevent.joinall(self.greenlets, timeout=LIMIT_S, raise_error=True)
        return [told(greenlet.value) for greenlet in self.greenlets]

    def in_turn(self, requests: list[list[Any]]) -> list[dict[str, Any]]:
        """Sends requests one after the other; nothing else runs between the end of one and the start of the next."""
        return [told(self.connections.send(request[0], wire(*request))) for request in requests]

    def sent_before_dialling(self) -> bool:
        """Whether a request on a new connection counts as sent before that is opened."""
        dial, dialled_at = lean.dial, []

        def noted(*arguments: Any) -> Any:
            dialled_at.append(time.perf_counter())
            return dial(*arguments)

        lean.dial = noted
        try:
            answer = self.connections.send("GET", wire("GET", "/"))
        finally:
            lean.dial = dial
        return answer.sent_at <= dialled_at[0]

    def open_ahead(self, count: int) -> int:
        """Opens connections ahead; how many are free afterwards."""
        self.connections.open_ahead(count)
        return len(self.connections._idle)

    def kill(self) -> None:
        gevent.killall(self.greenlets)

    def close(self) -> None:
        self.connections.close()

    def deafen(self) -> None:
        """Makes every idle connection one that takes no more bytes."""
        for line in self.connections._idle:
            line._sock.shutdown(1)

    def is_emptied(self) -> bool:
        """Whether every connection gets closed."""
        with gevent.Timeout(LIMIT_S, False):
            while self.connections._open:
                gevent.sleep(0.001)
        return not self.connections._open

    def exhausted(self) -> list[dict[str, Any]]:
        """The answer to a request while the process may open no more files."""
        free = os.dup(0)
        os.close(free)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            return self.in_turn([["POST", "/"]])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def hurry(self, timeout_s: float) -> None:
        """Gives requests less time from now on."""
        self.connections._timeout_s = timeout_s

    def expire(self) -> None:
        """Lets the time of all that is under way be over."""
        for line in self.connections._open:
            line.deadline = 0.0

    def left_s(self) -> list[float]:
        """How much time what is under way has left."""
        return [line.deadline - time.perf_counter() for line in self.connections._open]

    def resolve(self, ports: list[int]) -> None:
        """Gives the host these addresses."""
        self.connections._addresses = [(2, 1, 6, "", ("127.0.0.1", port)) for port in ports]

    def resolved(self) -> list[int]:
        return [address[4][1] for address in self.connections._addresses]

    def turn(self) -> None:
        """Lets gevent's loop see all that has arrived."""
        for _ in range(3):
            gevent.sleep(0.001)

    def busy(self) -> str:
        """Says that it is busy, and then is until an answer is there and its time is over and would be noticed."""
        say("busy")
        self.expire()
        (line,) = self.connections._open
        began = time.perf_counter()
        while line.is_fresh() or time.perf_counter() - began < 2 * lean.SWEEP_S:
            pass
        return "done"


def main() -> None:
    """Does what it is told until its input ends."""
    child = Child()
    # In a real thread, so that gevent's loop runs on.
    read = gevent.get_hub().threadpool.apply
    while line := read(sys.stdin.readline):
        name, *arguments = json.loads(line)
        say(getattr(child, name)(*arguments))


if __name__ == "__main__":
    main()
