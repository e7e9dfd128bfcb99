"""Reads openapi/: the contract document, its schemas, the claims and the life cycle of a build."""
