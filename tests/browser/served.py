"""The app in a process of its own, and the Chromium that opens it; for tests and for scripts."""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
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
PATIENCE = 300.0  # seconds; a busy machine is slow, not wrong


def answers(url: str) -> bool:
    """Whether something serves this address."""
    try:
        urllib.request.urlopen(url, timeout=10).close()
    except OSError:
        return False
    return True


@contextmanager
def serve(command: list[str], folder: Path) -> Iterator[str]:
    """Runs a program that launches a page, on a free port, offline; yields its address.

    Its log and its temporary files go to `folder`. RuntimeError, with the log, if it does not
    answer.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_TEMP_DIR": str(folder),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
    }
    url = f"http://127.0.0.1:{port}"
    with (folder / "log.txt").open("w+") as log:
        app = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + PATIENCE
            while not answers(url) and app.poll() is None and time.monotonic() < deadline:
                time.sleep(0.5)
            if app.poll() is not None or not answers(url):
                raise RuntimeError(f"the app did not start:\n{(folder / 'log.txt').read_text()}")
            yield url
        finally:
            app.terminate()
            app.wait(20)
