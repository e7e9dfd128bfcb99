"""Touchstone tests a template build API against its documented contract."""

__version__ = "0.1.0"
