"""A simulated server of the build API in simulated time, correct in each way that the documentation allows.

`Manners` selects the ways. `play` sends steps to a `Server`; they may overlap, get lost or be refused. It returns the
exchanges that a client would have recorded. A faulty server is a subclass that overrides one method.
All times are whole milliseconds, so that simultaneous events occur.
"""

import hashlib
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.rules.exchanges import exchange
from touchstone.facts.exchange import REFUSED_CREDENTIALS, Credential, Exchange
from touchstone.rules.history import Bounds, Outcome

Answer = tuple[int, dict[str, Any]]
# answered: the usual case. lost: it takes effect, without a response. late: it takes effect after the client gave up.
# dropped: it never arrives. gateway: it takes effect, and a proxy responds with 504.
Fate = Literal["answered", "lost", "late", "dropped", "gateway"]
Kind = Literal["start", "read", "cancel", "publish", "delete", "template"]

OPERATIONS: dict[Kind, str] = {
    "start": "startBuild",
    "read": "getBuild",
    "cancel": "cancelBuild",
    "publish": "publishTemplate",
    "delete": "deleteTemplate",
    "template": "getTemplate",
}
NOT_FOUND: Answer = (404, {"error": "No such template version."})
LIMITED: Answer = (429, {"error": "Build rate limit or host capacity reached."})


@dataclass(frozen=True, slots=True)
class Recipe:
    """The content of a document."""

    name: str
    outcome: Outcome = "ready"
    sleep_ms: int = 0


@dataclass(frozen=True, slots=True)
class Manners:
    """Undocumented behaviour of a correct server.

    Attributes:
        by_digest: Builds belong to digests, not versions: content that returns keeps its builds.
        digest_covers_name: Two versions never share a digest.
        clock_share: Share of a sleep that passes on the server's clock.
        settles_to: Status after a cancel.
        start_cancelling: Whether a start while a cancel settles begins a build or gets 409.
        keeps_goldens: Whether a version reuses the golden of its digest at a start, or is ready from the beginning.
        replaced_build: Handling of a running build whose version is replaced.
        deletes_builds: Whether a version that is deleted and published again loses its builds.
        renews: Whether a publish of identical content with force starts anew.
        auto_refused: Response to a publish whose build is refused.
        finishes_first: Whether a build may end between a cancel and its response.
        reports_reused: Whether reads contain reused.
    """

    by_digest: bool = False
    digest_covers_name: bool = True
    prefix: str = ""
    overhead_ms: int = 20
    clock_share: float = 1.0
    settle_ms: int = 0
    settles_to: Literal["not_built", "failed"] = "not_built"
    second_cancel: Literal[202, 404] = 202
    start_building: Literal[200, 202, 409] = 202
    start_cancelling: Literal["anew", "refused"] = "anew"
    reuse_status: Literal[200, 202] = 202
    republish_status: Literal[200, 201] = 201
    keeps_goldens: Literal["no", "for starts", "shown"] = "for starts"
    replaced_build: Literal["dropped", "haunts", "refuses"] = "dropped"
    deletes_builds: bool = True
    renews: bool = False
    auto_refused: Literal["201", "429", "429 published"] = "201"
    finishes_first: bool = False
    reports_reused: bool = False
    idle_with_error: bool = False
    capacity: int = 100


@dataclass(eq=False)
class Cell:
    """The builds of one version, or of one digest."""

    state: str = "not_built"
    begun_ms: int = 0
    ends_ms: int = 0
    ends_as: str = ""
    build_time_ms: int = 0
    reused: bool = False


