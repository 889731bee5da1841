"""Functions from elsewhere: found and pinned when a workflow is deployed (dsl.md §1.16; decisions A31, A61, A62)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.running import KEY
from tests.semantics.v1.documents import kind, pinned, problems, workflow
from tests.standins.internet import Internet
from workflow_engine import dsl
from workflow_engine.dsl.functions import addresses
from workflow_engine.errors import InvalidDocument, Problem

OWN = "use: {catalogs: {own: {endpoint: 'https://functions.example'}}}\n"
RAW = "https://raw.githubusercontent.com/serverlessworkflow/catalog"


async def deployed(run: Any, internet: Internet, body: str, input: Any = None, **options: Any) -> Any:
    """What *body* gives once what it needs has been found; or its error."""
    text = workflow(body)
    ended = await run(text, input, resources=await pinned(internet, text, **options))
    return ended.output if ended.status == "completed" else ended.error


async def refused(internet: Internet, body: str, **options: Any) -> list[Problem]:
    with pytest.raises(InvalidDocument) as invalid:
        await pinned(internet, workflow(body), **options)
    return list(invalid.value.problems)


async def test_a61_a_function_of_a_catalog_is_called_by_name_version_and_catalog(
    run: Any, internet: Internet
) -> None:
    body = (
        OWN + "do: [{a: {call: 'greet:1.0.0@own', with: {name: Ada, loud: true}}}, {b: {set: '${ .text }'}}]"
    )
    assert await deployed(run, internet, body) == "HELLO, ADA!"


@pytest.mark.parametrize(
    "address",
    [
        f"{RAW}/main/functions/log/1.0.0/function.yaml",
        "https://github.com/serverlessworkflow/catalog/tree/main/functions/log/1.0.0/function.yaml",
        "https://github.com/serverlessworkflow/catalog/blob/main/functions/log/1.0.0/function.yaml",
        "https://github.com/serverlessworkflow/catalog/tree/main/functions/log/1.0.0",
        "https://github.com/serverlessworkflow/catalog/functions/log/1.0.0@v1",
        "https://gitlab.com/group/project/-/blob/main/functions/log/1.0.0/function.yaml",
        "https://functions.example/functions/log/1.0.0/",
    ],
)
async def test_a61_a_function_is_called_by_its_address_or_that_of_its_folder(
    run: Any, internet: Internet, address: str
) -> None:
    body = f"do: [{{a: {{call: '{address}', with: {{message: hi}}}}}}]"
    assert await deployed(run, internet, body) == "[information] hi"


@pytest.mark.parametrize(
    "root",
    [
        "https://github.com/serverlessworkflow/catalog",
        "https://github.com/serverlessworkflow/catalog/tree/main",
        "https://github.com/serverlessworkflow/catalog/tree/v1",
        "{uri: 'https://gitlab.com/group/project'}",
        "https://gitlab.com/group/project/-/tree/main",
    ],
)
async def test_a62_a_catalog_is_the_page_of_a_repository_and_main_where_it_names_no_branch(
    run: Any, internet: Internet, root: str
) -> None:
    use = f"use: {{catalogs: {{c: {{endpoint: {root}}}}}}}"
    body = f"{use}\ndo: [{{a: {{call: 'log:1.0.0@c', with: {{message: hi}}}}}}]"
    assert await deployed(run, internet, body) == "[information] hi"


def test_a62_pages_of_git_hosts_become_the_files_that_they_show() -> None:
    function = "functions/log/1.0.0/function.yaml"
    tree = "https://github.com/serverlessworkflow/catalog/tree/main"
    assert addresses(tree, function)[0] == f"{RAW}/refs/heads/main/{function}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert addresses(f"https://github.com/o/r/tree/{commit}", function) == (
        f"https://raw.githubusercontent.com/o/r/{commit}/{function}",
    )
    assert addresses("https://git.example/a/b/-/tree/v2", function) == (
        f"https://git.example/a/b/-/raw/v2/{function}",
    )
    assert addresses("https://x.example/c?key=1", function) == (f"https://x.example/c/{function}?key=1",)
    assert addresses("file:///srv/catalog/", function) == (f"file:///srv/catalog/{function}",)


async def test_a61_what_comes_from_use_functions_or_is_built_in_is_not_looked_for_elsewhere(
    run: Any, internet: Internet
) -> None:
    body = "use: {functions: {'log:1.0.0@nowhere': {set: {own: 1}}}}\ndo: [{a: {call: 'log:1.0.0@nowhere'}}]"
    assert await deployed(run, internet, body) == {"own": 1}


async def test_a61_a_function_calls_others_relative_to_itself_and_its_then_is_ignored(
    run: Any, internet: Internet
) -> None:
    body = OWN + "do: [{a: {call: 'twice:1.0.0@own', with: {name: Ada}}}, {b: {set: '${ .text }'}}]"
    assert await deployed(run, internet, body) == "Hello, Hello, Ada!!"


async def test_a61_the_file_of_a_function_may_name_it(run: Any, internet: Internet) -> None:
    body = OWN + "do: [{a: {call: 'named:1.0.0@own', with: {name: Ada}}}]"
    assert await deployed(run, internet, body) == {"hello": "Ada"}


async def test_a_function_brings_the_documents_that_lie_beside_it(run: Any, internet: Internet) -> None:
    body = OWN + "do: [{a: {call: 'pet:1.0.0@own', with: {id: 2}}}, {b: {set: '${ .name }'}}]"
    before = len(internet.servers["functions.example"].requests)
    assert await deployed(run, internet, body) == "kitty"
    targets = [sent.target for sent in internet.servers["functions.example"].requests[before:]]
    assert targets == ["/functions/pet/1.0.0/function.yaml", "/functions/pet/1.0.0/openapi.json"]


async def test_a31_a_function_from_elsewhere_stands_in_use_functions_under_its_reference(
    run: Any, internet: Internet
) -> None:
    body = OWN + "do: [{a: {call: 'boom:1.0.0@own'}}]"
    fault = await deployed(run, internet, body)
    assert (fault["status"], fault["instance"]) == (418, "/use/functions/boom:1.0.0@own")
    address = f"{RAW}/main/functions/boom/1.0.0/function.yaml"
    fault = await deployed(run, internet, f"do: [{{a: {{call: '{address}'}}}}]")
    assert fault["instance"] == "/use/functions/" + address.replace("/", "~1")


async def test_a61_the_input_of_a_function_is_checked_by_its_own_schema(run: Any, internet: Internet) -> None:
    fault = await deployed(run, internet, OWN + "do: [{a: {call: 'greet:1.0.0@own', with: {nobody: 1}}}]")
    assert (kind(fault), fault["instance"]) == ("validation", "/use/functions/greet:1.0.0@own")


async def test_a_function_is_part_of_the_bundle_and_of_the_description_of_its_task(
    run: Any, internet: Internet
) -> None:
    text = workflow(OWN + "do: [{a: {call: 'greet:1.0.0@own', with: {name: Ada}}}]")
    resources = await pinned(internet, text)
    resources["function:greet:1.0.0@own"]["function"]["do"][0]["add"] = {"set": "${ $task.definition }"}
    ended = await run(text, resources=resources)
    assert ended.output == {"set": "${ $task.definition }"}
    assert "functions" not in dsl.compile(dsl.parse(text), resources).source["use"]


# --- the default catalog, and files -----------------------------------------------------------------------------


async def test_the_default_catalog_is_what_the_setting_says(
    run: Any, internet: Internet, tmp_path: Path
) -> None:
    body = "do: [{a: {call: 'greet:2.0.0@default', with: {name: Ada}}}]"
    folder = tmp_path / "functions" / "greet" / "2.0.0"
    folder.mkdir(parents=True)
    (folder / "function.yaml").write_text("set: {dear: '${ .name }'}")
    assert await deployed(run, internet, body, default_catalog=str(tmp_path)) == {"dear": "Ada"}
    assert await deployed(run, internet, body, default_catalog=tmp_path.as_uri()) == {"dear": "Ada"}
    web = body.replace("2.0.0", "1.0.0")
    assert (await deployed(run, internet, web, default_catalog="https://functions.example")) == {
        "text": "Hello, Ada!"
    }


async def test_the_default_catalog_is_refused_clearly_where_there_is_none(internet: Internet) -> None:
    [found] = await refused(internet, "do: [{a: {call: 'greet:1.0.0@default'}}]")
    assert (found.code, found.pointer) == ("unresolved", "/do/0/a/call")
    assert "WFE_DEFAULT_CATALOG" in found.message


async def test_a_server_reads_no_file_but_those_of_its_default_catalog(
    internet: Internet, tmp_path: Path
) -> None:
    (tmp_path / "catalog").mkdir()
    (tmp_path / "other.yaml").write_text("set: {x: 1}")
    (tmp_path / "catalog" / "link.yaml").symlink_to(tmp_path / "other.yaml")
    for path in ("other.yaml", "catalog/../other.yaml", "catalog/link.yaml"):
        body = f"do: [{{a: {{call: 'file://{tmp_path}/{path}'}}}}]"
        [found] = await refused(internet, body, default_catalog=str(tmp_path / "catalog"))
        assert found.code == "unresolved"


# --- what is refused --------------------------------------------------------------------------------------------


def test_an_unknown_catalog_is_a_problem_of_the_document() -> None:
    [found] = problems(OWN + "do: [{a: {call: 'log:1.0.0@ownn'}}]")
    assert (found.code, found.pointer) == ("unknown-catalog", "/do/0/a/call")
    assert "did you mean 'own'?" in found.message


def test_a61_a_name_with_a_version_but_no_catalog_is_refused() -> None:
    [found] = problems("do: [{a: {call: 'log:1.0.0'}}]")
    assert found.code == "unknown-function"
    assert "name:version@catalog" in found.message


async def test_a_function_that_is_not_there_is_a_problem_where_it_is_called(internet: Internet) -> None:
    [found] = await refused(internet, OWN + "do: [{a: {call: 'nothing:1.0.0@own'}}]")
    assert (found.code, found.pointer) == ("unresolved", "/do/0/a/call")
    assert "404" in found.message


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("wrong", "invalid-function", "function.yaml:2:9: unknown-task"),
        ("odd", "invalid-expression", "function.yaml, at /do/0/a/set)"),
        ("late", "unknown-timeout", "there is no timeout 'patience'"),
        ("loop", "recursive-function", "the function calls itself: loop:1.0.0@own → "),
        ("theirs", "invalid-function", "file:///etc/x"),
        ("large", "invalid-function", "too-large"),
    ],
)
async def test_what_is_wrong_with_a_function_is_told_with_its_address_where_it_is_called(
    internet: Internet, name: str, code: str, said: str
) -> None:
    [found] = await refused(internet, OWN + f"do: [{{a: {{call: '{name}:1.0.0@own'}}}}]")
    assert (found.code, found.pointer) == (code, "/do/0/a/call")
    assert said in found.message
    assert found.line == 3


async def test_what_a_client_sends_as_a_function_is_checked_as_well(internet: Internet) -> None:
    from workflow_engine.dsl.pinning import pin

    async def nobody(need: Any) -> Any:
        raise AssertionError(need)

    document = dsl.parse(workflow(OWN + "do: [{a: {call: 'greet:1.0.0@own'}}]"))
    for sent in ({"address": "x", "function": {"sett": 1}}, {"function": {"set": {"x": 1}}}, "set: {x: 1}"):
        with pytest.raises(InvalidDocument):
            await pin(document, nobody, {"function:greet:1.0.0@own": sent})


async def test_functions_from_elsewhere_are_bounded_in_number(internet: Internet) -> None:
    calls = ", ".join(
        f"{{t{n}: {{call: 'https://functions.example/functions/log/1.0.0?{n}'}}}}" for n in range(101)
    )
    found = await refused(internet, f"do: [{calls}]")
    assert [problem.code for problem in found] == ["too-large"]


# --- authentication ---------------------------------------------------------------------------------------------

PRIVATE = """
use:
  secrets: [key, login, absent]
  authentications: {ours: {bearer: {token: '${ $secrets.key | @base64 }'}}}
  catalogs: {private: {endpoint: {uri: 'https://private.example/catalog', authentication: %s}}}
