"""The stretch of time that a run is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ecommerce_dagster.bruin.model.interval import Interval, interval_between, yesterday


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def between(start: str | None, end: str | None) -> Interval:
    found = interval_between(start, end)
    assert found is not None
    return found


@pytest.mark.parametrize("nothing", [None, ""])
def test_without_dates_there_is_no_interval(nothing: str | None) -> None:
    assert interval_between(nothing, nothing) is None


@pytest.mark.parametrize(
    ("start", "end", "first", "after"),
    [
        ("2024-01-15", None, utc(2024, 1, 15), utc(2024, 1, 16)),
        ("2024-01-15", "", utc(2024, 1, 15), utc(2024, 1, 16)),
        ("2024-01-15", "2024-01-15", utc(2024, 1, 15), utc(2024, 1, 16)),
        ("2024-01-15", "2024-01-17", utc(2024, 1, 15), utc(2024, 1, 18)),
        (" 2024-01-15 ", "2024-01-17\n", utc(2024, 1, 15), utc(2024, 1, 18)),
        ("20240115", "20240117", utc(2024, 1, 15), utc(2024, 1, 18)),
        ("2024-01-15 12:00:00", "2024-01-15", utc(2024, 1, 15, 12), utc(2024, 1, 16)),
        ("2024-01-15", "2024-01-15T11:59:59.999999", utc(2024, 1, 15), utc(2024, 1, 15, 12)),
        ("2024-01-15T00:00:00+02:00", "2024-01-15T23:59:59.999999+02:00",
         utc(2024, 1, 14, 22), utc(2024, 1, 15, 22)),
        ("2024-01-15T00:00:00Z", "2024-01-15T00:00:00Z",
         utc(2024, 1, 15), utc(2024, 1, 15, 0, 0, 0, 1)),
        ("0001-01-01", None, utc(1, 1, 1), utc(1, 1, 2)),
        ("9999-12-30", None, utc(9999, 12, 30), utc(9999, 12, 31)),
    ],
)  # fmt: skip
def test_both_dates_are_part_of_the_interval(
    start: str, end: str | None, first: datetime, after: datetime
) -> None:
    found = between(start, end)
    assert (found.start, found.end) == (first, after)
    assert (found.start.tzinfo, found.end.tzinfo) == (UTC, UTC)


@pytest.mark.parametrize(
    ("start", "end", "error"),
    [
        (None, "2024-01-15", "an end date needs a start date"),
        ("2024-01-16", "2024-01-15", "the end '2024-01-15' is before the start '2024-01-16'"),
        ("2024-01-15 12:00", "2024-01-15 11:59",
         "the end '2024-01-15 11:59' is before the start '2024-01-15 12:00'"),
        ("2024-01-15 12:00:00", None,
         "'2024-01-15 12:00:00' is a moment and not a day; give an end as well"),
        ("yesterday", None, "'yesterday' is not a date; write 2026-01-31 or '2026-01-31 12:00:00'"),
        ("2024-02-30", None,
         "'2024-02-30' is not a date; write 2026-01-31 or '2026-01-31 12:00:00'"),
        ("2024-01-15", "soon", "'soon' is not a date; write 2026-01-31 or '2026-01-31 12:00:00'"),
        ("9999-12-31", None, "'9999-12-31' is too late; the last day is 9999-12-30"),
        ("2024-01-01", "9999-12-31T23:59:59.999999",
         "'9999-12-31T23:59:59.999999' is too late; the last day is 9999-12-30"),
        ("0001-01-01T00:00:00+14:00", "0001-01-02",
         "'0001-01-01T00:00:00+14:00' is outside of the years 1 to 9999 in UTC"),
        ("9999-12-31T23:00:00-14:00", "9999-12-31",
         "'9999-12-31T23:00:00-14:00' is outside of the years 1 to 9999 in UTC"),
    ],
)  # fmt: skip
def test_dates_that_make_no_interval_are_refused_with_a_sentence(
    start: str | None, end: str | None, error: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        interval_between(start, end)
    assert str(caught.value) == error


def test_an_interval_is_half_open_and_knows_its_last_instant() -> None:
    found = between("2024-01-15", None)
    assert found.last == utc(2024, 1, 15, 23, 59, 59, 999999)


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ("2024-01-15", None, "2024-01-15"),
        ("2024-01-15", "2024-01-17", "2024-01-15 to 2024-01-17"),
        ("2024-01-15", "2024-01-15 11:59:59.999999", "2024-01-15 00:00:00 to 2024-01-15 11:59:59"),
        ("0001-01-01", None, "0001-01-01"),
    ],
)
def test_an_interval_reads_like_the_dates_that_were_given(
    start: str, end: str | None, text: str
) -> None:
    assert str(between(start, end)) == text


def test_an_interval_is_in_utc_whatever_it_is_made_of() -> None:
    east = timezone(timedelta(hours=2))
    found = Interval(datetime(2024, 1, 15, 2, tzinfo=east), datetime(2024, 1, 16, tzinfo=UTC))
    assert found == between("2024-01-15", None)
    naive = Interval(datetime(2024, 1, 15), datetime(2024, 1, 16))
    assert naive == found


def test_an_empty_interval_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ends \(2024-01-15 00:00:00\) before it starts"):
        Interval(utc(2024, 1, 15), utc(2024, 1, 15))


def test_yesterday_is_the_whole_utc_day_before() -> None:
    late_in_the_west = datetime(2024, 1, 15, 23, tzinfo=timezone(timedelta(hours=-5)))
    assert str(yesterday(late_in_the_west)) == "2024-01-15"
    assert str(yesterday(utc(2024, 3, 1))) == "2024-02-29"
    assert yesterday().end <= datetime.now(UTC)
