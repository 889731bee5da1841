"""A packed position is the position again, and what stands in it several times is written once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_engine.interpreter.packing import APART, LARGE, MANY, pack, pack_apart, unpack

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["#", "a", "from"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def travelled(value: Any) -> Any:
    return unpack(json.loads(json.dumps(pack({"x": value}))))["x"]


@given(JSON, JSON)
def test_a_position_is_the_same_when_it_has_travelled(one: Any, other: Any) -> None:
    both = {"left": [one, other, one], "right": {"#": other}, "again": {"#": [one]}}
    assert json.dumps(travelled(both)) == json.dumps(both)


def test_what_is_the_same_value_is_written_once_and_is_one_value_again() -> None:
    large = {"rows": ["x" * 50] * 1000}
    packed = json.dumps(pack({"data": large, "input": large, "children": {"do": {"data": large}}}))
    assert packed.count("x" * 50) == 1000
    read = unpack(json.loads(packed))
    assert read == {"data": large, "input": large, "children": {"do": {"data": large}}}
    assert read["data"] is read["input"]


def test_what_only_looks_the_same_stays_two_values() -> None:
    one, other = [1, 2], [1, 2]
    read = travelled([one, other])
    read[0].append(3)
    assert read == [[1, 2, 3], [1, 2]]


@pytest.mark.parametrize("numbers", [range(1_000_000), range(-100, 100), range(5, 69)])
def test_a_row_of_numbers_is_written_by_its_ends(numbers: range) -> None:
    assert len(json.dumps(pack({"x": [*numbers]}))) < 100
    assert travelled([*numbers]) == [*numbers]


@pytest.mark.parametrize("other", [True, 70.0, 71, None, "70"])
def test_a_row_with_something_else_in_it_is_written_as_it_is(other: Any) -> None:
    numbers: list[Any] = [*range(100)]
    numbers[70] = other
    assert json.dumps(travelled(numbers)) == json.dumps(numbers)


def test_a_position_that_is_not_packed_is_read_as_it_is() -> None:
    assert unpack({"root": {"region": ""}}) == {"root": {"region": ""}}


@given(JSON, JSON, st.sampled_from([None, "one", "other"]))
def test_a_position_is_the_same_when_what_is_large_in_it_has_travelled_apart(
    one: Any, other: Any, input: str | None
) -> None:
    large = {"large": "x" * LARGE, "#": other}
    position = {
        "left": [one, large, one],
        "right": {"#": other},
        "again": {"#": [large]},
        "more": "y" * LARGE,
    }
    given = {"one": large, "other": other}.get(input or "")
    packed, apart = pack_apart(position, given)
    assert len(json.dumps(packed)) < LARGE
    read = unpack(*json.loads(json.dumps([packed, given, apart])))
    assert json.dumps(read) == json.dumps(position)
    assert read["left"][1]["large"] is read["again"]["#"][0]["large"]


def test_what_travels_apart_is_the_smallest_that_is_large() -> None:
    """What changes beside it does not change it, and so it is not stored again."""
    kept, rows = "x" * LARGE, [{"row": number} for number in range(LARGE // 8)]
    packed, apart = pack_apart({"data": {"count": 1, "kept": kept, "rows": rows}, "input": kept}, None)
    assert [*map(id, apart)] == [id(kept), id(rows)]
    assert packed["value"] == {
        "data": {"count": 1, "kept": {"#": "0"}, "rows": {"#": "1"}},
        "input": {"#": "0"},
    }


def test_the_input_of_the_run_travels_by_itself_and_is_one_value_again() -> None:
    input = {"text": "x" * LARGE}
    packed, apart = pack_apart({"data": input, "context": {"kept": input}}, input)
    assert apart == []
    read = unpack(json.loads(json.dumps(packed)), input)
    assert read["data"] is input
    assert read["context"]["kept"] is input


def test_what_is_large_and_has_many_members_travels_whole_and_no_more_than_so_many_do() -> None:
    many = ["x" * LARGE if number == 3 else "" for number in range(MANY + 1)]
    assert pack_apart({"x": many}, None)[1] == [many]
    texts = [str(number) * LARGE for number in range(APART + 2)]
    packed, apart = pack_apart({"x": texts}, None)
    assert len(apart) == APART
    assert unpack(json.loads(json.dumps(packed)), None, apart) == {"x": texts}
