"""One running app and one Chromium for all browser tests; a fresh context for each test."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
playwright_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def answers(url: str) -> bool:
    """Whether something serves this address."""
    try:
        urllib.request.urlopen(url, timeout=10).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app as a visitor gets it, in a process of its own on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("app")
    env = os.environ | {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_TEMP_DIR": str(folder),
        "HF_HUB_OFFLINE": "1",
    }
    url = f"http://127.0.0.1:{port}"
    with (folder / "log.txt").open("w+") as log:
        app = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + 300  # a busy machine is slow, not wrong
            while not answers(url) and app.poll() is None and time.monotonic() < deadline:
                time.sleep(0.5)
            if app.poll() is not None or not answers(url):
                pytest.fail(f"the app did not start:\n{(folder / 'log.txt').read_text()}")
            yield url
        finally:
            app.terminate()
            app.wait(20)


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
    opened.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    opened.on("request", lambda r: check_host(r.url, app_url, faults))
    opened.goto(app_url)
    opened.wait_for_selector(".diffuser")
    yield opened
    context.close()
    assert not faults


def check_host(url: str, app_url: str, faults: list[str]) -> None:
    """Only this app, and data inside the page, may be asked."""
    if not url.startswith((app_url, "data:", "blob:")):
        faults.append(f"request to another host: {url}")
