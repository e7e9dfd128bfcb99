"""
Where other frameworks meet ours: each is imported in one file here and nowhere else in the package.
"""
