"""The pages of docs/reference/, made from the code: `make docs` writes them, tests/test_reference.py compares them."""
