"""A stand-in of petstore.swagger.io: its Swagger 2.0 document, and the pets that the features ask for."""

from __future__ import annotations

from aiohttp import web

PETS = (
    {
        "id": 1,
        "name": "doggie",
        "status": "available",
        "category": {"id": 1, "name": "dogs"},
        "photoUrls": [],
    },
    {"id": 2, "name": "kitty", "status": "sold", "category": {"id": 2, "name": "cats"}, "photoUrls": []},
    {
        "id": 3,
        "name": "bunny",
        "status": "available",
        "category": {"id": 3, "name": "rabbits"},
        "photoUrls": [],
    },
)
NOT_FOUND = {"code": 1, "type": "error", "message": "Pet not found"}

_PET = {"$ref": "#/definitions/Pet"}
_RESPONSES = {"200": {"description": "successful operation", "schema": _PET}}

SWAGGER = {
    "swagger": "2.0",
    "info": {"title": "Petstore stand-in", "version": "1.0.7"},
    "host": "petstore.swagger.io",
    "basePath": "/v2",
    "schemes": ["https", "http"],
    "paths": {
        "/pet": {
            "post": {
                "operationId": "addPet",
                "consumes": ["application/json", "application/xml"],
                "produces": ["application/json", "application/xml"],
                "parameters": [{"in": "body", "name": "body", "required": True, "schema": _PET}],
                "responses": {"405": {"description": "Invalid input"}},
            }
        },
        "/pet/findByStatus": {
            "get": {
                "operationId": "findPetsByStatus",
                "produces": ["application/json", "application/xml"],
                "parameters": [
                    {
                        "name": "status",
                        "in": "query",
                        "required": True,
                        "type": "array",
                        "items": {"type": "string", "enum": ["available", "pending", "sold"]},
                        "collectionFormat": "multi",
                    }
                ],
                "responses": {"200": {"description": "ok", "schema": {"type": "array", "items": _PET}}},
            }
        },
        "/pet/{petId}": {
            "get": {
                "operationId": "getPetById",
                "produces": ["application/json", "application/xml"],
                "parameters": [
                    {"name": "petId", "in": "path", "required": True, "type": "integer", "format": "int64"}
                ],
                "responses": _RESPONSES,
            },
            "post": {
                "operationId": "updatePetWithForm",
                "consumes": ["application/x-www-form-urlencoded"],
                "produces": ["application/json", "application/xml"],
                "parameters": [
                    {"name": "petId", "in": "path", "required": True, "type": "integer", "format": "int64"},
                    {"name": "name", "in": "formData", "required": False, "type": "string"},
                    {"name": "status", "in": "formData", "required": False, "type": "string"},
                ],
                "responses": {"405": {"description": "Invalid input"}},
            },
            "delete": {
                "operationId": "deletePet",
                "produces": ["application/json", "application/xml"],
                "parameters": [
                    {"name": "api_key", "in": "header", "required": False, "type": "string"},
                    {"name": "petId", "in": "path", "required": True, "type": "integer", "format": "int64"},
                ],
                "responses": {"404": {"description": "Pet not found"}},
            },
        },
    },
    "definitions": {
        "Pet": {
            "type": "object",
            "required": ["name", "photoUrls"],
            "properties": {
                "id": {"type": "integer", "format": "int64"},
                "name": {"type": "string"},
                "photoUrls": {"type": "array", "items": {"type": "string"}},
                "status": {"type": "string"},
            },
        }
    },
}


def app() -> web.Application:
    """The store. Nothing changes it: pet 1 is always ``doggie``; unknown pets and paths are 404."""
    routes = web.RouteTableDef()

    @routes.get("/v2/swagger.json")
    async def document(request: web.Request) -> web.Response:
        return web.json_response(SWAGGER)

    @routes.get("/v2/pet/findByStatus")
    async def find(request: web.Request) -> web.Response:
        wanted = {part for value in request.query.getall("status", []) for part in value.split(",")}
        return web.json_response([pet for pet in PETS if pet["status"] in wanted])

    @routes.get("/v2/pet/{id}")
    async def get(request: web.Request) -> web.Response:
        for pet in PETS:
            if str(pet["id"]) == request.match_info["id"]:
                return web.json_response(pet)
        return web.json_response(NOT_FOUND, status=404)

    @routes.post("/v2/pet")
    async def add(request: web.Request) -> web.Response:
        return web.json_response(await request.json())

    @routes.post("/v2/pet/{id}")
    async def update(request: web.Request) -> web.Response:
        form = await request.post()
        return web.json_response(
            {"id": int(request.match_info["id"]), **{key: str(form[key]) for key in form}}
        )

    @routes.put("/v2/pet/{id}")
    async def replace(request: web.Request) -> web.Response:
        return web.json_response(await request.json())

    @routes.delete("/v2/pet/{id}")
    async def delete(request: web.Request) -> web.Response:
        return web.json_response({"code": 200, "type": "unknown", "message": request.match_info["id"]})

    @web.middleware
    async def not_found(request: web.Request, handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return web.json_response(NOT_FOUND, status=404)

    made = web.Application(middlewares=[not_found])
    made.add_routes(routes)
    return made
