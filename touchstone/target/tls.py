"""Trusted certificates: those of the machine, for all clients of the package."""

import functools
import ssl
from pathlib import Path

import certifi


@functools.cache
def trusting() -> ssl.SSLContext:
    """SSL context with the certificates of OpenSSL, SSL_CERT_FILE or SSL_CERT_DIR; without any, those of certifi."""
    paths = ssl.get_default_verify_paths()
    # OpenSSL reads a folder of certificates on demand, so a context does not list them.
    has_folder = bool(paths.capath) and any(list(Path(paths.capath).iterdir()))
    return ssl.create_default_context(cafile=None if paths.cafile or has_folder else certifi.where())
