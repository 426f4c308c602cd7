"""The picture of the README: `python tests/browser/screenshot.py` writes weights/page.png."""

import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from served import ARGUMENTS, CHROMIUM, ROOT, serve

SIZE = {"width": 1280, "height": 860}
MOST_BYTES = 300_000


def main() -> None:
    """The first screen of the page as a visitor meets it, 1280 pixels wide, in light colours."""
    with tempfile.TemporaryDirectory() as folder:
        app = serve([sys.executable, "app.py"], Path(folder))
        with app as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = browser.new_page(viewport=SIZE, color_scheme="light")
            page.set_default_timeout(120_000)
            page.goto(url)
            page.wait_for_selector("#latent-picture .frame canvas")
            shot = Image.open(BytesIO(page.screenshot())).convert("RGB")
            browser.close()
    target = ROOT / "weights" / "page.png"
    shot.save(target, optimize=True)
    size = target.stat().st_size
    print(f"{target}: {shot.width} x {shot.height}, {size:,} bytes")
    assert size <= MOST_BYTES, "too large for a README"


if __name__ == "__main__":
    main()
