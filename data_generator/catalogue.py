"""Customers, products and variants: what is drawn, and the lines COPY reads.

Every row carries its position in the load and a key made of positions alone (e-mail, SKU), so that
keys never collide, whatever the scale, and a second run meets the rows of the first.
"""

from collections.abc import Iterator
from random import Random

from data_generator.words import Words

_CODES = {
    "t-shirts": "TSH",
    "hoodies": "HOO",
    "shoes": "SHO",
    "accessories": "ACC",
    "jackets": "JAC",
}
CATEGORIES = tuple(_CODES)
COLOURS = ("Red", "Blue", "Black", "White", "Green")
APPAREL_SIZES = ("S", "M", "L", "XL")
SHOE_SIZES = ("36", "38", "40", "42", "44")


def sizes(category: str) -> tuple[str, ...]:
    """Return the sizes that products of the category come in."""
    return SHOE_SIZES if category == "shoes" else APPAREL_SIZES


def suits(size: str | None, category: str) -> bool:
    """Tell whether a size is of the right kind for the category."""
    return size is not None and (size.isdigit() if category == "shoes" else size in APPAREL_SIZES)


def customer_lines(rng: Random, count: int, seed: int, created_at: str) -> Iterator[str]:
    """Draw customers; yields position, full_name, email, country, age, created_at."""
    words = Words(f"customers {seed}")
    for position in range(count):
        email = f"customer.{position + 1:06d}@example.com"
        age = rng.randint(18, 70)
        yield f"{position}\t{words.full_name()}\t{email}\t{words.country()}\t{age}\t{created_at}\n"


def product_lines(rng: Random, count: int, seed: int, categories: list[str]) -> Iterator[str]:
    """Draw products; yields position, name, category, sku and appends to `categories`."""
    words = Words(f"products {seed}")
    for position in range(count):
        category = rng.choice(CATEGORIES)
        categories.append(category)
        sku = _sku(position, category)
        yield f"{position}\t{words.product(category)}\t{category}\t{sku}\n"


def variant_lines(rng: Random, products: list[str], categories: list[str]) -> Iterator[str]:
    """Draw the variants of the products, given as one category each; yields one text a product.

    Columns: position, product position, variant_sku, color, size, manufacturing_price,
    selling_price, stock_quantity. Appends the category of each variant to `categories`.
    """
    for product, category in enumerate(products):
        sku = _sku(product, category)
        kind = sizes(category)
        lines = ""
        for number in range(1, rng.randint(1, 4) + 1):
            colour = rng.choice(COLOURS)
            size = rng.choice(kind)
            cost = round(rng.uniform(10, 80), 2)
            price = round(cost * rng.uniform(1.2, 2.0), 2)
            stock = rng.randint(0, 200)
            position = len(categories)
            categories.append(category)
            lines += (
                f"{position}\t{product}\t{sku}-{number}\t{colour}\t{size}"
                f"\t{cost:.2f}\t{price:.2f}\t{stock}\n"
            )
        yield lines


def _sku(position: int, category: str) -> str:
    return f"{_CODES[category]}-{position + 1:06d}"
