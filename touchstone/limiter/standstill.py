"""How many stimuli one after the other changed next to nothing of what is known; pure."""

from dataclasses import dataclass

# What is likelier than this is all but found.
NEARLY = 0.97
# Where so many stimuli one after the other changed less than this, no more is asked.
_MOST, _STILL, _STILL_WIDE = 5, 0.003, 0.98
# What was refused and told less than this is refused a moment later, too.
_TOLD = 0.1


@dataclass(frozen=True, slots=True)
class Stand:
    """What is known at one moment.

    Attributes:
        kind: The likeliest one.
        share: How likely it is.
        loose: How far its times may be from what they are thought to be, as a share of themselves.
    """

    kind: str
    share: float
    loose: float


@dataclass
class Standstill:
    """Stimuli that told next to nothing.

    Attributes:
        stuck: How many one after the other, where all but the last of it is known.
        idle: How many one after the other that were all refused.
    """

    stuck: int = 0
    idle: int = 0

    @property
    def over(self) -> bool:
        """Whether no more is asked."""
        return self.stuck >= _MOST

    def count(self, before: Stand, after: Stand, *, asked: bool, accepted: bool) -> None:
        """Takes in one more.

        Args:
            asked: Whether it was sent to find the rate.
            accepted: Whether any of it was let through.
        """
        alike, told = before.kind == after.kind, abs(before.share - after.share)
        still = alike and after.share > NEARLY and told < _STILL and after.loose > before.loose * _STILL_WIDE
        self.stuck = self.stuck + asked if still else 0
        self.idle = self.idle + 1 if asked and alike and told < _TOLD and not accepted else 0
