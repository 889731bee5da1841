"""What a store does in PostgreSQL with one way to the server and back: functions of its schema, written in PL/pgSQL.

A function has the digest of its text in its name. So each version of this program brings its own, those of others that
run beside it stay what they are, and what is there need not be compared. A statement of a function sees what was
committed when that statement began: what comes after a lock sees all that was done under the lock.
"""

# ruff: noqa: S608  only names of columns, tables and functions are put into statements; values are bound

from __future__ import annotations

import hashlib

from workflow_engine.events.spi import RAN_OUT
from workflow_engine.events.stores.postgresql_connection import Db

PARKED = "id, channel, grp, part, off, due_us, payload, key, attempt, first_us, reason, owner"
"""The columns of a delivery, in the order in which they are returned."""
_ROW = """id text, channel int, grp text, part int, off bigint, due_us bigint, payload bytea, key text, attempt int,
    first_us bigint, reason text, owner text"""

_APPEND = """(
    p_channel int, p_locks int[], p_parts int[], p_received bigint[], p_sources text[], p_ids text[], p_types text[],
    p_subjects text[], p_keys text[], p_identities text[], p_bodies bytea[], p_digests bytea[], p_window bigint,
    p_sync boolean, p_topic text,
    OUT parts int[], OUT offs bigint[], OUT times bigint[], OUT duplicates boolean[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    locked int;
    another boolean;
    known record;
    place bigint;
    us bigint;
BEGIN
    IF NOT p_sync THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
    PERFORM 1 FROM partition WHERE channel = p_channel AND part = ANY (p_locks) ORDER BY part FOR UPDATE;
    GET DIAGNOSTICS locked = ROW_COUNT;
    IF locked < cardinality(p_locks) THEN RETURN; END IF;
    IF cardinality(p_parts) <= 4 THEN
        FOR n IN 1 .. cardinality(p_parts) LOOP
            SELECT i.part, i.off, i.time_us INTO known FROM identity i
            WHERE i.channel = p_channel AND i.digest = p_digests[n];
            IF FOUND AND (p_window IS NULL OR p_received[n] - known.time_us < p_window) THEN
                parts[n] := known.part; offs[n] := known.off; times[n] := known.time_us; duplicates[n] := true;
                CONTINUE;
            END IF;
            UPDATE partition p SET next = p.next + 1, last_us = greatest(p.last_us, p_received[n])
            WHERE p.channel = p_channel AND p.part = p_parts[n] RETURNING p.next - 1, p.last_us INTO place, us;
            IF p_digests[n] IS NOT NULL THEN
                INSERT INTO identity AS i (channel, digest, part, off, time_us)
                VALUES (p_channel, p_digests[n], p_parts[n], place, p_received[n])
                ON CONFLICT (channel, digest) DO UPDATE
                    SET part = excluded.part, off = excluded.off, time_us = excluded.time_us
                    WHERE excluded.time_us - i.time_us >= p_window;
                another := coalesce(another, false) OR NOT FOUND;
            END IF;
            INSERT INTO record (
                channel, part, off, time_us, received_us, source, id, type, subject, key, identity, body)
            VALUES (p_channel, p_parts[n], place, us, p_received[n], p_sources[n], p_ids[n], p_types[n],
                p_subjects[n], p_keys[n], p_identities[n], p_bodies[n]);
            parts[n] := p_parts[n]; offs[n] := place; times[n] := us; duplicates[n] := false;
        END LOOP;
    ELSE
    WITH given AS MATERIALIZED (
        SELECT g.*, k.part AS first_part, k.off AS first_off, k.time_us AS first_us,
            k.digest IS NOT NULL AND (p_window IS NULL OR g.received_us - k.time_us < p_window) AS duplicate
        FROM unnest(p_parts, p_received, p_sources, p_ids, p_types, p_subjects, p_keys, p_identities, p_bodies,
                    p_digests) WITH ORDINALITY
            AS g (part, received_us, source, id, type, subject, key, identity, body, digest, n)
        LEFT JOIN identity k ON k.channel = p_channel AND k.digest = g.digest
    ), placed AS MATERIALIZED (
        SELECT g.*, p.next - 1 + row_number() OVER w AS off, greatest(p.last_us, max(g.received_us) OVER w) AS time_us
        FROM given g JOIN partition p ON p.channel = p_channel AND p.part = g.part WHERE NOT g.duplicate
        WINDOW w AS (PARTITION BY g.part ORDER BY g.n)
    ), remembered AS (
        INSERT INTO identity AS i (channel, digest, part, off, time_us)
        SELECT p_channel, digest, part, off, received_us FROM placed WHERE digest IS NOT NULL ORDER BY digest
        ON CONFLICT (channel, digest) DO UPDATE
            SET part = excluded.part, off = excluded.off, time_us = excluded.time_us
            WHERE excluded.time_us - i.time_us >= p_window
        RETURNING 1
    ), stored AS (
        INSERT INTO record (channel, part, off, time_us, received_us, source, id, type, subject, key, identity, body)
        SELECT p_channel, part, off, time_us, received_us, source, id, type, subject, key, identity, body
        FROM placed ORDER BY n
    ), moved AS (
        UPDATE partition p SET next = t.next, last_us = t.last_us
        FROM (SELECT part, max(off) + 1 AS next, max(time_us) AS last_us FROM placed GROUP BY part) t
        WHERE p.channel = p_channel AND p.part = t.part
    )
    SELECT array_agg(coalesce(d.part, g.first_part) ORDER BY g.n), array_agg(coalesce(d.off, g.first_off) ORDER BY g.n),
        array_agg(coalesce(d.time_us, g.first_us) ORDER BY g.n), array_agg(g.duplicate ORDER BY g.n),
        (SELECT count(*) FROM remembered) < (SELECT count(*) FROM placed WHERE digest IS NOT NULL)
    INTO parts, offs, times, duplicates, another FROM given g LEFT JOIN placed d ON d.n = g.n;
    END IF;
    IF another THEN
        RAISE serialization_failure USING MESSAGE = 'one was published meanwhile, to another partition';
    END IF;
    IF p_topic IS NOT NULL AND NOT true = ALL (duplicates) THEN
        PERFORM pg_notify(p_topic, 'channel ' || p_channel);
    END IF;
END $$"""

