"""Filters for dates in templates."""

from __future__ import annotations

import pytest

from ecommerce_dagster.bruin.templates.render import RenderError, RunContext, render


def rendered(expression: str) -> str:
    return render(f"{{{{ {expression} }}}}", RunContext(), "a")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'2024-01-15' | add_days(1)", "2024-01-16"),
        ("'2024-01-15' | add_days(-15)", "2023-12-31"),
        ("'2024-01-15' | add_days('3')", "2024-01-18"),
        ("'2024-01-15' | add_days(2.0)", "2024-01-17"),
        ("'2024-01-15' | date_add(1)", "2024-01-16"),
        ("'20240115' | add_days(1)", "20240116"),
        ("'2024-01-15T10:00:00' | add_hours(20)", "2024-01-16T06:00:00"),
        ("'2024-01-15T10:00:00.000000Z' | add_minutes(90)", "2024-01-15T11:30:00.000000Z"),
        ("'2024-01-15T10:00:00Z' | add_seconds(1)", "2024-01-15T10:00:01Z"),
        ("'2024-01-15 10:00:00' | add_seconds(-1)", "2024-01-15 09:59:59"),
        ("'2024-01-15 10:00:00.5' | add_seconds(1)", "2024-01-15 10:00:01.500000"),
        ("'2024-01-15T10:00:00.000000Z' | add_milliseconds(5)", "2024-01-15T10:00:00.005000Z"),
        ("'2024-01-15' | add_months(1)", "2024-02-15"),
        ("'2024-01-31' | add_months(1)", "2024-03-02"),
        ("'2023-01-31' | add_months(1)", "2023-03-03"),
        ("'2024-01-15' | add_months(-1)", "2023-12-15"),
        ("'2024-03-31' | add_months(-1)", "2024-03-02"),
        ("'2024-02-29' | add_years(1)", "2025-03-01"),
        ("'2024-02-29' | add_years(4)", "2028-02-29"),
        ("'2024-01-15T10:20:30.400000Z' | truncate_hour", "2024-01-15T10:00:00.000000Z"),
        ("'2024-01-15T10:20:30' | truncate_day", "2024-01-15T00:00:00"),
        ("'2024-05-15' | truncate_month", "2024-05-01"),
        ("'2024-05-15' | truncate_year", "2024-01-01"),
        ("'2024-01-15' | date_format('%Y/%m/%d')", "2024/01/15"),
        ("'2024-01-15' | date_format('%%Y %Y')", "%Y 2024"),
        ("'0999-01-15' | date_format('%Y')", "0999"),
        ("'2024-01-05T07:08:09.5' | date_format('%y %m %d %e %H %I %M %S %f %p %j %a %A %b %B %u')",
         "24 01 05  5 07 07 08 09 500000 AM 005 Fri Friday Jan January 5"),
        ("'2024-01-05' | date_format('%F %T %R %D %V %W %G %-d %-m %C')",
         "2024-01-05 00:00:00 00:00 01/05/24 01 01 2024 5 1 20"),
        ("'2024-01-05 01:00:00' | date_format('%s %z %Z')", "1704416400 +0000 UTC"),
        ("'2024-01-05T01:00:00+02:00' | date_format('%s %z')", "1704409200 +0200"),
        ("'2024-01-05T01:00:00+02:00' | add_hours('23')", "2024-01-06T00:00:00+02:00"),
        ("'2024-01-05T01:00:00.25-00:30' | add_days('-1')", "2024-01-04T01:00:00.250000-00:30"),
        ("'2024-01-05 01:30' | add_minutes('40')", "2024-01-05 02:10"),
        ("'20240131' | add_months('1')", "20240302"),
        ("'2024-01-31T05:06:07' | add_years('-1')", "2023-01-31T05:06:07"),
        ("'2024-01-31T05:06:07.000008Z' | add_milliseconds('-8')", "2024-01-31T05:06:06.992008Z"),
        ("'2024-05-15T10:20:30.400000Z' | truncate_year", "2024-01-01T00:00:00.000000Z"),
        ("'20240515' | truncate_month", "20240501"),
        ("'20240515' | truncate_hour", "20240515"),
        ("'2024-01-15' | truncate_month | add_days(-1) | date_format('%d.%m.')", "31.12."),
    ],
)  # fmt: skip
def test_a_filter_keeps_the_format_of_the_date(expression: str, value: str) -> None:
    assert rendered(expression) == value


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("'x' | add_days(1)", "'x' is not a date; expected one like 2026-01-31"),
        ("none | add_days(1)", "'None' is not a date; expected one like 2026-01-31"),
        ("'2024-02-30' | truncate_day", "'2024-02-30' is not a date; expected one like 2026-01-31"),
        ("'2024-01-15' | add_days('x')", "expected a whole number, not 'x'"),
        ("'2024-01-15' | add_days(1.5)", "expected a whole number, not '1.5'"),
        ("'2024-01-15' | add_days(none)", "expected a whole number, not 'None'"),
        ("'9999-12-31' | add_days(1)", "this leads from 9999-12-31 out of the years 1 to 9999"),
        ("'0001-01-01' | add_months(-1)", "this leads from 0001-01-01 out of the years 1 to 9999"),
        ("'9999-12-31' | add_years(1)", "this leads from 9999-12-31 out of the years 1 to 9999"),
        ("'2024-01-01' | add_days(10**9)", "this leads from 2024-01-01 out of the years 1 to 9999"),
        ("'2024-01-01'|add_days(10**99)", "this leads from 2024-01-01 out of the years 1 to 9999"),
    ],
)  # fmt: skip
def test_what_cannot_be_worked_out_is_explained(expression: str, error: str) -> None:
    with pytest.raises(RenderError) as caught:
        rendered(expression)
    assert str(caught.value) == f"the template fails: {error}"
