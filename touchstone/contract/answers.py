"""Reads openapi/answers.yaml: what the API may answer, by operation, state of the version and caller.

The life cycle of a build is here as data. Clients cannot observe every transition, so its functions work on sets of
possible states.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import groupby
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, with_config

from touchstone.contract.files import openapi_dir
from touchstone.contract.parsing import read_as

# The callers in *refusals*, by the key that they send (`facts.exchange.Credential`).
CALLERS = {
    "none": "no key",
    "unknown": "wrong key",
    "recased": "wrong key",
    "longer": "nearly the key",
    "shorter": "nearly the key",
    "malformed": "no bearer key",
    "query": "key in the query",
    "restricted": "plan too small",
}

_Words = Annotated[tuple[str, ...], BeforeValidator(lambda v: () if v is None else (v,) if isinstance(v, str) else v)]


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Answer:
    """A row: the allowed answers in one situation."""

    # for each allowed status code, the documented one first, the allowed values of ``status`` in the body
    may: Mapping[int, _Words]
    claim: str  # the claim about the status code
    body: str = ""  # the claim about ``status`` in the body; empty if another row or rule judges it
    open: int = 0  # number of the ambiguity that lets the API choose; 0 if there is none
    error: str = ""  # how the error text begins; empty if that is not documented
    as_owner: bool = False  # whether the caller may also get what the owner of the version gets

    @property
    def codes(self) -> str:
        """The allowed status codes, as in ``202 or 200``."""
        return either(self.may)

    @property
    def bodies(self) -> tuple[str, ...]:
        """The allowed values of ``status`` in the body, whatever the status code."""
        return tuple(dict.fromkeys(status for allowed in self.may.values() for status in allowed))

    def fits(self, code: int, status: object) -> bool:
        """Whether the row allows the status code *code* with *status* in the body."""
        return code in self.may and (not self.may[code] or status in self.may[code])

    def __str__(self) -> str:
        texts = ["as for the owner"] if self.as_owner else []
        for statuses, codes in groupby(self.may, key=self.may.__getitem__):
            texts.append(either(codes) + (f" with status {either(statuses)}" if statuses else ""))
        return ", or ".join(texts)


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Answers:
    """The file."""

    states: Mapping[str, str]  # the states of a version or of a document, each with its meaning
    answers: Mapping[str, Mapping[str, Answer]]  # rows for the owner of the version, by operation and state
    # rows for other callers, by caller and operation; ``any`` is for all other operations
    refusals: Mapping[str, Mapping[str, Answer]]


def answer(operation: str, state: str) -> Answer:
    """Returns what the owner of a version in *state* may get for *operation*."""
    return load().answers[operation][state]


def refusal(caller: str, operation: str = "any") -> Answer:
    """Returns what *caller*, such as ``no key``, may get for *operation*."""
    rows = load().refusals[caller]
    return rows.get(operation, rows["any"])


@cache
def load() -> Answers:
    """Reads the file; raises ContractError if it is missing or malformed."""
    answers: Answers = read_as(Answers, openapi_dir() / "answers.yaml")
    return answers


def either(values: Iterable[object]) -> str:
    """Joins values by or, as in ``202 or 200``."""
    return " or ".join(map(str, values))


class State(StrEnum):
    """State of a version. Clients cannot see CANCELLING: a read then reports building."""

    NOT_BUILT = "not_built"
    BUILDING = "building"
    CANCELLING = "cancelling"
    READY = "ready"
    FAILED = "failed"


class Cause(StrEnum):
    """Event that moves a version from one state to another."""

    START = "start"  # an accepted start that begins a build, or joins the running one
    CANCEL = "cancel"  # an accepted cancel
    SUCCEED = "succeed"  # the build succeeds
    FAIL = "fail"  # a build step fails
    SETTLE = "settle"  # a cancelled build has ended


# Documented ambiguity 7.12: no state "cancelled" is documented, so a cancelled build ends in not_built or failed.
TRANSITIONS: dict[State, dict[Cause, frozenset[State]]] = {
    State.NOT_BUILT: {Cause.START: frozenset({State.BUILDING})},
    State.BUILDING: {
        Cause.START: frozenset({State.BUILDING}),
        Cause.CANCEL: frozenset({State.CANCELLING}),
        Cause.SUCCEED: frozenset({State.READY}),
        Cause.FAIL: frozenset({State.FAILED}),
    },
    State.CANCELLING: {
        Cause.START: frozenset({State.BUILDING}),
        Cause.CANCEL: frozenset({State.CANCELLING}),
        Cause.SETTLE: frozenset({State.NOT_BUILT, State.FAILED}),
    },
    State.READY: {Cause.START: frozenset({State.READY})},
    State.FAILED: {Cause.START: frozenset({State.BUILDING})},
}

STATUSES = frozenset(State) - {State.CANCELLING}
FINISHED: frozenset[str] = frozenset({"ready", "failed"})
# States without a build in flight.
AT_REST: frozenset[str] = FINISHED | {State.NOT_BUILT}


def step(possible: Iterable[State], cause: Cause) -> frozenset[State]:
    """Returns the states that are possible after *cause*; none if *cause* cannot occur in any state of *possible*."""
    after = (TRANSITIONS[state].get(cause, frozenset()) for state in possible)
    return frozenset().union(*after)


def consistent(possible: Iterable[State], status: str) -> frozenset[State]:
    """Returns the states of *possible* in which a read reports *status*."""
    return frozenset(state for state in possible if status in answer("getBuild", state).bodies)


def statuses(possible: Iterable[State]) -> frozenset[str]:
    """Returns the statuses that a read may report if the version is in one of the states *possible*."""
    return frozenset(status for state in possible for status in answer("getBuild", state).bodies)