_PARK = """(
    p_class text, p_locks int[], p_ids text[], p_channels int[], p_grps text[], p_parts int[], p_offs bigint[],
    p_dues bigint[], p_payloads bytea[], p_keys text[], p_attempts int[], p_firsts bigint[], p_reasons text[],
    p_after boolean[], c_owner text, c_now bigint, c_until bigint, c_class text, c_locks int[], c_grps text[],
    c_rooms int[], c_limits int[],
    OUT claimed text[], OUT remaining boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    free int[] := c_rooms;
    grp_at int;
    waits boolean;
    mine boolean;
BEGIN
    IF cardinality(p_locks) > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtext(p_class), k) FROM unnest(p_locks) k;
    END IF;
    IF cardinality(c_locks) > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtext(c_class), k) FROM unnest(c_locks) k;
    END IF;
    FOR g IN 1 .. cardinality(c_grps) LOOP
        IF EXISTS (SELECT FROM parked w WHERE w.grp = c_grps[g] AND NOT w.blocked AND w.due_us <= c_now) THEN
            free[g] := 0;
        ELSIF c_limits[g] IS NOT NULL THEN
            free[g] := least(c_rooms[g], c_limits[g] - (SELECT count(*) FROM parked l
                WHERE l.grp = c_grps[g] AND l.owner IS NOT NULL AND l.due_us > c_now));
        END IF;
    END LOOP;
    IF cardinality(p_ids) <= 4 THEN
        remaining := false;
        FOR n IN 1 .. cardinality(p_ids) LOOP
            waits := p_keys[n] IS NOT NULL AND (p_after[n] OR EXISTS (
                SELECT FROM parked b WHERE b.grp = p_grps[n] AND b.key = p_keys[n]));
            grp_at := array_position(c_grps, p_grps[n]);
            mine := coalesce(NOT waits AND p_dues[n] <= c_now AND free[grp_at] > 0, false);
            INSERT INTO parked (
                id, channel, grp, part, off, due_us, payload, key, attempt, first_us, reason, owner, blocked)
            VALUES (p_ids[n], p_channels[n], p_grps[n], p_parts[n], p_offs[n], CASE WHEN mine THEN c_until
                ELSE p_dues[n] END, p_payloads[n], p_keys[n], p_attempts[n], p_firsts[n], p_reasons[n],
                CASE WHEN mine THEN c_owner END, waits)
            ON CONFLICT (id) DO NOTHING;
            IF FOUND AND mine THEN
                claimed := claimed || p_ids[n];
                free[grp_at] := free[grp_at] - 1;
            ELSIF FOUND AND NOT waits THEN
                remaining := true;
            END IF;
        END LOOP;
        RETURN;
    END IF;
    WITH room AS MATERIALIZED (
        SELECT g.grp, g.n FROM unnest(c_grps, free) AS g (grp, n)
    ), items AS MATERIALIZED (
        SELECT i.*, i.key IS NOT NULL AND (
            i.after OR EXISTS (SELECT FROM parked b WHERE b.grp = i.grp AND b.key = i.key)) AS blocked
        FROM unnest(p_ids, p_channels, p_grps, p_parts, p_offs, p_dues, p_payloads, p_keys, p_attempts, p_firsts,
                    p_reasons, p_after) WITH ORDINALITY
            AS i (id, channel, grp, part, off, due_us, payload, key, attempt, first_us, reason, after, n)
    ), ranked AS (
        SELECT i.*, coalesce(NOT i.blocked AND i.due_us <= c_now
            AND row_number() OVER (PARTITION BY i.grp, i.blocked ORDER BY i.n) <= room.n, false) AS mine
        FROM items i LEFT JOIN room ON room.grp = i.grp
    ), put AS (
        INSERT INTO parked (
            id, channel, grp, part, off, due_us, payload, key, attempt, first_us, reason, owner, blocked)
        SELECT id, channel, grp, part, off, CASE WHEN mine THEN c_until ELSE due_us END, payload, key, attempt,
            first_us, reason, CASE WHEN mine THEN c_owner END, blocked
        FROM ranked ORDER BY n
        ON CONFLICT (id) DO NOTHING
        RETURNING id, owner, blocked
    )
    SELECT array_agg(id) FILTER (WHERE owner IS NOT NULL), coalesce(bool_or(owner IS NULL AND NOT blocked), false)
    INTO claimed, remaining FROM put;
END $$"""

