"""Sweep: removes the versions that killed runs left. It uses only journals that no other user can write."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from touchstone.check.budget import SILENT_REMOVALS, Budget
from touchstone.check.examination import OWNERS, Examination, Ledger, Unsuited, transport_to
from touchstone.check.journal import Journal, JournalState, leftovers
from touchstone.check.templates import is_own
from touchstone.config import Settings
from touchstone.contract.document import Contract
from touchstone.facts.exchange import Credential, Exchange
from touchstone.target.call import Call

EMBEDDED_URL = "embedded"  # Target in the journal of a run on the embedded twin; this twin ended with the run


@dataclass(frozen=True, slots=True)
class Swept:
    """Result for one journal: what was removed, already gone, or left (with reason). *silent*: no response came.

    A ref that two accounts have counts for each of them.
    """

    url: str
    removed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False


def sweep(settings: Settings, folders: Iterable[Path | None], report: Callable[[str], None]) -> tuple[Swept, ...]:
    """Removes what dead runs left, by their journals in *folders*; calls *report* for journals of another target."""
    swept: list[Swept] = []

    def refuse(path: Path, why: str) -> None:
        swept.append(Swept("", left={str(path): f"{why}; if it is yours, delete it"}))

    for leftover in leftovers(*folders, refused=refuse):
        if leftover.target_url in (settings.target.url, EMBEDDED_URL):
            swept.append(_sweep(settings, leftover))
        else:
            left = f"run {leftover.run_id} left {len(leftover.refs)} templates on {leftover.target_url}"
            report(f"{left}: sweep that API with its --url or --target")
    return tuple(swept)


def sweep_run(settings: Settings, folders: Iterable[Path | None], run_id: str) -> tuple[str, ...]:
    """Removes what the run *run_id* left, up to a request without a response; returns the refs that remain."""
    mine = [found for found in leftovers(*folders) if found.run_id == run_id]
    return tuple(ref for found in mine for ref in _sweep(settings, found, tries=1).left)


def _sweep(settings: Settings, leftover: JournalState, tries: int = SILENT_REMOVALS) -> Swept:
    journal = Journal.resume(leftover)
    if journal is None:
        return Swept(leftover.target_url)
    with journal:
        if leftover.target_url == EMBEDDED_URL:
            swept = Swept(leftover.target_url, gone=leftover.refs)
        else:
            with closing(transport_to(settings.target, Contract.load())) as transport:
                exam = Examination(transport, settings.target, leftover.run_id, Ledger(), Budget(0), case="sweep")
                swept = _Sweeper(exam, leftover, tries).sweep()
        for ref in (*leftover.refs, *leftover.builds):
            if ref not in swept.left:
                journal.removed(ref)
    return swept


class _Left(Exception):
    """A version was not removed; the text is the reason."""


@dataclass
class _Sweeper:
    """Cancels builds and deletes versions; stops after *tries* consecutive requests without a response."""

    exam: Examination
    leftover: JournalState
    tries: int
    silent: int = 0
    error: str = ""

    def sweep(self) -> Swept:
        leftover, templates = self.leftover, self.exam.target.templates
        why = f"is not a name of run {leftover.run_id}; remove it yourself if you want, and delete {leftover.path}"
        builds = [ref for ref in leftover.builds if ref not in (*templates.buildable, *templates.failing)]
        left = {ref: why for ref in (*leftover.refs, *builds) if not is_own(ref, leftover.run_id)}
        removed: list[str] = []
        gone: list[str] = []
        others = [(ref, OWNERS[0]) for ref in leftover.builds if ref not in leftover.owners]
        own = [(ref, role) for ref in leftover.refs for role in OWNERS if role in leftover.owners[ref]]
        for ref, role in [(ref, role) for ref, role in (*others, *own) if ref not in left]:
            try:
                if ref in leftover.owners:
                    (removed if self._remove(ref, role) else gone).append(ref)
                elif (cancel := self._send("cancelBuild", ref, role)).status not in (*range(200, 300), 404, 409):
                    left[ref] = _described(cancel)
            except _Left as error:
                left.setdefault(ref, str(error))
        return Swept(leftover.target_url, tuple(removed), tuple(gone), left, silent=self.silent > 0)

    def _remove(self, ref: str, role: Credential) -> bool:
        """Removes *ref* for one account; returns whether it existed. Raises _Left on failure or without its key."""
        target = self.exam.target
        key, source = f"{role}_api_key".removeprefix("primary_"), getattr(target.key_sources, role)
        if not target.credentials().hidden().get(role):
            raise _Left(f"created with {key}, which is not set; set {source}")
        self._send("cancelBuild", ref, role)
        deleted = self._send("deleteTemplate", ref, role)
        if deleted.status == 401:
            refusal = f"which is refused with {_described(deleted)}; set {source} to the right one"
            raise _Left(f"created with {key}, {refusal}")
        # An account that may not delete its versions may still read them, which shows whether *ref* exists.
        refused = deleted.status == 403
        if deleted.status == 404 or (refused and self._send("getTemplate", ref, role).status == 404):
            return False
        if deleted.status not in (200, 204):
            raise _Left(_described(deleted))
        return True

    def _send(self, operation: str, ref: str, role: Credential) -> Exchange:
        """Sends one request; raises _Left without a response, or after too many 429 responses."""
        if self.silent >= self.tries:
            raise _Left(self.error)
        try:
            exchange = self.exam.retry_429(Call(operation, ref, role))
        except Unsuited as error:
            raise _Left(error.reason) from None
        if exchange.response is None:
            self.silent, self.error = self.silent + 1, f"no response: {exchange.error}"
            raise _Left(self.error)
        self.silent = 0
        return exchange


def _described(exchange: Exchange) -> str:
    error = exchange.body.get("error")
    return f"status {exchange.status}{f' {error!r}' if isinstance(error, str) else ''}"
