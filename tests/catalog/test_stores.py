from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from catalog import Unavailable, describe_document, open_store
from catalog.model import Spec
from catalog.store import place_of
from tests.catalog.documents import LIGHTS, ORDERS

NOW = datetime(2026, 1, 31, tzinfo=UTC)
OPERATIONS = describe_document(ORDERS).operations


def spec(name="orders", version="1.0.0", text=ORDERS, digest="sha256:1", age=0):
    moment = NOW - timedelta(seconds=age)
    return Spec(name, version, "title", "2.6.0", None, digest, moment, len(OPERATIONS), text)


class StoreContract:
    """What every store does."""

    async def test_what_was_added_is_there_with_its_operations(self, store):
        assert await store.add(spec(), OPERATIONS) is None
        assert await store.get("orders", "1.0.0") == spec()
        assert tuple(await store.operations("orders", "1.0.0")) == OPERATIONS

    async def test_what_is_not_there_is_none(self, store):
        assert await store.get("orders", "1.0.0") is None
        assert list(await store.operations("orders", "1.0.0")) == []
        assert list(await store.specs()) == []
        assert await store.remove("orders") == 0

    async def test_what_was_there_stays_unless_it_shall_be_replaced(self, store):
        await store.add(spec(), OPERATIONS)
        other = spec(text="other", digest="sha256:2")
        assert await store.add(other, ()) == spec()
        assert await store.get("orders", "1.0.0") == spec()
        assert await store.add(other, OPERATIONS[:1], replace=True) == spec()
        assert await store.get("orders", "1.0.0") == other
        assert tuple(await store.operations("orders", "1.0.0")) == OPERATIONS[:1]

    async def test_the_same_digest_is_never_written_again(self, store):
        await store.add(spec(age=5), OPERATIONS)
        assert await store.add(spec(), (), replace=True) == spec(age=5)
        assert await store.get("orders", "1.0.0") == spec(age=5)
        assert tuple(await store.operations("orders", "1.0.0")) == OPERATIONS

    async def test_listings_have_no_texts_and_are_in_order(self, store):
        await store.add(spec("b", "1", age=1), ())
        await store.add(spec("b", "0", age=0), ())
        await store.add(spec("a", "9", age=0), ())
        assert [(item.name, item.version, item.text) for item in await store.specs()] == [
            ("a", "9", ""),
            ("b", "1", ""),
            ("b", "0", ""),
        ]
        assert [item.version for item in await store.specs("b")] == ["1", "0"]

    async def test_listings_go_on_behind_what_may_be_gone(self, store):
        for name, version, age in (("b", "1", 2), ("b", "0", 1), ("b", "2", 1), ("a", "9", 0), ("c", "1", 9)):
            await store.add(spec(name, version, age=age), ())
        whole = [(item.name, item.version) for item in await store.specs()]
        assert whole == [("a", "9"), ("b", "1"), ("b", "0"), ("b", "2"), ("c", "1")]
        found, after = [], None
        while page := await store.specs(after=after, limit=2):
            found += [(item.name, item.version) for item in page]
            after = place_of(page[-1])
            await store.remove(page[-1].name, page[-1].version)
            await store.add(spec("a", f"1.{len(found)}"), ())
        assert found == whole
        behind = await store.specs("b", after=("b", NOW - timedelta(seconds=2), "1"), limit=5)
        assert [item.version for item in behind] == ["0"]

    async def test_one_version_or_all_can_be_removed(self, store):
        for version in ("1", "2", "3"):
            await store.add(spec(version=version), OPERATIONS)
        await store.add(spec("lights", text=LIGHTS), ())
        assert await store.remove("orders", "2") == 1
        assert list(await store.operations("orders", "2")) == []
        assert await store.remove("orders") == 2
        assert [item.name for item in await store.specs()] == ["lights"]

    async def test_of_many_who_add_the_same_at_once_one_is_first(self, store):
        added = await asyncio.gather(*(store.add(spec(digest=f"sha256:{n}"), OPERATIONS) for n in range(20)))
        assert [before for before in added if before is None] == [None]
        kept = await store.get("orders", "1.0.0")
        assert {before.digest for before in added if before} == {kept.digest}

    async def test_texts_come_back_as_they_were(self, store):
        text = "a: é 😀 \u2028\r\n'; DROP TABLE spec; --\x00"
        await store.add(spec(text=text), ())
        assert (await store.get("orders", "1.0.0")).text == text


class TestMemory(StoreContract):
    @pytest.fixture
    async def store(self):
        store = await open_store("memory:")
        yield store
        await store.close()


