"""Faults that appear at the n-th build, cancel, follower, publish or request, and delays that grow slowly."""

from touchstone.proof.faults.blocks import CHANGED, GONE, Crossing, alike, copied, in_flight, notes, nth
from touchstone.proof.faults.fault import fault, refusing
from touchstone.twin.build import Build
from touchstone.twin.engine import Engine, Slot

MOST_S, MORE_S, _HASTY = 0.9, 0.045, {"request_timeout_s": 0.5}  # a client with this timeout cannot wait MOST_S

# fmt: off
fault("fifth-golden-is-lost", "stateful", "status.build-does-not-vanish",
      "When the fifth build of a version succeeds, its snapshot (golden) is lost, and the version reads not_built.",
      Engine, ended=lambda self, slot, build: Engine.ended(self, slot if nth(
          self, build.version.owner, build.version.ref) != 5 else Slot(), build), also=CHANGED)
fault("fourth-cancel-hits-the-newest", "stateful", "cancel.keeps-neighbours",
      "Every fourth cancel of an account also cancels the account's newest running build.", Engine, also=CHANGED,
      cancel=lambda self, version: Engine.cancel(self, version) and (
          nth(self, version.owner) % 4 != 0 or any(map(Build.cancel, in_flight(self, version)[-1:])) is False))
fault("third-retry-is-refused", "stateful", "start.after-failure-builds-again",
      "The third start of a version after a failed build, and each later one, is answered with 409.", Engine,
      profile="thorough",
      start=refusing(Engine.start, lambda self, _, version: self.state_of(self.slot_of(version)) == "failed" and nth(
          self, version.owner, version.ref) >= 3, 409, "It keeps failing."), also="start.answers-202 http.status-*")
fault("fourth-follower-is-not-found", "stream", "events.answers-200",
      "The log of a running build is answered with 404 from the fourth request on.", Engine,
      events=refusing(Engine.events, lambda self, version: (last := self.last_of(version)) and not last.outcome and nth(
          self, last) >= 4, 404, "It was never built."), also="events.* http.head-* lookup.existing-*")
fault("ninth-version-pushes-out-the-oldest", "stateful", "lookup.existing-version-is-found",
      "An account keeps only eight versions of a template; publishing the ninth removes the oldest.", Engine, also=GONE,
      _store=lambda self, *given: [version := Engine._store(self, *given), [self.catalog.remove(one) for one in alike(
          self, version, lambda ref: ref.name)[:-8]]][0])
fault("third-delete-does-nothing", "stateful", "lookup.deleted-version-is-404",
      "Every third delete of the same ref is acknowledged, but the version stays.", Engine,
      delete=lambda self, version: {"deleted": True} if nth(self, version.owner, version.ref) % 3 == 0
      else Engine.delete(self, version), also="start.refuses-deleted-version publish.* status.* template.*")
fault("fourth-reuse-uses-the-golden-up", "stateful", "status.ready-stays-ready",
      "After a snapshot (golden) was reused four times, it is removed, and the version has the status not_built.",
      Engine, reused_body=lambda self, version, golden: (nth(self, golden) == 4 and self.slots.pop((
          version.owner, version.digest)), Engine.reused_body(self, version, golden))[1], also=CHANGED)
fault("fourth-build-at-once-logs-into-the-first", "concurrency", "events.own-lines-only",
      "If three builds of an account run, another one also writes into the log of the oldest.", Engine, also="events.*",
      make_build=lambda self, version: copied(Engine.make_build(self, version), in_flight(self, version)[:-2][:1]))
fault("fifth-build-at-once-is-dropped", "concurrency", "start.visible-to-next-read",
      "A start while four builds of the account run is acknowledged, but begins no build.", Engine,
      start=lambda self, account, version: self.building_body(version) if len(in_flight(self, version)) >= 4
      and not self.slot_of(version).last else Engine.start(self, account, version), also=f"{CHANGED} limit.*")
fault("starts-become-slower", "timing", "http.stays-fast", "Each start takes 45 ms longer than the previous one.",
      Crossing, also="start.does-not-wait",
      delay_s=lambda self, call: min(MOST_S, nth(self) * MORE_S) if call.op == "POST build" else 0)
fault("twentieth-response-of-a-connection-is-text", "schema", "http.json-media-type",
      "Every twentieth response on one connection is text/plain instead of application/json.", Crossing,
      after=lambda self, call, response: response.headers.update({"content-type": "text/plain; charset=utf-8"})
      if response.media_type == "application/json" and nth(self, call.client) % 20 == 0 else None)
fault("template-reads-become-slower", "timing", "http.answers",
      "Each publish makes all later template reads 45 ms slower.", Crossing, target=_HASTY, also="http.*",
      delay_s=lambda self, call: min(MOST_S, MORE_S * notes(self)[()]) if call.op == "GET template" else 0.0,
      after=lambda self, call, _: call.op == "POST templates" and nth(self) and None)
fault("connections-become-slower", "timing", "http.answers",
      "Each response takes 45 ms longer than the previous one on the same connection.", Crossing, target=_HASTY,
      delay_s=lambda self, call: min(MOST_S, nth(self, call.client) * MORE_S), also="http.* start.does-*")
fault("reused-time-adds-up", "stateful", "status.build-time-is-stable",
      "Each start that reuses a snapshot (golden) reports a build time that is 10 ms longer.", Engine,
      reused_body=lambda self, version, golden: (body := Engine.reused_body(self, version, golden)) | {
          "build_time_ms": body["build_time_ms"] + 10 * (nth(self, golden) - 1)}, also="status.build-time-is-ms")
# fmt: on
