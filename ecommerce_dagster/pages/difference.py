"""The page of what differs between tables."""

from __future__ import annotations

from collections.abc import Sequence

from ecommerce_dagster.pages.templating import render
from ecommerce_dagster.runtime.diff.messages import Words


def difference_page(found: Sequence[tuple[Words | None, str, str]]) -> str:
    """One HTML file without scripts. `found` has for each table the difference, its name, and why
    it could not be compared."""
    equal = [name for words, name, _ in found if words is not None and words.is_none]
    others = [each for each in found if each[0] is None or not each[0].is_none]
    return render("difference.html.j2", others=others, equal=equal, number=len(found))
