"""The same work as the documents, as one writes it with Temporal's Python SDK: what the engine is measured against."""
