"""Whose certificates are trusted: those that the machine trusts, for all clients of the package alike."""

import functools
import ssl
from pathlib import Path

import certifi


@functools.cache
def trusting() -> ssl.SSLContext:
    """Certificates that OpenSSL, SSL_CERT_FILE or SSL_CERT_DIR have; where there are none, those of certifi."""
    paths = ssl.get_default_verify_paths()
    # Of a folder each certificate is only looked for when one is met; a context does not tell what it would find.
    has_folder = bool(paths.capath) and any(list(Path(paths.capath).iterdir()))
    return ssl.create_default_context(cafile=None if paths.cafile or has_folder else certifi.where())
