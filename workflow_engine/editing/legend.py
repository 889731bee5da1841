"""The types of words in expressions."""

LEGEND = ("variable", "function", "keyword", "string", "number", "property", "operator", "comment")
"""By the numbers that stand for them in `colours`."""
