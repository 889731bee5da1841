"""The tables of a store in SQLite, and how an older file is brought up to date."""

from __future__ import annotations

import sqlite3

from workflow_engine.errors import Conflict
from workflow_engine.events.spi import LENT

VERSION = 1

_TABLES = """
CREATE TABLE channel (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL, dedupe_us INTEGER
);
CREATE TABLE partition (
    channel INTEGER, part INTEGER, next INTEGER NOT NULL, last_us INTEGER NOT NULL,
    PRIMARY KEY (channel, part)
) WITHOUT ROWID;
CREATE TABLE record (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, channel INTEGER NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL,
    time_us INTEGER NOT NULL, received_us INTEGER NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL,
    subject TEXT, key TEXT NOT NULL, identity TEXT, body BLOB NOT NULL
);
CREATE UNIQUE INDEX record_position ON record (channel, part, off);
CREATE INDEX record_id ON record (id);
CREATE INDEX record_type ON record (type, channel, part, off);
CREATE INDEX record_subject ON record (subject) WHERE subject IS NOT NULL;
CREATE TABLE identity (
    channel INTEGER, digest BLOB, part INTEGER NOT NULL, off INTEGER NOT NULL, time_us INTEGER NOT NULL,
    PRIMARY KEY (channel, digest)
) WITHOUT ROWID;
CREATE TABLE grp (channel INTEGER, name TEXT, epoch INTEGER NOT NULL, PRIMARY KEY (channel, name)) WITHOUT ROWID;
CREATE TABLE member (
    channel INTEGER, grp TEXT, name TEXT, expires_us INTEGER NOT NULL, PRIMARY KEY (channel, grp, name)
) WITHOUT ROWID;
CREATE TABLE cursor (
    channel INTEGER, grp TEXT, part INTEGER, off INTEGER NOT NULL, PRIMARY KEY (channel, grp, part)
) WITHOUT ROWID;
CREATE TABLE state (
    channel INTEGER, grp TEXT, key TEXT, value BLOB NOT NULL, PRIMARY KEY (channel, grp, key)
) WITHOUT ROWID;
CREATE TABLE parked (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, channel INTEGER NOT NULL, grp TEXT NOT NULL,
    key TEXT, part INTEGER NOT NULL, off INTEGER NOT NULL, due_us INTEGER NOT NULL, attempt INTEGER NOT NULL,
    first_us INTEGER NOT NULL, reason TEXT NOT NULL, payload BLOB NOT NULL, owner TEXT, blocked INTEGER NOT NULL
);
CREATE INDEX parked_due ON parked (grp, due_us, seq) WHERE NOT blocked;
CREATE INDEX parked_first ON parked (due_us, seq, grp) WHERE NOT blocked;
CREATE INDEX parked_key ON parked (grp, key, seq) WHERE key IS NOT NULL;
CREATE INDEX parked_position ON parked (channel, part, off);
CREATE TABLE attempt (
    seq INTEGER PRIMARY KEY, channel INTEGER NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL, grp TEXT NOT NULL,
    delivery TEXT NOT NULL, status TEXT NOT NULL, at_us INTEGER NOT NULL, n INTEGER NOT NULL, ms REAL NOT NULL,
    code TEXT NOT NULL, detail TEXT NOT NULL, reference TEXT NOT NULL
);
CREATE INDEX attempt_position ON attempt (channel, part, off);
CREATE TABLE setting (key TEXT PRIMARY KEY, value BLOB, rev INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX setting_rev ON setting (rev);
CREATE TABLE lease (key TEXT PRIMARY KEY, owner TEXT NOT NULL, epoch INTEGER NOT NULL, expires_us INTEGER NOT NULL)
    WITHOUT ROWID;
"""


def upgrade(connection: sqlite3.Connection) -> None:
    """Create the tables in a new file; `Conflict` for a file that a newer version has written.

    Runs inside a transaction. Ends the leases on deliveries, but for what is lent, and all memberships: whoever
    held them is dead, for this process has the file alone.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise Conflict(f"the event store has format {version}, this version reads up to {VERSION}; upgrade")
    if version == 0:
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'record_source'").fetchone():
        connection.execute("CREATE INDEX record_source ON record (source, channel, part, off)")
    connection.execute(
        "UPDATE parked SET owner = NULL, due_us = 0 WHERE owner IS NOT NULL AND owner <> ?", (LENT,)
    )
    connection.execute(
        "UPDATE grp SET epoch = epoch + 1 WHERE (channel, name) IN (SELECT channel, grp FROM member)"
    )
    connection.execute("DELETE FROM member")