_LEDGER = """a_channels int[], a_parts int[], a_offs bigint[], a_grps text[], a_deliveries text[], a_statuses text[],
    a_ats bigint[], a_ns int[], a_mss float8[], a_codes text[], a_details text[], a_references text[]"""
_LOG = """IF cardinality(a_channels) = 1 THEN
        INSERT INTO attempt (channel, part, off, grp, delivery, status, at_us, n, ms, code, detail, reference)
        VALUES (a_channels[1], a_parts[1], a_offs[1], a_grps[1], a_deliveries[1], a_statuses[1], a_ats[1], a_ns[1],
            a_mss[1], a_codes[1], a_details[1], a_references[1]);
    ELSIF cardinality(a_channels) > 0 THEN
        INSERT INTO attempt (channel, part, off, grp, delivery, status, at_us, n, ms, code, detail, reference)
        SELECT a.channel, a.part, a.off, a.grp, a.delivery, a.status, a.at_us, a.n, a.ms, a.code, a.detail, a.reference
        FROM unnest(a_channels, a_parts, a_offs, a_grps, a_deliveries, a_statuses, a_ats, a_ns, a_mss, a_codes,
                    a_details, a_references) WITH ORDINALITY
            AS a (channel, part, off, grp, delivery, status, at_us, n, ms, code, detail, reference, place)
        ORDER BY a.place;
    END IF;"""

