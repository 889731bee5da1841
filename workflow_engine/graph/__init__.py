"""Compile: a `StateGraph` is what a document becomes; data, not objects that act."""