@dataclass
class Version:
    """A published version."""

    ref: str
    owner: Credential
    recipe: Recipe
    cell: Cell


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a story; times in milliseconds.

    Attributes:
        gap_ms: After the end of the previous request, or after its sending if *beside*.
        before_ms, after_ms: Until it takes effect, and from then until its response.
        recipe: Content of a publish.
        limited: A rate limit refuses it.
    """

    kind: Kind
    ref: str
    credential: Credential = "primary"
    gap_ms: int = 10
    beside: bool = False
    before_ms: int = 1
    after_ms: int = 1
    fate: Fate = "answered"
    recipe: Recipe = Recipe("a")
    force: bool = False
    auto_build: bool = False
    limited: bool = False

    def note(self) -> dict[str, Any]:
        """The sender's note."""
        if self.kind != "publish":
            return {}
        return {
            "content": f"{self.ref} {self.recipe.name}",
            "outcome": self.recipe.outcome,
            "sleep_s": self.recipe.sleep_ms / 1000,
            "marker": f"mark-{self.recipe.name}",
            "force": self.force,
            "auto_build": self.auto_build,
        }


@dataclass
class Server:
    """A correct server."""

    manners: Manners = Manners()
    versions: dict[str, Version] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)
    goldens: dict[str, int] = field(default_factory=dict)
    live: list[Cell] = field(default_factory=list)

    # --- requests ------------------------------------------------------------------------------------------------

    def act(self, step: Step, now: int, answered_ms: int) -> Answer:
        """Lets a request take effect at *now*; its response arrives at *answered_ms*."""
        self.advance(now)
        if step.credential in REFUSED_CREDENTIALS:
            kind = "Missing" if step.credential in ("none", "query", "malformed") else "Invalid"
            return self.refused_key(step, now) or (401, {"error": f"{kind} API key."})
        if step.limited:
            return self.limited(step, now)
        if step.kind == "publish":
            return self.publish(step, now)
        version = self.versions.get(step.ref)
        if version is None:
            return NOT_FOUND
        if version.owner != step.credential:
            return self.foreign(step, version, now)
        if step.kind == "start":
            return self.start(version, now)
        if step.kind == "read":
            return self.read(version, now)
        if step.kind == "cancel":
            return self.cancel(version, now, answered_ms)
        if step.kind == "delete":
            return self.delete(version)
        return 200, self.identity(version) | {"published": "2026-03-14T09:26:53Z", "template": self.document(version)}

    def start(self, version: Version, now: int) -> Answer:
        """Begins a build, joins the running one, or reuses a golden."""
        cell = version.cell
        if cell.ends_as == "not_built" and cell.state == "building":
            return LIMITED  # the running build is of the earlier content
        if cell.state == "building":
            return self.joined(version, now)
        if cell.state == "cancelling" and self.manners.start_cancelling == "refused":
            return 409, {"error": "The last build is still being cancelled."}
        if cell.state == "ready" or self.keeps_golden(version):
            return self.reused(version)
        if sum(c.state in ("building", "cancelling") for c in self.live if c is not cell) >= self.manners.capacity:
            return LIMITED
        return self.begun(version, now)

    def begun(self, version: Version, now: int) -> Answer:
        """Begins a build."""
        cell, recipe = version.cell, version.recipe
        cell.state, cell.begun_ms, cell.ends_as, cell.reused = "building", now, recipe.outcome, False
        cell.ends_ms = now + round(recipe.sleep_ms * self.manners.clock_share) + self.manners.overhead_ms
        if cell not in self.live:
            self.live.append(cell)
        return 202, self.identity(version) | {"status": "building"}

    def joined(self, version: Version, now: int) -> Answer:
        """Responds to a start during a build."""
        if self.manners.start_building == 409:
            return 409, {"error": "Already building."}
        return self.manners.start_building, self.identity(version) | {"status": "building"}

    def reused(self, version: Version) -> Answer:
        """Responds to a start of a ready version."""
        cell = version.cell
        if cell.state != "ready":
            cell.state, cell.build_time_ms = "ready", self.goldens[self.digest(version)]
        cell.reused = True
        return self.manners.reuse_status, self.built(version) | {"reused": True}

    def cancel(self, version: Version, now: int, answered_ms: int) -> Answer:
        """Cancels the running build."""
        cell = version.cell
        if cell.state == "building":
            if not (self.manners.finishes_first and cell.ends_ms <= answered_ms):
                self.stop(cell, now)
            return 202, {"status": "cancelling"}
        if cell.state == "cancelling" and self.manners.second_cancel == 202:
            return 202, {"status": "cancelling"}
        return self.idle()

    def idle(self) -> Answer:
        """Responds to a cancel without a build."""
        return 404, {"status": "idle"} | ({"error": "Nothing is building."} if self.manners.idle_with_error else {})

    def stop(self, cell: Cell, now: int) -> None:
        """Cancels a build."""
        cell.state, cell.ends_ms, cell.ends_as = "cancelling", now + self.manners.settle_ms, self.manners.settles_to

    def read(self, version: Version, now: int) -> Answer:
        """Responds to a status read."""
        return 200, self.built(version)

    def publish(self, step: Step, now: int) -> Answer:
        """Creates, replaces or keeps a version."""
        old = self.versions.get(step.ref)
        status = 201
        if old is None:
            version = self.placed(step)
        elif old.recipe == step.recipe and not (step.force and self.manners.renews):
            version, status = old, self.manners.republish_status
        elif old.recipe != step.recipe and not step.force:
            return 409, {"error": "The version exists with other content."}
        elif old.cell.state in ("building", "cancelling") and self.manners.replaced_build == "refuses":
            return 409, {"error": "The version is being built."}
        else:
            version = self.replaced(step, old)
        answer = self.identity(version) | {"published": "2026-03-14T09:26:53Z"}
        if not step.auto_build:
            return status, answer
        started = self.start(version, now)
        if started[0] == 429 or (started[0] == 409 and version.cell.state == "cancelling"):
            return self.build_refused(step, old, answer)
        return status, answer | {"auto_build": started[1].get("status", "building")}

    def build_refused(self, step: Step, old: Version | None, answer: dict[str, Any]) -> Answer:
        """Responds to a publish whose build is refused."""
        if self.manners.auto_refused == "201":
            return 201, answer | {"auto_build": "not_built"}
        if self.manners.auto_refused == "429":
            self.versions.pop(step.ref)
            if old:
                self.versions[step.ref] = old
        return LIMITED

    def placed(self, step: Step) -> Version:
        """Creates a version."""
        version = self.versions[step.ref] = Version(step.ref, step.credential, step.recipe, Cell())
        version.cell = self.cell(version)
        if self.manners.keeps_goldens == "shown" and version.cell.state == "not_built" and self.keeps_golden(version):
            version.cell.state, version.cell.build_time_ms = "ready", self.goldens[self.digest(version)]
        return version

    def cell(self, version: Version) -> Cell:
        """The builds of a new version."""
        if self.manners.by_digest:
            return self.cells.setdefault(self.digest(version), Cell())
        if not self.manners.deletes_builds:
            return self.cells.setdefault(f"{version.ref} {version.recipe.name}", Cell())
        return Cell()

    def replaced(self, step: Step, old: Version) -> Version:
        """Replaces the content of a version."""
        version = self.placed(step)
        haunting = old.cell.state in ("building", "cancelling") and self.manners.replaced_build == "haunts"
        if haunting and not self.manners.by_digest and version.cell.state == "not_built":
            old_cell, version.cell = old.cell, Cell("building", old.cell.begun_ms, old.cell.ends_ms, "not_built")
            old_cell.state = "not_built"
            self.live.append(version.cell)
        return version

    def delete(self, version: Version) -> Answer:
        """Deletes a version."""
        if version.cell.state in ("building", "cancelling") and self.manners.replaced_build == "refuses":
            return 409, {"error": "The version is being built."}
        del self.versions[version.ref]
        return 200, {"deleted": True}

    # --- overridden by faults ----------------------------------------------------------------------------------------

    def foreign(self, step: Step, version: Version, now: int) -> Answer:
        """Responds to another account."""
        return NOT_FOUND

    def refused_key(self, step: Step, now: int) -> Answer | None:
        """Response to an invalid key, if not the usual 401."""
        return None

    def limited(self, step: Step, now: int) -> Answer:
        """Responds to a request above the limit."""
        return LIMITED

    def delay_ms(self, step: Step) -> int:
        """Delay of a response after its request took effect; `play` ignores it."""
        return 0

    def advance(self, now: int) -> None:
        """Ends the builds that are over by *now*."""
        for cell in [cell for cell in self.live if cell.ends_ms <= now]:
            self.ended(cell)
            self.live.remove(cell)

    def ended(self, cell: Cell) -> None:
        """Ends a build, or settles a cancelled one."""
        if cell.state in ("building", "cancelling"):
            cell.state, cell.build_time_ms = cell.ends_as, cell.ends_ms - cell.begun_ms
        for version in self.versions.values():
            if version.cell is cell and cell.state == "ready":
                self.goldens[self.digest(version)] = cell.build_time_ms

    # --- responses ---------------------------------------------------------------------------------------------------

    def keeps_golden(self, version: Version) -> bool:
        """Whether the golden of a digest serves an unbuilt version."""
        return self.manners.keeps_goldens != "no" and self.digest(version) in self.goldens

    def digest(self, version: Version) -> str:
        """The digest of a version's content."""
        meaning = f"{version.ref if self.manners.digest_covers_name else ''} {version.recipe}"
        return self.manners.prefix + hashlib.sha256(meaning.encode()).hexdigest()

    def identity(self, version: Version) -> dict[str, Any]:
        """Common fields of all responses about a version."""
        return {"ref": version.ref, "digest": self.digest(version)}

    def built(self, version: Version) -> dict[str, Any]:
        """The build object."""
        cell = version.cell
        body = self.identity(version) | {"status": "building" if cell.state == "cancelling" else cell.state}
        if cell.state == "ready":
            body["build_time_ms"] = cell.build_time_ms
            if self.manners.reports_reused:
                body["reused"] = cell.reused
        if cell.state == "failed":
            body["error"] = "step 1 ended with 1"
        return body

    def document(self, version: Version) -> dict[str, Any]:
        """The published document."""
        name, _, number = version.ref.removeprefix("default/").partition("@")
        return {"api_version": "orgo.ai/v1", "template": {"name": name, "version": number}}


