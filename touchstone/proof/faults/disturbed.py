"""Faults that appear only if a client disconnects too early, sends or reads slowly, or changes its key."""

from touchstone.proof.faults.blocks import CHANGED, GONE, Crossing, Leaving, notes, nth, ref_in
from touchstone.proof.faults.fault import fault, refusing
from touchstone.proof.faults.logs import event_of, is_output
from touchstone.twin.app import App
from touchstone.twin.documents import Document
from touchstone.twin.engine import Engine

LATE = {"profile": "thorough"}  # such clients are part of a thorough check only
_NOT_NOTED = refusing(lambda _, call, body: body, lambda self, call, body: notes(self)[
    call.account.key, ref_in(body)], 409, "This version is being published.")  # fmt: skip


# fmt: off
fault("cut-publish-leaves-a-stub", "stateful", "lookup.unknown-version-is-404",
      "A publish whose body is cut off leaves a version with this name but without any content.", Crossing, **LATE,
      cut=lambda self, call, part: (ref := ref_in(part)) and self.engine.publish(call.account, Document(
          ref.namespace, ref.name, ref.version, {"template": {"name": ref.name, "version": ref.version}})), also=GONE)
fault("cut-body-begins-the-next", "stateful", "publish.answers-201",
      "The part of a body that arrived before its connection was lost is put before the next body of the account.",
      Crossing, cut=lambda self, call, part: notes(self).update({call.account.key: part}), also="publish.*",
      arrived=lambda self, call, body: (notes(self).pop(call.account.key, b"") or b"") + body, **LATE)
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
fault("first-key-reads-for-all", "security", "access.others-version-is-404",
      "Status reads on a connection are served for the account of the first key on that connection.", Crossing, **LATE,
      before=lambda self, call: call.__dict__.update(account=(call.account, notes(self).setdefault(
          call.client, call.account))[call.op == "GET build"]), also=f"access.* {GONE}")
fault("publish-uses-the-previous-key", "security", "lookup.existing-version-is-found",
      "A publish right after a change of the key of a connection belongs to the account of the previous key.", App,
      operate=lambda self, request, account, resource: App.operate(
          self, request, notes(self).get(request.client, account) if resource.kind == "templates" else account,
          notes(self).update({request.client: account}) or resource), also=f"access.* {GONE}", **LATE)
# fmt: on
