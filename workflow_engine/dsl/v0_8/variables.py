"""The variables that expressions of a 0.8 document can see wherever they stand."""

from __future__ import annotations

SECRETS = frozenset({"SECRETS", "SECRET"})
"""The specification's name, and the one that others gave it (decision B40)."""
CONSTANTS = frozenset({"CONST"})
WORKFLOW = frozenset({"WORKFLOW"})
"""What SonataFlow tells of a run."""
RUN = CONSTANTS | SECRETS | WORKFLOW
"""What expressions of a run see; what is kept by the router, and what is known before, sees constants alone."""
