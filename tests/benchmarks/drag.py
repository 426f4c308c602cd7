"""How fast a dragged latent becomes a picture; beside it, a stock slider.

    python tests/benchmarks/drag.py

One page, one decoder (vae-2d), one Chromium, a real mouse at 60 moves a second, 5 s a variant:

    stock     gr.Slider.change -> gr.Image, every default of gradio
    ours      LatentPad -> LivePicture, as in the tab Latent space
    + sampling  the same while the heavy lane draws digits

Every picture carries the dragged value in its two top rows, 12 bits of two pixels each, and the
page reads them back from what is displayed. So the delay is from the pointer's event to the pixels
of that very position, and a last position that never appears is seen.
The numbers mean something on a quiet machine only; compare them within one run.
"""

import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

sys.path.append(str(Path(__file__).resolve().parents[1] / "browser"))
from served import ARGUMENTS, CHROMIUM, serve  # noqa: E402

SECONDS, RATE, MARGIN = 5.0, 60, 30
BITS, REACH = 12, 8.0  # the tag: 12 bits of a value from -8 to 8

# Runs in the page before anything else. `asked` are [tag, time of the pointer's event],
# `shown` are [tag, time when its pixels were there].
WATCH = """() => {
  let pointer = 0, last = null;
  window.asked = []; window.shown = [];
  const on = (name, respond) => document.addEventListener(name, respond, true);
  const note = z => {
    const tag = Math.floor((z + REACH) / (2 * REACH) * 2 ** BITS);
    if (tag !== last) { last = tag; asked.push([tag, pointer]); }
  };
  const read = source => {
    const c = document.createElement('canvas'), g = c.getContext('2d');
    c.width = c.height = 28; g.drawImage(source, 0, 0, 28, 28);
    const px = g.getImageData(0, 0, 2 * BITS, 1).data;
    let tag = 0;
    for (let k = 0; k < BITS; k++) tag = 2 * tag + (px[8 * k] + px[8 * k + 4] > 255);
    shown.push([tag, performance.now()]);
  };
  for (const kind of ['pointerdown', 'pointermove']) on(kind, e => { pointer = e.timeStamp; });
  on('input', e => { if (e.target.type === 'range') note(Number(e.target.value)); });
  on('load', e => { if (e.target.closest && e.target.closest('#stock')) read(e.target); });
  on('diffuser:ask', e => { if (e.detail.to === 'picture') note(e.detail.args.z[0]); });
  on('diffuser:answer', () => read(document.querySelector('#picture canvas')));
}""".replace("BITS", str(BITS)).replace("REACH", str(REACH))


def tagged(z: list[float]) -> np.ndarray:
    """The decoded picture, uint8 (28, 28), with z[0] written into its two top rows."""
    import torch

    from diffuser.ui import coder, show

    picture = show.pictures(coder.decode("vae-2d", torch.tensor([z])))[0, ..., 0].copy()
    tag = math.floor((z[0] + REACH) / (2 * REACH) * 2**BITS)
    bits = [255 * (tag >> k & 1) for k in reversed(range(BITS))]
    picture[:2, : 2 * BITS] = np.repeat(bits, 2)
    return picture


def page_picture(args: dict) -> dict:
    """What `LivePicture` draws."""
    from diffuser.ui import gate, show

    return {"frames": [show.frame(tagged(gate.vector("z", args.get("z"), 2))[None, ..., None], "")]}


def sampling() -> Iterator[str]:
    """A long run for the heavy lane: its progress, step by step."""
    from diffuser.ui import reverse

    model, _ = reverse.network()
    while True:
        for moment in reverse.trajectory(reverse.OPENING._replace(steps=1000), model):
            yield f"{moment.i}"


def app() -> None:
    """The page of both variants; serves until it is ended."""
    import gradio as gr

    from diffuser.ui import coder, lanes, theme
    from diffuser.ui.components import LatentPad, LivePicture

    with gr.Blocks(analytics_enabled=False) as demo:
        with gr.Row():
            LatentPad("pad", coder.latent_map, "picture", {"model": "vae-2d", "trained": True})
            LivePicture("picture", page_picture, {}, at_once=False)
        slider = gr.Slider(-3, 3, value=-3, step=0.001, elem_id="slider")
        stock = gr.Image(elem_id="stock")
        slider.change(lambda z: tagged([z, 0.0]), slider, stock)
        go, steps = gr.Button("Sample", elem_id="go"), gr.Textbox(elem_id="steps")
        go.click(lanes.heavy(600)(sampling), None, steps, **lanes.HEAVY)
    demo.queue(**lanes.QUEUE)
    # Gradio's default is to keep a history of runs in the browser; ours has none to keep.
    demo.launch(**{**theme.LAUNCH, "run_history": True})


