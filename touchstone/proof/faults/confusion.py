"""Faults that take one version, account or state for another: sloppy comparisons, caches and conditional requests."""

from collections.abc import Callable

from starlette.responses import Response

from touchstone.proof.faults.blocks import CHANGED, GONE, Crossing, alike, copied, in_flight, notes
from touchstone.proof.faults.fault import fault, refusing
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Engine


def conflicts(same: Callable[[str, str], bool]) -> Callable[..., Version]:
    """Returns a `_store` that answers with 409 if the template has a version that *same* takes for the new one."""
    return refusing(Engine._store, lambda self, owner, document: any(
        (one.owner, one.ref.name) == (owner, document.name) and same(one.ref.version, document.version)
        for one in self.catalog), 409, "This version is published with other content.")  # fmt: skip


# fmt: off
fault("cancel-matches-by-prefix", "concurrency", "cancel.keeps-neighbours",
      "A cancel also cancels running builds of versions that begin with the same text, such as 1.0.10 for 1.0.1.",
      Engine, cancel=lambda self, version: [Engine.cancel(self, one) for one in alike(
          self, version, lambda ref: str(ref).startswith(str(version.ref)))].count(True) > 0, also=CHANGED)
fault("delete-matches-by-prefix", "stateful", "lookup.existing-version-is-found",
      "A delete also deletes versions that begin with the same text, such as 1.0.10 for 1.0.1.",
      Engine, delete=lambda self, version: [Engine.delete(self, one) for one in alike(
          self, version, lambda ref: str(ref).startswith(str(version.ref)))].pop(), also=GONE)
fault("machines-have-names-of-40-letters", "concurrency", "events.own-lines-only",
      "Output of a build also appears in the logs of running builds whose long names have the same 40 first letters.",
      Engine, make_build=lambda self, version: copied(Engine.make_build(self, version), [one for one in in_flight(
          self, version) if one.version.ref.name[:40] == version.ref.name[:40] != version.ref.name]), also="events.*")
fault("candidate-is-taken-for-the-release", "semantic", "publish.answers-201",
      "Publishing a pre-release, such as 1.0.0-rc.1, is answered with 409 if its release 1.0.0 exists.", Engine,
      _store=conflicts(lambda old, new: new.startswith(f"{old}-")), also="publish.*")
fault("name-and-version-run-together", "semantic", "template.read-shows-the-published",
      "A template read shows another version if name and version, joined without a separator, are the same text.",
      Engine, template_body=lambda self, version: Engine.template_body(
          self, [*alike(self, version, lambda ref: ref.name + ref.version), version][0]),
      also="digest.is-the-published-one")
fault("if-modified-since-is-not-compared", "stateful", "template.read-shows-the-published",
      "A template read with If-Modified-Since is answered with 304, whatever the date.", Crossing, also="http.status-*",
      after=lambda _, call, __: "if-modified-since" in call.request.headers and call.op == "GET template" and Response(
          status_code=304))
fault("head-fills-the-cache", "stateful", "start.visible-to-next-read",
      "HEAD of a status stores the response, and the next GET gets it, even if the state has changed.", Crossing,
      before=lambda self, call: call.op == "GET build" and notes(self).pop(call.place, None), also=CHANGED,
      after=lambda self, call, response: call.op == "HEAD build" and notes(self).update({call.place: response}))
fault("connections-keep-deleted-templates", "stateful", "lookup.deleted-version-is-404",
      "A connection that read a template still shows it after a delete on another one.", Crossing, also="http.head-*",
      before=lambda self, call: call.op == "GET template" and not call.version and notes(self)[call.client, call.place],
      after=lambda self, call, given: call.op.endswith(" template") and notes(self).update({
          (call.client, call.place): given if call.op == "GET template" else None}))
fault("head-keeps-the-first-length", "semantic", "http.head-matches-get",
      "HEAD of a template shows the Content-Length of the first HEAD, even if the content was replaced.", Crossing,
      after=lambda self, call, given: call.op == "HEAD template" and notes(self).setdefault(call.place, given))
# fmt: on