do: [{a: {call: '%s:1.0.0@private', with: {id: 1, message: hi}}}]
"""


@pytest.mark.parametrize(
    "policy",
    [
        "{use: ours}",
        "ours",
        "{basic: {use: login}}",
        "{basic: {username: countess, password: '${ $secrets.login.password }'}}",
    ],
)
async def test_a_catalog_that_asks_who_reads_it_is_told_with_a_secret(
    run: Any, internet: Internet, policy: str
) -> None:
    assert await deployed(run, internet, PRIVATE % (policy, "log")) == "[information] hi"
    assert (await deployed(run, internet, PRIVATE % (policy, "pet")))["name"] == "doggie"


async def test_what_lies_in_the_same_catalog_is_fetched_as_it_is_and_nothing_else(
    run: Any, internet: Internet
) -> None:
    """The function calls one beside it, and the same one of another host."""
    body = (PRIVATE % ("ours", "twice")).replace("{id: 1, message: hi}", "{name: Ada}")
    since = len(internet.servers["functions.example"].requests)
    assert await deployed(run, internet, body) == {"text": "Hello, Hello, Ada!!"}
    asked = internet.servers["functions.example"].requests[since:]
    assert len(asked) == 1
    assert "Authorization" not in asked[0].headers


async def test_a_secret_gets_into_neither_the_bundle_nor_an_error(internet: Internet) -> None:
    resources = await pinned(internet, workflow(PRIVATE % ("{use: ours}", "leaks")))
    assert KEY not in json.dumps(resources)
    assert "[redacted]" in json.dumps(resources)
    wrong = PRIVATE % ("{bearer: {token: '${ $secrets.key | .[1:] | @base64 }'}}", "log")
    [found] = await refused(internet, wrong)
    assert found.code == "unresolved"
    assert "401" in found.message
    assert KEY[1:] not in found.message


async def test_a_secret_that_is_not_there_is_a_problem_where_the_function_is_called(
    internet: Internet,
) -> None:
    [found] = await refused(internet, PRIVATE % ("{bearer: {use: absent}}", "log"))
    assert (found.code, found.pointer) == ("unresolved", "/do/0/a/call")
    assert "no secret 'absent'" in found.message