_COMMIT = f"""(
    g_channel int, g_grp text, g_member text, g_epoch bigint, g_parts int[], g_offs bigint[], e_parts int[],
    e_offs bigint[], g_sync boolean, s_deleted text[], s_written text[], s_values bytea[], {_LEDGER}, p_topic text,
    p_class text, p_locks int[], p_ids text[], p_channels int[], p_grps text[], p_parts int[], p_offs bigint[],
    p_dues bigint[], p_payloads bytea[], p_keys text[], p_attempts int[], p_firsts bigint[], p_reasons text[],
    p_after boolean[], c_owner text, c_now bigint, c_until bigint, c_class text, c_locks int[], c_grps text[],
    c_rooms int[], c_limits int[],
    OUT now_epoch bigint, OUT held boolean, OUT claimed text[], OUT remaining boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    SELECT epoch INTO now_epoch FROM grp WHERE channel = g_channel AND name = g_grp FOR SHARE;
    held := coalesce(now_epoch = g_epoch, false) AND EXISTS (
        SELECT FROM member WHERE channel = g_channel AND grp = g_grp AND name = g_member);
    IF cardinality(e_parts) > 0 THEN  -- what was committed last, which the server may have lost
        held := held AND NOT EXISTS (
            SELECT FROM unnest(e_parts, e_offs) AS e (part, off) LEFT JOIN cursor c
                ON c.channel = g_channel AND c.grp = g_grp AND c.part = e.part
            WHERE c.off IS DISTINCT FROM e.off);
    END IF;
    IF NOT held THEN RETURN; END IF;
    IF NOT g_sync THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
    IF cardinality(g_parts) > 0 THEN
        INSERT INTO cursor SELECT g_channel, g_grp, c.part, c.off FROM unnest(g_parts, g_offs) AS c (part, off)
        ON CONFLICT (channel, grp, part) DO UPDATE SET off = excluded.off;
    END IF;
    remaining := false;
    IF cardinality(p_ids) > 0 THEN
        SELECT p.claimed, p.remaining INTO claimed, remaining FROM PARK(
            p_class, p_locks, p_ids, p_channels, p_grps, p_parts, p_offs, p_dues, p_payloads, p_keys, p_attempts,
            p_firsts, p_reasons, p_after, c_owner, c_now, c_until, c_class, c_locks, c_grps, c_rooms, c_limits) p;
        IF remaining THEN PERFORM pg_notify(p_topic, 'due'); END IF;
    END IF;
    IF cardinality(s_deleted) > 0 THEN
        DELETE FROM state WHERE channel = g_channel AND grp = g_grp AND key = ANY (s_deleted);
    END IF;
    IF cardinality(s_written) > 0 THEN
        INSERT INTO state SELECT g_channel, g_grp, s.key, s.value FROM unnest(s_written, s_values) AS s (key, value)
        ON CONFLICT (channel, grp, key) DO UPDATE SET value = excluded.value;
    END IF;
    {_LOG}
END $$"""

_CLAIM = f"""(
    c_owner text, c_now bigint, c_until bigint, c_class text, c_locks int[], c_grps text[], c_rooms int[],
    c_limits int[], c_limit int
) RETURNS TABLE ({_ROW}) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock(hashtext(c_class), k) FROM unnest(c_locks) k;
    RETURN QUERY WITH room AS MATERIALIZED (
        SELECT g.grp, g.turn, greatest(0, CASE WHEN g.most IS NULL THEN g.room ELSE least(g.room, g.most - (
            SELECT count(*) FROM parked l WHERE l.grp = g.grp AND l.owner IS NOT NULL AND l.due_us > c_now)) END) AS n
        FROM unnest(c_grps, c_rooms, c_limits) WITH ORDINALITY AS g (grp, room, most, turn)
    ), found AS MATERIALIZED (
        SELECT p.seq, p.due_us AS was_us, g.turn FROM room g, LATERAL (
            SELECT w.seq, w.due_us FROM parked w WHERE w.grp = g.grp AND NOT w.blocked AND w.due_us <= c_now
            ORDER BY w.due_us, w.seq LIMIT g.n FOR UPDATE SKIP LOCKED) p
        ORDER BY g.turn LIMIT c_limit
    ), taken AS (
        UPDATE parked q SET owner = c_owner, due_us = c_until, attempt = q.attempt + (q.owner IS NOT NULL)::int,
            reason = CASE WHEN q.owner IS NULL THEN q.reason ELSE '{RAN_OUT}' END
        FROM found f WHERE q.seq = f.seq
        RETURNING q.*, f.turn, f.was_us
    )
    SELECT {", ".join(f"t.{name}" for name in PARKED.split(", "))} FROM taken t ORDER BY t.turn, t.was_us, t.seq;
END $$"""

