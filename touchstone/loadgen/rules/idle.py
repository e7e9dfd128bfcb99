"""
Why a run holds no occasion to judge a claim: another scenario sets out to have one, or this one did not come to it.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from touchstone.facts.wording import plural
from touchstone.loadgen.rules.record import Record, Start


@dataclass(frozen=True, slots=True)
class Idle:
    """What is said where nothing was judged.

    Attributes:
        lack: What there was none of.
        elsewhere: Which run would have it.
        scenarios: Those that set out to have it: of a run of one of them *here* says why it had not.
        instead: What a run had that is not enough; it is all that is said where there is any.
    """

    lack: str
    elsewhere: str
    scenarios: tuple[str, ...] = ()
    here: Callable[[Record], str] = lambda _record: ""
    instead: Callable[[Record], str] = lambda _record: ""

    def words(self, record: Record) -> str:
        """The reason for one run."""
        if instead := self.instead(record):
            return instead
        if record.scenario not in self.scenarios:
            return f"{self.lack}; {self.elsewhere}"
        here = self.here(record) or (record.ending.whole if record.ending else "")
        return f"{self.lack}; {here}" if here else self.lack


def unrefused(record: Record) -> str:
    """That no start was refused, as far as anybody can tell; empty where one was."""
    if any(start.is_refused for start in record.starts):
        return ""
    failed = [start for start in record.starts if start.status >= 500 or not start.status]
    if failed:
        return f"no start was answered 429, but {ends(failed)}: nobody knows whether a limit refused them"
    if record.ending:
        told = f"no start was refused before {record.ending.words}"
        return f"{told}; {record.ending.advice}" if record.ending.advice else told
    return "no start was refused; raise --builds to meet a limit"


def unserved(record: Record) -> str:
    """What became of the starts where none was served; empty where one was."""
    if not record.starts or any(start.is_served for start in record.starts):
        return ""
    return f"of {plural(len(record.starts), 'start')} none was accepted: {ends(record.starts)}"


def ends(starts: Iterable[Start]) -> str:
    """How many starts were answered with which status, or got no answer."""
    numbers = Counter(start.status for start in starts)
    told = (f"{number:,} with {status}" if status else f"{number:,} not at all" for status, number in numbers.items())
    return ", ".join(sorted(told))
