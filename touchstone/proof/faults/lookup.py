"""Faults of looking up versions: unknown versions that are found, known ones that are not, and odd spellings."""

import re
from dataclasses import replace

from touchstone.proof.boundary import on
from touchstone.proof.faults.fault import fault, is_ready, refusing
from touchstone.twin.app import App
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.engine import Engine
from touchstone.twin.settings import Account

# Odd spellings, deleted versions and other accounts' versions count as unknown, too. HEAD still gets a 404.
UNKNOWN_TOO = "lookup.* access.others-version-is-404 http.head-matches-get"


class Finds(Engine):
    """Base class: a lookup of an unknown ref returns another version of the account under that ref."""

    def instead(self, ref: Ref, own: Ref) -> bool:
        """Whether a lookup of *ref* returns the version *own*."""
        raise NotImplementedError

    def find(self, account: Account, ref: Ref) -> Version | None:
        if found := super().find(account, ref):
            return found
        own = [version for version in self.catalog if version.owner == account.key]
        found = next((version for version in reversed(own) if self.instead(ref, version.ref)), None)
        return replace(found, ref=ref) if found else None


def is_patch(ref: Ref, own: Ref) -> bool:
    """Whether two refs differ only in the patch number of the version."""
    minor = own.version.rpartition(".")[0]
    same = (ref.namespace, ref.name) == (own.namespace, own.name)
    return same and re.fullmatch(re.escape(minor) + r"\.(0|[1-9]\d*)", ref.version) is not None


# fmt: off
fault("unknown-version-is-not-built", "semantic", "lookup.unknown-version-is-404 lookup.unknown-name-is-404",
      "The status of an unknown version is 200 with not_built.", on("getBuild.404", lambda answer, _: replace(
          answer, status=200).with_json({"ref": answer.ref, "digest": "0" * 64, "status": "not_built"})),
      also=UNKNOWN_TOO)
# For the rules, a cancel in another namespace is a cancel of another version.
fault("namespaces-do-not-matter", "semantic", "lookup.unknown-namespace-is-404",
      "A version is found in every namespace.", Finds, also="lookup.odd-spelling-is-404 cancel.keeps-neighbours",
      instead=lambda _, ref, own: (ref.name, ref.version) == (own.name, own.version))
fault("patches-do-not-matter", "semantic", "lookup.unknown-version-is-404",
      "The patch number is ignored: 1.0.10 finds version 1.0.0.", Finds, also="lookup.deleted-version-is-404",
      instead=lambda _, ref, own: is_patch(ref, own))
fault("names-are-compared-by-prefix", "semantic", "lookup.unknown-name-is-404",
      "A template is found by a prefix of its name.", Finds, instead=lambda _, ref, own: (
          ref.namespace, ref.version) == (own.namespace, own.version) and ref.name and own.name.startswith(ref.name))
fault("latest-is-a-version", "semantic", "lookup.odd-spelling-is-404", "The version `latest` of a template is found.",
      Finds, instead=lambda _, ref, own: ref == replace(own, version="latest"))
fault("names-ignore-case", "semantic", "lookup.odd-spelling-is-404", "Names are compared without regard to case.",
      Finds, instead=lambda _, ref, own: str(ref).lower() == str(own).lower())
# fmt: on


# fmt: off
fault("odd-spelling-fails", "semantic", "lookup.odd-spelling-is-404", "A non-ASCII name is answered with 500.",
      App, operate=refusing(App.operate, lambda *args: not args[3].ref.name.isascii(), 500, "Internal error."),
      also="http.no-server-error")
fault("built-documents-are-gone", "stateful", "lookup.existing-version-is-found template.read-shows-the-published",
      "Once a version is ready, reading its template is answered with 404.", App,
      get_template=refusing(App.get_template, is_ready, 404, "Template version not found."))
# fmt: on
