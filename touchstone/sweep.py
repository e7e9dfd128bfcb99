"""
Removes what a killed run left on its target, and touches nothing that no journal names.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from touchstone.contract import Contract
from touchstone.examination import Examination
from touchstone.exchange import Credential
from touchstone.journal import Journal, Leftover, leftovers
from touchstone.provision import Template
from touchstone.settings import Settings
from touchstone.terms import Budget, Unsuited
from touchstone.transport import Call, Keys, Transport

# Where a journal says this, the target was the twin inside the run itself and ended with it.
EMBEDDED_URL = "embedded"

OWNERS: dict[str, Credential] = {"primary": "primary", "second": "second", "restricted": "restricted"}


@dataclass(frozen=True, slots=True)
class Swept:
    """
    What became of one journal.

    Attributes:
        removed: Refs that are gone now.
        left: Refs that are still there, or may be.
    """

    run_id: str
    url: str
    removed: tuple[str, ...]
    left: tuple[str, ...]


class _Silent:
    """
    Tells nobody: a sweep writes no run log.
    """

    def intend(self, template: Template) -> None:
        """
        Never called: a sweep publishes nothing.
        """

    def published(self, template: Template, digest: str) -> None:
        """
        Never called: a sweep publishes nothing.
        """

    def removed(self, template: Template, *, gone: bool) -> None:
        """
        Never called: a sweep keeps count by itself.
        """


def sweep(settings: Settings, folders: Iterable[Path | None], tell: Callable[[str], None]) -> tuple[Swept, ...]:
    """
    Sweeps every journal in *folders* whose run is over, with the keys of *settings*.

    Journals of another target than that of *settings* are told of and left alone.
    """
    swept = []
    for leftover in leftovers(*folders):
        if leftover.target_url in (settings.target.url, EMBEDDED_URL):
            swept.append(_sweep(settings, leftover))
        else:
            tell(
                f"run {leftover.run_id} left {len(leftover.refs)} templates on {leftover.target_url}: "
                "sweep that API with its --url or --target"
            )
    return tuple(swept)


def sweep_run(settings: Settings, folders: Iterable[Path | None], run_id: str) -> tuple[str, ...]:
    """
    Sweeps what one run left; the refs that could not be removed.
    """
    mine = [found for found in leftovers(*folders) if found.run_id == run_id]
    return tuple(ref for found in mine for ref in _sweep(settings, found).left)


def _sweep(settings: Settings, leftover: Leftover) -> Swept:
    journal = Journal.resume(leftover)
    if journal is None:
        return Swept(leftover.run_id, leftover.target_url, (), ())
    no_refs: tuple[str, ...] = ()
    with journal:
        if leftover.target_url == EMBEDDED_URL:
            removed, left = leftover.refs, no_refs
        else:
            removed, left = _sweep_target(settings, leftover)
        for ref in (*removed, *(build for build in leftover.builds if build not in left)):
            journal.removed(ref)
    return Swept(leftover.run_id, leftover.target_url, removed, left)


def _sweep_target(settings: Settings, leftover: Leftover) -> tuple[tuple[str, ...], tuple[str, ...]]:
    target = settings.target
    keys = Keys(target.api_key or "", target.second_api_key, target.restricted_api_key)
    transport = Transport(leftover.target_url, keys, Contract.load(), lambda _exchange: None, target.request_timeout_s)
    exam = Examination(transport, target, leftover.run_id, _Silent(), Budget(0), case="sweep")
    removed: list[str] = []
    left: list[str] = []
    try:
        for ref in leftover.builds:
            if ref not in leftover.refs:
                exam.patiently(Call("cancelBuild", ref))
        for ref in leftover.refs:
            (removed if _remove(exam, ref) else left).append(ref)
    finally:
        transport.close()
    return tuple(removed), tuple(left)


def _remove(exam: Examination, ref: str) -> bool:
    """
    Cancels what may be building and deletes the version, as each account that may have it; True when it is gone.
    """
    gone, found = True, False
    for role in tuple(exam.target.keys()):
        owner = OWNERS[role]
        try:
            exam.patiently(Call("cancelBuild", ref, owner))
            deleted = exam.patiently(Call("deleteTemplate", ref, owner))
        except Unsuited:
            return False
        if deleted.response is None:
            return False
        if deleted.status in (200, 204):
            found = True
            continue
        gone = gone and deleted.status in (401, 403, 404) and (found or owner != "primary" or deleted.status == 404)
    return gone
