"""One worker of a load run as its conductor knows it: which part it has, where it has come to, how its clock goes."""

from dataclasses import dataclass, field
from typing import Literal

from touchstone.facts.events import Worker
from touchstone.facts.sample import UNSENT, Window

# The fastest of so many round trips tells another machine's clock; it may be wrong by half of that one.
PINGS = 9

State = Literal[
    "joined",  # it is there
    "planned",  # it was told its part, and prepares it
    "ready",
    "running",
    "drained",  # all of its arrivals are over
    "after",  # it does what comes after all arrivals of all workers, or knows that another one does
    "final",  # it has told all that it had to tell
    "lost",  # nothing is heard of it any more, or it ended before its part did
]


@dataclass
class Seat:
    """One worker.

    Attributes:
        number: Which one of the workers it is, from 0.
        assigned: Arrivals that are its part.
        origin: Its monotonic clock at run second 0; None until that is known.
        offset_s: How far that is from the conductor's own.
        error_s: How wrong that may be, at most.
        sent: Scheduled arrivals that it has told to have sent.
        unsent: Those that it has told not to have sent.
        last: How it fared when it told last.
        note: Why it is lost.
    """

    client: str
    number: int
    assigned: int
    origin: float | None = None
    offset_s: float = 0.0
    error_s: float = 0.0
    state: State = "joined"
    sent: int = 0
    unsent: int = 0
    last: Worker | None = None
    note: str = ""
    _pings: list[tuple[float, float]] = field(default_factory=list)

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun, and has not told all."""
        return self.state in ("running", "drained", "after")

    def has_clock_of(self, origin: float) -> None:
        """Its clock is the conductor's own."""
        self.origin = origin

    def hear(self, sent_at: float, now_at: float, monotonic: float, origin: float) -> bool:
        """One measurement of its clock: it said *monotonic* at some moment between our asking and hearing.

        Args:
            sent_at: Run second at which it was asked.
            now_at: Run second at which its answer was heard.
            origin: The conductor's own clock at run second 0.

        Returns:
            Whether its clock is known now.
        """
        self._pings.append((now_at - sent_at, monotonic - (sent_at + now_at) / 2))
        if len(self._pings) < PINGS:
            return False
        round_trip_s, self.origin = min(self._pings)
        self.error_s, self.offset_s = round_trip_s / 2, self.origin - origin
        return True

    def count(self, window: Window) -> None:
        """Counts what it has sent, or not."""
        if window.outcome == UNSENT:
            self.unsent += window.count
        elif window.paced:
            self.sent += window.count

    def missed(self, at_s: float) -> Worker:
        """How it fared, as far as anybody knows, now that it is lost."""
        return Worker(
            number=self.number,
            state="lost",
            at_s=round(at_s, 3),
            sent=self.sent,
            unsent=self.unsent,
            assigned=self.assigned,
            late_p99_s=self.last.late_p99_s if self.last else 0.0,
            behind_from_s=self.last.behind_from_s if self.last else None,
            behind_s=self.last.behind_s if self.last else 0.0,
            clock_offset_s=round(self.offset_s, 6),
            clock_error_s=round(self.error_s, 6),
            note=self.note,
            unwatched=self.last.unwatched if self.last else 0,
            over_budget=self.last.over_budget if self.last else 0,
            spent_at_s=self.last.spent_at_s if self.last else None,
        )
