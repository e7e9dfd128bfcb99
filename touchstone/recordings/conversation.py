"""A recording that answers a client with the state of each version: a start moves on, a poll repeats its response."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from touchstone.errors import RecordingError
from touchstone.facts.exchange import Credential, Exchange
from touchstone.recordings.foreign import published_ref
from touchstone.recordings.recording import BASE_URL, RUN_ID, Recording, moved
from touchstone.recordings.replay import Playback, RequestKey, in_short, key_of
from touchstone.target.keys import Keys

KEY = "sk_live_test_recorded"
_KEYS = Keys(KEY, f"{KEY}_second", f"{KEY}_restricted")
_VALID: tuple[Credential, ...] = ("primary", "second", "restricted", "lowercase-scheme")
_ROLES: tuple[Credential, ...] = (*_VALID, "longer", "shorter", "recased")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(slots=True)
class _Story:
    """The exchanges about one version, in order, and how far the client has come."""

    exchanges: list[Exchange] = field(default_factory=list)
    at: int = -1  # index of the last exchange that answered a request
    has_changed: bool = False  # whether the client has changed the version
    streams: list[int] = field(default_factory=list)  # indexes of the streams that are being sent

    def next(self, wanted: Sequence[Exchange], *, reads: bool) -> Exchange | None:
        """Returns the exchange that answers a request equal to those of *wanted*; None if its state does not fit.

        A read gets the next response before the next change of the version, and then repeats it. While the log of a
        build is sent, a read gets no response that was recorded after the log. A change gets its next response, or
        repeats the last one if nothing has changed since.
        """
        changes = list(self._changes())
        since = max((i for i in changes if i <= self.at), default=0)
        until = min((i for i in changes if i > self.at), default=len(self.exchanges))
        numbers = {each.seq for each in wanted}
        places = [i for i, each in enumerate(self.exchanges) if each.seq in numbers]
        ahead = [i for i in places if i > self.at and (i < until or not reads)]
        behind = [i for i in places if since <= i <= self.at]
        if reads and self.streams and behind:
            ahead = [i for i in ahead if i < min(self.streams)]
        # A client that has not changed anything yet may begin in the middle.
        later = [] if self.has_changed else [i for i in places if i > self.at]
        found = (*ahead[:1], *behind[-1:], *later[:1])
        return self._go_to(found[0]) if found else None

    def _changes(self) -> Iterator[int]:
        """Yields the indexes of all changes, without those that repeat the change before with the same result."""
        before = None
        for index, each in enumerate(self.exchanges):
            if _changes(each) and before != (before := (key_of(each), each.status, each.body.get("status"))):
                yield index

    def _go_to(self, place: int) -> Exchange:
        exchange = self.exchanges[place]
        self.has_changed |= _changes(exchange)
        if exchange.response and exchange.response.chunks and _reads(exchange):
            self.streams.append(place)
        elif place > self.at or _changes(exchange):
            self.at = place
        return exchange


class Conversation(Playback):
    """Recordings that answer one client. *errors* lists the requests without a recorded response."""

    keys = _KEYS.hidden()

    def __init__(self, recordings: Sequence[Recording], speed: float = 0.0, url: str = BASE_URL) -> None:
        (first, *others), exchanges = recordings, list[Exchange]()
        self._stories: dict[str | None, _Story] = defaultdict(_Story)
        self._place: dict[int, str] = {}
        for recording in recordings:
            for number, each in enumerate(recording.exchanges):
                exchanges.append(moved(each, len(exchanges) + 1, 0.0))
                self._place[len(exchanges)] = f"{number} of {recording.place}" if others else str(number)
        super().__init__(replace(first, exchanges=tuple(exchanges)), speed, url=url)
        self.clean = _KEYS.secrets().text
        self.rewind()
        self._used: set[int] = set()
        # *refs* are all versions, in order; *ref* is the version that the first scenario is about.
        self.refs = tuple(dict.fromkeys(each.ref for each in exchanges if each.ref))
        self.ref = _subject(first)
        path, _, self.version = self.ref.partition("@")
        self.namespace, _, self.name = path.partition("/")
        roles = [each.credential for each in first.exchanges]
        self.key = self.keys["restricted" if "restricted" in roles and "primary" not in roles else "primary"]

    def rewind(self) -> None:
        """Begins again: no client has changed anything."""
        self._stories.clear()
        for exchange in self.recording.exchanges:
            self._stories[exchange.ref].exchanges.append(exchange)

    def left(self) -> tuple[Exchange, ...]:
        """Recorded exchanges whose response no request has received yet, in order."""
        return tuple(each for each in self.recording.exchanges if each.seq not in self._used)

    @property
    def unused(self) -> tuple[str, ...]:
        """The exchanges that have not answered a request, in order, such as ``POST /templates → 201``."""
        return tuple(map(in_short, self.left()))

    def _pick(self, key: RequestKey, authorization: str | None) -> Exchange:
        equal = self._recorded.get(key, []) or self._published(key)
        wanted = _sent_by(_role(authorization), equal)
        if not wanted:
            raise self._unknown(key)
        story = self._stories[wanted[0].ref]
        exchange = story.next(wanted, reads=key.method in _READS)
        if exchange is None:
            raise self._misplaced(key, story, wanted)
        self._used.add(exchange.seq)
        return exchange

    def _published(self, key: RequestKey) -> list[Exchange]:
        """The publishes of the version that a request publishes with another document."""
        ref = published_ref(key.body, {}) if (key.method, key.path) == ("POST", "/templates") else None
        same = (each for other, known in self._recorded.items() if other[:3] == key[:3] for each in known)
        return [each for each in same if ref and each.ref == ref]

    def _misplaced(self, key: RequestKey, story: _Story, wanted: Sequence[Exchange]) -> RecordingError:
        places = ", ".join(map(self._number, wanted))
        last = story.exchanges[story.at]
        state = f"after entry {self._number(last)}, {in_short(last)}"
        return self._rejected(f"{key}: recorded in another state only (entry {places}), not {state}")

    def _ended(self, exchange: Exchange) -> None:
        story = self._stories[exchange.ref]
        place = [each.seq for each in story.exchanges].index(exchange.seq)
        if place in story.streams:
            story.streams.remove(place)
            story.at = max(story.at, place)

    def _number(self, exchange: Exchange) -> str:
        return self._place[exchange.seq]


def _reads(exchange: Exchange) -> bool:
    return exchange.request.method in _READS


def _changes(exchange: Exchange) -> bool:
    """Whether an exchange changed its version, so that earlier responses to reads are out of date."""
    return not _reads(exchange) and 200 <= exchange.status < 300


def _role(authorization: str | None) -> Credential:
    """The credential of a request, as a recording names it."""
    if authorization is None:
        return "none"
    for role in _ROLES:
        if _KEYS.headers(role)["Authorization"] == authorization:
            return role
    return "unknown" if authorization.lower().startswith("bearer ") else "malformed"


def _sent_by(role: Credential, known: Sequence[Exchange]) -> list[Exchange]:
    """Of equal requests, those of the same account; all if there are none, because any key may be used."""
    for wanted in (role, "primary" if role in (*_VALID, "none") else "unknown", "primary"):
        if found := [each for each in known if each.credential == wanted]:
            return found
    return list(known)


def _subject(recording: Recording) -> str:
    """The version that a scenario is about: its own, or another one if only a start of that one was refused."""
    refs = [each.ref for each in recording.exchanges if each.ref]
    own = f"/touchstone-{RUN_ID}-{recording.name}@"
    refused = [e.ref for e in recording.exchanges if e.ref and e.operation == "startBuild" and e.status >= 400]
    mine = [ref for ref in refs if own in ref]
    return next(iter([ref for ref in mine if ref in refused] or refused or mine or refs), "")
