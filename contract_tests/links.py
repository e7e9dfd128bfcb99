"""The OpenAPI links of the contract: each leads from a response to another operation, with its parameters."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from touchstone.contract.document import resolved
from touchstone.errors import ContractError
from touchstone.facts.exchange import Exchange

PATH_PARAMETERS = ("namespace", "name", "version")


@dataclass(frozen=True, slots=True)
class Link:
    """A link from a response to an operation.

    Attributes:
        name: Name of the link in the contract.
        operation: operationId of the operation that the link leads to.
        parameters: Constants or runtime expressions, by parameter name.
    """

    name: str
    operation: str
    parameters: Mapping[str, str]

    def ref(self, exchange: Exchange) -> str:
        """Returns the ref of the version that the link leads to from *exchange*.

        Raises:
            ContractError: an expression is of an unsupported kind or has no value.
        """
        namespace, name, version = (_evaluated(self.parameters[key], exchange) for key in PATH_PARAMETERS)
        return f"{namespace}/{name}@{version}"


def links(document: Mapping[str, Any], operation: str, status: int) -> tuple[Link, ...]:
    """Returns the links of the response with *status* to an operation, sorted by name."""
    tree = resolved(dict(document))
    return tuple(sorted(_links(tree, operation, status), key=lambda link: link.name))


def _links(tree: dict[str, Any], operation: str, status: int) -> Iterator[Link]:
    for item in tree["paths"].values():
        for definition in item.values():
            if isinstance(definition, dict) and definition.get("operationId") == operation:
                answer = definition["responses"].get(str(status), {})
                for name, link in answer.get("links", {}).items():
                    yield Link(name, link["operationId"], link.get("parameters", {}))


def _evaluated(expression: str, exchange: Exchange) -> str:
    """Returns the value of a runtime expression (OpenAPI 3.1, section 4.8.20.4) or of a constant."""
    if not expression.startswith("$"):
        return expression
    try:
        if expression.startswith("$request.path."):
            return _path_parameters(exchange)[expression.removeprefix("$request.path.")]
        if expression.startswith("$request.body#/"):
            value: Any = _document(json.loads(exchange.request.body))
            for key in expression.removeprefix("$request.body#/").split("/"):
                value = value[key]
            return str(value)
    except (ValueError, LookupError, TypeError) as error:
        place = f"links: {expression!r}"
        raise ContractError(f"{place}: has no value for this {exchange.operation}: {error!r}") from error
    raise ContractError(f"links: found {expression!r}; expected $request.path.NAME or $request.body#/POINTER")


def _path_parameters(exchange: Exchange) -> dict[str, str]:
    namespace, _, rest = (exchange.ref or "").partition("/")
    name, _, version = rest.rpartition("@")
    return dict(zip(PATH_PARAMETERS, (namespace, name, version), strict=True)) if exchange.ref else {}


def _document(body: Any) -> Any:
    """Returns the document in the body of a publish, which may be an envelope (ambiguity 7.35)."""
    inner = body.get("template") if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) and "template" in inner else body
