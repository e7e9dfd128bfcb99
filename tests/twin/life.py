"""A sequence of requests with every kind of response; servers that behave differently respond differently."""

import hashlib
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from tests.twin.virtual import PRIMARY, RESTRICTED, SECOND, Answer, Api, Clock, document, served
from touchstone.twin.serve import Behaviour

SETTINGS: dict[str, Any] = {"capacity": 3, "seed": 1, "build_timeout_s": 60.0}
OPERATIONS = (("GET", ""), ("POST", "/build"), ("GET", "/build"), ("DELETE", "/build"), ("GET", "/build/events"))
KEYS = (None, "Bearer sk_live_unknown", f"Bearer {PRIMARY}x", f"Bearer {PRIMARY[:-1]}", f"Basic {PRIMARY}")


class Life:
    """Requests to one twin, and each response as a line, with its duration."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.statuses: set[int] = set()

    def lines(self) -> Iterator[str]:
        chapters = (self.publishing, self.building, self.failing, self.cancelling, self.limits, self.accounts)
        for chapter in (*chapters, self.replacing, self.neighbours, self.keys, self.deleting):
            yield from chapter()

    def send(self, method: str, path: str, key: str | None = f"Bearer {PRIMARY}", **more: Any) -> str:
        headers = [("Accept-Encoding", "gzip"), *([("Authorization", key)] if key is not None else [])]
        began_s = self.api.clock.now_s
        answer = self.api.with_key(None).request(method, path, headers=headers, **more)
        self.statuses.add(answer.status)
        return f"{method} {path} {key} {describe(answer)} after {self.api.clock.now_s - began_s:.4f} s"

    def publish(self, name: str, *run: str, query: str = "", key: str = f"Bearer {PRIMARY}") -> str:
        return self.send("POST", f"/templates{query}", key, json_body=document(name, *run))

    def each(self, name: str, *methods: str, key: str = f"Bearer {PRIMARY}") -> Iterator[str]:
        """Requests for the build of a version; EVENTS for its log."""
        for method in methods:
            path = f"/templates/default/{name}/1.0.0/build"
            yield self.send("GET", f"{path}/events", key) if method == "EVENTS" else self.send(method, path, key)

    def everything(self, path: str, key: str | None = f"Bearer {PRIMARY}", query: str = "") -> Iterator[str]:
        for method, rest in (*OPERATIONS, ("DELETE", "")):
            yield self.send(method, f"{path}{rest}{query}", key)

    def publishing(self) -> Iterator[str]:
        for _ in range(2):
            yield self.publish("demo", "echo one")
        yield self.send("GET", "/templates/default/demo/1.0.0")
        for body in (b"", b"{", b'{"api_version": "orgo.ai/v1"}'):
            yield self.send("POST", "/templates", body=body)
        yield self.publish("demo", "echo two")
        yield self.send("GET", "/templates/default/demo/1.0.0")
        for name in ("other", "third", "fourth", "fifth"):
            yield self.publish(name)
            yield self.send("GET", f"/templates/default/{name}/1.0.0")
        yield self.publish("fourth", "echo two", query="?force=true")
        yield self.send("GET", "/templates/default/fourth/1.0.0")
        yield from self.each("fourth", "GET")
        for namespace in ("default", "team"):
            envelope = {"namespace": namespace, "name": "wrapped", "version": "1.0.0", "template": document("wrapped")}
            yield self.send("POST", "/templates", json_body=envelope)
        secret = document("secret") | {"env": {"TOKEN": {"secret": "token"}}, "secrets": [{"name": "token"}]}
        yield self.send("POST", "/templates", json_body=secret)
        yield from self.each("secret", "POST", "EVENTS", "GET")

    def building(self) -> Iterator[str]:
        for name in ("demo", "other"):
            yield from self.each(name, "GET", "GET", "POST", "GET", "POST", "GET", "EVENTS", "GET", "GET")
            yield from self.each(name, "POST", "POST", "GET", "EVENTS", "DELETE", "DELETE", "GET")
        yield self.publish("demo", "echo three", query="?force=true")
        yield from self.each("demo", "GET", "POST", "GET", "POST", "GET", "EVENTS", "GET", "GET")
        for name in ("auto", "auto-too"):
            for _ in range(2):
                yield self.publish(name, query="?auto_build=true")
                yield from self.each(name, "GET", "EVENTS", "GET")
        yield self.publish("quick", "sleep 0.004")
        yield from self.each("quick", "POST", "EVENTS", "GET")

    def failing(self) -> Iterator[str]:
        for name in ("bad", "worse"):
            yield self.publish(name, "echo begun", "exit 1")
            for _ in range(2):
                yield from self.each(name, "POST", "GET", "EVENTS", "GET")
        yield self.publish("endless", "sleep 600")
        yield from self.each("endless", "POST", "EVENTS", "GET")

    def cancelling(self) -> Iterator[str]:
        for name in ("slow", "slower"):
            yield self.publish(name, "sleep 2", f"echo {name}")
            yield from self.each(name, "POST", "DELETE", "GET", "DELETE", "POST", "GET", "EVENTS", "GET")
            yield self.publish(name, "sleep 3", query="?force=true")
            yield from self.each(name, "POST", "DELETE", "GET", "DELETE", "EVENTS", "GET", "DELETE")
            yield from self.each(name, "POST", "GET", "EVENTS", "GET")
        # Cancelled after its failure.
        yield self.publish("failing", "sleep 0.5", "exit 1")
        yield from self.each("failing", "POST", "EVENTS", "GET", "POST", "DELETE", "EVENTS", "GET")

    def limits(self) -> Iterator[str]:
        for number in range(5):
            yield self.publish(f"long-{number}", "sleep 2", f"echo {number}")
            yield from self.each(f"long-{number}", "POST")
        yield from self.each("long-4", "GET")
        yield self.publish("refused", query="?auto_build=true")
        yield from self.each("long-0", "DELETE")
        for number in range(3):
            yield from self.each(f"long-{number}", "EVENTS", "GET")
        # A longer build beside a shorter one that begins later.
        yield self.publish("longer", "sleep 3")
        yield self.publish("shorter", "sleep 1")
        yield from (*self.each("longer", "POST"), *self.each("shorter", "POST", "EVENTS"), *self.each("longer", "GET"))
        yield from self.each("longer", "EVENTS")

    def accounts(self) -> Iterator[str]:
        second, restricted = f"Bearer {SECOND}", f"Bearer {RESTRICTED}"
        yield from self.everything("/templates/default/other/1.0.0", second)
        for name in ("mine", "mine-too", "other"):
            yield self.publish(name, key=second)
            yield from self.each(name, "GET", "POST", "GET", "EVENTS", "GET", "POST", "DELETE", key=second)
            yield from self.each(name, "GET")
        for name in ("late", "late-too"):
            yield self.publish(name)
            yield from self.each(name, "GET", "POST", "EVENTS", "GET")
            yield self.send("GET", f"/templates/default/{name}/1.0.0")
        yield self.publish("small", key=restricted)
        for name in ("legacy-demo", "none"):
            yield from self.everything(f"/templates/default/{name}/1.0.0", restricted)
        for key in (f"Bearer {PRIMARY}", restricted):
            yield from self.everything("/templates/system/openclaw/1.0.0", key)

    def replacing(self) -> Iterator[str]:
        """Versions that are replaced or deleted during and after their builds."""
        for name in ("replaced", "deleted"):
            yield self.publish(name, "sleep 2", f"echo {name}")
            yield from self.each(name, "POST")
        yield self.publish("replaced", "echo anew", query="?force=true")
        yield self.send("DELETE", "/templates/default/deleted/1.0.0")
        for name in ("replaced", "deleted"):
            yield self.publish(name, "sleep 2", f"echo {name}", query="?force=true")
            yield from self.each(name, "GET", "POST", "EVENTS", "GET")
            yield self.send("DELETE", f"/templates/default/{name}/1.0.0")
            yield self.publish(name, "sleep 2", f"echo {name}")
            yield from self.each(name, "GET", "POST")

    def neighbours(self) -> Iterator[str]:
        """Versions published one after the other; one is started, fails or is deleted."""
        for number, step in enumerate(("echo a", "echo b", "exit 1", "echo c", "sleep 2")):
            yield self.publish(f"near-{number}", step, f"echo {number}")
        for number in (1, 2, 4):
            yield from self.each(f"near-{number}", "POST")
            self.api.clock.wait(0.5)
            yield from (*self.each(f"near-{number}", "POST"), *self.each(f"near-{number - 1}", "GET", "EVENTS"))
            yield from self.each(f"near-{number}", "EVENTS", "GET")
        yield self.send("DELETE", "/templates/default/near-3/1.0.0")
        for number in range(5):
            yield from self.each(f"near-{number}", "GET")
        # Many builds in a short time.
        for number in range(14):
            yield self.publish(f"brief-{number}")
            yield from self.each(f"brief-{number}", "POST", "DELETE")
            self.api.clock.wait(0.15)

    def keys(self) -> Iterator[str]:
        unknown = "/templates/default/none/1.0.0"
        for key in KEYS:
            yield from self.everything(unknown, key)
            yield self.send("POST", "/templates", key, json_body=document("odd"))
        yield from self.everything(unknown, None, f"?api_key={PRIMARY}")
        yield self.send("POST", f"/templates?api_key={PRIMARY}", None, json_body=document("odd"))
        for path in (unknown, "/templates/default/demo/9.9.9", "/templates/nowhere/demo/1.0.0"):
            yield from self.everything(path)
        for method in ("PUT", "HEAD"):
            yield from self.each("demo", method)
        yield self.send("GET", "/templates/default/demo/1.0/build")

    def deleting(self) -> Iterator[str]:
        yield from (*self.each("demo", "GET"), *self.each("other", "GET"))
        for name in ("other", "third"):
            yield self.send("DELETE", f"/templates/default/{name}/1.0.0")
            yield from self.everything(f"/templates/default/{name}/1.0.0")
        for name in ("demo", "fourth", "fifth"):
            yield self.send("GET", f"/templates/default/{name}/1.0.0")


def describe(answer: Answer) -> str:
    """Describes a response in one line, with the sizes and times of its chunks."""
    headers = b" ".join(name + b"=" + value for name, value in answer.headers)
    pieces = [(round(at_s - answer.pieces[0][0], 4), len(data)) for at_s, data in answer.pieces]
    digest = hashlib.sha256(answer.body).hexdigest()[:12]
    return f"{answer.status} {headers!r} {answer.text[:400]} {digest} {pieces} {answer.is_whole}"


def statuses(one: Behaviour) -> set[int]:
    """The statuses of all responses in a life; 0 for none."""
    clock = Clock()
    life = Life(served(clock, one, **SETTINGS))
    list(life.lines())
    clock.end()
    return life.statuses


def same(one: Behaviour, other: Behaviour) -> bool:
    """Whether two servers respond in the same way."""
    clocks = Clock(), Clock()
    lives = [Life(served(clock, each, **SETTINGS)).lines() for clock, each in zip(clocks, (one, other), strict=True)]
    try:
        return all(first == second for first, second in zip_longest(*lives))
    finally:
        for clock in clocks:
            clock.end()
