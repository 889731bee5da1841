"""Small OpenAPI documents, and the arguments to call their operations with."""

from __future__ import annotations

URI = "https://specs.example/api/openapi.json"


def arguments(operation: str, uri: str = URI, **parameters):
    return {"document": {"endpoint": uri}, "operationId": operation, "parameters": parameters}


def openapi(path: str = "/x", method: str = "get", **operation):
    item = {method: {"operationId": "op", **operation}}
    return {"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": {path: item}}


def swagger(path: str = "/x", method: str = "get", **operation):
    item = {method: {"operationId": "op", **operation}}
    return {"swagger": "2.0", "info": {"title": "t", "version": "1"}, "paths": {path: item}}


P = {"name": "p", "required": True}
