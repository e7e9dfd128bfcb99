"""What became of each request of a side-car, until it is handed over: samples, and what answers look like."""

import hashlib
from collections import Counter

from touchstone.facts.sample import CUT_OFF, NO_ANSWER
from touchstone.loadgen import bulk_wire
from touchstone.loadgen.bulk_wire import MAX_BODY_BYTES, MAX_EVIDENCE_BYTES, Look, Setup
from touchstone.loadgen.masks import masked
from touchstone.target.answer import Answer
from touchstone.target.redact import Secrets

# A look is told from others by its body, or by a digest of it where bodies would fill the memory.
_LONG_BYTES, _DIGEST_BYTES = 256, 16

# A target that fails in ever new words fails; the words of the first ones say how.
_MAX_ERRORS = 100
_OTHER_ERRORS = "other errors"

# In the place of numbers: of a look beyond the limits, and of the head of no answer.
_UNSEEN = _HEADLESS = -1

_TOO_MANY = "more new kinds of answers than are looked at: what is beyond the limit is counted by its status only"

# Shot, kind of its head, error, and what tells its body.
_Key = tuple[int, int, str, bytes]

_pack = bulk_wire.SAMPLE.pack


class Known:
    """A look that was met before.

    Attributes:
        number: See `bulk_wire.Look`; -1 for all looks of a shot and an outcome that are beyond the limits.
        outcome: Number of its shot and outcome.
        count: How many samples had it since the last report.
    """

    __slots__ = ("count", "number", "outcome")

    def __init__(self, number: int, outcome: int) -> None:
        self.number = number
        self.outcome = outcome
        self.count = 0

    @property
    def is_shown(self) -> bool:
        """Whether it was, and needs not to be looked for any more."""
        return self.number != _UNSEEN


