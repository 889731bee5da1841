"""Distributed tracing by OpenTelemetry: trace contexts, spans, and where they go. Off unless `otlp.traces` opens it."""
