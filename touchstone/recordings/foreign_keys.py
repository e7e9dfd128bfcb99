"""Tells whose key a request of a file shows, as far as the file tells it.

Nobody says which accounts there are, so they follow from the answers: keys that find the same versions are of one
account, and the one that is served most is the one under test. Browsers leave the header with the key out of what they
save, and other tools write something else in its place; what is refused then, and why, nobody can know.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal
from urllib.parse import parse_qsl

from touchstone.facts.exchange import Credential
from touchstone.recordings.foreign_api import Asked
from touchstone.recordings.foreign_entry import Entry

_Kind = Literal["bearer", "other", "masked", "query", "none", "unclear"]

# RFC 6750 2.1: what a key is made of. Whatever else stands there a tool has put in its place.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_MASK = re.compile(r"(?i)redact|filter|mask|hidden|remov|sanit|censor|scrub|dummy|placeholder|^(.)\1*$")
# A session of a page, which ends by itself: the API documents a text of its own for that.
_SESSION = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*")
_KEY_HEADERS = frozenset({"authorization", "proxy-authorization"})
# Who is let in by one of these needs no key.
_OTHER_HEADERS = frozenset({"cookie", "x-api-key", "api-key", "x-auth-token"})
_QUERY_KEY = re.compile(r"(?i)(?:x[_-]?)?api[_-]?key")
_OTHER_PARAMETERS = re.compile(r"(?i)key|jwt|sig|signature|session|(?:\w+[_-])?(?:token|auth|secret)|auth\w*")
_FINDING = frozenset({"getBuild", "getTemplate", "startBuild", "deleteTemplate", "cancelBuild"})
_PLANNED = frozenset({"publishTemplate", "startBuild"})
# What a request can be told before anybody looks at its key.
_BEFORE_THE_KEY = frozenset({400, 405, 413, 414, 415, 422, 431})


class Unknown(StrEnum):
    """Why nobody can know whose key a request shows, or whether it was one."""

    UNTOLD = "refused, and the file does not say with which key"
    LAPSED = "refused, and the key may not have been valid at that time"
    OTHERS = "of a third account"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a request shows of a key.

    Attributes:
        kind: ``other`` for an Authorization header that carries no bearer key; ``unclear`` where something else than a
            key may let the request in.
        key: The key, or what stands in its place.
        usual: Whether the scheme is written as documented.
    """

    kind: _Kind
    key: str = field(default="", repr=False)
    usual: bool = True


def shown(entry: Entry) -> Shown:
    """What *entry* shows of a key."""
    header = entry.header("authorization")
    elsewhere = not entry.complete or any(True for _ in _other_keys(entry))
    if header is None:
        if elsewhere:
            return Shown("unclear")
        key = next((value for name, value in _parameters(entry.url) if _QUERY_KEY.fullmatch(name)), "")
        return Shown("query", key) if key else Shown("none")
    return _in_header(header, elsewhere)


def _in_header(header: str, elsewhere: bool) -> Shown:
    scheme, _, key = header.strip().partition(" ")
    key = key.strip()
    if scheme.lower() == "bearer" and key:
        return Shown("masked" if _is_masked(key) else "bearer", key, scheme == "Bearer")
    if _is_masked(key or scheme) and scheme.lower() != "bearer":
        return Shown("masked")
    return Shown("unclear") if elsewhere else Shown("other", key or scheme)


def shown_elsewhere(entries: Iterable[Entry], known: Set[str]) -> Iterator[tuple[str, str]]:
    """The keys that requests show and that are not among the *known* ones, each with the name to mark it by."""
    all_shown = (each for entry in entries for each in (shown(entry), *_in_headers(entry)))
    keys = {each.key for each in all_shown if each.kind in {"bearer", "other", "query"}}
    yield from (("elsewhere", key) for key in sorted(keys - known))


def _in_headers(entry: Entry) -> Iterator[Shown]:
    """
    What each header for keys shows by itself, whichever the server reads and whatever else may let the request in.
    """
    headers = (value for name, value in entry.headers if name.lower() in _KEY_HEADERS)
    yield from (_in_header(value, elsewhere=False) for value in headers)


def _other_keys(entry: Entry) -> Iterator[tuple[str, str]]:
    """What else may let a request in, beside a key in the place for keys: its name in lower case, and its value."""
    yield from ((name.lower(), value) for name, value in entry.headers if name.lower() in _OTHER_HEADERS)
    yield from ((name, value) for name, value in _parameters(entry.url) if _OTHER_PARAMETERS.fullmatch(name))


def _parameters(url: str) -> list[tuple[str, str]]:
    return parse_qsl(url.partition("#")[0].partition("?")[2], errors="replace")


