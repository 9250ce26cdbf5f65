"""Names, countries and words, drawn from Faker's lists.

Only text comes from here. The lists are sampled directly: calling Faker for every row costs many
times as much. Another release of Faker may change a name, never a number or a key.
"""

from collections.abc import Sequence
from functools import cache
from random import Random

from ecommerce_dagster.errors import MissingExtra


def _copy_text(values: Sequence[str]) -> tuple[str, ...]:
    """Return the values as COPY wants them; they are free of tabs and line ends."""
    return tuple(value.replace("\\", "\\\\") for value in values)


@cache
def _lists() -> tuple[tuple[str, ...], ...]:
    """Return first names, last names, countries and words. Raises MissingExtra."""
    try:
        from faker.providers.address.en import Provider as Address
        from faker.providers.lorem.en_US import Provider as Lorem
        from faker.providers.person.en_US import Provider as Person
    except ModuleNotFoundError:
        raise MissingExtra("the generator of the shop's data needs faker", "demo") from None
    words = tuple(word.capitalize() for word in _copy_text(Lorem.word_list))
    first, last = list(Person.first_names), list(Person.last_names)
    return _copy_text(first), _copy_text(last), _copy_text(Address.countries), words


class Words:
    """Text that depends on the seed and nothing else."""

    def __init__(self, seed: str) -> None:
        self._choice = Random(seed).choice
        self._first_names, self._last_names, self._countries, self._words = _lists()

    def full_name(self) -> str:
        """Return a first and a last name."""
        return f"{self._choice(self._first_names)} {self._choice(self._last_names)}"

    def country(self) -> str:
        """Return the English name of a country."""
        return self._choice(self._countries)

    def word(self) -> str:
        """Return a word with a capital first letter."""
        return self._choice(self._words)
