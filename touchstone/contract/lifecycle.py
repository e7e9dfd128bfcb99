"""The life cycle of a build as data: states, transitions, and the status that a read reports.

Clients cannot observe every transition, so functions work on sets of possible states.
"""

from collections.abc import Iterable
from enum import StrEnum

from touchstone.contract.answers import answer


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
