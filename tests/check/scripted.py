"""An examination of a scripted target on a virtual clock: only rests and requests advance it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.rules.exchanges import build, exchange
from touchstone.check.budget import Budget
from touchstone.check.examination import Examination, Unsuited
from touchstone.check.templates import Template
from touchstone.config import TargetSettings
from touchstone.facts.exchange import Exchange
from touchstone.target.call import Call, may_publish

TARGET = TargetSettings("t", "http://127.0.0.1:9/api", "sk_live_x", build_timeout_s=60.0, cancel_timeout_s=10.0)
REF = "default/demo@1.0.0"

Answer = tuple[int, Any, dict[str, str]]
BUSY: Answer = (429, {"error": "slow down"}, {})


class Scripted:
    """A transport with scripted responses; after *answered* requests there are no more responses."""

    def __init__(self, answer: Callable[[Call], Answer], answered: float = math.inf) -> None:
        self.answer = answer
        self.answered = answered
        self.calls: list[Call] = []
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def send(self, call: Call, case: str) -> Exchange:
        self.calls.append(call)
        sent_at, self.at = self.at, self.at + 0.001
        status, body, headers = self.answer(call)
        about: Any = {"ref": call.ref, "credential": call.credential, "case": case}
        about |= {"json": body, "headers": headers, "sent_at": sent_at, "done_at": self.at}
        operation = call.operation or ("publishTemplate" if may_publish(call) else "")
        received = exchange(operation, status, **about)
        silent = len(self.calls) > self.answered
        return replace(received, response=None, error="ConnectError: refused") if silent else received


class Deeds:
    """A ledger: each row has the action, the ref, and the number of requests sent before."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.rows: list[tuple[str, str, int]] = []

    def intend(self, template: Template) -> None:
        self.rows.append(("intend", template.ref, len(self.calls)))

    def write(self, template: Template, action: str, digest: str = "") -> None:
        self.rows.append((f"{action} {digest}", template.ref, len(self.calls)))

    def removed(self, template: Template, *, gone: bool, sure: bool = True) -> None:
        self.rows.append(("gone" if gone else "left" if sure else "may be left", template.ref, len(self.calls)))


class Rested(Examination):
    """An examination that rests by advancing the clock."""

    rests: list[float]

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.transport.at += seconds  # type: ignore[attr-defined]  # it is Scripted


def examination(answer: Callable[[Call], Answer], builds: int = 40, answered: float = math.inf, **target: Any) -> Any:
    transport: Any = Scripted(answer, answered)
    ledger: Any = Deeds(transport.calls)
    exam = Rested(transport, replace(TARGET, **target), "r1", ledger, Budget(builds))
    exam.rests = []
    return exam


def answering(*answers: Answer) -> Callable[[Call], Answer]:
    """Returns the answers in turn, then the last one for ever."""
    left: Iterator[Answer] = iter(answers[:-1])
    return lambda _: next(left, answers[-1])


def publishing_and(*answers: Answer) -> Callable[[Call], Answer]:
    """Accepts every publish, and gives these answers to other requests."""
    others = answering(*answers)
    return lambda call: (201, {"digest": "d1"}, {}) if call.operation == "publishTemplate" else others(call)


def status(name: str, **more: Any) -> Answer:
    """A 200 response with a build object."""
    return 200, build(name, REF, **more), {}


def refusal(act: Callable[[], object]) -> Unsuited:
    """The `Unsuited` that *act* raises."""
    with pytest.raises(Unsuited) as end:
        act()
    return end.value


def spent(exam: Any, act: Callable[[], object]) -> float | str:
    """Seconds that *act* takes, or the verdict that it raises."""
    began = exam.transport.at
    try:
        act()
    except Unsuited as refused:
        return refused.verdict
    return float(exam.transport.at - began)
