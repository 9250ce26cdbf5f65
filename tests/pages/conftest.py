"""Pages from files, in a real browser without a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from orchestration.helpers import Outcome, Shop
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open a file. At the end, nothing was asked of a network, and no script has failed."""
    wrong: list[str] = []
    pages: list[Page] = []

    def show(
        path: Path,
        *,
        width: int = 1280,
        dark: bool = False,
        fragment: str = "",
        scripts: bool = True,
    ) -> Page:
        page = browser.new_page(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        pages.append(page)
        page.on("request", lambda r: None if _is_local(r.url) else wrong.append(r.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append("a dialog"), dialog.dismiss()))
        page.goto(path.as_uri() + fragment)
        return page

    yield show
    for page in pages:
        page.close()
    assert wrong == []


def _is_local(url: str) -> bool:
    return url.startswith(("file:", "data:"))


def fits(page: Page) -> bool:
    """Whether nothing has to be scrolled sideways to be read."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def luminance(page: Page, selector: str, style: str) -> float:
    """How bright a colour of an element is, from 0 to 255."""
    colour = page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{style}")
    red, green, blue = (int(part) for part in colour[4:-1].split(","))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def apart(shop: Shop, *arguments: str) -> Outcome:
    """`ecommerce ...` in a thread of its own: the browser's event loop occupies this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(shop.invoke, *arguments).result()
