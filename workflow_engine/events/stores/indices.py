"""How stores in SQL ask so that an index finds what is looked for, and nothing else is read."""

from __future__ import annotations

from workflow_engine.events.spi import Query


def by_partition(query: Query) -> bool:
    """Whether the newest of each partition are found sooner than the newest of all: records of a partition are in the
    order of their times, as are those of a type or a source, and what is looked for by id or subject is not many.
    """
    where = (query.channel, query.type, query.source, query.from_us, query.to_us)
    return query.id is None and query.subject is None and where != (None,) * 5


def between(
    column: str, prefix: str, first: str, second: str, after: str | None = None
) -> tuple[str, list[str]]:
    """The condition that *column* begins with *prefix*, with two places for values, and the values. With *after*, that
    it is also greater than that.

    Texts are compared as the bytes of their UTF-8, which is by code points.
    """
    than, least = (">=", prefix) if after is None or after < prefix else (">", after)
    end = prefix.rstrip("\U0010ffff")
    if not end:
        return f"{column} {than} {first}", [least]
    last = ord(end[-1]) + 1
    following = chr(0xE000 if 0xD800 <= last <= 0xDFFF else last)  # surrogates are no characters
    return f"{column} {than} {first} AND {column} < {second}", [least, end[:-1] + following]
