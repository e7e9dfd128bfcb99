"""What became of the versions that a run set out to publish, as far as the answers tell; pure."""

import threading
from collections.abc import Callable
from typing import Literal

from touchstone.check.templates import Template
from touchstone.check.terms import Unsuited
from touchstone.facts.exchange import Exchange
from touchstone.target.transport import Call

Standing = Literal["absent", "unsure", "there"]

# No word on it: the one may come while the server works on, and the other means that something is there.
_OPEN = frozenset({408, 409})

_ORDER: tuple[Standing, ...] = ("absent", "unsure", "there")

_Key = tuple[str | None, str]


class Made:
    """Hears how requests to publish were answered, and tells of each version whether it may be on the target."""

    def __init__(self) -> None:
        self._known: dict[_Key, Standing] = {}
        self._sent_as: dict[_Key, _Key] = {}
        self._under_way: dict[_Key, int] = {}
        self._lock = threading.Lock()

    def taken_for(self, template: Template, sent: Template) -> None:
        """Says that a server may take the document of *sent* for *template*."""
        self._sent_as[template.ref, template.owner] = (sent.ref, sent.owner)

    def hear(self, call: Call, send: Callable[[Call], Exchange]) -> Exchange:
        """What *send* makes of *call*.

        Raises:
            Unsuited: it was not sent.
        """
        if call.operation != "publishTemplate":
            return send(call)
        key = (call.ref, _owner(call.credential))
        self._note(key, 1)  # whatever ends the run from now on, it may have been done
        try:
            exchange = send(call)
        except Unsuited:
            self._note(key, -1, "absent")
            raise
        refused = 400 <= exchange.status < 500 and exchange.status not in _OPEN
        self._note(key, -1, "there" if 200 <= exchange.status < 300 else "absent" if refused else "unsure")
        return exchange

    def standing(self, template: Template) -> Standing:
        """Whether *template* is on the target, unless it was deleted; what nobody told of may be there."""
        own: _Key = (template.ref, template.owner)
        key = self._sent_as.get(own, own)
        known = self._known.get(key, "unsure")
        return "unsure" if known == "absent" and self._under_way.get(key) else known

    def _note(self, key: _Key, more: int, told: Standing | None = None) -> None:
        with self._lock:
            self._under_way[key] = self._under_way.get(key, 0) + more
            if told:
                self._known[key] = max(self._known.get(key, "absent"), told, key=_ORDER.index)


def _owner(credential: str) -> str:
    """Whose version a request is registered as: what should let nobody in counts as the first account's."""
    return credential if credential in ("second", "restricted") else "primary"
