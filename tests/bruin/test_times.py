"""`timeout` and `interval_modifiers`: lengths of time in asset files."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bruin.helpers import Files
from ecommerce_dagster.bruin.model.durations import seconds_in
from ecommerce_dagster.bruin.model.interval import Interval, interval_between
from ecommerce_dagster.bruin.model.interval_modifiers import modified


def day(text: str) -> Interval:
    found = interval_between(text, None)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30), ("1h30m", 5400), ("500ms", 0.5), ("1.5h", 5400), ("90", 90), (" 2m ", 120),
        ("1h1m1s1ms", 3661.001), ("0s", 0),
    ],
)  # fmt: skip
def test_a_duration_is_written_as_in_go(text: str, seconds: float) -> None:
    assert seconds_in(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "5 minutes", "1d", "-5s", "s", "1h 5m", "٣s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        seconds_in(text)
    assert str(caught.value) == f"'{text}' is not a duration; write 30s, 5m or 1h30m"


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        ("", "", "2024-01-31"),
        ("-1d", "", "2024-01-30 to 2024-01-31"),
        ("-2h", "1h", "2024-01-30 22:00:00 to 2024-02-01 00:59:59"),
        ("-1M", "+1d", "2023-12-31 to 2024-02-01"),
        ("-90s", "5m", "2024-01-30 23:58:30 to 2024-02-01 00:04:59"),
        ("-5ns", "0ms", "2024-01-31"),
    ],
)
def test_modifiers_move_the_ends_of_an_interval(start: str, end: str, shown: str) -> None:
    assert str(modified(day("2024-01-31"), start, end)) == shown


def test_months_are_added_as_in_go() -> None:
    after = modified(day("2024-01-30"), "", "1M").end
    assert after == datetime(2024, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "error"),
    [
        ("two", "", "'two' is not an interval modifier; write -2h, 1d or -1M (ns ms s m h d M)"),
        ("1d2h", "", "'1d2h' is not an interval modifier; write -2h, 1d or -1M (ns ms s m h d M)"),
        ("1y", "", "'1y' is not an interval modifier; write -2h, 1d or -1M (ns ms s m h d M)"),
        ("2d", "", "the interval ends (2024-02-01 00:00:00) before it starts "
                   "(2024-02-02 00:00:00)"),
        ("", "99999999M", "'99999999M': the interval leaves the years 1 to 9999"),
        ("-999999999999999999d", "", "'-999999999999999999d': the interval leaves the years 1 to 9999"),
        ("-9999999d", "1d", "'-9999999d' and '1d': the interval leaves the years 1 to 9999"),
    ],
)  # fmt: skip
def test_modifiers_that_make_no_interval_are_refused(start: str, end: str, error: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        modified(day("2024-01-31"), start, end)
    assert str(caught.value) == error


def test_both_are_checked_before_anything_runs(files: Files) -> None:
    files.write(
        "assets/a.asset.yml",
        """
        type: empty
        timeout: soon
        interval_modifiers:
          start: two days
          end: "{% if full_refresh %}1d{% endif %}"
        """,
    )
    assert files.errors() == [
        "assets/a.asset.yml:2: 'soon' is not a duration; write 30s, 5m or 1h30m",
        "assets/a.asset.yml:4: 'two days' is not an interval modifier; "
        "write -2h, 1d or -1M (ns ms s m h d M)",
    ]
