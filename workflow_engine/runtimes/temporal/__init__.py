"""Temporal as the place where runs live: the embedded server, the worker, the workflow, the client."""