def play(server: Server, steps: Sequence[Step]) -> list[Exchange]:
    """Exchanges of *steps* in the order of their numbers."""
    effects: list[tuple[int, int, int, int]] = []
    sent = done = 0
    for index, step in enumerate(steps):
        sent = (sent if step.beside else done) + step.gap_ms
        done = sent + step.before_ms + step.after_ms
        acts = {"late": done + step.before_ms, "dropped": -1}.get(step.fate, sent + step.before_ms)
        heapq.heappush(effects, (acts, index, sent, done))
    answers: dict[int, Exchange] = {}
    while effects:
        acts, index, sent, done = heapq.heappop(effects)
        step = steps[index]
        answer = (0, {}) if step.fate == "dropped" else server.act(step, acts, done)
        answers[index] = recorded(index + 1, step, sent, done, answer)
    return [answers[index] for index in range(len(steps))]


def recorded(seq: int, step: Step, sent: int, done: int, answer: Answer) -> Exchange:
    """The exchange of one step as a client records it."""
    status, body = answer
    if step.fate == "gateway":
        status, body = 504, {"error": "upstream timed out"}
    elif step.fate != "answered":
        status, body = 0, {}
    return exchange(
        OPERATIONS[step.kind],
        status,
        seq=seq,
        ref=step.ref,
        credential=step.credential,
        sent_at=sent / 1000,
        done_at=done / 1000,
        note=step.note(),
        **({"json": body} if status else {}),
    )


def bounds(manners: Manners, recipes: Iterable[Recipe]) -> Bounds:
    """The tightest time limits that a server with these manners keeps."""
    longest_ms = max(recipe.sleep_ms for recipe in recipes) + manners.overhead_ms + manners.settle_ms
    return Bounds(build_timeout_s=longest_ms / 1000, cancel_timeout_s=manners.settle_ms / 1000)
