"""Seeds that are behind a URL."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ecommerce_dagster.sources.seeds.files import SeedError

_SECONDS = 60  # without a byte, until a server counts as gone


def fetched(url: str, folder: Path) -> Path:
    """The file behind an http(s) URL, under its own name in a folder. Raises SeedError, which does
    not repeat what follows a `?`: signed URLs are passwords."""
    parts = urlsplit(url)
    file = folder / (PurePosixPath(unquote(parts.path)).name or "seed")
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer, file.open("wb") as copy:  # noqa: S310 - the caller has looked at the scheme
            shutil.copyfileobj(answer, copy)
    except urllib.error.HTTPError as error:
        raise SeedError(f"{shown} cannot be read: {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise SeedError(f"{shown} cannot be read: {error.reason}") from None
    except (OSError, ValueError, HTTPException) as error:
        raise SeedError(f"{shown} cannot be read: {type(error).__name__}") from None
    return file
