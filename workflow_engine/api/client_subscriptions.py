"""What the client of the API asks about where events come from, and where they go: sources and subscriptions."""

from __future__ import annotations

from urllib.parse import quote

import orjson

from workflow_engine.api.client_lists import ListsOfApi
from workflow_engine.values import Json, JsonObject


class SubscriptionsOfApi(ListsOfApi):
    """The part of the client that knows sources and subscriptions."""

    async def subscriptions(
        self, *, channel: str | None = None, limit: int | None = None
    ) -> list[JsonObject]:
        """Every subscription, those of workflows included; or those of one channel, or the first *limit*."""
        return await self.every("subscriptions", limit, channel=channel)

    async def subscription(self, id: str) -> JsonObject:
        return await self._answered("GET", _place("subscriptions", id))

    async def put_subscription(self, id: str, subscription: JsonObject) -> JsonObject:
        """Create or replace a subscription; one that is replaced keeps its place in the channel."""
        return await self._answered("PUT", _place("subscriptions", id), body=orjson.dumps(subscription))

    async def delete_subscription(self, id: str) -> None:
        await self._connection.request("DELETE", _place("subscriptions", id))

    async def test_filters(self, strategy: Json, event: JsonObject, **more: Json) -> JsonObject:
        """Whether a subscription takes *event*: ``{matches, filters, errors}``; *more* may be its `filters`."""
        given: JsonObject = {**({} if strategy is None else {"strategy": strategy}), "event": event, **more}
        return await self._answered("POST", "/v1/subscriptions/test", body=orjson.dumps(given))

    async def seek(self, id: str, start: str) -> JsonObject:
        """Let a subscription begin anew at ``latest``, ``earliest`` or a timestamp; the subscription."""
        return await self._answered(
            "POST", _place("subscriptions", id, "seek"), body=orjson.dumps({"start": start})
        )

    async def sources(self, *, channel: str | None = None, limit: int | None = None) -> list[JsonObject]:
        """Every source, with the ``status`` of those that are heard at a broker; likewise."""
        return await self.every("sources", limit, channel=channel)

    async def source(self, id: str) -> JsonObject:
        return await self._answered("GET", _place("sources", id))

    async def put_source(self, id: str, source: JsonObject) -> JsonObject:
        """Create or change a source; one that hears the same as before keeps its place at the broker."""
        return await self._answered("PUT", _place("sources", id), body=orjson.dumps(source))

    async def hold_source(self, id: str, command: str) -> JsonObject:
        """Do *command* (pause, resume) to a source that is heard at a broker; the source as it is then."""
        return await self._answered("POST", _place("sources", id, command))

    async def delete_source(self, id: str) -> None:
        await self._connection.request("DELETE", _place("sources", id))

    async def _answered(self, method: str, path: str, *, body: bytes | None = None) -> JsonObject:
        return (await self._connection.request(method, path, body=body)).json()


def _place(*parts: str) -> str:
    return "/v1/" + "/".join(quote(part, safe=":@+~") for part in parts)