class Whose:
    """The accounts of a file, by the answers that their keys got.

    Attributes:
        account: Whose key each accepted one is; None for an account beyond those that can be told apart.
        refused: The keys that were never accepted, in the order of their first use.
    """

    def __init__(self, requests: Sequence[Asked]) -> None:
        self._requests = requests
        self._shown = {id(one.entry): shown(one.entry) for one in requests}
        self._told = any(each.kind in {"bearer", "other"} for each in self._shown.values())
        by_key: dict[str, list[Asked]] = defaultdict(list)
        for one in requests:
            each = self._shown[id(one.entry)]
            if each.kind == "bearer" and one.entry.status:
                by_key[each.key].append(one)
        accepted = {key: served for key, answered in by_key.items() if (served := _served(answered))}
        self.refused = tuple(key for key in by_key if key not in accepted)
        self.account = _accounts(accepted)
        self._valid = {key: (_first(served), _last(served)) for key, served in accepted.items()}

    def credential(self, one: Asked) -> Credential | Unknown:
        """Whose key a request shows."""
        entry, each = one.entry, self._shown[id(one.entry)]
        if each.kind == "bearer":
            return self._of_key(entry, each)
        # Without a key that is accepted, another scheme may be what a gateway asks for.
        if each.kind == "other" and self.account:
            return "malformed"
        if self._told and each.kind in {"none", "query"}:
            return "none" if each.kind == "none" else "query"
        return Unknown.UNTOLD if entry.status == 401 else "primary"

    def keys(self) -> tuple[tuple[str, str], ...]:
        """Every key that the requests show, with the name to mark it by; those of one account have one name."""
        named: list[tuple[str, str]] = [(account or "third", key) for key, account in self.account.items()]
        named += [(f"unknown-{number}", key) for number, key in enumerate(self.refused, 1)]
        others = {each.key for each in self._shown.values() if each.kind in {"bearer", "other", "query"}}
        others |= {key for one in self._requests for name, key in _other_keys(one.entry) if name != "cookie"}
        others -= {key for _, key in named}
        return (*named, *((f"other-{number}", key) for number, key in enumerate(sorted(others), 1)))

    def _of_key(self, entry: Entry, each: Shown) -> Credential | Unknown:
        if each.key not in self.account:
            if not each.usual:
                return "malformed"
            return Unknown.UNTOLD if _SESSION.fullmatch(each.key) else "unknown"
        account = self.account[each.key]
        if account is None:
            return Unknown.OTHERS
        since_at, until_at = self._valid[each.key]
        if entry.status == 401 and not since_at <= entry.sent_at <= until_at:
            return Unknown.LAPSED
        return "lowercase-scheme" if account == "primary" and not each.usual else account


def _is_masked(key: str) -> bool:
    return not _TOKEN.fullmatch(key) or _MASK.search(key) is not None


def _served(answered: Sequence[Asked]) -> list[Asked]:
    """The answers that show that a key is accepted; without any, those that leave it open, unless others refuse it."""
    open_ = [one for one in answered if one.entry.status != 401]
    surely = [one for one in open_ if one.entry.status not in _BEFORE_THE_KEY and one.entry.status < 500]
    return open_ if surely or len(open_) == len(answered) else []


def _first(served: Iterable[Asked]) -> float:
    return min(one.entry.sent_at for one in served)


def _last(served: Iterable[Asked]) -> float:
    return max(one.entry.sent_at for one in served)


def _accounts(accepted: Mapping[str, list[Asked]]) -> dict[str, Credential | None]:
    """The account of each key. The one that is served most comes first."""
    found: dict[str, Credential | None] = {}
    groups = sorted(_of_one_account(accepted), key=lambda group: -sum(len(accepted[key]) for key in group))
    for number, group in enumerate(groups):
        requests = [one for key in group for one in accepted[key]]
        account: Credential = "primary" if not number else "restricted" if _is_below(requests) else "second"
        taken = account in found.values()
        found |= dict.fromkeys(group, None if taken else account)
    return found


def _of_one_account(accepted: Mapping[str, list[Asked]]) -> list[list[str]]:
    """
    Keys that find one and the same version, or one that the other has published, each with the others of its account.

    What a key finds that it has published may be a version of its own. An account sees no versions of others, so that a
    page whose key changes from time to time is still one account.
    """
    groups: list[tuple[list[str], set[str], set[str]]] = []
    for key, requests in accepted.items():
        keys, made = [key], _refs(requests, frozenset({"publishTemplate"}))
        found = _refs(requests, _FINDING) - made
        apart = []
        for group in groups:
            if found & (group[1] | group[2]) or made & group[2]:
                keys, made, found = [*group[0], *keys], made | group[1], found | group[2]
            else:
                apart.append(group)
        groups = [*apart, (keys, made, found)]
    return [keys for keys, _, _ in groups]


def _refs(requests: Sequence[Asked], operations: frozenset[str]) -> set[str]:
    """The versions that one of the operations was told to be there. Curated ones are there for everybody."""
    told = (one for one in requests if one.operation in operations and one.entry.status in {200, 201, 202})
    return {one.ref for one in told if one.ref and not one.ref.startswith("system/")}


def _is_below(requests: Sequence[Asked]) -> bool:
    """Whether an account is refused whatever needs a plan."""
    statuses = Counter(one.entry.status for one in requests if one.operation in _PLANNED)
    return set(statuses) == {403}
