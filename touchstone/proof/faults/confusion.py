"""Faults that take one version, account or state for another: sloppy comparisons, caches and conditional requests."""

import asyncio
from collections.abc import Callable

from starlette.responses import Response

from touchstone.proof.faults.blocks import CHANGED, GONE, Crossing, alike, copied, in_flight, notes
from touchstone.proof.faults.fault import fault, refusing
from touchstone.twin.app import App
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
fault("delete-ignores-the-account", "security", "access.others-change-nothing",
      "A delete also deletes the versions of other accounts with the same ref.", Engine, delete=lambda self, version: [
          Engine.delete(self, one) for one in [*self.catalog] if one.ref == version.ref].pop(), also=GONE)
fault("ready-is-kept-by-ref", "security", "status.failing-template-ends-failed",
      "If a version is ready, versions of other accounts with the same ref have its status as well.", Engine,
      status_body=lambda self, version: Engine.status_body(self, next((one for one in self.catalog if one.ref == version
          .ref and Engine.status_body(self, one)["status"] == "ready"), version)),
      also=f"access.* {GONE} {CHANGED} digest.* events.*")
fault("auto-build-compares-versions-as-text", "stateful", "publish.auto-build-starts",
      "With auto_build, nothing is built if the template has a version that is greater as text: 1.0.9 for 1.0.10.", App,
      auto_build=lambda self, account, version: App.auto_build(self, account, version) if version.ref.version == max(
          one.ref.version for one in alike(self.engine, version, lambda ref: ref.name)) else "building", also=CHANGED)
fault("machines-have-names-of-40-letters", "concurrency", "events.own-lines-only",
      "Output of a build also appears in the logs of running builds whose long names have the same 40 first letters.",
      Engine, make_build=lambda self, version: copied(Engine.make_build(self, version), [one for one in in_flight(
          self, version) if one.version.ref.name[:40] == version.ref.name[:40] != version.ref.name]), also="events.*")
fault("candidate-is-taken-for-the-release", "semantic", "publish.answers-201",
      "Publishing a pre-release, such as 1.0.0-rc.1, is answered with 409 if its release 1.0.0 exists.", Engine,
      _store=conflicts(lambda old, new: new.startswith(f"{old}-")), also="publish.*")
fault("versions-are-compared-without-dots", "semantic", "publish.answers-201",
      "A publish is answered with 409 if another version has the same digits, such as 1.10.0 and 11.0.0.", Engine,
      _store=conflicts(lambda old, new: old != new and old.replace(".", "") == new.replace(".", "")), also="publish.*")
fault("name-and-version-run-together", "semantic", "template.read-shows-the-published",
      "A template read shows another version if name and version, joined without a separator, are the same text.",
      Engine, template_body=lambda self, version: Engine.template_body(
          self, [*alike(self, version, lambda ref: ref.name + ref.version), version][0]),
      also="digest.is-the-published-one")
fault("hyphens-in-names-are-ignored", "stateful", "lookup.existing-version-is-found lookup.deleted-version-is-404",
      "A delete deletes the version whose name was published first with the same letters but other hyphens.", Engine,
      delete=lambda self, version: Engine.delete(self, alike(
          self, version, lambda ref: (ref.name.replace("-", ""), ref.version))[0]), also=GONE)
fault("etag-of-the-status-is-the-digest", "stateful", "status.failed-stays-failed",
      "The ETag of a status is the digest; with If-None-Match, the status is a 304 even if the state has changed.",
      Crossing, after=lambda _, call, given: None if call.op not in ("GET build", "HEAD build") else Response(
          status_code=304) if call.request.headers.get("if-none-match") == (etag := f'"{call.version.digest}"')
      else given.headers.update({"etag": etag}), also=f"{CHANGED} http.status-is-documented")
fault("if-modified-since-is-not-compared", "stateful", "template.read-shows-the-published",
      "A template read with If-Modified-Since is answered with 304, whatever the date.", Crossing, also="http.status-*",
      after=lambda _, call, __: "if-modified-since" in call.request.headers and call.op == "GET template" and Response(
          status_code=304))
fault("range-of-a-status-is-a-200", "schema", "http.body-is-json",
      "A status read with a Range header is answered with 200 and only the first ten bytes.", Crossing, also="status.*",
      after=lambda _, call, response: call.op == "GET build" and "range" in call.request.headers and Response(
          response.body[:10], media_type="application/json"))
fault("head-fills-the-cache", "stateful", "start.visible-to-next-read",
      "HEAD of a status stores the response, and the next GET gets it, even if the state has changed.", Crossing,
      before=lambda self, call: call.op == "GET build" and notes(self).pop(call.place, None), also=CHANGED,
      after=lambda self, call, response: call.op == "HEAD build" and notes(self).update({call.place: response}))
fault("connections-remember-the-unbuilt", "stateful", "status.build-does-not-vanish",
      "A connection on which a version was not_built shows this once more, unless the start is sent on it.", Crossing,
      before=lambda self, call: (notes(self).pop((call.client, call.place), 0), 0)[call.op != "GET build"],
      after=lambda self, call, given: call.op == "GET build" and not self.engine.last_of(call.version) and notes(
          self).update({(call.client, call.place): given}),
      also=f"{CHANGED} {GONE} digest.* publish.* http.*")
fault("connections-keep-deleted-templates", "stateful", "lookup.deleted-version-is-404",
      "A connection that read a template still shows it after a delete on another one.", Crossing, also="http.head-*",
      before=lambda self, call: call.op == "GET template" and not call.version and notes(self)[call.client, call.place],
      after=lambda self, call, given: call.op.endswith(" template") and notes(self).update({
          (call.client, call.place): given if call.op == "GET template" else None}))
fault("reads-are-shared-for-milliseconds", "security", "access.others-version-is-404",
      "A status read within 20 ms after a read of another account with the same path gets the response to that one.",
      Crossing, before=lambda self, call: call.op == "GET build" and next((given for key in self.engine._accounts if (
          given := notes(self)[key, call.place[1]]) and key != call.account.key), None), also=f"access.* {GONE}",
      after=lambda self, call, given: None if call.op != "GET build" else notes(self).update({
          call.place: given, "timer": asyncio.get_running_loop().call_later(0.02, notes(self).pop, call.place, None)}))
fault("head-keeps-the-first-length", "semantic", "http.head-matches-get",
      "HEAD of a template shows the Content-Length of the first HEAD, even if the content was replaced.", Crossing,
      after=lambda self, call, given: call.op == "HEAD template" and notes(self).setdefault(call.place, given))
# fmt: on
