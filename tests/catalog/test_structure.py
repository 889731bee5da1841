"""Our schemas against the official ones, on documents with every object and on small changes to them."""

from __future__ import annotations

import json
import os
import random

import pytest
from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7

from catalog import lint
from catalog.asyncapi.structure import structure_problems
from catalog.schemas import VERSIONS
from catalog.source import read
from tests.catalog.documents import published
from tests.catalog.structures import document, later, mutants

MUTANTS = int(os.environ.get("WFE_CATALOG_MUTANTS", "10"))
"""How many changes to compare for each version; the official schemas take 0.1 s each. There are about 2,300."""


def official(version):
    schema = json.loads(published(f"asyncapi/{version}.json"))
    root = DRAFT7.create_resource(schema)
    registry = Registry().with_resources([("urn:root", root), (schema["$id"], root)]).crawl()
    return Draft7Validator({"$ref": "urn:root"}, registry=registry)


def reason(what, path, version, official_takes):
    """Why ours and the official schema differ on a change, None if they should not."""
    where = "/".join(map(str, path))
    if "bindings" in where.lower() and not official_takes:
        return "what is in bindings belongs to their protocols and is not looked into"
    if official_takes and len(path) > 1 and "parameters" in path[-2:]:
        return "the official schemas forget to say that a parameter is an object"
    if official_takes and path[0] == "components" and len(path) == 2 and what.startswith("add"):
        return "the official schemas do not look at components with unusual names"
    if official_takes and path[-1] == "oauth":
        return "the official schemas forget to close the OAuth scheme"
    if official_takes and "messageTraits" in path and "examples" in path:
        return "most official schemas do not look into the examples of traits"
    if not official_takes and what == "add $ref":
        return "a reference is taken for every object, and what stands beside it is ignored"
    if not official_takes and where == "components/securitySchemes/scram" and version == "2.0.0":
        return "SASL schemes came with 2.1.0; they are taken in 2.0.0 too"
    if not official_takes and where == "servers/two" and version < "2.3.0":
        return "a reference is taken for every object"
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_document_with_everything_is_taken(version):
    data = document(version)
    assert list(structure_problems(data, version)) == []
    assert [problem for problem in lint(json.dumps(data)) if problem.severity == "error"] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_documents_are_what_the_official_schemas_take(version):
    assert official(version).is_valid(document(version))


@pytest.mark.parametrize("version", VERSIONS[:6])
def test_what_came_with_a_later_version_is_refused(version):
    for pointer, data in later(version):
        path = pointer.replace("~1", "\0").split("/")[1:]
        taken = not list(structure_problems(data, version))
        assert not taken or reason("add", path, version, official_takes=False), pointer


@pytest.mark.parametrize("version", VERSIONS)
def test_the_verdict_on_changed_documents_is_that_of_the_official_schema(version):
    schema = official(version)
    changed = list(mutants(document(version)))
    for what, path, data in random.Random(version).sample(changed, min(MUTANTS, len(changed))):
        theirs, ours = schema.is_valid(data), not list(structure_problems(data, version))
        assert theirs == ours or reason(what, path, version, theirs), (what, path)


@pytest.mark.parametrize("name", ["order", "express", "payment"])
def test_the_verdict_on_the_documents_of_eventmesh_is_that_of_the_official_schema(name):
    data = read(published(f"eventmesh/asyncapi-test{name}.yaml")).data
    schema = official("2.3.0")
    assert schema.is_valid(data)
    assert list(structure_problems(data, "2.3.0")) == []
    for what, path, changed in random.Random(name).sample(list(mutants(data)), MUTANTS):
        theirs, ours = schema.is_valid(changed), not list(structure_problems(changed, "2.3.0"))
        assert theirs == ours or reason(what, path, "2.3.0", theirs), (what, path)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_change_of_a_document_breaks_the_reader(version):
    changed = list(mutants(document(version)))
    for what, path, data in random.Random(version).sample(changed, 60):
        problems = lint(json.dumps(data))
        assert all(problem.line for problem in problems), (what, path)
