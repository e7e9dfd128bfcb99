"""What a contract test expects of a response. openapi/answers.yaml limits what it may expect."""

import sys
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from touchstone.contract.answers import CALLERS, FINISHED, Answer, either, load, refusal
from touchstone.facts.exchange import Exchange
from touchstone.rules.rule import describe
from touchstone.target.call import Call

LIMITED = 429
CHANGING = ("startBuild", "cancelBuild", "deleteTemplate", "publishTemplate")


class Unpromised(AssertionError):
    """A contract test expects more of the API than openapi/answers.yaml promises."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Reply(Exchange):
    """The response to one step of a contract test."""

    situation: str = ""  # state of the version before the request, by the steps of the case; or the caller
    rows: tuple[Answer, ...] = ()  # what the API may answer; several rows if the steps do not tell the state
    steps: "Steps" = field(default_factory=lambda: Steps())  # noqa: PLW0108 - defined below

    def expect(self, *codes: int, status: str | Collection[str] = ()) -> "Reply":
        """Expects one of the status *codes* and, where a body has a ``status``, one of these; returns the reply.

        Another response fails the case at its end, so that later steps still show what else is wrong. The rules
        decide which claim it breaks.

        Raises:
            Unpromised: the contract also allows other responses in this situation.
        """
        __tracebackhide__ = True  # pytest shows the step
        wanted = (status,) if isinstance(status, str) else tuple(status)
        expected = either(codes) + (f" with status {either(wanted)}" if wanted else "")
        frame = sys._getframe(1)  # noqa: SLF001 - the place of the step
        place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        about = f"{self.operation or self.request.method}, {self.situation or 'state unknown'}"
        promised = False
        for row in (*self.rows, refusal("over a limit")):
            others = (code for code in row.may if code != LIMITED or len(row.may) == 1)
            promised |= all(code in codes and (not wanted or set(row.may[code]) <= set(wanted)) for code in others)
        if self.rows and not promised and not self.steps.unmet:
            allowed = "; or ".join(dict.fromkeys(f"{row} ({row.claim})" for row in self.rows))
            problem = f"{about}: expected {expected}, but openapi/answers.yaml allows {allowed}"
            raise Unpromised(f"{place}: {problem}; accept all of it")
        in_body = wanted and any(row.may.get(self.status) for row in self.rows)
        if self.status not in codes or (in_body and self.body.get("status") not in wanted):
            actual = f"{self.status} with status {self.body.get('status')}" if in_body else describe(self)
            self.steps.unmet.append(f"{place}: {about}: expected {expected}; actual {actual}")
        return self


_FIELDS = tuple(each.name for each in fields(Exchange))


@dataclass
class Steps:
    """The steps of one case so far: the state that each version must have if the target keeps its promises."""

    # by ref and account, empty if open; the account is empty for a version that does not exist
    states: dict[tuple[str, str], str] = field(default_factory=dict)
    # the note of the last accepted publish by ref and account
    published: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    # the ETag of the response that a cache of the case has stored, and the number of its exchange, by operation and ref
    stored: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    unmet: list[str] = field(default_factory=list)  # expectations of the case that were not met

    def before(self, *calls: Call) -> list[str]:
        """Returns the situation of each call: the state of its version, or the caller; empty if it is unknown."""
        situations = [self._situation(call) for call in calls]
        for number, call in enumerate(calls):
            same = [other.operation for other in calls if other.ref == call.ref and other.operation in CHANGING]
            if len(same) > 1 and call.operation in CHANGING:
                situations[number] = "started twice" if set(same) == {"startBuild"} else ""
        return situations

    def reply(self, exchange: Exchange, call: Call, situation: str) -> Reply:
        """Returns the response to *call* together with what the API may answer in this *situation*."""
        own = load().answers.get(call.operation, {})
        if situation in own:
            rows: tuple[Answer, ...] = (own[situation],)
        elif situation and call.operation:
            row = refusal(situation, call.operation)
            rows = (row, *own.values()) if row.as_owner else (row,)
        else:
            rows = tuple(own.values())
        known = {name: getattr(exchange, name) for name in _FIELDS}
        return Reply(**known, situation=situation, rows=rows, steps=self)

    def after(self, call: Call, reply: Reply) -> None:
        """Notes the effect that *call* must have: none after a 429; any if the response was not allowed."""
        if reply.status == LIMITED or call.operation not in CHANGING or call.leaves == "request":
            return
        key = _key(call)
        state = self.states.get(key, "")
        if state and not any(row.fits(reply.status, reply.body.get("status")) for row in reply.rows):
            self.states[key] = ""
        elif call.operation == "publishTemplate":
            kind = self._situation(call)
            if kind in ("new", "forced"):
                self.published[key], self.states[key] = call.note, "not_built"
            if kind in ("new", "forced", "identical") and call.note.get("auto_build"):
                self._start(key)
        elif call.operation == "startBuild":
            self._start(key)
        elif call.operation == "cancelBuild" and state == "building":
            self.states[key] = "cancelling"
        elif call.operation == "deleteTemplate" and key in self.states:
            self.states[key] = "deleted"

    def ended(self, call: Call, until: Collection[str]) -> None:
        """Notes that a wait for one of the states *until* is over."""
        key = _key(call)
        if self.states.get(key) == "cancelling":
            self.states[key] = "cancelled"
        elif self.states.get(key) == "building":
            self.states[key] = self.published[key].get("outcome", "ready") if until == FINISHED else ""

    def _situation(self, call: Call) -> str:
        caller = CALLERS.get(call.credential, "")
        if caller or not call.operation:
            return caller
        if call.operation == "publishTemplate":
            return self._document(call)
        owners = {owner: state for (ref, owner), state in self.states.items() if ref == call.ref}
        return owners.get(_key(call)[1], owners.get("", "foreign" if owners else ""))

    def _document(self, call: Call) -> str:
        kind, key = str(call.note.get("invalid", "")), _key(call)
        if kind or "content" not in call.note:
            return "invalid" if kind == "schema" else kind
        if self.states.get(key, "deleted") == "deleted":
            return "new"
        if self.published[key].get("content") == call.note["content"]:
            return "identical"
        return "forced" if call.note.get("force") else "other"

    def _start(self, key: tuple[str, str]) -> None:
        if self.states.get(key, "") not in ("", "ready", "deleted"):
            self.states[key] = "building"


def _key(call: Call) -> tuple[str, str]:
    return call.ref or "", "primary" if call.credential == "lowercase-scheme" else call.credential
