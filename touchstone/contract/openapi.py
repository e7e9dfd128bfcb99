"""Reads an OpenAPI document into one tree without references, and refuses one that does not hold together."""

import difflib
from collections.abc import Hashable
from typing import Any

import yaml

from touchstone.contract.yaml_text import Loader, fault, read_yaml
from touchstone.errors import ContractError, one_line

_TEXT = "tag:yaml.org,2002:str"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


def read_document(text: bytes, name: str) -> dict[str, Any]:
    """The document as it stands, references unresolved.

    Args:
        text: An OpenAPI 3.1 document in YAML.
        name: What to call it in messages.

    Raises:
        ContractError: it is not YAML, has a key twice, or is not OpenAPI 3.1.
    """
    try:
        document = read_yaml(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        problem = getattr(error, "problem", None) or fault(error)
        raise ContractError(f"{where}: not YAML: {one_line(problem)}; correct this line") from error
    version = document.get("openapi") if isinstance(document, dict) else None
    if not isinstance(version, str) or not version.startswith("3.1."):
        raise ContractError(f"{name}: openapi: found {version!r}; expected an OpenAPI document of version 3.1.x")
    return dict(document)


def resolved(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of the document in which what a reference names stands in its place.

    Raises:
        ContractError: a reference leads nowhere, in a circle or out of the document.
    """
    tree: dict[str, Any] = _resolved(document, document, ())
    return tree


class _Loader(Loader):
    """YAML as JSON can hold it: no dates, no key twice, and every key is the text that is written there."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping with text for keys, such as '200' for a status, refusing a key that is there twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is no plain text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        self.flatten_mapping(node)
        for key, _ in node.value:
            key.tag = _TEXT
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in Loader.yaml_implicit_resolvers.items()
}


def _resolved(node: Any, root: dict[str, Any], through: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_resolved(item, root, through) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return {key: _resolved(value, root, through) for key, value in node.items()}
    if reference in through:
        raise ContractError(f"$ref {reference!r}: refers to itself; write it without the circle")
    beside = sorted(node.keys() - {"$ref", "summary", "description"})
    if beside:
        raise ContractError(f"$ref {reference!r}: found {beside[0]!r} beside it; put both into an allOf")
    return _resolved(_target(reference, root), root, (*through, reference))


def _target(reference: str, root: dict[str, Any]) -> Any:
    if not reference.startswith("#/"):
        raise ContractError(f"$ref {reference!r}: expected a place in this document, such as '#/components/schemas/X'")
    node: Any = root
    for step in reference.removeprefix("#/").split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, dict) or name not in node:
            near = difflib.get_close_matches(name, map(str, node), n=1) if isinstance(node, dict) else []
            advice = f"did you mean {near[0]}?" if near else "correct the reference"
            raise ContractError(f"$ref {reference!r}: there is no {name!r}; {advice}")
        node = node[name]
    return node
