"""What the client of the API asks about what the clock starts."""

from __future__ import annotations

from urllib.parse import quote

from workflow_engine.api.client_lists import ListsOfApi
from workflow_engine.values import JsonObject


class SchedulesOfApi(ListsOfApi):
    """The part of the client that knows schedules."""

    async def schedules(self, *, limit: int | None = None) -> list[JsonObject]:
        """Every workflow that the clock starts, from all pages, or the first *limit*."""
        return await self.every("schedules", limit)

    async def schedule(self, namespace: str, name: str) -> JsonObject:
        """The schedule of a workflow; `NotFound` when its latest version has none."""
        return (await self._connection.request("GET", _place(namespace, name))).json()

    async def control_schedule(self, namespace: str, name: str, command: str, reason: str = "") -> JsonObject:
        """Do *command* (pause, resume, trigger) to a schedule; how it is then."""
        query = {"reason": reason} if reason else {}
        return (await self._connection.request("POST", _place(namespace, name, command), query=query)).json()


def _place(*parts: str) -> str:
    return "/v1/schedules/" + "/".join(quote(part, safe=":@+~") for part in parts)
