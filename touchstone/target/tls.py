"""Certificates that all clients of the package trust: those of the machine."""

import functools
import ssl
from pathlib import Path

import certifi


@functools.cache
def trusting() -> ssl.SSLContext:
    """Returns an SSL context with the certificates of OpenSSL, SSL_CERT_FILE or SSL_CERT_DIR, else those of certifi."""
    paths = ssl.get_default_verify_paths()
    # A context does not list certificates in a folder, because OpenSSL reads them on demand.
    has_folder = bool(paths.capath) and any(list(Path(paths.capath).iterdir()))
    return ssl.create_default_context(cafile=None if paths.cafile or has_folder else certifi.where())
