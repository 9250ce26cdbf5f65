"""Generate the shop's source data: five related Postgres tables, reproducible to the cent."""

from data_generator.connect import InvalidDsnError, UnavailableError
from data_generator.job import Progress
from data_generator.load import Summary, generate, set_sizes
from data_generator.options import GeneratorError, InvalidOptionsError, Options, Window
from data_generator.schema import migrate, reset

__all__ = [
    "GeneratorError",
    "InvalidDsnError",
    "InvalidOptionsError",
    "Options",
    "Progress",
    "Summary",
    "UnavailableError",
    "Window",
    "generate",
    "migrate",
    "reset",
    "set_sizes",
]
