"""Faults at documented edges: the longest name, the last command, the largest documents, and unusual output."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

from touchstone.proof.faults.blocks import CHANGED, GONE, Crossing, planned
from touchstone.proof.faults.fault import fault
from touchstone.proof.faults.logs import ChangesEvents, frame_of, is_output
from touchstone.proof.faults.publishing import sha256
from touchstone.twin.answers import Refusal
from touchstone.twin.documents import read_body
from touchstone.twin.engine import Engine


class Mends(Crossing):
    """Base class: *mend* changes a document before it is checked."""

    mend = staticmethod(lambda _: None)

    def arrived(self, call: Any, body: bytes) -> bytes:
        with suppress(Refusal, AttributeError, KeyError, TypeError):
            data: Any = read_body(body, call.request.headers.get("content-type", ""))
            self.mend(data if "api_version" in data else data["template"])
            return json.dumps(data).encode()
        return body


# fmt: off
fault("longest-name-loses-a-letter", "semantic", "publish.ref-is-the-document template.read-shows-the-published",
      "The responses to a publish and to a template read show a name of 64 characters without the last one.", Engine,
      also="lookup.odd-spelling-is-404", published_body=lambda self, version: Engine.published_body(self, version) | {
          "ref": str(replace(version.ref, name=version.ref.name[:63]))})
fault("name-of-65-is-shortened", "semantic", "publish.invalid-is-422",
      "A document with a name of 65 characters is published under the first 64.", Mends,
      mend=lambda _, doc: (it := doc["template"]).update(name=it["name"][:64 if len(it["name"]) == 65 else None]))
fault("command-65-is-dropped", "semantic", "publish.invalid-is-422",
      "A document with 65 commands is published without the last one.", Mends,
      mend=lambda _, doc: len(doc["build"]["run"]) == 65 and doc["build"]["run"].pop())
fault("command-64-is-not-run", "semantic", "events.carry-the-output", "Of 64 commands, the last one is not run.",
      Engine, make_build=lambda *given: planned(Engine.make_build(*given), lambda steps: steps[:63]), also=CHANGED)
fault("last-port-is-refused", "semantic", "publish.answers-201", "Publishing with port 65535 is answered with 422.",
      Mends, mend=lambda _, doc: [port.update(internal=port["internal"] + port["internal"] // 65535)
                                  for app in doc["apps"] for port in app["ports"]])
fault("long-line-is-cut", "stream", "events.carry-the-output", "Output lines are cut after 4096 characters in the log.",
      ChangesEvents, change=lambda _, event: event | {"line": event["line"][:4096]})
fault("frame-length-is-in-characters", "stream", "events.json-per-frame",
      "The length of a frame is counted in characters but used in bytes, so non-ASCII output is cut.", ChangesEvents,
      render=lambda _, event: ((whole := frame_of(event)[:-2])[:len(whole.decode())] + b"\n\n",), also="events.*")
fault("line-ends-are-not-escaped", "stream", "events.json-per-frame",
      "A line end in output is sent as it is, in the middle of the JSON of its frame.", ChangesEvents, also="events.*",
      render=lambda _, event: (frame_of(event).replace(b"\\n", b"\n"),))
fault("carriage-return-erases-the-line", "stream", "events.carry-the-output",
      "Of an output line with carriage returns, the log contains only the part after the last one.", ChangesEvents,
      change=lambda _, event: event | {"line": event["line"].rpartition("\r")[2]})
fault("json-output-replaces-the-frame", "stream", "events.carry-the-output",
      "Output that begins with a brace is sent as the data of its frame, without an event around it.", ChangesEvents,
      render=lambda _, event: (b"data: " + event["line"].replace("\n", " ").encode() + b"\n\n"
                               if is_output(event) and event["line"][:1] == "{" else frame_of(event),), also="events.*")
fault("output-decides-the-result", "semantic", "status.good-template-ends-ready",
      "A build fails if a command prints a line that begins with `error`, though the command succeeds.", Engine,
      also=CHANGED, make_build=lambda *given: planned(Engine.make_build(*given), lambda steps: [
          replace(step, exit_status=int(step.line.lower().startswith("error")) or step.exit_status) for step in steps]))
fault("digest-covers-the-first-64-kib", "semantic", "digest.follows-content",
      "The digest of a document above 64 KiB covers only the first 64 KiB.", Engine, also=GONE,
      digest_of=lambda self, document: sha256(text[:65_536]) if len(text := json.dumps(
          document.content, sort_keys=True)) > 65_536 else Engine.digest_of(self, document))
# fmt: on