_SETTLE = f"""(
    s_ids text[], s_owners text[], s_dues bigint[], s_again bigint[], s_reasons text[], s_untils bigint[],
    p_class text, p_locks int[], {_LEDGER}
) RETURNS TABLE (n bigint, {_ROW}) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    {_LOG}
    IF cardinality(p_locks) > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtext(p_class), k) FROM unnest(p_locks) k;
    ELSIF cardinality(s_ids) = 1 AND s_again[1] IS NULL THEN
        DELETE FROM parked p WHERE p.id = s_ids[1] AND p.owner = s_owners[1] AND p.due_us = s_dues[1];
        IF FOUND THEN n := 1; RETURN NEXT; END IF;
        RETURN;
    END IF;
    RETURN QUERY WITH said AS MATERIALIZED (
        SELECT * FROM unnest(s_ids, s_owners, s_dues, s_again, s_reasons, s_untils) WITH ORDINALITY
            AS s (id, owner, due_us, again_us, reason, until_us, n)
    ), again AS (
        UPDATE parked p SET owner = NULL, due_us = s.again_us, reason = s.reason, attempt = p.attempt + 1 FROM said s
        WHERE s.again_us IS NOT NULL AND p.id = s.id AND p.owner = s.owner AND p.due_us = s.due_us
        RETURNING s.n
    ), gone AS (
        DELETE FROM parked p USING said s
        WHERE s.again_us IS NULL AND p.id = s.id AND p.owner = s.owner AND p.due_us = s.due_us
        RETURNING s.n, s.owner, s.until_us, p.id, p.grp, p.key
    ), following AS (
        UPDATE parked q SET blocked = false, due_us = coalesce(f.until_us, q.due_us),
            owner = CASE WHEN f.until_us IS NULL THEN q.owner ELSE f.owner END
        FROM (SELECT g.*, (SELECT x.seq FROM parked x WHERE x.grp = g.grp AND x.key = g.key AND x.id <> g.id
                           ORDER BY x.seq LIMIT 1) AS seq FROM gone g WHERE g.key IS NOT NULL) f
        WHERE q.seq = f.seq RETURNING q.*, f.n, f.until_us
    )
    SELECT h.n, {", ".join(f"f.{name}" for name in PARKED.split(", "))}
    FROM (SELECT again.n FROM again UNION ALL SELECT gone.n FROM gone) h
    LEFT JOIN following f ON f.n = h.n AND f.until_us IS NOT NULL;
END $$"""


_SINCE = """(p_channel int, p_part int, p_time_us bigint) RETURNS bigint STABLE LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    low bigint;
    high bigint;
    middle bigint;
    at record;
BEGIN
    SELECT p.next, coalesce((SELECT min(r.off) FROM record r WHERE r.channel = p.channel AND r.part = p.part), p.next)
    INTO high, low FROM partition p WHERE p.channel = p_channel AND p.part = p_part;
    WHILE low < high LOOP
        middle := (low + high) / 2;
        SELECT r.off, r.time_us INTO at FROM record r
        WHERE r.channel = p_channel AND r.part = p_part AND r.off >= middle ORDER BY r.off LIMIT 1;
        IF NOT FOUND OR at.time_us >= p_time_us THEN high := middle; ELSE low := at.off + 1; END IF;
    END LOOP;
    RETURN low;
END $$"""
"""The first offset whose time is not before, by bisection: times never run back in a partition."""

_MADE: dict[str, str] = {}


def _named(name: str, text: str) -> str:
    name = f"{name}_{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
    _MADE[name] = f"CREATE FUNCTION {name}{text}"
    return name


APPEND = _named("append", _APPEND)
PARK = _named("park", _PARK)
COMMIT = _named("commit", _COMMIT.replace("PARK(", f"{PARK}("))
CLAIM = _named("claim", _CLAIM)
SETTLE = _named("settle", _SETTLE)
SINCE = _named("since", _SINCE)
"""The names of the functions."""


async def make_functions(db: Db) -> None:
    """Make those that are not there. Runs inside a transaction, one at a time."""
    for name, statement in _MADE.items():
        found = await db.fetchval(
            "SELECT EXISTS (SELECT FROM pg_proc WHERE proname = $1 AND pronamespace = current_schema()::regnamespace)",
            name,
        )
        if not found:
            await db.execute(statement)


def called(function: str, arguments: int) -> str:
    """The statement that calls a function with so many arguments."""
    return f"SELECT * FROM {function}({', '.join(f'${n}' for n in range(1, arguments + 1))})"
