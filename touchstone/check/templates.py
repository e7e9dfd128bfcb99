"""Templates that a run publishes: their documents and publish requests. Names: `touchstone-<run id>-<purpose>`."""

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import yaml

from touchstone.facts.exchange import Credential
from touchstone.rules.history import Outcome
from touchstone.rules.messages import parts
from touchstone.target.call import Call

Form = Literal["json", "yaml", "sugar", "shuffled"]
VERSION = "1.0.0"

_EXIT_STATUSES = (1, 2, 127, 255)
# Output line n of a build is entry n, modulo their number, with its marker for each @. Some look like the framing.
_FORMS = (
    "@",
    "@ größer ☃ 日本",
    '{"step": [1, "@"]}',
    "data: @ it's done",
    "event: end @ <b>&amp;</b>",
    ": @ id: 7: #",
    "error: @ failed with exit code 1",
    '{"level": "error", "phase": "ready", "line": "@"}',
    "@-first\r@-second",
    f"@ {'long ' * 1000}end",
    "@-first\n@-second",
)
_LINE_END = re.compile(r"[\r\n]+")  # a log may also show what is between line ends as lines of their own

# For each hardware key of the canonical form: key and value in the short form (templates/schema#sugar).
_SHORT: dict[str, Callable[[Any], tuple[str, Any]]] = {
    "cpu": lambda value: ("cpu", value),
    "ram_gb": lambda value: ("ram", f"{value}gb"),
    "resolution": lambda value: ("display", str(value).removesuffix("x24")),
}


@dataclass(frozen=True, slots=True)
class Template:
    """A version to publish, and the behaviour of its build."""

    name: str
    version: str
    sleep_s: float  # minimum duration of the build in seconds
    fails: bool  # whether the build fails, after sleep and output
    marker: str  # text that only this document has: in its output, or in the environment of a silent build
    owner: Credential = "primary"  # account that publishes the version
    edition: int = 1  # number of this document among the documents with the same ref
    namespace: str = "default"
    then: tuple[str, ...] = ()  # further build steps at the end; a build that fails does not reach them
    # further sections of the document, and further keys of its sections ``template`` and ``build``
    extras: Mapping[str, Any] = field(default_factory=dict, hash=False)
    halved: bool = False  # whether half of the sleep comes after the output
    more_lines: int = 0  # number of output lines after the first one; they follow without a pause
    silent: bool = False  # whether the build prints nothing; it then has no output steps

    @property
    def ref(self) -> str:
        """``namespace/name@version``."""
        return f"{self.namespace}/{self.name}@{self.version}"

    @property
    def outcome(self) -> Outcome:
        """State in which the build ends."""
        return "failed" if self.fails else "ready"

    def steps(self) -> list[str]:
        """The build steps in order."""
        rest_s = self.sleep_s / 2 if self.halved else 0.0
        steps = [f"sleep {self.sleep_s - rest_s:g}"] if self.sleep_s else []
        steps += [f"echo {shlex.quote(line)}" for line in self.lines()]
        steps += [f"sleep {rest_s:g}"] if rest_s else []
        steps += [f"exit {_EXIT_STATUSES[(len(self.name) + self.edition) % len(_EXIT_STATUSES)]}"] if self.fails else []
        return [*steps, *self.then]

    def lines(self) -> list[str]:
        """Output of the build: the marker, then more lines; all lines differ."""
        more = (_FORMS[n % len(_FORMS)].replace("@", f"{self.marker}-line-{n}") for n in range(2, self.more_lines + 2))
        return [] if self.silent else [self.marker, *more]

    def revised(self) -> "Template":
        """Returns another document for the same ref."""
        edition = self.edition + 1
        return replace(self, edition=edition, marker=f"{self.marker.partition('.')[0]}.{edition}")

    def document(self) -> dict[str, Any]:
        """Returns the document in canonical form."""
        about = {"name": self.name, "version": self.version, **self.extras.get("template", {})}
        return self._document({"template": about})

    def sugared(self) -> dict[str, Any]:
        """Returns the document in short form: name and version in one string, hardware at the top level."""
        extra = self.extras.get("template")
        document = self._document({"name": f"{self.name}@{self.version}"} | ({"template": extra} if extra else {}))
        hardware = document.pop("hardware", {})
        short = dict(_SHORT[key](value) for key, value in hardware.items() if key in _SHORT)
        rest = {key: value for key, value in hardware.items() if key not in _SHORT}
        return document | short | ({"hardware": rest} if rest else {})

    def _document(self, head: dict[str, Any]) -> dict[str, Any]:
        rest = {key: value for key, value in self.extras.items() if key not in ("template", "build")}
        build = {**self.extras.get("build", {})} | ({"run": steps} if (steps := self.steps()) else {})
        mark = {"env": {"MARK": self.marker}} if self.silent else {}
        return {"api_version": "orgo.ai/v1"} | head | rest | mark | ({"build": build} if build else {})

    def note(self) -> dict[str, Any]:
        """Returns what the rules have to know about the document."""
        content = json.dumps(self.document(), sort_keys=True).encode()
        then = [] if self.fails else [step.removeprefix("echo ") for step in self.then if step.startswith("echo ")]
        return {
            "content": hashlib.sha256(content).hexdigest()[:16],  # equal documents have equal hashes, in any form
            "outcome": self.outcome,
            "sleep_s": self.sleep_s,
            "marker": "" if self.silent else self.marker,
            "lines": [line for text in (*self.lines(), *then) for line in _LINE_END.split(text)],
            "marker_after_s": self.sleep_s / 2 if self.halved else self.sleep_s,
        }


def is_own(ref: str, run_id: str) -> bool:
    """Whether *ref* is `default/touchstone-<run id>-<purpose>@<version>`, which only the run *run_id* creates."""
    return re.fullmatch(rf"default/touchstone-{re.escape(run_id)}-[^/@]+@(?!\.+$)[^/@]*", ref) is not None


def given(ref: str) -> Template:
    """Returns a template that exists already; only its ref is known."""
    namespace, name, version = parts(ref)
    return Template(name, version, 0.0, False, "", namespace=namespace)


def publish_call(
    template: Template,
    *,
    wrapped: bool,
    form: Form = "json",
    force: bool = False,
    auto_build: bool = False,
    credential: Credential | None = None,
) -> Call:
    """Returns the request that publishes *template*.

    Args:
        wrapped: Send ``{"namespace", "name", "version", "template"}`` instead of the raw document (ambiguity 7.35).
        form: Form in which the raw document is written; a wrapped document is always JSON.
    """
    switches = {"force": force, "auto_build": auto_build}
    query = {key: "true" if on else "false" for key, on in switches.items() if on or template.edition % 2 == 0}
    body, media_type = _written(template, form, wrapped)
    return Call(
        operation="publishTemplate",
        ref=template.ref,
        credential=credential or template.owner,
        query=query,
        headers={"Content-Type": media_type},
        body=body,
        note=template.note() | {"force": force, "auto_build": auto_build, "form": form},
    )


def _written(template: Template, form: Form, wrapped: bool) -> tuple[bytes, str]:
    document = template.sugared() if form == "sugar" else template.document()
    if form == "shuffled":
        document = dict(reversed(document.items()))
    if wrapped:
        envelope = {"namespace": "default", "name": template.name, "version": template.version, "template": document}
        return json.dumps(envelope).encode(), "application/json"
    if form == "yaml":
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode(), "application/yaml"
    shuffled = form == "shuffled"
    return json.dumps(document, indent=2 if shuffled else None, ensure_ascii=not shuffled).encode(), "application/json"