def drag(page: Page, handle: str, rise: float) -> dict:
    """One slow drag across an element; what was asked, what was shown, and when."""
    box = page.locator(handle).bounding_box()
    assert box is not None
    x, y, width = box["x"] + MARGIN, box["y"] + box["height"] / 2, box["width"] - 2 * MARGIN
    page.mouse.move(x, y)
    page.mouse.down()
    page.wait_for_timeout(1500)  # the jump to the start is over
    page.evaluate("() => { asked.length = shown.length = 0; }")
    began, moves = time.monotonic(), int(SECONDS * RATE)
    for k in range(moves):
        part = (k + 1) / moves
        page.mouse.move(x + part * width, y - rise * part * width)
        time.sleep(max(0.0, began + (k + 1) / RATE - time.monotonic()))
        if time.monotonic() > began + 3 * SECONDS:  # the page holds the mouse up: enough is seen
            break
    took = time.monotonic() - began
    page.mouse.up()
    last = page.evaluate("asked[asked.length - 1][0]")
    try:
        page.wait_for_function("t => shown.some(s => s[0] === t)", arg=last, timeout=10_000)
        kept = True
    except Exception:  # not shown within ten seconds: lost
        kept = False
    asked, shown = page.evaluate("[asked, shown]")
    since = dict(reversed(asked))  # the first time of each tag
    delays = [at - since[tag] for tag, at in shown if tag in since]
    frames = len({tag for tag, _ in shown if tag in since})
    delays = sorted(delays) or [math.inf]
    return {
        "asked": len(asked) / took,
        "updates": frames / took,
        "p50": delays[len(delays) // 2],
        "p95": delays[min(len(delays) - 1, math.ceil(0.95 * len(delays)) - 1)],
        "last": kept,
    }


def steps_done(page: Page) -> int:
    """The progress of the sampling; each run of it counts from 0."""
    return int(page.locator("#steps textarea").input_value() or 0)


def measure(page: Page) -> None:
    """The four variants, the table, and whether the two demands of the design hold."""
    pad, slider = "#pad .pad", "#slider input[type=range]"
    print(
        f"{'variant':<18}{'events/s':>9}{'updates/s':>11}{'p50 ms':>9}{'p95 ms':>9}  last position"
    )
    found = {}
    for name, handle, rise, busy in (
        ("stock", slider, 0.0, False),
        ("ours", pad, 0.4, False),
        ("stock, sampling", slider, 0.0, True),
        ("ours, sampling", pad, 0.4, True),
    ):
        if busy and not steps_done(page):
            page.locator("#go").click()
            page.wait_for_function("Number(document.querySelector('#steps textarea').value) > 3")
        before = steps_done(page)
        found[name] = r = drag(page, handle, rise)
        note = f", {(steps_done(page) - before) % 1000} steps sampled meanwhile" if busy else ""
        print(
            f"{name:<18}{r['asked']:>11.1f}{r['updates']:>11.1f}{r['p50']:>11.0f}{r['p95']:>11.0f}"
            f"  {'shown' if r['last'] else 'LOST'}{note}",
            flush=True,
        )
    ours, stock = found["ours"], found["stock"]
    times, share = ours["updates"] / max(stock["updates"], 1e-9), ours["p95"] / stock["p95"]
    fast = times >= 5 or ours["updates"] >= 55
    print(f"updates: {times:.1f} x stock (5 x or 55/s wanted): {'holds' if fast else 'FAILS'}")
    print(f"p95: {share:.2f} of stock (0.25 wanted): {'holds' if share <= 0.25 else 'FAILS'}")


def main() -> None:
    """Serves the page in a process of its own and drives it."""
    command = [sys.executable, __file__, "serve"]
    with tempfile.TemporaryDirectory() as folder:
        with serve(command, Path(folder)) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 1400})
            page.set_default_timeout(120_000)
            page.add_init_script(f"({WATCH})()")
            page.goto(url)
            page.wait_for_selector("#picture .frame canvas")
            measure(page)
            browser.close()


if __name__ == "__main__":
    app() if sys.argv[1:] == ["serve"] else main()
