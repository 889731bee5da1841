"""Measurements of what this project claims; not shipped."""
