"""The transitions of the life cycle, the list that the faults in them are entered in, and what they have in common."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from touchstone.proof.faults.fault import Fault, Kind
from touchstone.proof.mutants.derived import derived
from touchstone.twin.app import App
from touchstone.twin.behaviour import says_of
from touchstone.twin.catalog import Version
from touchstone.twin.documents import Document
from touchstone.twin.engine import Engine
from touchstone.twin.settings import Account

# Later than anything that is read in between, sooner than a build may last.
LATE_S = 0.4
# A fault whose build never ends or settles holds its examination up for as long as either may take.
HASTY = {"build_timeout_s": 2.0, "cancel_timeout_s": 1.0}

TRANSITIONS: dict[str, str] = {
    "publish": "a version begins to exist",
    "replace": "force puts other content in the place of what is there",
    "delete": "a version ceases to exist",
    "auto-build": "publishing starts a build where that is asked for",
    "start": "a start begins a build",
    "join": "a start joins the build that runs",
    "reuse": "a start finds the golden",
    "succeeds": "a build whose steps succeed becomes ready",
    "fails": "a build with a failing step becomes failed",
    "cancel": "a cancel stops the build that runs",
    "cancel-settles": "a cancelled build is gone",
    "restart-after-cancel": "a start after a cancel begins a build",
    "restart-after-failure": "a start after a failure begins a build",
}
_ENTERED: dict[str, Fault] = {}


def transition_faults() -> Iterator[Fault]:
    """Every transition, every way in which it goes wrong."""
    yield from _ENTERED.values()


def enter(
    name: str, kind: Kind = "stateful", target: dict[str, Any] | None = None, pace: dict[str, Any] | None = None
) -> Callable[[Any], Any]:
    """Enters an engine or an application as a way in which a transition goes wrong; its docstring says which."""
    assert name.partition(".")[0] in TRANSITIONS, name
    assert name not in _ENTERED, name

    def entered(part: Any) -> Any:
        place = "engine" if issubclass(part, Engine) else "app"
        assert issubclass(part, Engine | App), name
        _ENTERED[name] = derived(name, says_of(part), kind, target=target, pace=pace or {}, **{place: part})
        return part

    return entered


def later(call: Callable[..., Any], *arguments: Any) -> None:
    """Calls when the answer is long gone."""
    asyncio.get_running_loop().call_later(LATE_S, call, *arguments)


class Storing(Engine):
    """Has one method for what a publish stores.

    Attributes:
        publishes: How many new versions were published.
    """

    publishes = 0

    @property
    def is_turn(self) -> bool:
        """Whether it is the turn of a new version to be mistreated: whoever uses the server gets on in between."""
        return self.publishes % 3 == 0

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        """Publishes, and leaves to *stored* what is kept of a version that is new."""
        before = {(v.owner, v.ref): v for v in self.catalog}
        version = super().publish(account, document, force)
        old = before.get((version.owner, version.ref))
        if version is not old:
            self.publishes += old is None
            self.stored(version, old)
        return version

    def stored(self, version: Version, old: Version | None) -> None:
        """Keeps a version in the place of an old one."""

    def put_back(self, version: Version, old: Version | None) -> None:
        """Undoes a publish."""
        self.catalog.remove(version)
        if old is not None:
            self.catalog.put(old)

    def other_key(self, version: Version) -> str:
        """The key of another account."""
        return next(account.key for account in self.settings.accounts if account.key != version.owner)

    def neighbour(self, version: Version) -> Version | None:
        """The version that the same account published before this one."""
        own = [v for v in self.catalog if v.owner == version.owner and v.ref != version.ref]
        return own[-1] if own else None
