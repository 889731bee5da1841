"""Server-sent events mean the same however the network cuts them."""

from __future__ import annotations

from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_engine.calls.event_stream import ServerEvent, server_events
from workflow_engine.errors import Fault


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


@given(
    st.lists(LINES, max_size=12),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.data(),
)
async def test_it_does_not_matter_where_pieces_are_cut(lines, end, mark, data):
    text = mark + b"".join(line + end for line in lines)
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
    for id in (b"a\x01b", b"\xff", "a\u2028b".encode()):
        assert await read(b"id: " + id + b"\ndata: x\n\n") == [ServerEvent(b"x")]
    assert await read("id: é-1\ndata: x\n\n".encode()) == [ServerEvent(b"x", "é-1")]
    assert await read(b"id: " + b"1" * 1001 + b"\ndata: x\n\n") == [ServerEvent(b"x")]


@pytest.mark.parametrize("lines", [b"data: " + b"x" * 10_001, b"data: x\n" * 1_500, b"data: x\n" * 2_000])
async def test_an_event_that_is_too_large_is_left_out_for_who_would_get_it_again(lines):
    text = b"id: 1\ndata: a\n\n" + lines + b"\nid: 2\n\ndata: b\n\n"
    left_out = []
    for pieces in ([text], [text[at : at + 700] for at in range(0, len(text), 700)]):
        stream = server_events(Pieces(pieces), "x", 10_000, left_out=lambda: left_out.append(1))  # type: ignore[arg-type]
        async with aclosing(stream) as events:
            assert [event async for event in events] == [
                ServerEvent(b"a", "1"),
                ServerEvent(b"", "2"),
                ServerEvent(b"b"),
            ]
    assert left_out == [1, 1]
    with pytest.raises(Fault, match="x: the answer is larger than 10000 bytes"):
        await read(text)
