"""The reverse tab in a real browser: every step arrives, can be scrubbed, and can be stopped."""

import pytest
import torch

from diffuser.ui import coder, show

BUFFER = "document.querySelector('#reverse-player .player').dataset"


@pytest.fixture
def tab(page):
    """The page with the reverse tab open on its first, finished scene."""
    page.get_by_role("tab", name="Reverse").click()
    page.wait_for_function(f"{BUFFER}.have === '21'")
    # A new run has other pictures; note each step that is shown, with the run it belongs to.
    page.evaluate("""() => { window.seen = []; document.addEventListener('diffuser:step',
        event => window.seen.push([event.detail.run, event.detail.i])); }""")
    return page


def fill(page, name: str, value: int) -> None:
    field = page.locator(f"#{name} input[type=number]")
    field.fill(str(value))
    field.press("Tab")


def shown(page) -> str:
    return page.evaluate(
        "document.querySelectorAll('#reverse-player .frame canvas')[0].toDataURL()"
    )


def test_twenty_steps_all_arrive_and_can_be_scrubbed(tab) -> None:
    assert tab.locator("#reverse-player .frame canvas").count() == 3
    fill(tab, "reverse-seed", 12)
    tab.locator("#reverse-go").click()
    tab.wait_for_function(f"window.seen.length > 0 && {BUFFER}.have === '21'")
    seen = tab.evaluate("window.seen")
    assert len({run for run, _ in seen}) == 1
    assert sorted({i for _, i in seen}) == list(range(21)), "every step was shown"
    assert "seed12" in tab.locator("#reverse-player .numbers").inner_text().replace("\n", "")

    pictures = set()
    bar = tab.locator("#reverse-player input[type=range]")
    for i in (0, 7, 13, 20):
        bar.fill(str(i))
        tab.wait_for_function(f"{BUFFER}.at === '{i}'")
        pictures.add(shown(tab))
    assert len(pictures) == 4, "each step has pictures of its own"
    tab.locator("#reverse-player .back").click()
    assert tab.evaluate(f"{BUFFER}.at") == "19"


def test_stop_ends_a_long_run_within_a_second(tab) -> None:
    fill(tab, "reverse-steps", 1000)
    tab.locator("#reverse-go").click()
    tab.wait_for_function(f"window.seen.length > 2 && {BUFFER}.have < 1000")
    tab.locator("#reverse-stop").click()
    tab.wait_for_timeout(1000)
    have = tab.evaluate(f"{BUFFER}.have")
    tab.wait_for_timeout(1500)
    assert tab.evaluate(f"{BUFFER}.have") == have and int(have) < 1000
    fill(tab, "reverse-steps", 4)  # and the lane is free again
    tab.locator("#reverse-go").click()
    tab.wait_for_function(f"{BUFFER}.have === '5'")


def test_play_and_pause_and_the_marker_on_the_curves(tab) -> None:
    tab.locator("#reverse-player .first").click()
    tab.wait_for_function("document.querySelector('#reverse-schedule .plots').dataset.t === '1'")
    tab.locator("#reverse-player .play").click()
    tab.wait_for_function(f"Number({BUFFER}.at) >= 3")
    tab.locator("#reverse-player .play").click()
    at = tab.evaluate(f"{BUFFER}.at")
    tab.wait_for_timeout(500)
    assert tab.evaluate(f"{BUFFER}.at") == at


def test_a_wrong_seed_gets_a_sentence(tab) -> None:
    fill(tab, "reverse-seed", -5)
    tab.locator("#reverse-go").click()
    tab.get_by_text("seed must be a whole number from -1").first.wait_for()


def test_dragging_a_latent_goes_on_while_a_sampling_runs(tab) -> None:
    fill(tab, "reverse-steps", 1000)
    tab.locator("#reverse-go").click()
    tab.wait_for_function(f"window.seen.length > 2 && {BUFFER}.have < 1000")
    tab.get_by_role("tab", name="Latent space").click()
    tab.wait_for_selector("#latent-picture .frame canvas")
    box = tab.locator("#latent-pad .pad").bounding_box()
    tab.mouse.move(box["x"] + 100, box["y"] + 100)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 300, box["y"] + 200, steps=30)
    tab.mouse.up()
    z = tab.locator("#latent-pad .pad").get_attribute("data-z")
    drawn = torch.tensor([[float(v) for v in z.split(",")]])
    wanted = show.pictures(coder.decode("vae-2d", drawn)).flatten().tolist()
    tab.wait_for_function(
        """wanted => { const c = document.querySelector('#latent-picture .frame canvas');
        const px = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        return wanted.every((v, i) => Math.abs(v - px[4 * i]) <= 1); }""",
        arg=wanted,
    )
    tab.get_by_role("tab", name="Reverse").click()
    have = int(tab.evaluate(f"{BUFFER}.have"))
    assert have < 1000, "the sampling was over before the dragging was"
    tab.wait_for_function(f"have => Number({BUFFER}.have) > have", arg=have)
    tab.locator("#reverse-stop").click()