class TestSqlite(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path):
        store = await open_store(f"sqlite:///{tmp_path}/made/catalog.db")
        yield store
        await store.close()

    async def test_documents_survive_that_the_store_is_opened_again(self, tmp_path):
        url = f"sqlite:///{tmp_path}/catalog.db"
        store = await open_store(url)
        await store.add(spec(), OPERATIONS)
        await store.close()
        again = await open_store(url)
        assert await again.get("orders", "1.0.0") == spec()
        assert tuple(await again.operations("orders", "1.0.0")) == OPERATIONS
        await again.close()

    async def test_documents_survive_that_nobody_closed_the_store(self, tmp_path):
        url = f"sqlite:///{tmp_path}/catalog.db"
        first, second = await open_store(url), await open_store(url)
        await first.add(spec(), OPERATIONS)
        assert await second.get("orders", "1.0.0") == spec()
        await first.close()
        await second.close()

    async def test_a_file_that_is_no_store_is_refused(self, tmp_path):
        (tmp_path / "catalog.db").write_text("not a database, but long enough to be taken for one" * 50)
        with pytest.raises(Unavailable, match="cannot be opened"):
            await open_store(f"sqlite:///{tmp_path}/catalog.db")
        with pytest.raises(Unavailable, match="cannot be opened"):
            await open_store(f"sqlite:///{tmp_path}/catalog.db/inside/it.db")

    async def test_a_file_of_a_later_format_is_left_alone(self, tmp_path):
        connection = sqlite3.connect(tmp_path / "catalog.db")
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(Unavailable, match="format 99"):
            await open_store(f"sqlite:///{tmp_path}/catalog.db")

    async def test_a_store_that_was_closed_says_so(self, tmp_path):
        store = await open_store(f"sqlite:///{tmp_path}/catalog.db")
        await store.close()
        with pytest.raises(Unavailable, match="closed"):
            await store.specs()


class TestPostgresql(StoreContract):
    @pytest.fixture
    async def store(self, postgresql_url):
        store = await open_store(postgresql_url)
        yield store
        await store.close()

    async def test_what_one_process_keeps_is_there_for_the_others(self, postgresql_url):
        stores = await asyncio.gather(*(open_store(f"{postgresql_url}?schema=shared") for _ in range(4)))
        await stores[0].add(spec(), OPERATIONS)
        for store in stores:
            assert await store.get("orders", "1.0.0") == spec()
            assert tuple(await store.operations("orders", "1.0.0")) == OPERATIONS
        added = await asyncio.gather(
            *(store.add(spec("once", digest=f"sha256:{n}"), ()) for n, store in enumerate(stores * 5))
        )
        assert added.count(None) == 1
        await asyncio.gather(*(store.close() for store in stores))

    async def test_two_schemas_are_two_catalogs(self, postgresql_url):
        one, other = (
            await open_store(postgresql_url),
            await open_store(f"{postgresql_url}?schema=other&connections=5"),
        )
        await one.add(spec(), OPERATIONS)
        assert list(await other.specs()) == []
        await one.close()
        await other.close()

    async def test_a_server_that_was_away_is_used_again_when_it_is_back(self, own_postgresql_server):
        server = own_postgresql_server
        store = await open_store(server.create_database())
        await store.add(spec(), OPERATIONS)
        server.kill()
        with pytest.raises(Unavailable, match=server.address):
            await store.specs()
        server.start()
        assert await store.get("orders", "1.0.0") == spec()
        await store.close()

    async def test_a_server_that_is_not_there_is_named_without_the_password(self):
        with pytest.raises(Unavailable, match=r"postgresql://127\.0\.0\.1:9/catalog") as refused:
            await open_store("postgresql://me:secret@127.0.0.1:9/catalog")
        assert "secret" not in str(refused.value)

    async def test_tables_of_a_later_format_are_left_alone(self, postgresql_url, postgresql_server):
        await (await open_store(postgresql_url)).close()
        database = postgresql_url.rpartition("/")[2]
        postgresql_server.sql("UPDATE wfe.catalog_format SET number = 99", database)
        with pytest.raises(Unavailable, match="format 99"):
            await open_store(postgresql_url)

    async def test_a_store_that_was_closed_says_so(self, postgresql_url):
        store = await open_store(postgresql_url)
        await store.close()
        with pytest.raises(Unavailable, match="closed"):
            await store.specs()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory:x",
        "postgresql://x",
        "postgresql://x/db?schema=a;b",
        "sqlite:",
        "sqlite:///",
        "sqlite://catalog.db",
    ],
)
async def test_a_url_that_names_no_store_is_refused(url):
    with pytest.raises(ValueError, match="names no store"):
        await open_store(url)
