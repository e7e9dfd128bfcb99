"""The life of a build as data: its states, what moves a version between them, and what a read may say.

A set of possible states stands for what cannot be seen from outside.
"""

from collections.abc import Iterable
from enum import StrEnum


class State(StrEnum):
    """What a version may be in. CANCELLING is hidden: a read of it says building."""

    NOT_BUILT = "not_built"
    BUILDING = "building"
    CANCELLING = "cancelling"
    READY = "ready"
    FAILED = "failed"


class Cause(StrEnum):
    """What moves a version from one state to another."""

    START = "start"  # an accepted start that begins a build, or joins the running one
    CANCEL = "cancel"  # an accepted cancel
    SUCCEED = "succeed"  # the build reaches its golden
    FAIL = "fail"  # a build step fails
    SETTLE = "settle"  # a cancelled build is gone


# Ambiguity 12: no cancelled state is documented, so a cancelled build settles in not_built or in failed.
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

# What a status read says of each state.
READS_AS: dict[State, str] = {state: str(state) for state in State} | {State.CANCELLING: "building"}

STATUSES = frozenset(READS_AS.values())
FINISHED: frozenset[str] = frozenset({"ready", "failed"})
# Of these no build is under way.
AT_REST: frozenset[str] = FINISHED | {State.NOT_BUILT}


def step(possible: Iterable[State], cause: Cause) -> frozenset[State]:
    """The states that are possible after *cause*; none where it could not have happened in any of those before it."""
    after = (TRANSITIONS[state].get(cause, frozenset()) for state in possible)
    return frozenset().union(*after)


def consistent(possible: Iterable[State], status: str) -> frozenset[State]:
    """Those of the possible states whose read says *status*."""
    return frozenset(state for state in possible if status == READS_AS[state])


def statuses(possible: Iterable[State]) -> frozenset[str]:
    """What a read may say, given the possible states."""
    return frozenset(READS_AS[state] for state in possible)
