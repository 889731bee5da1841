"""The event router: CloudEvents in, deliveries out. It runs alone: no workflow, no DSL, no web framework."""
