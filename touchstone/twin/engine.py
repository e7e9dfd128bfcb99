"""The behaviour of the API, one small method per promise. A faulty twin is a subclass that overrides one method."""

import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Literal

from touchstone.twin import answers
from touchstone.twin.answers import Refusal
from touchstone.twin.build import Build, finished_build, timestamp
from touchstone.twin.catalog import CURATED_NAMESPACE, EVERYONE, Catalog, Ref, Version
from touchstone.twin.documents import API_VERSION, Document, digest
from touchstone.twin.limits import Limiter, accept, limiter_of, parted
from touchstone.twin.settings import Account, TwinSettings

CURATED = ("claude-code", "openclaw", "hermes-agent")
CURATED_BUILD_TIME_MS = 118_420
Status = Literal["ready", "building", "failed", "not_built"]
Body = dict[str, Any]


@dataclass(slots=True)
class Slot:
    """The builds of one digest in one account; all versions with this digest share them."""

    last: Build | None = None  # the build that started last, running or ended
    golden: Build | None = None  # the successful build whose snapshot later starts reuse


class Engine:
    """Accounts, versions and builds. No method waits, so requests in the event loop cannot interleave."""

    build_class: type[Build] = Build

    def __init__(self, settings: TwinSettings) -> None:
        self.catalog = Catalog()
        self.slots: dict[tuple[str, str], Slot] = {}
        self.running: set[Build] = set()
        self._accounts = {account.key: account for account in settings.accounts}
        self.delay_s = 0.0  # delay of the response to the last accepted start, until `App.hold` takes it
        self.configure(settings)
        # Rate limit windows are aligned to epoch seconds, but limiters need a clock that never jumps.
        self._epoch_s = time.time() - time.monotonic()
        self._seed_versions()

    def configure(self, settings: TwinSettings) -> None:
        """Sets the settings of all later requests and builds; rate limits begin without earlier starts."""
        self.settings = settings
        # A cap on running builds is checked separately: a start that joins or reuses a build begins none.
        starts, self._most_builds = parted(settings.rate)
        self._limiters: dict[str, Limiter] = {key: limiter_of(starts) for key in self._accounts}

    def _seed_versions(self) -> None:
        for name in CURATED:
            version = self._store(EVERYONE, _small_document(CURATED_NAMESPACE, name))
            build = finished_build(version, CURATED_BUILD_TIME_MS)
            self.slots[EVERYONE, version.digest] = Slot(build, build)
        # An account that may not build gets a version, so that the 403 for its starts can be told from a 404.
        for account in self.settings.accounts:
            if not self.may_build(account):
                self._store(account.key, _small_document("default", "legacy-demo"))

    def account_of(self, authorization: list[str]) -> Account:
        """Returns the account whose key is in the Authorization header; raises a 401 if there is no such account."""
        if not authorization:
            text = "Missing API key. Send it as Authorization: Bearer <key>."
            raise Refusal(401, text, {"WWW-Authenticate": "Bearer"})
        scheme, _, token = authorization[0].partition(" ")
        account = self._accounts.get(token.strip(" "))
        if len(authorization) > 1 or account is None or not self.is_bearer(scheme):
            raise answers.invalid_key()
        return account

    def is_bearer(self, scheme: str) -> bool:
        """Whether an auth scheme is Bearer, ignoring case (RFC 9110, section 11.1)."""
        return scheme.lower() == "bearer"

    def may_build(self, account: Account) -> bool:
        """Whether the plan of an account includes publishing and building."""
        return account.plan == "scale"

    def require_plan(self, account: Account, doing: str) -> None:
        """Raises a 403 for an account below the Scale plan. *doing* is ``Publishing`` or ``Building``."""
        if not self.may_build(account):
            raise Refusal(403, f"{doing} templates needs a Scale plan.", code="UPGRADE_REQUIRED")

    def require_own(self, version: Version) -> None:
        """Raises a 403 for a curated version, which no account may change."""
        if version.curated:
            raise answers.curated_is_fixed()

    def find(self, account: Account, ref: Ref) -> Version | None:
        """Returns the version with *ref*: the account's own, otherwise a curated one, otherwise None."""
        return self.catalog.get(account.key, ref) or self.catalog.get(EVERYONE, ref)

    def require(self, account: Account, ref: Ref) -> Version:
        """Like `find`, but raises a 404 for a missing version."""
        version = self.find(account, ref)
        if version is None:
            raise answers.no_such_version()
        return version

    def digest_of(self, document: Document) -> str:
        """Returns the digest of that part of a document which the setting *digest_scope* selects."""
        return digest(document.content, self.settings.digest_scope)

    def publish(self, account: Account, document: Document, force: bool = False) -> Version:
        """Publishes a document and returns its version; the same content again changes nothing.

        Raises a 403 for the curated namespace, and a 409 for other content under an existing ref without *force*.
        """
        if document.namespace == CURATED_NAMESPACE:
            raise answers.curated_is_fixed()
        old = self.catalog.get(account.key, Ref(document.namespace, document.name, document.version))
        if old is not None and old.digest == self.digest_of(document):
            return old
        if old is not None and not force:
            raise Refusal(409, "This version is published with other content; publish another, or use force=true.")
        version = self._store(account.key, document)
        if old is not None:
            self.release(old)
        return version

    def _store(self, owner: str, document: Document) -> Version:
        ref = Ref(document.namespace, document.name, document.version)
        version = Version(owner, ref, self.digest_of(document), timestamp(time.time()), document.content)
        self.catalog.put(version)
        return version

    def delete(self, version: Version) -> Body:
        """Deletes a version, and ends its running build unless another version shares the build."""
        self.catalog.remove(version)
        self.release(version)
        return {"deleted": True}

    def release(self, version: Version) -> None:
        """Ends the running build of a replaced or deleted version unless others share it; keeps a finished snapshot."""
        slot = self.slots.get((version.owner, version.digest))
        if slot is None or self.catalog.holds(version.owner, version.digest):
            return
        if slot.last is not None and not slot.last.outcome:
            slot.last.end_cancelled("build ended: its version was replaced or deleted")
        if slot.golden is None:
            del self.slots[version.owner, version.digest]

    def template_body(self, version: Version) -> Body:
        """Returns the response body for a version, with its document."""
        return {**self.published_body(version), "template": version.template}

    def published_body(self, version: Version) -> Body:
        """Returns the response body for a version, without its document."""
        return {"ref": str(version.ref), "digest": version.digest, "published": version.published}

    def now_at(self) -> float:
        """Returns the time for the limiters: epoch seconds that ignore adjustments of the system clock."""
        return self._epoch_s + time.monotonic()

    def start(self, account: Account, version: Version) -> Body:
        """Starts a build, joins the running build, or reuses the snapshot; with a 403 or 429, no build begins."""
        self.require_own(version)
        slot = self.slot_of(version)
        golden = self.reusable(slot)
        begins = golden is None and not self.joinable(slot)
        if charged := begins or self.settings.charges == "starts":
            self.check_rate(account)
        if begins:
            self.check_capacity()
            self.check_builds(account)
            slot.last = self.launch(version)
        if charged:
            self.delay_s = accept(self._limiters[account.key], self.now_at())
        return self.reused_body(version, golden) if golden else self.building_body(version)

    def slot_of(self, version: Version) -> Slot:
        """Returns the builds of a version's digest in its account; accounts share no builds."""
        return self.slots.setdefault((version.owner, version.digest), Slot())

    def last_of(self, version: Version) -> Build | None:
        """Returns the last build of a version's digest, or None."""
        slot = self.slots.get((version.owner, version.digest))
        return slot.last if slot is not None else None

    def reusable(self, slot: Slot) -> Build | None:
        """Returns the successful build whose snapshot (golden) a start reuses, or None."""
        return slot.golden

    def joinable(self, slot: Slot) -> bool:
        """Whether a start can join the last build: the build runs and is not being cancelled."""
        return slot.last is not None and slot.last.in_flight

    def check_rate(self, account: Account) -> None:
        """Raises a 429 for a start above the rate limit of the account."""
        limiter, now_at = self._limiters[account.key], self.now_at()
        if limiter.wait_s(now_at) > 0:
            limiter.refuse(now_at)
            raise self.too_many("Build rate limit reached. Back off and retry.", limiter.wait_s(now_at))

    def check_capacity(self) -> None:
        """Raises a 429 if the host already runs as many builds as its capacity allows."""
        left_s = [build.left_s for build in self.running if build.in_flight]
        if self.settings.capacity is not None and len(left_s) >= self.settings.capacity:
            raise self.too_many("Host capacity reached. Back off and retry.", min(left_s))

    def check_builds(self, account: Account) -> None:
        """Raises a 429 if the account has as many builds as its cap allows; builds being cancelled still count."""
        own = [build for build in self.running if build.version.owner == account.key and not build.outcome]
        if self._most_builds is not None and len(own) >= self._most_builds:
            self._limiters[account.key].refuse(self.now_at())
            left_s = min(self.settings.settle_s if build.cancelling else build.left_s for build in own)
            raise self.too_many("Too many builds in flight. Back off and retry.", left_s)

    def too_many(self, error: str, wait_s: float) -> Refusal:
        """Returns a 429 whose Retry-After is *wait_s* in whole seconds, rounded up (RFC 9110, section 10.2.3)."""
        seconds = max(1, math.ceil(wait_s))
        if self.settings.retry_after == "none":
            return Refusal(429, error)
        value = str(seconds)
        if self.settings.retry_after == "date":
            value = formatdate(math.ceil(time.time() + wait_s), usegmt=True)
        return Refusal(429, error, {"Retry-After": value})

    def launch(self, version: Version) -> Build:
        """Creates and starts a new build of a version."""
        build = self.make_build(version)
        self.running.add(build)
        build.launch()
        return build

    def make_build(self, version: Version) -> Build:
        """Creates the build of a version without starting it."""
        slot = self.slot_of(version)
        return self.build_class(version, self.settings, lambda build: self.ended(slot, build))

    def ended(self, slot: Slot, build: Build) -> None:
        """Takes an ended build out of the running builds; later starts reuse a successful build (golden)."""
        self.running.discard(build)
        if build.outcome == "ready":
            slot.golden = build

    def building_body(self, version: Version) -> Body:
        """Returns the response body for a start that began or joined a build."""
        return {"ref": str(version.ref), "digest": version.digest, "status": "building"}

    def reused_body(self, version: Version, golden: Build) -> Body:
        """Returns the response body for a start that reuses a snapshot."""
        build = {"status": "ready", "build_time_ms": golden.build_time_ms, "reused": True}
        return {"ref": str(version.ref), "digest": version.digest, **build}

    def state_of(self, slot: Slot | None) -> Status:
        """Returns the status of a digest; while a build is being cancelled, the status is still ``building``."""
        if slot is None or slot.last is None:
            return "not_built"
        if slot.golden is not None:
            return "ready"
        if not slot.last.outcome:
            return "building"
        return "failed" if slot.last.outcome == "failed" else "not_built"

    def status_body(self, version: Version) -> Body:
        """Returns the response body for a read of the build status."""
        slot = self.slots.get((version.owner, version.digest))
        state = self.state_of(slot)
        body: Body = {"ref": str(version.ref), "digest": version.digest, "status": state}
        if slot is not None and slot.golden is not None and state == "ready":
            body |= {"build_time_ms": slot.golden.build_time_ms, "reused": False}
        if slot is not None and slot.last is not None and state == "failed":
            body["error"] = slot.last.error
        return body

    def cancel(self, version: Version) -> bool:
        """Cancels the running build; returns whether a build ran or was already being cancelled."""
        self.require_own(version)
        last = self.last_of(version)
        if last is None or last.outcome:
            return False
        last.cancel()
        return True

    def events(self, version: Version) -> AsyncIterator[bytes] | None:
        """Returns the stream of all events of the last build, or None if the version was never built."""
        last = self.last_of(version)
        return self.follow(last) if last is not None else None

    def follow(self, build: Build) -> AsyncIterator[bytes]:
        """Returns the stream of events for one subscriber of a build."""
        return build.stream.follow()

    def close(self) -> None:
        """Ends every build and its streams."""
        for build in list(self.running):
            build.end_cancelled("build ended: the server is stopping")


def _small_document(namespace: str, name: str) -> Document:
    template = {"name": name, "version": "1.0.0"}
    content = {"api_version": API_VERSION, "template": template, "build": {"run": [f"echo {name}"]}}
    return Document(namespace, name, "1.0.0", content)