class Ledger:
    """Counts samples, and shows each look once.

    Attributes:
        origin: Value of the monotonic clock when the run started; times come by that clock.
        done: How many requests were answered or given up.
        unsent: How many arrivals will not be sent any more.
    """

    def __init__(self, setup: Setup) -> None:
        self.origin = 0.0
        self.done = 0
        self.unsent = 0
        self._notes: list[str] = []
        self._secrets = Secrets({str(place): value.decode() for place, value in enumerate(setup.secrets)})
        self._looks_per_s, self._looks_left = setup.looks_per_s, setup.max_looks
        self._leaks_left = setup.max_looks
        self._second_ends_at = 0.0
        self._looks_now = 0
        self._told: set[str] = set()
        self._rows = bytearray()
        self._frames: list[bytes] = []
        self._outcomes: dict[tuple[int, str], int] = {}
        self._names: list[tuple[int, str]] = []
        self._looks: dict[_Key, Known] = {}
        self._others: dict[int, Known] = {}
        self._met: list[Known] = []
        self._errors: Counter[str] = Counter()
        self._all_errors: set[str] = set()
        self._unsent_in: Counter[tuple[int, int]] = Counter()

    def count(self, known: Known, due: float, sent_at: float, done_at: float, body_bytes: int) -> None:
        """Counts a sample whose look is known.

        Args:
            due: Seconds since the run started; the other two are values of the clock.
        """
        if not known.count:
            self._met.append(known)
        known.count += 1
        self.done += 1
        origin = self.origin
        self._rows += _pack(due, sent_at - origin, done_at - origin, known.outcome, body_bytes)

    def answered(self, shot: int, due: float, answer: Answer, body_bytes: int) -> Known:
        """Counts a sample with an answer, or without one where that says why; returns what it looks like.

        Args:
            due: Seconds since the run started; the times of *answer* are values of the clock.
        """
        head = answer.head
        outcome = str(head.status) if head and not answer.error else NO_ANSWER
        if answer.error:
            self._count_error(answer.error)
        key = (shot, head.kind if head else _HEADLESS, answer.error, self._body_key(answer.body))
        known = self._looks.get(key) or self._first(key, outcome, due, answer, body_bytes)
        self.count(known, due, answer.sent_at, answer.done_at, min(body_bytes, MAX_BODY_BYTES))
        return known

    def cut_off(self, shot: int, due: float, sent_at: float, at: float) -> None:
        """
        Counts a request that had no complete answer when the run was stopped. It looks like nothing that can be judged.

        Args:
            due: Seconds since the run started; the other two are values of the clock.
        """
        self.done += 1
        number = self._number_of(shot, CUT_OFF)
        self._rows += _pack(due, sent_at - self.origin, at - self.origin, number, 0)

    def skip(self, shot: int, due: float) -> None:
        """Counts an arrival that came due and will not be sent."""
        self.unsent += 1
        self._unsent_in[shot, int(due)] += 1

    def note(self, text: str) -> None:
        """Has the next report say something, unless an earlier one did."""
        if text not in self._told:
            self._told.add(text)
            self._notes.append(text)

    def take_frames(self) -> list[bytes]:
        """The messages that hold what has come in since this was asked last."""
        frames, self._frames = self._frames, []
        if self._rows:
            frames.append(bulk_wire.frame(bulk_wire.SAMPLES, bytes(self._rows)))
            self._rows.clear()
        return frames

    def take_counts(self) -> dict[str, object]:
        """The members of a report that say how often what was met since this was asked last."""
        seen = [(known.number, known.count) for known in self._met if known.is_shown]
        unseen = [(*self._names[known.outcome], known.count) for known in self._met if not known.is_shown]
        for known in self._met:
            known.count = 0
        counts: dict[str, object] = {"seen": seen, "unseen": unseen, "errors": dict(self._errors), "notes": self._notes}
        counts["unsent_in"] = [(*key, count) for key, count in self._unsent_in.items()]
        self._met, self._notes = [], []
        self._errors.clear()
        self._unsent_in.clear()
        return counts

    # --- looks -------------------------------------------------------------------------------------------------------

    def _body_key(self, body: bytes) -> bytes:
        """What tells a body from others."""
        rest, hidden = masked(body)
        if hidden and self._secrets.data(hidden) == hidden:
            body = rest
        return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() if len(body) > _LONG_BYTES else body

    def _first(self, key: _Key, outcome: str, due: float, answer: Answer, body_bytes: int) -> Known:
        shot = key[0]
        is_new = (shot, outcome) not in self._outcomes
        number = self._number_of(shot, outcome)
        leaks = self._leaks(answer)
        if not (is_new or self._has_room(answer.done_at, leaks=leaks)):
            self.note(_TOO_MANY)
            return self._others.setdefault(number, Known(_UNSEEN, number))
        known = self._looks[key] = Known(len(self._looks), number)
        shown = Answer(
            answer.head,
            # What leaked may stand anywhere, and who judges it has to find it.
            answer.body if leaks else answer.body[:MAX_EVIDENCE_BYTES],
            sent_at=answer.sent_at - self.origin,
            head_at=answer.head_at - self.origin,
            done_at=answer.done_at - self.origin,
            error=answer.error,
        )
        self._frames.append(bulk_wire.encode_look(Look(known.number, shot, due, shown, body_bytes)))
        return known

    def _leaks(self, answer: Answer) -> bool:
        headers = answer.head.headers if answer.head else ()
        text = "\n".join([answer.error, *(f"{name}: {value}" for name, value in headers)])
        return self._secrets.text(text) != text or self._secrets.data(answer.body) != answer.body

    def _has_room(self, now: float, *, leaks: bool) -> bool:
        """Takes room for one more look, if there is any."""
        if leaks:
            self._leaks_left -= 1
            return self._leaks_left >= 0
        if now >= self._second_ends_at:
            self._second_ends_at, self._looks_now = now + 1.0, self._looks_per_s
        room = self._looks_now > 0 and self._looks_left > 0
        if room:
            self._looks_now -= 1
            self._looks_left -= 1
        return room

    def _count_error(self, text: str) -> None:
        text = self._secrets.text(text)
        if text not in self._all_errors:
            if len(self._all_errors) >= _MAX_ERRORS:
                text = _OTHER_ERRORS
            self._all_errors.add(text)
        self._errors[text] += 1

    def _number_of(self, shot: int, outcome: str) -> int:
        name = (shot, outcome)
        number = self._outcomes.get(name)
        if number is None:
            number = self._outcomes[name] = len(self._names)
            self._names.append(name)
            self._frames.append(bulk_wire.encode_outcomes([(number, *name)]))
        return number
