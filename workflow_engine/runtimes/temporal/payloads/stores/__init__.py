"""Implementations of `Store`, by the scheme of their URL."""
