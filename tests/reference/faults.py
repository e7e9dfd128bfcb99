"""The pages about faults and variants: the named ways in which the twin can be wrong, and be different and right."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from tests.reference.claims import link
from tests.reference.marks import anchor, code, codes, table
from touchstone.contract import claims
from touchstone.proof.faults import FAULTS, KINDS, Fault
from touchstone.proof.variants import FREEDOMS, VARIANTS, Variant
from touchstone.twin.serve import Behaviour

FAULTS_BEGINNING = """
# Faults

Named ways in which the twin breaks one promise while everything else stays right. `touchstone serve --fault NAME`
serves such a twin, `touchstone prove --fault GLOB` shows that the examination finds it and blames the claims in
*breaks*. What is in *breaks besides* is seen broken as well, from another side. Faults that are derived from the
contract are not listed here, since there are hundreds: `touchstone prove --generated --list` names them.
"""

VARIANTS_BEGINNING = """
# Variants

Named ways in which the twin behaves otherwise and keeps every promise: other readings of what the documentation leaves
open, by number where the ambiguity has one. `touchstone serve --variant NAME` serves such a twin; a check that accuses
one is wrong, and `touchstone prove --variant GLOB` looks for that.
"""

SAYS = {
    "schema": "What a single answer looks like shows it.",
    "semantic": "What a single answer means shows it.",
    "stateful": "Answers that follow each other show it.",
    "timing": "When answers come shows it.",
    "concurrency": "Requests at the same moment show it.",
    "security": "Requests with another key, or with none, show it.",
    "load": "Limits and what exceeds them show it.",
    "stream": "The event stream of a build shows it.",
}


def faults_page() -> str:
    """The page about faults."""
    parts = [FAULTS_BEGINNING.strip()]
    for kind in KINDS:
        members = [fault for fault in FAULTS.values() if fault.kind == kind]
        heads = ("fault", "the twin", "breaks", "breaks besides", "shown by", "needs")
        parts += [f"## {kind}", f"{SAYS.get(kind, '')} {len(members)} faults.", table(heads, map(_fault, members))]
    return "\n\n".join(parts)


def variants_page() -> str:
    """The page about variants."""
    combined = [variant for variant in VARIANTS.values() if variant.takes]
    plain = [variant for variant in VARIANTS.values() if not variant.takes]
    lone = [variant for name, variant in FREEDOMS.items() if name not in VARIANTS]
    parts = [VARIANTS_BEGINNING.strip()]
    for title, members in (("Variants", plain), ("Variants that take several freedoms at once", combined)):
        parts += [f"## {title}", _variants(members)] if members else []
    if lone:
        parts += ["## Freedoms", "Each is taken by a variant above, and can be served alone.", _variants(lone)]
    return "\n\n".join(parts)


def _fault(fault: Fault) -> tuple[str, ...]:
    shown = "a load" if fault.under == "load" else f"a {fault.profile} check"
    breaks, also = (", ".join(map(_claim, globs)) for globs in (fault.breaks, fault.also))
    return anchor(fault.name) + code(fault.name), fault.says, breaks, also, shown, _needs(fault)


def _claim(glob: str) -> str:
    """A link to a claim, or a glob with links to what it matches."""
    ledger = claims.load()
    if glob in ledger and not ledger[glob].excluded:
        return link(glob)
    matched = ", ".join(link(claim) for claim, row in ledger.items() if fnmatchcase(claim, glob) and not row.excluded)
    return f"`{glob}` ({matched})" if matched else code(glob)


def _needs(behaviour: Behaviour) -> str:
    told = {**behaviour.pace, **behaviour.target}
    return codes(f"{name}={value!r}" for name, value in told.items())


def _variants(members: Iterable[Variant]) -> str:
    rows = [
        (anchor(one.name) + code(one.name), one.says, one.source, _takes(one.takes), _needs(one)) for one in members
    ]
    return table(("variant", "the twin", "permitted by", "takes", "needs"), rows)


def _takes(names: Iterable[str]) -> str:
    return ", ".join(f"[`{name}`](#{name})" if name in FREEDOMS else code(name) for name in names)
