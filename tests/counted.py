"""Twins that count the builds that they begin, correct ones and such as say nothing of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from starlette.responses import Response

from touchstone.check.job import EMBEDDED_TWIN
from touchstone.twin import Twin
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Engine, Slot
from touchstone.twin.settings import Account


class Counting(Engine):
    """Counts each build that begins."""

    begun: list[str]

    def launch(self, version: Version) -> Build:
        """Starts a new build."""
        self.begun.append(str(version.ref))
        return super().launch(version)


class Unshared(Counting):
    """Begins another build for each start."""

    def joinable(self, slot: Slot) -> bool:
        """Whether a start joins."""
        return False


class Eager(Counting):
    """Builds whatever is published."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        """Publishes a document, and builds it."""
        version = super().publish(account, document, force)
        slot = self.slot_of(version)
        if not self.reusable(slot) and not self.joinable(slot):
            slot.last = self.launch(version)
        return version


class Hiding(App):
    """Tells of its first builds, and answers later starts that begin one with 429."""

    told = 3

    def start_build(self, account: Account, version: Version) -> Response:
        """Starts a build."""
        response = super().start_build(account, version)
        self.told -= 1
        if self.told < 0 and b'"building"' in bytes(response.body):
            raise Refusal(429, "No.")
        return response


def _answering(answer: Callable[[], Response]) -> type[App]:
    class Answering(App):
        def start_build(self, account: Account, version: Version) -> Response:
            self.engine.start(account, version)
            return answer()

    return Answering


def _refuse(status: int) -> Callable[[], Response]:
    def refuse() -> Response:
        raise Refusal(status, "No.")

    return refuse


SERVERS: Mapping[str, tuple[type[Counting], type[App]]] = {
    "correct": (Counting, App),
    "answers-429": (Counting, _answering(_refuse(429))),
    "answers-500": (Counting, _answering(_refuse(500))),
    "answers-202-empty": (Counting, _answering(lambda: Response(b"", 202))),
    "builds-what-is-published": (Eager, App),
    "unshared-429": (Unshared, _answering(_refuse(429))),
    "unshared-429-later": (Unshared, Hiding),
}


def counted(server: str) -> tuple[Twin, list[str]]:
    """A twin, and the builds that it has begun. A broken one has room for any number."""
    engine, app = SERVERS[server]
    begun: list[str] = []
    made = type("Engine", (engine,), {"begun": begun})
    settings = EMBEDDED_TWIN if server == "correct" else replace(EMBEDDED_TWIN, capacity=None)
    return Twin(settings, engine=made, app=app), begun
