"""Where the files that travel with the package are: contract, ledger of claims, contract tests, load and recordings.

A wheel carries them below `touchstone/_bundle/`; in a checkout they lie beside the package.
"""

from pathlib import Path

from touchstone.errors import ContractError

_PACKAGE = Path(__file__).resolve().parent.parent


def openapi_dir() -> Path:
    """The directory that holds builds.yaml and claims.yaml.

    Raises:
        ContractError: neither the wheel nor a checkout has it.
    """
    return _find("openapi", "builds.yaml")


def contract_tests_dir() -> Path:
    """The directory that holds the contract tests.

    Raises:
        ContractError: neither the wheel nor a checkout has it.
    """
    return _find("contract_tests", "")


def load_dir() -> Path:
    """The directory that holds the load scenarios and thresholds.toml.

    Raises:
        ContractError: neither the wheel nor a checkout has it.
    """
    return _find("load", "thresholds.toml")


def recordings_dir() -> Path:
    """The directory that holds the recordings of the embedded twin.

    Raises:
        ContractError: neither the wheel nor a checkout has it.
    """
    return _find("recordings", "fresh-build.har", beside="tests/recordings")


def _find(name: str, witness: str, beside: str = "") -> Path:
    """The directory that the wheel has as *name* and a checkout as *beside*, or by the same name."""
    # The witness keeps a foreign directory of the same name beside an installed package from being taken for ours.
    places = (_PACKAGE / "_bundle" / name, _PACKAGE.parent / (beside or name))
    for place in places:
        if place.is_dir() and (place / witness).exists():
            return place
    looked = " nor ".join(str(place) for place in places)
    raise ContractError(f"{name}/: found neither {looked}; install the wheel again or run from a complete checkout")
