"""
Where the files that travel with the package are: the contract, the ledger of claims and the contract tests.

A wheel carries them below `touchstone/_bundle/`; in a checkout they lie beside the package.
"""

from pathlib import Path

from touchstone.errors import ContractError

_PACKAGE = Path(__file__).resolve().parent


def openapi_dir() -> Path:
    """
    The directory that holds builds.yaml and claims.yaml.

    Raises:
        ContractError: neither the wheel nor a checkout has it.
    """
    return _find("openapi", "builds.yaml")


def contract_tests_dir() -> Path:
    """
    The directory that holds the contract tests.

    Raises:
        ContractError: neither the wheel nor a checkout has it.
    """
    return _find("contract_tests", "")


def _find(name: str, witness: str) -> Path:
    # The witness keeps a foreign directory of the same name beside an installed package from being taken for ours.
    places = (_PACKAGE / "_bundle" / name, _PACKAGE.parent / name)
    for place in places:
        if place.is_dir() and (place / witness).exists():
            return place
    looked = " nor ".join(str(place) for place in places)
    raise ContractError(f"{name}/: found neither {looked}; install the wheel again or run from a complete checkout")
