"""Faults that appear at the n-th build, cancel, follower, publish or request, and delays that grow slowly."""

from touchstone.proof.faults.blocks import CHANGED, GONE, Crossing, alike, copied, in_flight, nth
from touchstone.proof.faults.fault import fault
from touchstone.twin.engine import Engine, Slot

MOST_S, MORE_S, _HASTY = 0.9, 0.045, {"request_timeout_s": 0.5}  # a client with this timeout cannot wait MOST_S

# fmt: off
fault("fifth-golden-is-lost", "stateful", "status.build-does-not-vanish",
      "When the fifth build of a version succeeds, its snapshot (golden) is lost, and the version reads not_built.",
      Engine, ended=lambda self, slot, build: Engine.ended(self, slot if nth(
          self, build.version.owner, build.version.ref) != 5 else Slot(), build), also=CHANGED)
fault("ninth-version-pushes-out-the-oldest", "stateful", "lookup.existing-version-is-found",
      "An account keeps only eight versions of a template; publishing the ninth removes the oldest.", Engine, also=GONE,
      _store=lambda self, *given: [version := Engine._store(self, *given), [self.catalog.remove(one) for one in alike(
          self, version, lambda ref: ref.name)[:-8]]][0])
fault("third-delete-does-nothing", "stateful", "lookup.deleted-version-is-404",
      "Every third delete of the same ref is acknowledged, but the version stays.", Engine,
      delete=lambda self, version: {"deleted": True} if nth(self, version.owner, version.ref) % 3 == 0
      else Engine.delete(self, version), also="start.refuses-deleted-version publish.* status.* template.*")
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
fault("connections-become-slower", "timing", "http.answers",
      "Each response takes 45 ms longer than the previous one on the same connection.", Crossing, target=_HASTY,
      delay_s=lambda self, call: min(MOST_S, nth(self, call.client) * MORE_S), also="http.* start.does-*")
# fmt: on
