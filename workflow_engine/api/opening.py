"""Opens what says who may ask the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from workflow_engine.api.access import Access, Either, Tokens
from workflow_engine.api.grants import tokens_in
from workflow_engine.api.issuer import KEPT_HOURS, Issuer
from workflow_engine.calls.egress import Egress


@asynccontextmanager
async def open_access(
    tokens: Mapping[str, str | None],
    file: Path | None = None,
    issuer: str | None = None,
    audience: str = "",
    *,
    kept_hours: float = KEPT_HOURS,
    ca_file: Path | None = None,
) -> AsyncIterator[Access | None]:
    """Who may ask the API, until the block ends; None: whoever can reach it, for there are no *tokens*.

    *tokens* are the server's own by their role; in *file* are more of them, and more come from *issuer* for *audience*.
    """
    known = {role: token for role, token in tokens.items() if token}
    if not known:
        yield None
        return
    own = Tokens(known, () if file is None else tokens_in(file))
    if not issuer:
        yield own
        return
    async with Egress(ca_file=ca_file) as egress:  # the operator's choice: not bound as calls are
        yield Either(own, Issuer(issuer, audience, egress, kept_hours=kept_hours))
