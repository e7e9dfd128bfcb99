"""Faults that appear only if a client disconnects too early, sends or reads slowly, or changes its key."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse

from touchstone.proof.faults.afterwards import forced
from touchstone.proof.faults.blocks import CHANGED, GONE, Crossing, Leaving, notes, nth, ref_in
from touchstone.proof.faults.fault import fault, refusing
from touchstone.proof.faults.logs import event_of, is_output
from touchstone.twin.app import App
from touchstone.twin.documents import Document
from touchstone.twin.engine import Engine

SLOW_S, BUFFER_BYTES, LATE = 0.2, 4096, {"profile": "thorough"}  # LATE: a thorough check has such clients
_NOT_NOTED = refusing(lambda _, call, body: body, lambda self, call, body: notes(self)[
    call.account.key, ref_in(body)], 409, "This version is being published.")  # fmt: skip


async def in_turn(call: Any, frames: AsyncIterator[bytes], skips: int, lock: asyncio.Lock) -> AsyncIterator[bytes]:
    """Yields the frames of a log, to one follower at a time; *skips* of them are lost if a follower does not read."""
    # With small buffers, the server notices a client that does not read.
    if transport := getattr(getattr(call.request.receive, "__self__", None), "transport", None):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
    left = 0
    async for frame in frames:
        at, left = time.monotonic(), left - 1
        if left < 0:
            async with lock:
                yield frame
            left = skips if time.monotonic() - at > SLOW_S else 0


async def resumed(app: App, key: object, body: bytes) -> AsyncIterator[bytes]:
    """Yields a body from the position at which the last read was cut off."""
    rest = notes(app).pop(key, None) or [body[at : at + 16_384] for at in range(0, len(body), 16_384)]
    try:
        while rest:
            yield rest.pop(0)
            await asyncio.sleep(0.002)
    finally:
        notes(app)[key] = rest


# fmt: off
fault("cut-publish-reserves-the-ref", "stateful", "publish.answers-201",
      "After a publish whose body was cut off, publishing that version is answered with 409.", Crossing, **LATE,
      cut=lambda self, call, part: nth(self, call.account.key, ref_in(part)), arrived=_NOT_NOTED,
      also="publish.* digest.*")
fault("cut-publish-leaves-a-stub", "stateful", "lookup.unknown-version-is-404",
      "A publish whose body is cut off leaves a version with this name but without any content.", Crossing, **LATE,
      cut=lambda self, call, part: (ref := ref_in(part)) and self.engine.publish(call.account, Document(
          ref.namespace, ref.name, ref.version, {"template": {"name": ref.name, "version": ref.version}})), also=GONE)
fault("cut-force-deletes", "stateful", "lookup.existing-version-is-found",
      "A forced publish whose body is cut off deletes the existing version.", Crossing, also=GONE, **LATE,
      cut=lambda self, call, part: forced(call.request) and (ref := ref_in(part)) and (
          old := self.engine.catalog.get(call.account.key, ref)) and self.engine.delete(old))
fault("cut-body-begins-the-next", "stateful", "publish.answers-201",
      "The part of a body that arrived before its connection was lost is put before the next body of the account.",
      Crossing, cut=lambda self, call, part: notes(self).update({call.account.key: part}), also="publish.*",
      arrived=lambda self, call, body: (notes(self).pop(call.account.key, b"") or b"") + body, **LATE)
fault("pause-ends-the-body", "semantic", "publish.answers-201",
      "If a body arrives with a pause of more than 0.2 s, only the part before the pause is used.", Crossing,
      pause_s=SLOW_S, also="publish.*", **LATE)
fault("resent-start-restarts", "stateful", "start.while-building-is-harmless",
      "If a client leaves before the response to a start, the next start ends the running build and begins another.",
      Crossing, lost=lambda self, call, _: call.op == "POST build" and nth(self, call.place),
      before=lambda self, call: call.op == "POST build" and notes(self).pop((call.place,), 0)
      and self.engine.last_of(call.version).end_cancelled("it restarts"), also=CHANGED, **LATE)
fault("lost-cancel-comes-again", "stateful", "cancel.next-build-completes",
      "If a client leaves before the response to a cancel, the next build of the version is cancelled as well.",
      Crossing, lost=lambda self, call, _: call.op == "DELETE build" and nth(self, call.place),
      after=lambda self, call, _: call.op == "POST build" and notes(self).pop((call.place,), 0)
      and self.engine.last_of(call.version).cancel(), also=CHANGED, **LATE)
fault("lost-response-is-sent-later", "stateful", "status.answers-200",
      "The response to a start that a client did not wait for is sent to the next request with the same path.",
      Crossing, lost=lambda self, call, given: call.op == "POST build" and notes(self).update({call.place: given}),
      before=lambda self, call: call.op.endswith(" build") and notes(self).pop(call.place, None), **LATE,
      also=f"http.* {CHANGED}")
fault("resent-publish-conflicts", "stateful", "publish.republish-identical-is-accepted",
      "If a client leaves before the response to a publish, the same publish again is answered with 409.", Crossing,
      lost=lambda self, call, _: call.op == "POST templates" and nth(self, call.account.key, ref_in(
          call.request._body)), arrived=_NOT_NOTED, also="publish.*", **LATE)
fault("lost-delete-keeps-the-ref", "stateful", "publish.answers-201",
      "If a client leaves before the response to a delete, publishing that version again is answered with 409.",
      Crossing, lost=lambda self, call, _: call.op == "DELETE template" and nth(self, *call.place), arrived=_NOT_NOTED,
      also="publish.*", **LATE)
fault("leaver-closes-the-log", "stream", "events.open-while-building",
      "When a client stops following a log, the log closes for all other followers.", Leaving,
      left=lambda _, build: build.stream.close(), also="events.*", **LATE)
fault("log-of-leavers-stays-open", "stream", "events.close-at-the-end",
      "After five clients have stopped following a log, it does not close at the end of its build.", Leaving,
      left=lambda self, build: nth(self, build) >= 5 and vars(build.stream).update(close=int),
      also="events.finished-version-closes http.answers", target={"cancel_timeout_s": 1.0}, **LATE)
fault("leaver-takes-the-output", "stream", "events.carry-the-output",
      "After a client has stopped following a log, output of the build no longer appears in it.", Leaving,
      left=lambda _, build: vars(build.stream).update(emit=lambda frame: is_output(event_of(frame)) or type(
          build.stream).emit(build.stream, frame)), also="events.*", **LATE)
fault("leavers-keep-their-place", "load", "limit.ends-after-back-off",
      "Each client that stops following a log uses up host capacity forever; at the end, every start gets a 429.",
      Leaving, left=lambda self, _: nth(self), check_capacity=refusing(
          Engine.check_capacity, lambda self: notes(self)[()] >= (self.settings.capacity or 6), 429,
          "Host capacity reached. Back off and retry."), also=f"limit.* {CHANGED}", **LATE)
fault("starts-wait-for-uploads", "concurrency", "start.does-not-wait",
      "A start takes one second longer if a publish of the account has been sending its body for 0.2 s.", Crossing,
      delay_s=lambda self, call: float(call.op == "POST build" and 0 < notes(self)[
          "upload", call.account.key] < time.monotonic() - SLOW_S), also="http.answers", **LATE)
fault("first-key-reads-for-all", "security", "access.others-version-is-404",
      "Status reads on a connection are served for the account of the first key on that connection.", Crossing, **LATE,
      before=lambda self, call: call.__dict__.update(account=(call.account, notes(self).setdefault(
          call.client, call.account))[call.op == "GET build"]), also=f"access.* {GONE}")
fault("publish-uses-the-previous-key", "security", "lookup.existing-version-is-found",
      "A publish right after a change of the key of a connection belongs to the account of the previous key.", App,
      operate=lambda self, request, account, resource: App.operate(
          self, request, notes(self).get(request.client, account) if resource.kind == "templates" else account,
          notes(self).update({request.client: account}) or resource), also=f"access.* {GONE}", **LATE)
fault("slow-follower-misses-lines", "stream", "events.carry-the-output",
      "A follower that stops reading for more than 0.2 s misses the next eight frames.", Crossing, **LATE,
      after=lambda _, call, response: call.op == "GET events" and response.__dict__.update(body_iterator=in_turn(
          call, response.body_iterator, 8, asyncio.Lock())), also="events.*")
fault("slow-follower-stops-the-others", "stream", "events.close-at-the-end",
      "While one follower of a log does not read, the other followers get no frames.", Crossing, also="events.*",
      after=lambda self, call, response: call.op == "GET events" and response.__dict__.update(body_iterator=in_turn(
          call, response.body_iterator, 0, notes(self).setdefault(call.place, asyncio.Lock()))), **LATE)
fault("cut-read-is-continued", "stateful", "http.body-is-json",
      "After a read of a template above 64 KiB is cut off, the next read begins at that position.", Crossing, **LATE,
      after=lambda self, call, whole: call.op == "GET template" and len(whole.body) > 65_536 and StreamingResponse(
          resumed(self, call.place, bytes(whole.body)), media_type="application/json"))
# fmt: on
