"""How the router's own tasks tell of what they will try again."""

from __future__ import annotations

import logging

from workflow_engine.errors import Unavailable
from workflow_engine.events.spi import Fenced


def report(log: logging.Logger, error: Exception, message: str, *args: object) -> None:
    """A store that is away is expected to come back: one line. Anything else is a bug: with its traceback."""
    expected = isinstance(error, Unavailable | Fenced)
    log.log(
        logging.WARNING if expected else logging.ERROR, message, *args, exc_info=None if expected else error
    )
