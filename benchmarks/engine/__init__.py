"""How fast the engine is, beside the same work written by hand for Temporal: ``python -m benchmarks.engine``."""
