"""Names, countries and words, drawn from Faker's lists.

Only text comes from here. The lists are sampled directly: calling Faker for every row costs many
times as much. Another release of Faker may change a name, never a number or a key.
"""

from collections.abc import Sequence
from random import Random

from faker.providers.address.en import Provider as Address
from faker.providers.lorem.en_US import Provider as Lorem
from faker.providers.person.en_US import Provider as Person


def _copy_text(values: Sequence[str]) -> tuple[str, ...]:
    """Return the values as COPY wants them; they are free of tabs and line ends."""
    return tuple(value.replace("\\", "\\\\") for value in values)


_FIRST_NAMES = _copy_text(list(Person.first_names))
_LAST_NAMES = _copy_text(list(Person.last_names))
_COUNTRIES = _copy_text(Address.countries)
_WORDS = tuple(word.capitalize() for word in _copy_text(Lorem.word_list))


class Words:
    """Text that depends on the seed and nothing else."""

    def __init__(self, seed: str) -> None:
        self._choice = Random(seed).choice

    def full_name(self) -> str:
        """Return a first and a last name."""
        return f"{self._choice(_FIRST_NAMES)} {self._choice(_LAST_NAMES)}"

    def country(self) -> str:
        """Return the English name of a country."""
        return self._choice(_COUNTRIES)

    def word(self) -> str:
        """Return a word with a capital first letter."""
        return self._choice(_WORDS)
