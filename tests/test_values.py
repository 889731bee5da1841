from __future__ import annotations

from datetime import UTC, datetime

import pytest

from workflow_engine.values import Duration

NOW = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT1H30M", 5400),
        ("P1M", 28 * 86400),
        ("P1Y", 365 * 86400),
        ("P1W", 604800),
        ("PT0.5S", 0.5),
        ("P1000Y", None),
    ],
)
def test_a_duration_is_so_many_seconds_from_a_moment(text: str, seconds: float | None) -> None:
    length = Duration.parse(text).seconds_from(NOW)
    assert seconds is None or length == seconds


@pytest.mark.parametrize(
    "text", ["P1001Y", "P99999999M", "P999999D", "PT" + "9" * 400 + "S", "P" + "9" * 400 + "Y", "P9999Y"]
)
def test_what_is_longer_than_a_thousand_years_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="longer than 1000 years"):
        Duration.parse(text)


@pytest.mark.parametrize("seconds", [1e12, 10**400, float("inf"), float("nan")])
def test_nor_is_it_where_its_parts_are_given(seconds: float) -> None:
    with pytest.raises(ValueError, match="longer than 1000 years"):
        Duration.of({"seconds": seconds})
