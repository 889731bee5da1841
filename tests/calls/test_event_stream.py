"""Server-sent events mean the same however the network cuts them."""

from __future__ import annotations

from contextlib import aclosing

from hypothesis import given
from hypothesis import strategies as st

from workflow_engine.calls.event_stream import ServerEvent, server_events


class Pieces:
    """A stream that comes in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def iter_chunked(self, size: int):
        for piece in self._pieces:
            yield piece


async def read(*pieces: bytes) -> list[ServerEvent]:
    async with aclosing(server_events(Pieces(list(pieces)), "x", 10_000)) as events:  # type: ignore[arg-type]
        return [event async for event in events]


LINES = st.sampled_from(
    [
        *(b"data: a", b"data:b", b"data", b"data:  c", "data: ü".encode(), b": note", b"", b""),
        *(b"id: 1", b"id:", b"id: \x01", b"retry: 5", b"retry: x", b"event: e", b"what: else"),
    ]
)


@given(st.lists(LINES, max_size=12), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.data())
async def test_it_does_not_matter_where_pieces_are_cut(lines, end, data):
    text = b"".join(line + end for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert await read(*pieces) == await read(b"".join(line + b"\n" for line in lines))


async def test_an_event_is_its_lines_of_data_and_what_goes_with_them():
    told = await read(
        b"\xef\xbb\xbf: hello\nid: 7\nretry: 300\nevent: x\ndata: a\ndata:\ndata:  b\n\ndata: lost"
    )
    assert told == [ServerEvent(b"a\n\n b", "7", 300, "x")]


async def test_an_event_without_data_is_told_for_its_id_and_an_id_may_be_taken_back():
    assert await read(b"id: 1\n\nevent: x\n\nid\n\n") == [ServerEvent(b"", "1"), ServerEvent(b"", "")]


async def test_an_id_that_could_not_be_sent_back_is_none():
    assert await read(b"id: a\x01b\ndata: x\n\n") == [ServerEvent(b"x")]
    assert await read(b"id: " + b"1" * 1001 + b"\ndata: x\n\n") == [ServerEvent(b"x")]
