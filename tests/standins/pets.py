"""The GraphQL service of the specification's examples (0.8, GraphQL Service Invocations), by graphql-core over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from graphql import GraphQLError, build_schema, graphql_sync

from tests.standins.server import Server, serve

SCHEMA = """
enum Mood { CALM WILD }
type Treat { id: Int! }
type Age { dateOfBirth: String, years: Float }
type Pet { id: Int!, name: String!, favoriteTreat: Treat, mood: Mood, age(useDogYears: Boolean): Age }
input PetInput { id: Int!, name: String!, favoriteTreatId: Int, mood: Mood }
type Query { pets(mood: Mood, names: [String!]): [Pet], pet(id: Int!): Pet, count: Int, echo(text: String): String }
type Mutation { createPet(pet: PetInput!): Pet }
"""


class Pets:
    """The root value: every field with its resolver, over the pets that there are."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = [
            {"id": 42, "name": "Snuffles", "favoriteTreat": {"id": 9001}, "mood": "CALM"},
            {"id": 7, "name": 'Bo "the" Dog\\', "favoriteTreat": None, "mood": "WILD"},
        ]
        for pet in self.all:
            pet["age"] = _age

    def pets(
        self, info: Any, mood: str | None = None, names: list[str] | None = None
    ) -> list[dict[str, Any]]:
        found = [pet for pet in self.all if mood in (None, pet["mood"])]
        return [pet for pet in found if names is None or pet["name"] in names]

    def pet(self, info: Any, id: int) -> dict[str, Any] | None:
        for pet in self.all:
            if pet["id"] == id:
                return pet
        raise GraphQLError(f"there is no pet {id}", extensions={"code": "NOT_FOUND"})

    def count(self, info: Any) -> int:
        return len(self.all)

    def echo(self, info: Any, text: str | None = None) -> str | None:
        return text

    def createPet(self, info: Any, pet: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - as the schema has it
        treat = pet.pop("favoriteTreatId", None)
        made = {"mood": "CALM", **pet, "favoriteTreat": None if treat is None else {"id": treat}, "age": _age}
        self.all.append(made)
        return made


def _age(info: Any, useDogYears: bool = False) -> dict[str, Any]:  # noqa: N803 - as the schema has it
    return {"dateOfBirth": "2020-01-01", "years": 42.0 if useDogYears else 6.0}


@asynccontextmanager
async def pets() -> AsyncIterator[Server]:
    """The service at ``/graphql``; at ``/broken`` is one that is none, at ``/private`` one for a bearer alone."""
    schema, root = build_schema(SCHEMA), Pets()

    async def answer(request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        result = graphql_sync(schema, asked["query"], root, variable_values=asked.get("variables"))
        content: dict[str, Any] = {"data": result.data}
        if result.errors:
            content["errors"] = [error.formatted for error in result.errors]
        return web.json_response(content, content_type="application/graphql-response+json")

    async def broken(request: web.Request) -> web.Response:
        return web.json_response(["no", "answer"])

    async def private(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer let-me-in":
            raise web.HTTPUnauthorized
        return await answer(request)

    app = web.Application()
    for path, handler in (("/graphql", answer), ("/broken", broken), ("/private", private)):
        app.router.add_post(path, handler)
    async with serve(app) as server:
        yield server
