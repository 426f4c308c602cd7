"""One running app and one Chromium for all browser tests; a fresh context for each test."""

import sys
from collections.abc import Iterator

import pytest

playwright_api = pytest.importorskip("playwright.sync_api")

from served import ARGUMENTS, CHROMIUM, serve  # noqa: E402


@pytest.fixture(scope="session")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app as a visitor gets it."""
    with serve([sys.executable, "app.py"], tmp_path_factory.mktemp("app")) as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> Iterator["playwright_api.Browser"]:
    """Debian's Chromium, without a network of its own."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(
    chromium: "playwright_api.Browser", app_url: str, request: pytest.FixtureRequest
) -> Iterator["playwright_api.Page"]:
    """The opened page. A test fails on an error in the page or a request to another host."""
    options = {"viewport": {"width": 1280, "height": 900}} | getattr(request, "param", {})
    context = chromium.new_context(**options)
    opened = context.new_page()
    opened.set_default_timeout(120_000)  # a busy machine is slow, not wrong
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(f"error: {error}"))
    opened.on("console", lambda m: check_console(m, faults))
    opened.on("request", lambda r: check_host(r.url, app_url, faults))
    opened.goto(app_url)
    opened.wait_for_selector(".diffuser")
    yield opened
    context.close()
    assert not faults


def check_console(message: "playwright_api.ConsoleMessage", faults: list[str]) -> None:
    """No error may be written, but for status 422: so gradio answers a value that is refused."""
    if message.type == "error" and "status of 422" not in message.text:
        faults.append(message.text)


def check_host(url: str, app_url: str, faults: list[str]) -> None:
    """Only this app, and data inside the page, may be asked."""
    if not url.startswith((app_url, "data:", "blob:")):
        faults.append(f"request to another host: {url}")
