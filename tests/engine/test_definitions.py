"""What every definition store keeps to: in memory, in a file, in PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.standins.postgresql import PostgresServer
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.store import Definition, DefinitionStore, Listed, order, workflows_of
from workflow_engine.engine.stores import open_definitions
from workflow_engine.engine.stores import sqlite as sqlite_definitions
from workflow_engine.errors import Conflict, NotFound, Rejected, Unavailable
from workflow_engine.graph.model import WorkflowName


def definition(
    version: str = "1.0.0", *, namespace: str = "tests", name: str = "greet", value: int = 1
) -> Definition:
    text = (
        f"document: {{dsl: '1.0.3', namespace: tests, name: greet, version: '1.0.0'}}\n"
        f"do: [{{greet: {{set: {{value: {value}}}}}}}]\n"
    )
    bundle = Bundle.of(dsl.parse(text), {})
    workflow = WorkflowName(namespace, name, version)
    return Definition(workflow, "1.0", text, bundle, "Grüße", datetime.now(UTC))


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DefinitionStore]:
    url = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/new folder/definitions.db"}.get(
        request.param
    )
    url = request.getfixturevalue("postgresql_url") if url is None else url
    opened = await open_definitions(url)
    yield opened
    await opened.close()


async def test_what_was_added_is_there_as_it_was(store: DefinitionStore) -> None:
    added = definition()
    assert await store.add(added) == added
    assert await store.get("tests", "greet", "1.0.0") == added
    assert await store.get("tests", "greet", None) == added
    await store.check()


async def test_a_version_never_changes(store: DefinitionStore) -> None:
    first = await store.add(definition(value=1))
    assert await store.add(definition(value=2)) == first
    assert await store.versions("tests", "greet") == [Listed.of(first)]


async def test_the_latest_is_the_highest_version_not_the_last_that_was_added(store: DefinitionStore) -> None:
    for version in ("1.10.0", "1.9.0", "1.10.0-rc.1", "0.99.99"):
        await store.add(definition(version))
    assert (await store.get("tests", "greet", None)).workflow.version == "1.10.0"
    found = [item.workflow.version for item in await store.versions("tests", "greet")]
    assert found == ["1.10.0", "1.10.0-rc.1", "1.9.0", "0.99.99"]
    assert [item.workflow.version async for item in workflows_of(store)] == ["1.10.0"]


async def test_workflows_of_one_name_in_two_namespaces_are_two(store: DefinitionStore) -> None:
    for namespace in ("b", "a"):
        for version in ("1.0.0", "2.0.0"):
            await store.add(definition(version, namespace=namespace))
    await store.add(definition(namespace="a", name="other"))
    found = [(item.workflow.namespace, item.workflow.version) for item in await store.find("greet")]
    assert found == [("a", "2.0.0"), ("b", "2.0.0")]
    listed = [(item.workflow.namespace, item.workflow.name) async for item in workflows_of(store)]
    assert listed == [("a", "greet"), ("a", "other"), ("b", "greet")]
    assert await store.find("nobody") == []


@pytest.mark.parametrize("version", [None, "1.0.0"])
async def test_what_is_not_there_is_not_found(store: DefinitionStore, version: str | None) -> None:
    await store.add(definition("2.0.0", name="another"))
    with pytest.raises(NotFound):
        await store.get("tests", "greet", version)
    with pytest.raises(NotFound):
        await store.get("tests", "another", "1.0.0")
    assert await store.versions("tests", "greet") == []


@pytest.mark.parametrize(
    "name", ["a/b", "a b", "it's", 'say "x"', "ü", "%2F", "'); DROP TABLE definition; --"]
)
async def test_any_name_is_a_name(store: DefinitionStore, name: str) -> None:
    added = await store.add(definition(" 1 ", name=name))
    assert await store.get("tests", name, " 1 ") == added


async def test_of_those_who_add_one_version_at_a_time_all_see_whose_text_it_is(
    store: DefinitionStore,
) -> None:
    kept = await asyncio.gather(*(store.add(definition(value=value)) for value in range(10)))
    assert len({item.text for item in kept}) == 1


def test_versions_are_ordered_as_semver_says() -> None:
    versions = [
        *("1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"),
        *("1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"),
    ]
    assert all(order(lower) < order(higher) for lower, higher in pairwise(versions))
    versions.reverse()
    assert sorted(versions, key=order, reverse=True) == versions


@pytest.mark.parametrize("version", ["", "v1", "1", "1.0", "latest", "1..0", "-", "+", "٣.0", "9" * 100])
def test_any_text_has_its_place_among_versions(version: str) -> None:
    assert sorted([version, "1.0.0", "1.0.0-a"], key=order)


async def test_a_file_keeps_what_was_added(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/definitions.db"
    store = await open_definitions(url)
    added = await store.add(definition())
    await store.close()
    again = await open_definitions(url)
    assert await again.page(None, 10) == [Listed.of(added)]
    await again.close()


async def test_a_file_that_is_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "definitions.db").write_bytes(b"this is something else" * 100)
    with pytest.raises(Unavailable, match=r"definitions\.db cannot be opened"):
        await open_definitions(f"sqlite:///{tmp_path}/definitions.db")
    with pytest.raises(Unavailable, match="cannot be opened"):
        await open_definitions(f"sqlite:///{tmp_path}/definitions.db/below/a/file.db")


async def test_a_store_that_breaks_says_so(tmp_path: Path) -> None:
    store = await open_definitions(f"sqlite:///{tmp_path}/definitions.db")
    with sqlite3.connect(tmp_path / "definitions.db") as other:
        other.execute("ALTER TABLE definition RENAME TO gone")
    other.close()
    for asking in (store.check(), store.get("a", "b", None), store.page(None, 1), store.add(definition())):
        with pytest.raises(Unavailable, match="definition store"):
            await asking
    await store.close()


async def test_what_was_asked_for_before_is_as_it_is_now_whichever_process_has_changed_it(
    tmp_path: Path,
) -> None:
    one, other = [await open_definitions(f"sqlite:///{tmp_path}/definitions.db") for _ in range(2)]
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        for store in (one, other):
            added = await store.add(definition(version))
            for looking in (one, other):
                assert await looking.get("tests", "greet", None) == added
                assert await looking.get("tests", "greet", version) == added
        await other.remove("tests", "greet", [version], datetime.now(UTC))
        for looking in (one, other):
            with pytest.raises(NotFound):
                await looking.get("tests", "greet", version)
    await asyncio.gather(one.close(), other.close())


async def test_of_many_definitions_the_last_ones_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_definitions, "_KNOWN", 3)
    store = await open_definitions(f"sqlite:///{tmp_path}/definitions.db")
    assert isinstance(store, sqlite_definitions.SqliteDefinitions)
    for number in range(9):
        await store.add(definition(f"1.{number}.0"))
    for number in range(9):
        assert (await store.get("tests", "greet", f"1.{number}.0")).workflow.version == f"1.{number}.0"
    assert [version for _, _, version in store._found] == ["1.6.0", "1.7.0", "1.8.0"]
    monkeypatch.setattr(sqlite_definitions, "_SMALL", 1)
    await store.get("tests", "greet", "1.0.0")
    assert len(store._found) == 3
    await store.close()


async def test_what_one_process_deploys_is_there_for_the_others(postgresql_url: str) -> None:
    stores = await asyncio.gather(*(open_definitions(f"{postgresql_url}?schema=shared") for _ in range(4)))
    kept = await asyncio.gather(*(store.add(definition(value=n)) for n, store in enumerate(stores)))
    assert len({item.text for item in kept}) == 1
    for store in stores:
        assert await store.page(None, 10) == [Listed.of(kept[0])]
        await store.close()
    with pytest.raises(Unavailable, match="not open"):
        await stores[0].check()


async def test_a_database_that_was_away_is_used_again_when_it_is_back(
    own_postgresql_server: PostgresServer,
) -> None:
    server = own_postgresql_server
    store = await open_definitions(server.create_database())
    added = await store.add(definition())
    server.kill()
    for asking in (
        store.check(),
        store.get("a", "b", None),
        store.page(None, 1),
        store.add(definition("2.0.0")),
    ):
        with pytest.raises(Unavailable, match=server.address):
            await asking
    server.start()
    assert await store.page(None, 10) == [Listed.of(added)]
    await store.close()


async def test_a_database_that_is_not_there_is_named_without_the_password() -> None:
    with pytest.raises(Unavailable, match=r"postgresql://me@127\.0\.0\.1:9/wfe") as refused:
        await open_definitions("postgresql://me:secret@127.0.0.1:9/wfe")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["", "definitions.db", "postgresql://host", "postgresql://host/db?schema=A-B", "sqlite:relative.db"],
)
async def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(Rejected):
        await open_definitions(url)


async def names(
    store: DefinitionStore, limit: int, within: list[str] | None = None, name: str | None = None
) -> list[str]:
    found: list[str] = []
    after: tuple[str, str] | None = None
    while page := await store.page(after, limit, within=within, name=name):
        assert len(page) <= limit
        found += [str(item.workflow) for item in page]
        after = page[-1].workflow.namespace, page[-1].workflow.name
    return found


async def test_pages_have_every_workflow_once_in_order_whatever_is_added_meanwhile(
    store: DefinitionStore,
) -> None:
    for namespace in ("b", "ab", "ü", "a"):
        for name in ("z", "y"):
            await store.add(definition("1.0.0", namespace=namespace, name=name))
    await store.add(definition("1.10.0", namespace="ab", name="z"))
    await store.add(definition("1.9.0", namespace="ab", name="z"))
    whole = [
        f"{namespace}/{name}/{'1.10.0' if (namespace, name) == ('ab', 'z') else '1.0.0'}"
        for namespace in ("a", "ab", "b", "ü")
        for name in ("y", "z")
    ]
    for limit in (1, 3, 100):
        assert await names(store, limit) == whole
    assert await names(store, 1, within=["a*"]) == whole[:4]
    assert await names(store, 3, within=["a", "ü*", "none"]) == [*whole[:2], *whole[6:]]
    assert await names(store, 3, within=[]) == []
    assert await names(store, 2, name="z") == whole[1::2]
    first = await store.page(None, 2)
    await store.add(definition(namespace="a", name="w"))
    await store.add(definition(namespace="ab", name="x"))
    last = first[-1].workflow
    following = await store.page((last.namespace, last.name), 2)
    assert [str(item.workflow) for item in following] == ["ab/x/1.0.0", "ab/y/1.0.0"]


async def test_versions_come_in_pages_too_behind_one_that_may_be_gone(store: DefinitionStore) -> None:
    for version in ("1.10.0", "1.9.0", "1.10.0+b", "1.10.0+a", "2.0.0-rc.1"):
        await store.add(definition(version))
    found = [item.workflow.version for item in await store.versions("tests", "greet", limit=2)]
    assert found == ["2.0.0-rc.1", "1.10.0+b"]
    await store.remove("tests", "greet", ["1.10.0+b"], datetime.now(UTC))
    rest = [item.workflow.version for item in await store.versions("tests", "greet", after=found[-1])]
    assert rest == ["1.10.0+a", "1.10.0", "1.9.0"]


async def test_every_version_of_every_workflow_is_read_in_parts(store: DefinitionStore) -> None:
    for namespace in ("b", "a"):
        for version in ("10", "9"):
            await store.add(definition(version, namespace=namespace))
    found: list[str] = []
    after: tuple[str, str, str] | None = None
    while read := await store.every(after, 3):
        found += [str(item.workflow) for item in read]
        assert all(item.bundle.graph() for item in read)
        last = read[-1].workflow
        after = last.namespace, last.name, last.version
    assert found == ["a/greet/10", "a/greet/9", "b/greet/10", "b/greet/9"]


async def test_what_was_removed_is_told_so_and_comes_back_only_as_it_was(store: DefinitionStore) -> None:
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        await store.add(definition(version))
    await store.add(definition(name="other"))
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    (gone,) = await store.remove("tests", "greet", ["2.0.0"], at)
    assert gone.workflow.version == "2.0.0"
    assert await store.remove("tests", "greet", ["2.0.0"], at) == []
    with pytest.raises(NotFound, match=r"deleted at 2026-01-02T03:04:05") as missing:
        await store.get("tests", "greet", "2.0.0")
    assert missing.value.id == "tests/greet/2.0.0"
    assert [item.workflow.version for item in await store.versions("tests", "greet")] == ["3.0.0", "1.0.0"]
    with pytest.raises(Conflict, match="had other content"):
        await store.add(definition("2.0.0", value=2))
    again = await store.add(definition("2.0.0"))
    assert (await store.get("tests", "greet", "2.0.0")) == again
    assert await store.add(definition("2.0.0", value=2)) == again
    whole = await store.remove("tests", "greet", ["1.0.0", "2.0.0", "3.0.0", "4.0.0"], at)
    assert [item.workflow.version for item in whole] == ["3.0.0", "2.0.0", "1.0.0"]
    with pytest.raises(NotFound, match="deleted"):
        await store.get("tests", "greet", None)
    with pytest.raises(Conflict, match="give the new content a new version"):
        await store.add(definition("3.0.0", value=3))
    assert [str(item.workflow) for item in await store.page(None, 10)] == ["tests/other/1.0.0"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_store_of_an_earlier_version_learns_to_forget(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    file = tmp_path / "definitions.db"
    url = f"sqlite:///{file}" if kind == "sqlite" else request.getfixturevalue("postgresql_url")
    earlier = await open_definitions(url)
    await earlier.add(definition())
    if kind == "postgresql":
        await earlier._db.write(lambda db: db.execute("DROP TABLE definition_removed"))  # type: ignore[attr-defined]
    await earlier.close()
    if kind == "sqlite":
        with sqlite3.connect(file) as other:
            other.execute("DROP TABLE removed")
        other.close()
    again = await open_definitions(url)
    assert len(await again.remove("tests", "greet", ["1.0.0"], datetime.now(UTC))) == 1
    with pytest.raises(Conflict):
        await again.add(definition(value=2))
    await again.close()
