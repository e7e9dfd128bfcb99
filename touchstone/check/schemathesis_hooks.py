"""Gives requests that Schemathesis generates versions and names of this run."""

import itertools
import json
import re
import zlib
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from schemathesis import Case

from touchstone.check.examination import Examination, Unsuited
from touchstone.check.templates import VERSION, Template, is_own
from touchstone.contract.document import Contract
from touchstone.facts.exchange import Exchange

WILD_EVERY = 3  # One in this many generated paths stays as it is; the others get a version of this run
MAY_EXIST = (408, 409, 429)  # a publish with one of these responses may still have stored the version
# Matches text that a server may accept as a version. Other text stays in the document, since a server rejects it.
_VERSION = re.compile(r"\s*v?\d")
# Fields that the contract has at the top of a document.
DOCUMENTED = frozenset({"api_version", "template", "hardware", "build"})
# A document is invalid for sure if a value breaks one of these keywords, or if one of these has another type.
_SURE = frozenset({"required", "const", "maxItems"})
_TYPED = frozenset({"/hardware", "/build", "/build/run", "/build/apt", "/build/pip", "/build/npm"})


@dataclass
class Aims:
    """Gives generated requests versions and names of this run."""

    exam: Examination
    # A ready version, and others for reads and cancels; None for the ready version that all cases share
    shared: list[Template] | None = None
    builds: int = 0  # number of builds that links may still begin
    running: int = 0  # how many reads, logs and cancels each get a version of their own whose build runs
    # versions that links lead to, by ref: published in a sequence of linked requests
    linked: dict[str, Template] = field(default_factory=dict)
    loose: list[Template] = field(default_factory=list)  # other versions that were published, for deletes
    _running: Counter[str] = field(default_factory=Counter)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def take(self, case: "Case[Any]") -> tuple[Template | None, dict[str, Any]]:
        """Changes *case*; returns the template that it may publish, listed in the journal, and its note."""
        template: Template | None = None
        note: dict[str, Any] = {}
        if case.path_parameters:
            self._aim(case)
        elif case.operation.path == "/templates" and case.method.upper() in {"POST", "PUT", "PATCH"}:
            template, note = self._own_document(case)
        if template is not None:
            self.exam.register(template)
        return template, note

    def received(self, case: "Case[Any]", exchange: Exchange, template: Template | None) -> None:
        """Drops a refused *template* from the clean-up; adds what the server says it created, if it is of this run."""
        accepted = 200 <= exchange.status < 300
        if template is not None and 400 <= exchange.status < 500 and exchange.status not in MAY_EXIST:
            self.exam.forget(template)
        elif template is not None and accepted and _is_linked(case):
            self.linked[template.ref] = template
        elif template is not None and accepted:
            self.loose.append(template)
        if exchange.operation == "deleteTemplate" and accepted:
            for deleted in [one for one in self.exam.templates if one.ref == exchange.ref]:
                self.exam.forget(deleted)
        created = exchange.body.get("ref")
        if exchange.operation == "publishTemplate" and accepted and isinstance(created, str):
            name, _, version = created.removeprefix("default/").rpartition("@")
            if is_own(created, self.exam.run_id):
                self.exam.register(Template(name, version, 0.0, False, ""))

    def _aim(self, case: "Case[Any]") -> None:
        """Puts a version into the path, the same one for the same case, because Hypothesis repeats cases."""
        method, path, shared = case.method.upper(), case.path_parameters, self._shared()
        deletes = method == "DELETE" and not case.operation.path.endswith("/build")
        chance = zlib.crc32(repr(sorted(path.items())).encode("utf-8", "surrogatepass"))
        ref = "{namespace}/{name}@{version}".format_map(defaultdict(str, path))
        template = self.linked.get(ref)
        if template is None or (method == "POST" and not self.may_build()):
            of_link = [one for one in shared if one.ref == ref]
            some = bool(of_link) or (chance % WILD_EVERY > 0 and method == case.operation.method.upper())
            usable = (shared[:1] if method == "POST" else of_link or shared) if some and not deletes else []
            if some and not _is_linked(case):
                usable = (self._loose() if deletes else self._building(case)) or usable
            template = usable[chance % len(usable)] if usable else None
        if template is not None:
            path.update(namespace=template.namespace, name=template.name, version=template.version)
        elif method != "GET":
            # Both names are of this run, because a server may ignore the namespace, or normalise an odd name.
            own = f"touchstone-{self.exam.run_id}"
            path.update(namespace=f"{own}-nobody", name=f"{own}-{path.get('name', '')}")

    def _shared(self) -> list[Template]:
        if self.shared is not None:
            return self.shared
        with suppress(Unsuited):  # Hypothesis would take an exception for a failure
            return [self.exam.ready()]
        return []

    def _loose(self) -> list[Template]:
        """Takes the first of the loose versions, if any."""
        self.loose.sort(key=lambda one: (len(one.name), one.name))
        return [self.loose.pop(0)] if self.loose else []

    def _building(self, case: "Case[Any]") -> list[Template]:
        """Starts a build for *case*, if it is one of the first of its operation that may get one."""
        label = case.operation.label
        if "/build" in label and not label.startswith("POST") and self._running[label] < self.running:
            self._running[label] += 1
            with suppress(Unsuited):
                return [self.exam.running()]
        return []

    def may_build(self) -> bool:
        """Takes one of the builds, if any is left."""
        self.builds -= 1
        return self.builds >= 0

    def _own_document(self, case: "Case[Any]") -> tuple[Template | None, dict[str, Any]]:
        """Gives the document a name of this run; gives a valid one that links start from known steps as well."""
        purpose = "linked" if _is_linked(case) else "generated"
        name = f"touchstone-{self.exam.run_id}-{purpose}-{next(self._numbers)}"
        template = Template(name, VERSION, self.exam.observable_s(), False, f"mark-{name}")
        document: Any = _renamed(case.body, template)
        if document is None:
            return None, {}
        case.body = document
        problems = Contract.load().published.problems(document)
        if problems or not _is_linked(case):
            case.query.pop("auto_build", None)
            is_plain = False
            with suppress(ValueError, TypeError):  # any server can parse texts without unusual characters
                is_readable = document.keys() <= DOCUMENTED and "\\" not in json.dumps(document, allow_nan=False)
                is_plain = not case.query and self.exam.target.publish == "raw" and is_readable
            is_sure = any(
                one.keyword in _SURE  # null may stand for a missing section
                or (one.keyword == "type" and one.pointer in _TYPED and one.value is not None)
                for one in problems
            )
            return template, {"invalid": "schema"} if is_plain and is_sure else {}
        if "auto_build" in case.query and not self.may_build():
            case.query["auto_build"] = "false"
        about = {key: value for key, value in document["template"].items() if key not in ("name", "version")}
        hardware = {"hardware": document["hardware"]} if "hardware" in document else {}
        template = replace(template, extras={"template": about} | hardware)
        case.body = template.document()
        switches = {name: str(case.query.get(name, False)).lower() for name in ("force", "auto_build")}
        if not (case.query.keys() <= switches.keys() and {*switches.values()} <= {"true", "false"}):
            return template, {}
        return template, template.note() | {name: value == "true" for name, value in switches.items()}


def _is_linked(case: "Case[Any]") -> bool:
    return case.meta is not None and case.meta.phase.name == "stateful"


def _renamed(body: object, template: Template) -> dict[str, Any] | None:
    """Returns the document with name and version of *template*; None if *body* is no document, or has no name."""
    document = dict(body) if isinstance(body, dict) else {}
    about = document.get("template")
    if not ("name" in document or (isinstance(about, dict) and "name" in about)):
        return None
    # A server may convert a name that is not a string. It is replaced, too, and the new value is not a string either.
    if "name" in document:
        whole = f"{template.name}@{template.version}"
        document["name"] = whole if isinstance(document["name"], str) else [template.name]
    if isinstance(about, dict):
        about = document["template"] = dict(about)
        if "name" in about:
            about["name"] = template.name if isinstance(about["name"], str) else [template.name]
        version = about.get("version")
        if isinstance(version, str) and _VERSION.match(version):
            about["version"] = template.version
    return document
