"""Counts in words: `1 row`, `2 rows`."""


def counted(number: int, noun: str) -> str:
    """`1 asset`, `2 assets`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
