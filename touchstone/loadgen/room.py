"""What a client of its own shows about a refusal at the end of a storm: whether want of room is why; pure.

See load/room.py for what it does. A rate limit alone cannot look like a full host to it: it would have to let one start
in soon after each cancel, whenever that comes, and to refuse for longer than that where no build was cancelled.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from touchstone.facts.events import RunLog
from touchstone.facts.exchange import Exchange

# So many turns have to go the same way, with and without a wait before the cancel.
_LEAST_TURNS = 3
# A wait is one that tells if it is so many times as long as another turn needed to let a start in.
_TELLING = 2.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One build cancelled while the host refused.

    Attributes:
        held_s: From the first of the refusals while nothing ended to the last one.
        swap_s: From the last of them to the answer to the start that followed the cancel.
        let_in: Whether that start was served.
    """

    held_s: float
    swap_s: float
    let_in: bool


@dataclass(frozen=True, slots=True)
class Room:
    """What the client saw.

    Attributes:
        idle: Starts that were refused before it had a build in flight.
        inside: Builds of its own that were in flight when it was refused, or when it had no version left.
        refused: Starts that were refused while nothing ended; 0 where it filled nothing.
        unbidden: Starts that were served though nothing of its own had ended.
        turns: Cancels that were seen to end a build, in order.
    """

    idle: int
    inside: int
    refused: int
    unbidden: int
    turns: tuple[Turn, ...]

    @property
    def is_full_host(self) -> bool:
        """Whether enough cancels let a start in, and nothing else did.

        One that was refused after its cancel may have met a rate limit as well: that takes nothing from the others.
        """
        followed = [turn for turn in self.turns if turn.let_in]
        if self.unbidden or len(followed) < _LEAST_TURNS:
            return False
        quick_s = min(turn.swap_s + turn.held_s for turn in followed)
        return max(turn.held_s for turn in followed) >= _TELLING * quick_s

    @property
    def let_in(self) -> int:
        """Starts that were served right after a cancel."""
        return sum(turn.let_in for turn in self.turns)

    @property
    def refused_after_cancel(self) -> int:
        """Starts that were refused though one build fewer was in flight than when the client was refused first."""
        return len(self.turns) - self.let_in

    @property
    def refused_with_room(self) -> int:
        """
        Refusals that want of room does not explain: with nothing in flight, after a cancel, or where one more fitted.
        """
        return self.idle + self.refused_after_cancel + self.unbidden

    @property
    def at_least(self) -> int:
        """The most builds of its own that were in flight at once."""
        return self.inside + min(self.unbidden, 1)


def room(log: RunLog) -> Room | None:
    """What that client saw; None where there was none."""
    asked = sorted((e for e in log.exchanges if "room" in e.note), key=lambda exchange: exchange.seq)
    starts = [exchange for exchange in asked if exchange.operation == "startBuild"]
    if not starts:
        return None
    first = [exchange for exchange in starts if _step(exchange) == "first"]
    fill = [exchange for exchange in starts if _step(exchange) == "fill"]
    full = [exchange for exchange in starts if _step(exchange) == "full"]
    turns = (_turn([e for e in starts if e.note["room"]["turn"] == number]) for number in range(1, len(full) + 1))
    return Room(
        idle=sum(exchange.status == 429 for exchange in first),
        inside=sum(200 <= exchange.status < 300 for exchange in (*first, *fill)),
        refused=sum(exchange.status == 429 for exchange in (*fill, *full)),
        unbidden=sum(200 <= exchange.status < 300 for exchange in full),
        turns=tuple(turn for turn in turns if turn),
    )


def _step(exchange: Exchange) -> str:
    return str(exchange.note["room"]["step"])


def _turn(starts: Sequence[Exchange]) -> Turn | None:
    """One turn; None where nobody tried after the cancel, or where an error was the answer."""
    held = [exchange for exchange in starts if _step(exchange) == "full"]
    again = next((exchange for exchange in starts if _step(exchange) == "again"), None)
    if not held or again is None or not (again.status == 429 or 200 <= again.status < 300):
        return None
    return Turn(
        held_s=held[-1].sent_at - held[0].done_at if len(held) > 1 else 0.0,
        swap_s=again.done_at - held[-1].done_at,
        let_in=again.status != 429,
    )
