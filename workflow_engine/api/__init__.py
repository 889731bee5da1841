"""The HTTP API: an application over the engine and the router, and a client of it."""
