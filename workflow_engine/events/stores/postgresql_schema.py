"""The tables of a store in PostgreSQL, and how an older schema is brought up to date."""

from __future__ import annotations

import asyncpg

from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.events.stores.postgresql_connection import Db
from workflow_engine.events.stores.postgresql_functions import make_functions

VERSION = 1

# Texts are compared as bytes, as every other store does, whatever the locale of the database.
_TABLES = """
CREATE TABLE format (version integer NOT NULL);
CREATE TABLE channel (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE,
    partitions integer NOT NULL, dedupe_us bigint
);
CREATE TABLE partition (
    channel integer, part integer, next bigint NOT NULL DEFAULT 0, last_us bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (channel, part)
) WITH (fillfactor = 50);
CREATE TABLE record (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, channel integer NOT NULL, part integer NOT NULL,
    off bigint NOT NULL, time_us bigint NOT NULL, received_us bigint NOT NULL, source text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL, type text COLLATE "C" NOT NULL, subject text COLLATE "C",
    key text COLLATE "C" NOT NULL, identity text COLLATE "C", body bytea NOT NULL
);
CREATE UNIQUE INDEX record_position ON record (channel, part, off);
CREATE INDEX record_id ON record (id);
CREATE INDEX record_type ON record (type, channel, part, off);
CREATE INDEX record_subject ON record (subject) WHERE subject IS NOT NULL;
CREATE TABLE identity (
    channel integer, digest bytea, part integer NOT NULL, off bigint NOT NULL, time_us bigint NOT NULL,
    PRIMARY KEY (channel, digest)
);
CREATE TABLE grp (
    channel integer, name text COLLATE "C", epoch bigint NOT NULL, PRIMARY KEY (channel, name)
) WITH (fillfactor = 50);
CREATE TABLE member (
    channel integer, grp text COLLATE "C", name text COLLATE "C", expires_us bigint NOT NULL,
    PRIMARY KEY (channel, grp, name)
);
CREATE TABLE cursor (
    channel integer, grp text COLLATE "C", part integer, off bigint NOT NULL, PRIMARY KEY (channel, grp, part)
) WITH (fillfactor = 50);
CREATE TABLE state (
    channel integer, grp text COLLATE "C", key text COLLATE "C", value bytea NOT NULL,
    PRIMARY KEY (channel, grp, key)
);
CREATE TABLE parked (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text COLLATE "C" NOT NULL UNIQUE, channel integer NOT NULL,
    grp text COLLATE "C" NOT NULL, key text COLLATE "C", part integer NOT NULL, off bigint NOT NULL,
    due_us bigint NOT NULL, attempt integer NOT NULL, first_us bigint NOT NULL, reason text NOT NULL,
    payload bytea NOT NULL, owner text COLLATE "C", blocked boolean NOT NULL
);
CREATE INDEX parked_due ON parked (grp, due_us, seq) WHERE NOT blocked;
CREATE INDEX parked_first ON parked (due_us, seq, grp) WHERE NOT blocked;
CREATE INDEX parked_key ON parked (grp, key, seq) WHERE key IS NOT NULL;
CREATE INDEX parked_position ON parked (channel, part, off);
CREATE INDEX parked_leased ON parked (grp, owner) WHERE owner IS NOT NULL;
CREATE TABLE attempt (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, channel integer NOT NULL, part integer NOT NULL,
    off bigint NOT NULL, grp text NOT NULL, delivery text NOT NULL, status text NOT NULL, at_us bigint NOT NULL,
    n integer NOT NULL, ms double precision NOT NULL, code text NOT NULL, detail text NOT NULL, reference text NOT NULL
);
CREATE INDEX attempt_position ON attempt (channel, part, off);
CREATE TABLE setting (key text COLLATE "C" PRIMARY KEY, value bytea, rev bigint NOT NULL);
CREATE INDEX setting_rev ON setting (rev);
CREATE INDEX setting_deleted ON setting (rev) WHERE value IS NULL;
CREATE TABLE revision (rev bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO revision VALUES (0);
CREATE TABLE lease (
    key text COLLATE "C" PRIMARY KEY, owner text NOT NULL, epoch bigint NOT NULL, expires_us bigint NOT NULL
);
"""


async def upgrade(db: Db, schema: str) -> None:
    """Create the schema and its tables where there are none; `Conflict` for one that a newer version has written.

    Runs inside a transaction. Processes that open the store at the same time wait for one another.
    """
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"wfe schema {schema}")
    user = await db.fetchval("SELECT quote_ident(current_user)")
    if not await db.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema):
        try:
            await db.execute(f'CREATE SCHEMA "{schema}"')
        except asyncpg.InsufficientPrivilegeError as error:
            raise Unavailable(
                f"the schema {schema} is not there and cannot be made: {error}; let who may do so say:"
                f" CREATE SCHEMA {schema} AUTHORIZATION {user}"
            ) from error
    if await db.fetchval("SELECT to_regclass($1) IS NULL", f'"{schema}".format'):
        await db.execute(_TABLES)
        await db.execute("INSERT INTO format VALUES ($1)", VERSION)
    version = await db.fetchval("SELECT version FROM format")
    if version > VERSION:
        raise Conflict(f"the event store has format {version}, this version reads up to {VERSION}; upgrade")
    if await db.fetchval("SELECT to_regclass($1) IS NOT NULL", f'"{schema}".parked_owner'):
        await db.execute("CREATE INDEX parked_leased ON parked (grp, owner) WHERE owner IS NOT NULL")
        await db.execute("DROP INDEX parked_owner")
    if await db.fetchval("SELECT to_regclass($1) IS NULL", f'"{schema}".record_source'):
        await db.execute("CREATE INDEX record_source ON record (source, channel, part, off)")
    await make_functions(db)
