"""The page about claims: what is promised, where, who judges it, and which faults prove that it can be found broken."""

from collections.abc import Iterable

from tests.reference.marks import code, codes, slug, table
from touchstone.cli.claims import checks_of
from touchstone.contract import claims
from touchstone.contract.claims import Claim
from touchstone.proof import catalogue

BEGINNING = """
# Claims

Each claim is one testable sentence of the documentation, in our words. A `must` is documented; a `should` follows from
the documentation or from a standard that it relies on. The source names the page and section, or the standard; *facts*
numbers places that the documentation leaves open. A claim that needs something of the target (`publish`: that a run may
publish templates; `second`, `restricted`: another key) is not applicable where it is missing. The checks are the rules
that judge it, as reports name them; the faults are those of the twin that it has to be found broken for, see
[faults.md](faults.md). `touchstone explain ID` says the same of one claim, with its latest verdict and a curl line.
"""

EXCLUDED = """
## Not judged

Sentences of the documentation that no claim judges, each with the reason:
"""


def page() -> str:
    """The page."""
    ledger = claims.load()
    judged = (*ledger.judged(), *ledger.judged("load"))
    subjects = dict.fromkeys(claim.subject for claim in judged)
    rows = [_summary(subject, [claim for claim in judged if claim.subject == subject]) for subject in subjects]
    parts = [BEGINNING.strip(), table(("subject", "must", "should", "claims"), rows)]
    for subject in subjects:
        parts.append(f"## {subject}")
        parts += [_section(claim) for claim in judged if claim.subject == subject]
    excluded = [(code(row.id), row.says, row.source, row.excluded) for row in ledger.excluded()]
    parts += [EXCLUDED.strip(), table(("sentence", "says", "source", "not judged because"), excluded)]
    return "\n\n".join(parts)


def link(claim: str) -> str:
    """A link to a claim from another page."""
    return f"[`{claim}`](claims.md#{slug(claim)})"


def _summary(subject: str, members: Iterable[Claim]) -> tuple[str, str, str, str]:
    members = list(members)
    must = sum(claim.level == "must" for claim in members)
    links = ", ".join(f"[{claim.id.partition('.')[2]}](#{slug(claim.id)})" for claim in members)
    return f"[{subject}](#{slug(subject)})", str(must), str(len(members) - must), links


def _section(claim: Claim) -> str:
    facts = [claim.level, f"source {claim.source}"]
    facts += [f"needs {codes(sorted(claim.needs))}"] if claim.needs else []
    facts += ["judged by `touchstone load`"] if claim.by == "load" else []
    faults = ", ".join(f"[`{name}`](faults.md#{name})" for name in catalogue.proving(claim.id))
    lines = [f"### {claim.id}", "", claim.says, "", f"- {' · '.join(facts)}"]
    lines += [f"- checks: {codes(checks_of(claim.id))}", f"- faults: {faults or 'none of its own'}"]
    return "\n".join(lines)
