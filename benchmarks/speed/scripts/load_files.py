"""The definitions of a pipeline, as a code location makes them: `python load_files.py FOLDER`.
Prints the seconds without the imports."""

import sys
import time

from ecommerce_dagster import build_defs

began = time.perf_counter()
build_defs(sys.argv[1]).get_repository_def()
print(time.perf_counter() - began)
