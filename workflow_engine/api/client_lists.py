"""What the client of the API asks for in pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow_engine.api.connection import Connection
from workflow_engine.values import JsonObject

MOST = 1000
"""How many items a page has at most; of schedules the server gives fewer."""


class ListsOfApi:
    """The part of the client that goes through lists."""

    _connection: Connection

    async def page(
        self, what: str, *, limit: int | None = None, cursor: str | None = None, **filters: str | None
    ) -> JsonObject:
        """A page: ``workflows``, ``schedules``, ``subscriptions``, ``sources`` or ``channels``, with its ``cursor``."""
        return await self._page(f"/v1/{what}", limit, cursor, filters)

    async def every(self, what: str, most: int | None = None, **filters: str | None) -> list[JsonObject]:
        """All of a list, as `page` has them, or the first *most*."""
        return await self._pages(f"/v1/{what}", what, most, filters)

    async def backlog(self) -> JsonObject:
        """What waits for its delivery, and what was given up: ``{subscriptions, listeners, dead_letters}``."""
        found: dict[str, Any] = await self.page("backlog")
        page = found
        while (cursor := page.get("cursor")) is not None:
            page = await self.page("backlog", limit=MOST, cursor=cursor)
            found["subscriptions"] += page["subscriptions"]
        return {name: value for name, value in found.items() if name != "cursor"}

    async def listeners(
        self, *, channel: str | None = None, run_id: str | None = None, limit: int | None = None
    ) -> list[JsonObject]:
        """What runs listen for: ``{run_id, listen_id, channel, delivered, complete}`` each."""
        return await self.every("listeners", limit, channel=channel, run_id=run_id)

    async def _pages(
        self, path: str, member: str, most: int | None, filters: Mapping[str, str | None]
    ) -> list[Any]:
        found: list[Any] = []
        cursor: str | None = None
        while most is None or len(found) < most:
            limit = None if most is None else min(_most(member), most - len(found))
            page: dict[str, Any] = await self._page(path, limit, cursor, filters)
            items = page.get(member)
            found += items if isinstance(items, list) else []
            cursor = page.get(
                "cursor"
            )  # of a server of an earlier version there is none: it answers with all
            if cursor is None:
                break
        return found

    async def _page(
        self, path: str, limit: int | None, cursor: str | None, filters: Mapping[str, str | None]
    ) -> JsonObject:
        given = {**filters, "limit": None if limit is None else str(limit), "cursor": cursor}
        query = {name: value for name, value in given.items() if value is not None}
        return (await self._connection.request("GET", path, query=query)).json()


def _most(member: str) -> int:
    return 200 if member == "schedules" else MOST
