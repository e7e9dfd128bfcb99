"""No run begins more builds than its budget, whatever the target reports; the server counts them."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from tests.check.scripted import BUSY, REF, Answer, answering, examination, status
from tests.command import PRIMARY, Shell
from tests.inline import inline
from tests.rules.exchanges import build
from touchstone.check.examination import Examination, Unsuited
from touchstone.check.job import EMBEDDED_TWIN
from touchstone.check.templates import Template
from touchstone.target.call import Call
from touchstone.twin import Account, App, Engine, Twin
from touchstone.twin.answers import Refusal
from touchstone.twin.build import Build
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document


class Builds:
    """A server that counts its builds; *starts* handles start requests."""

    def __init__(self, starts: Callable[["Builds", str], Answer], *, publishes: bool = False) -> None:
        self.begun: list[str] = []
        self.states: dict[str, str] = {}
        self._starts = starts
        self._publishes = publishes
        self._lock = threading.Lock()

    def begin(self, ref: str) -> None:
        self.begun.append(ref)
        self.states[ref] = "building"

    def __call__(self, call: Call) -> Answer:
        with self._lock:
            return self._answer(call)

    def _answer(self, call: Call) -> Answer:
        ref = call.ref or ""
        building, auto = self.states.get(ref) == "building", "auto_build" in call.query
        match call.operation:
            case "startBuild":
                return self._starts(self, ref)
            case "cancelBuild":
                self.states[ref] = "not_built"
                return (202, {"status": "cancelling"}, {}) if building else (404, {"status": "idle"}, {})
            case "publishTemplate":
                if self._publishes or auto:
                    self.begin(ref)
                return 201, {"ref": ref, "digest": ref} | ({"auto_build": "building"} if auto else {}), {}
        return 200, {"ref": ref, "digest": ref, "status": self.states.get(ref, "not_built")}, {}


def joins(server: Builds, ref: str) -> Answer:
    """A correct start."""
    if server.states.get(ref) != "building":
        server.begin(ref)
    return 202, {"ref": ref, "digest": ref, "status": "building"}, {}


def begins_and(*answer: Any) -> Callable[[Builds, str], Answer]:
    """A start that begins a build each time, with this response."""

    def start(server: Builds, ref: str) -> Answer:
        server.begin(ref)
        return answer

    return start


SERVERS: dict[str, Callable[[], Builds]] = {
    "correct": lambda: Builds(joins),
    "429": lambda: Builds(begins_and(429, {"error": "slow down"}, {})),
    "500": lambda: Builds(begins_and(500, {"error": "oops"}, {})),
    "202-empty": lambda: Builds(begins_and(202, {}, {})),
    "publishing": lambda: Builds(joins, publishes=True),
    "never-shared": lambda: Builds(begins_and(202, {"status": "building"}, {})),
}


def acts(exam: Examination) -> Iterator[Callable[[], object]]:
    """All ways to begin a build."""
    for number in range(12):
        template = exam.template(f"t{number}", sleep_s=0.0)
        start = Call("startBuild", template.ref)
        yield lambda: exam.publish(template, auto_build=number % 4 == 3)  # noqa: B023 - called at once
        yield lambda: exam.send(start)  # noqa: B023
        yield lambda: exam.together(start, start, start)  # noqa: B023
        yield lambda: exam.send(Call(method="post", path=f"/templates/default/x{number}/1.0.0/build/"))  # noqa: B023
        yield lambda: exam.cancel(template.ref)  # noqa: B023
        yield lambda: exam.send(start)  # noqa: B023


@pytest.mark.parametrize("builds", [1, 3, 10])
@pytest.mark.parametrize("server", SERVERS)
def test_no_more_builds_begin_than_may(server: str, builds: int) -> None:
    served = SERVERS[server]()
    exam = examination(served, builds)
    for act in acts(exam):
        with contextlib.suppress(Unsuited):
            act()
    assert 0 < len(served.begun) <= builds


LASTING = Template("demo", "1.0.0", 60.0, False, "")


def test_certain_joins_and_reused_versions_cost_nothing() -> None:
    reused, refused, absent = status("ready", reused=True), (401, {}, {}), (404, {}, {})
    exam = examination(answering(status("building"), refused, absent, status("building"), status("ready"), reused))
    exam.register(LASTING)
    exam.start(REF)
    exam.send(Call("cancelBuild", REF, "none"))
    exam.read(REF, "second")
    exam.start(REF)
    assert exam.budget.builds == 39
    exam.read(REF)
    exam.start(REF)
    assert exam.budget.builds == 39


@pytest.mark.parametrize("between", ["nothing", "cancelBuild", "deleteTemplate"])
def test_join_costs_where_the_build_may_have_ended(between: str) -> None:
    exam = examination(lambda call: (202, build("building", REF), {}))
    exam.register(LASTING if between != "nothing" else replace(LASTING, sleep_s=0.0))
    exam.start(REF)
    if between != "nothing":
        exam.send(Call(between, REF))
    exam.start(REF)
    assert exam.budget.builds == 38


@pytest.mark.parametrize(("then", "left"), [("not_built", 40), ("building", 39), ("failed", 39), ("cancelled", 39)])
def test_refused_start_is_given_back_once_a_read_shows_no_build(then: str, left: int) -> None:
    answers = {"startBuild": BUSY, "cancelBuild": (202, {"status": "cancelling"}, {})}
    exam = examination(lambda call: answers.get(call.operation, status("not_built" if then == "cancelled" else then)))
    exam.send(Call("startBuild", REF))
    assert exam.budget.builds == 39
    if then == "cancelled":
        exam.send(Call("cancelBuild", REF))
    exam.read(REF)
    assert exam.budget.builds == left


def test_refused_start_of_a_version_with_an_unknown_status_counts_after_one_read() -> None:
    exam = examination(lambda call: BUSY if call.operation == "startBuild" else status("queued"), builds=1)
    exam.send(Call("startBuild", REF))
    for _ in range(3):
        with pytest.raises(Unsuited):
            exam.send(Call("startBuild", "default/other@1.0.0"))
    assert [call.operation for call in exam.transport.calls] == ["startBuild", "getBuild"]


def test_publishing_is_free_once_it_is_known_to_begin_nothing() -> None:
    exam = examination(Builds(joins), builds=3)
    for name in ("a", "b"):
        exam.publish(exam.template(name))
    assert exam.budget.builds == 1
    exam.read("default/touchstone-r1-a@1.0.0")
    assert exam.budget.builds == 3
    exam.publish(exam.template("c"))
    assert exam.budget.builds == 3


# --- whole commands, on twins that begin builds without reporting it --------------------------------------------------

SETTINGS = """
[targets.counted]
url = "{url}"
request_timeout_s = 3.0
build_timeout_s = 0.5
cancel_timeout_s = 0.3
patience_s = 0.3
"""


class Eager(Engine):
    """Builds each published version."""

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        version = super().publish(account, document, force)
        slot = self.slot_of(version)
        if not self.reusable(slot) and not self.joinable(slot):
            slot.last = self.launch(version)
        return version


def refusing(status: int) -> type[App]:
    """An application that starts builds, but refuses with *status*."""

    class Refusing(App):
        def start_build(self, account: Account, version: Version) -> Response:
            self.engine.start(account, version)
            raise Refusal(status, "No.")

    return Refusing


TWINS: dict[str, tuple[type[Engine], type[App]]] = {
    "correct": (Engine, App),
    "answers-429": (Engine, refusing(429)),
    "answers-500": (Engine, refusing(500)),
    "builds-what-is-published": (Eager, App),
}
COMMANDS: dict[int, tuple[str, ...]] = {
    5: ("check", "--profile", "quick", "--claims", "start.concurrent*,limit.refused-start-starts-nothing"),
    3: ("record", "fresh-build", "joined-build", "auto-build", "failed-build"),
    6: ("load", "steady", "--duration", "1", "--rate", "6", "--mix", "start=100", "--build-s", "0.05"),
    10: ("probe", "--max-seconds", "6"),
}
# All of them are in `make thorough`.
FEW = [(5, "answers-429"), (5, "builds-what-is-published"), (3, "answers-429")]
EACH = [
    pytest.param(most, twin, marks=() if (most, twin) in FEW else pytest.mark.whole, id=f"{COMMANDS[most][0]}-{twin}")
    for most in COMMANDS
    for twin in TWINS
]


@pytest.mark.parametrize(("most", "server"), EACH)
def test_command_begins_no_more_builds_than_it_may(tmp_path: Path, most: int, server: str) -> None:
    engine, app = TWINS[server]
    begun: list[str] = []

    class Counting(engine):  # type: ignore[misc, valid-type]  # a class in a variable
        def launch(self, version: Version) -> Build:
            begun.append(str(version.ref))
            build: Build = super().launch(version)
            return build

    settings = EMBEDDED_TWIN if server == "correct" else replace(EMBEDDED_TWIN, capacity=None)
    with Twin(settings, engine=Counting, app=app) as twin:
        (tmp_path / "touchstone.toml").write_text(SETTINGS.format(url=twin.url), "utf-8")
        shell, bound = Shell(tmp_path, {"ORGO_API_KEY": PRIMARY}), ("--target", "counted", "--max-builds", str(most))
        ended = inline(shell, *COMMANDS[most], *bound)
    assert ended.code in (0, 1, 3), ended.err
    assert 0 < len(begun) <= most
