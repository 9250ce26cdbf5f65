"""Names of people, countries and products.

Only text comes from here. Faker's lists of names are sampled directly: calling Faker for every row
costs many times as much. Another release of Faker may change a name, never a number or a key.
"""

from collections.abc import Sequence
from functools import cache
from random import Random

from ecommerce_dagster.errors import MissingExtra

# Of a hundred customers.
_COUNTRIES = {
    "United States": 23,
    "United Kingdom": 14,
    "Germany": 13,
    "France": 9,
    "Canada": 6,
    "Netherlands": 6,
    "Spain": 5,
    "Italy": 5,
    "Australia": 4,
    "Poland": 3,
    "Sweden": 3,
    "Austria": 2,
    "Belgium": 2,
    "Ireland": 2,
    "Switzerland": 2,
    "Japan": 1,
}
_HUNDRED = tuple(country for country, number in _COUNTRIES.items() for _ in range(number))

_ADJECTIVES = (
    "Classic", "Everyday", "Coastal", "Urban", "Alpine", "Vintage", "Light", "Heavy", "Soft",
    "Bold", "Northern", "Weekend", "Harbour", "Meadow", "Summit", "Studio",
)  # fmt: skip
_NOUNS = {
    "t-shirts": ("Linen Tee", "Cotton Tee", "Pocket Tee", "Striped Tee"),
    "hoodies": ("Zip Hoodie", "Fleece Hoodie", "Pullover Hoodie", "Cropped Hoodie"),
    "shoes": ("Canvas Sneaker", "Leather Boot", "Trail Runner", "Suede Loafer"),
    "accessories": ("Wool Scarf", "Leather Belt", "Knit Beanie", "Felt Hat"),
    "jackets": ("Rain Jacket", "Denim Jacket", "Down Jacket", "Field Jacket"),
}


def _copy_text(values: Sequence[str]) -> tuple[str, ...]:
    """Return the values as COPY wants them; they are free of tabs and line ends."""
    return tuple(value.replace("\\", "\\\\") for value in values)


@cache
def _lists() -> tuple[tuple[str, ...], ...]:
    """Return first and last names. Raises MissingExtra."""
    try:
        from faker.providers.person.en_US import Provider as Person
    except ModuleNotFoundError:
        raise MissingExtra("the generator of the shop's data needs faker", "demo") from None
    return _copy_text(list(Person.first_names)), _copy_text(list(Person.last_names))


class Words:
    """Text that depends on the seed and nothing else."""

    def __init__(self, seed: str) -> None:
        self._choice = Random(seed).choice
        self._first_names, self._last_names = _lists()

    def full_name(self) -> str:
        """Return a first and a last name."""
        return f"{self._choice(self._first_names)} {self._choice(self._last_names)}"

    def country(self) -> str:
        """Return the English name of a country, those with more customers more often."""
        return self._choice(_HUNDRED)

    def product(self, category: str) -> str:
        """Return the name of a product of the category."""
        return f"{self._choice(_ADJECTIVES)} {self._choice(_NOUNS[category])}"
